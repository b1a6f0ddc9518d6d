"""Contestants in one process, in turn, so that the load of the machine meets all alike, and tables of it."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def interleave(contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each contestant in each round, after one round that does not count.

    Process time: with one thread it is what the work costs, however busy the machine is.
    """
    took: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, work in contestants.items():
            began = time.process_time()
            work()
            if number:
                took[name].append(time.process_time() - began)
    return took


def ratios(took: Mapping[str, Sequence[float]], of: str, to: str) -> tuple[float, float, float]:
    """Minimum, median and maximum over the rounds of how many times faster `of` is than `to`."""
    each = [slow / fast for slow, fast in zip(took[to], took[of])]
    return min(each), statistics.median(each), max(each)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Three numbers as they stand in a table: "1.90 / 2.00 / 2.10"."""
    return " / ".join(f"{value:.{digits}f}" for value in values)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; all columns but the first to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def machine() -> str:
    """Processor and versions, for the head of a section."""
    import torch

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, torch {torch.__version__}, {torch.get_num_threads()} thread(s)"
