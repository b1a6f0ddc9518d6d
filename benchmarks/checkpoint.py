"""What saving its state costs a training: seconds of the same training with states and without, in turn.

    python -m benchmarks.checkpoint [STEPS] [EVERY_S]

Trains a U-Net of the quick run on made slices, three times without states and three times with one every EVERY_S
seconds (default 10; the workflow's own is 300, `save_every_s`), interleaved, and prints their ratio. Beside it stands
what one state takes, which does not depend on how busy the machine is.
"""

import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from ctstyle.run.checkpoint import Checkpoint
from ctstyle.segment.train import Pool, train
from ctstyle.slices.window import Window
from ctstyle.study.analysis import SegmentSettings

ROUNDS = 3
WORKFLOW_EVERY_S = 300.0


class Timed(Checkpoint):
    """A checkpoint that notes how long each state took."""

    took: list[float]

    def save(self, parts, history):
        began = time.perf_counter()
        super().save(parts, history)
        self.took = [*getattr(self, "took", []), time.perf_counter() - began]


def seconds(steps: int, checkpoint: Checkpoint | None) -> float:
    """Wall time of one training."""
    rng = np.random.default_rng(0)
    hu = rng.integers(-250, 750, (64, 96, 96)).astype(np.int16)
    pool = Pool(hu, (hu > 300).astype(np.uint8))
    began = time.perf_counter()
    train([pool], Window(-250, 750), SegmentSettings(steps=steps), seed=0, checkpoint=checkpoint)
    return time.perf_counter() - began


def main(steps: int, every_s: float) -> None:
    """Print the ratio of the wall times, and of a state's time to the workflow's interval."""
    plain, saved, took = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS):
            plain.append(seconds(steps, None))
            state = Timed(path=Path(folder) / f".{number}.state", fingerprint=f"{number}", every_s=every_s)
            saved.append(seconds(steps, state))
            took += getattr(state, "took", [])
            ratio = saved[-1] / plain[-1]
            print(f"round {number + 1}: without {plain[-1]:.1f} s, with states {saved[-1]:.1f} s, {ratio:.3f}")
    ratios = sorted(b / a for a, b in zip(plain, saved))
    print(f"{steps} steps, a state every {every_s:g} s: {ratios[0]:.3f} {ratios[1]:.3f} {ratios[2]:.3f} of the time")
    if took:
        one = statistics.median(took)
        print(
            f"{len(took)} states, {one * 1000:.0f} ms each: {sum(took) / sum(saved):.2%} of these trainings, ", end=""
        )
        print(f"{one / WORKFLOW_EVERY_S:.3%} at the workflow's {WORKFLOW_EVERY_S:g} s")


if __name__ == "__main__":
    if len(sys.argv) > 3 or not all(word.replace(".", "").isdigit() for word in sys.argv[1:]):
        sys.exit("usage: python -m benchmarks.checkpoint [STEPS] [EVERY_S]")
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300, float(sys.argv[2]) if len(sys.argv) > 2 else 10.0)
