"""What the paper-scale run would take on clusters: Snakemake's own graph of jobs, played through with measured costs.

    python -m benchmarks.scaling results > docs/scaling.md

The CPU seconds of each rule come from the benchmarks of a finished quick run; they are scaled by steps, batch and
pixels to config/paper.yaml. Jobs that ask for a card are divided by GPU_SPEED, an assumption, not a measurement. The
graph of jobs is Snakemake's for that many scans; a job starts as soon as what it needs is there and a core or card is
free, jobs with the longest way to the end first.
"""

import copy
import csv
import heapq
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
SCANS = (55, 500, 5000)
GPUS = (1, 8, 64)
GPU_SPEED = 300.0
"""How many times faster than one of the measured CPU cores a card is assumed to be."""
CORES_PER_GPU = 8
DOLLARS_PER_GPU_HOUR = 3.0
START_S = {"cpu": 2.0, "gpu": 8.0}
"""Starting Python with its packages, which no card makes faster."""
ON_A_CARD = re.compile(
    r"train_|warm_up|describe_layers|stylise_test|generate_aug|predict_|score_(transfer|comp|cis)|optimise"
)
PAGE = """# What the paper-scale run would take on clusters

Written by `python -m benchmarks.scaling results`. **A simulation, not a measurement**: the CPU seconds of each rule
were measured in a quick run on 2 CPU cores (a style transfer took {cost:.0f} s) and scaled by steps, batch and pixels
to config/paper.yaml (simulated patients, three seeds). A card is *assumed* to be {speed:.0f} times as fast as one of
those cores, which nobody measured, with {cores} cores beside each card, at {dollars:g} dollars an hour. The jobs, and
what they wait for, are Snakemake's own.

| training scans | jobs | cards | wall time, h | card hours | cost, $ |
|---:|---:|---:|---:|---:|---:|"""
END = """
Cost: all cards are paid from the first job to the last. The longest chain of trainings bounds the wall time from below;
more cards than trainings that may run side by side only cost more."""


@dataclass(frozen=True)
class Graph:
    """The jobs of a run: the rule of each, and which jobs each needs."""

    rules: Mapping[str, str]
    needs: Mapping[str, tuple[str, ...]]


def measured(results: Path) -> dict[str, float]:
    """Mean CPU seconds of a job of each rule."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for path in (results / "benchmarks").rglob("*.tsv"):
        rule = path.relative_to(results / "benchmarks").parts[0].removesuffix(".tsv")
        with path.open(newline="") as stream:
            seconds[rule].append(float(next(csv.DictReader(stream, delimiter="\t"))["cpu_time"]))
    return {rule: sum(of) / len(of) for rule, of in seconds.items()}


def factors(quick: Mapping[str, Any], paper: Mapping[str, Any], slices: float) -> dict[str, float]:
    """By how much a job of each rule grows; `slices` is the ratio of all slices, for rules that go through all."""

    def ratio(*keys: str) -> float:
        """Of one number of both configs."""
        sides = []
        for config in (paper, quick):
            for key in keys:
                config = config[key]
            sides.append(config)
        return sides[0] / sides[1]

    pixels = ratio("slices", "size_px") ** 2
    small = ratio("comparison", "size_px") ** 2
    grid = ratio("phantom", "grid_px") ** 2
    transfer = ("transfer", "training")
    training = ratio(*transfer, "steps") * ratio(*transfer, "batch") * pixels
    domain = ratio("encoders", "domain", "steps") * ratio("encoders", "domain", "batch")
    return {
        "simulate_scan": grid * ratio("phantom", "slices") * ratio("phantom", "angles"),
        "cut_scan": pixels * ratio("phantom", "slices"),
        "train_domain_encoder": domain * ratio("encoders", "domain", "size_px") ** 2,
        "describe_layers": pixels,
        "warm_up_decoder": ratio("transfer", "warm_up", "steps") * ratio("transfer", "warm_up", "batch") * pixels,
        "train_transfer": training,
        "train_compared": ratio("comparison", "steps") * ratio(*transfer, "batch") * small,
        "train_unet": ratio("segment", "training", "steps") * ratio("segment", "training", "batch") * pixels,
        "train_classifier": ratio("metrics", "classifier", "steps") * ratio("metrics", "classifier", "batch") * pixels,
        "optimise_gatys": ratio("transfer", "gatys", "steps") * pixels,
        **dict.fromkeys(
            ("gather_slices", "find_styles", "generate_augmentation", "make_control", "stylise_test"),
            pixels * slices,
        ),
        "score_transfer": pixels * slices,
    }


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """One config laid over another."""
    result = copy.deepcopy(dict(base))
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def graph(scans: int, folder: Path) -> Graph:
    """Snakemake's jobs of the paper-scale run with that many training scans."""
    styles = ("standard", "lowkv_contrast", "soft_display", "full_range_sharp")
    counts = {style: scans // 2 if style == "standard" else scans // 6 for style in styles}
    config = folder / "scans.yaml"
    config.write_text(yaml.safe_dump({"cohorts": ["phantom", "lidc0001"], "phantom": {"train": counts}}))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--dag", "--configfile", str(ROOT / "config" / "paper.yaml"), str(config)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rules = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)', told, flags=re.MULTILINE))
    needs: dict[str, list[str]] = defaultdict(list)
    for before, after in re.findall(r"^\s*(\d+) -> (\d+)", told, flags=re.MULTILINE):
        needs[after].append(before)
    return Graph(rules, {job: tuple(needs[job]) for job in rules})


def play(jobs: Graph, seconds: Mapping[str, float], gpus: int) -> tuple[float, float]:
    """Hours from start to end, and hours of cards used, with `gpus` cards and CORES_PER_GPU cores for each."""
    followers: dict[str, list[str]] = defaultdict(list)
    for job, needed in jobs.needs.items():
        for one in needed:
            followers[one].append(job)
    waits = {job: len(needed) for job, needed in jobs.needs.items()}
    order, ready = [], [job for job, count in waits.items() if count == 0]
    left = dict(waits)
    while ready:  # topological
        job = ready.pop()
        order.append(job)
        for one in followers[job]:
            left[one] -= 1
            if left[one] == 0:
                ready.append(one)
    far: dict[str, float] = {}
    for job in reversed(order):
        far[job] = seconds[jobs.rules[job]] + max((far[one] for one in followers[job]), default=0.0)
    free = {"gpu": gpus, "cpu": CORES_PER_GPU * gpus}
    queues: dict[str, list] = {"gpu": [], "cpu": []}
    running: list[tuple[float, str]] = []
    now, used = 0.0, 0.0

    def enqueue(job: str) -> None:
        """Put a job that may start into its queue."""
        heapq.heappush(queues[_place(jobs.rules[job])], (-far[job], job))

    for job, count in waits.items():
        if count == 0:
            enqueue(job)
    while running or any(queues.values()):
        for place, queue in queues.items():
            while queue and free[place]:
                _, job = heapq.heappop(queue)
                free[place] -= 1
                heapq.heappush(running, (now + seconds[jobs.rules[job]], job))
        now, job = heapq.heappop(running)
        place = _place(jobs.rules[job])
        free[place] += 1
        used += seconds[jobs.rules[job]] if place == "gpu" else 0.0
        for one in followers[job]:
            waits[one] -= 1
            if waits[one] == 0:
                enqueue(one)
    return now / 3600, used / 3600


def _place(rule: str) -> str:
    return "gpu" if ON_A_CARD.match(rule) else "cpu"


def main(results: Path) -> None:
    """Print the page."""
    quick = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    paper = merged(quick, yaml.safe_load((ROOT / "config" / "paper.yaml").read_text()))
    costs = measured(results)
    facts = {"speed": GPU_SPEED, "cores": CORES_PER_GPU, "dollars": DOLLARS_PER_GPU_HOUR}
    print(PAGE.format(cost=costs["train_transfer"], **facts))
    for scans in SCANS:
        with tempfile.TemporaryDirectory() as scratch:
            jobs = graph(scans, Path(scratch))
        many = scans * paper["phantom"]["slices"] / (21 * quick["phantom"]["slices"])
        grown = factors(quick, paper, many)
        seconds = {}
        for rule in set(jobs.rules.values()):
            work = costs.get(rule, 1.0) * grown.get(rule, 1.0)
            place = _place(rule)
            seconds[rule] = START_S[place] + (work / GPU_SPEED if place == "gpu" else work)
        for gpus in GPUS:
            wall, used = play(jobs, seconds, gpus)
            cost = wall * gpus * DOLLARS_PER_GPU_HOUR
            print(f"| {scans} | {len(jobs.rules)} | {gpus} | {wall:.1f} | {used:.1f} | {cost:.0f} |", flush=True)
    print(END)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "benchmarks").is_dir():
        sys.exit("usage: python -m benchmarks.scaling RESULTS (a finished quick run)")
    main(Path(sys.argv[1]))
