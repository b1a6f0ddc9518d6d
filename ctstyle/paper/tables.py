"""Tables 1 and 2 and the table of tests: metrics of all test patients in, frames with intervals out.

Nothing here weighs slices as if they were independent: Table 1 means slices within a patient and then patients,
Table 2 pools pixel counts over the patients and leaves out whole patients.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctstyle.measures.columns import (
    BOUNDS,
    MODEL_LABELS,
    SEGMENTATION_MEASURES,
    TRANSFER_ROWS,
    PaperInputError,
    in_order,
)
from ctstyle.measures.coverage import coverage_range
from ctstyle.measures.domains import Domain, domains, lead
from ctstyle.measures.evaluate import TRANSFER_MEASURES
from ctstyle.measures.significance import comparisons
from ctstyle.measures.statistics import Estimate, interval, mean_over_patients, withheld
from ctstyle.paper.captions import (
    RunFacts,
    cohorts_note,
    interval_note,
    run_facts,
    seeds_note,
    slices_note,
    unet_seeds_note,
    withheld_notes,
)
from ctstyle.paper.inputs import by_seed_and_patient, in_groups, read_frames
from ctstyle.paper.write import Notes, Table
from ctstyle.study.analysis import Intervals
from ctstyle.study.arms import ARM_LABELS, ARMS, is_reference

CHECKS = {"transfer": "X to Y", "identity": "X to X"}


def make_table1(inputs: Any, settings: Mapping[str, Any]) -> tuple[Table, Notes]:
    """Table 1 and its notes from the scores of every model."""
    facts, models = run_facts(inputs, settings), settings["models"]
    transfer, diversity, cis = (
        in_groups(models, read_frames(paths)) for paths in (inputs.transfer, inputs.diversity, inputs.cis)
    )
    classifier = json.loads(Path(inputs.classifier).read_text())
    table = table1(transfer, diversity, cis, facts.intervals, near_chance=classifier["near_chance"])
    return table, table1_notes(facts, table, cis_note(classifier, cis))


def make_table2(inputs: Any, settings: Mapping[str, Any]) -> tuple[Table, Notes]:
    """Table 2 and its notes from the scores of every arm."""
    facts = run_facts(inputs, settings)
    table = table2(domains(read_frames(inputs.segmentation), "Table 2"), facts.intervals)
    return table, table2_notes(facts, table)


def table1(
    transfer: Mapping[str, Sequence[pd.DataFrame]],
    diversity: Mapping[str, Sequence[pd.DataFrame]],
    cis: Mapping[str, Sequence[pd.DataFrame]],
    intervals: Intervals,
    *,
    near_chance: bool = False,
) -> Table:
    """Table 1: what each model keeps of X and reaches of Y (method.md, 6).

    `transfer[model]` holds one metrics frame per seed (`results/metrics/transfer/{model}-seed{seed}.tsv`, row per
    generated test slice), `diversity[model]` and `cis[model]` one frame per seed with a row per content slice. Each
    value is the mean over patients of the patient's mean over slices and seeds, with its interval over seeds and
    patients; the column `withheld` says why there is none. Identity checks (X with its own style) have rows of their
    own. A measure that was not taken (no true target, CIS of a single output) is NaN. `near_chance`: the classifier
    behind CIS knows nothing, and its columns are printed as void.

    Raises PaperInputError for a missing column, an empty list, or a content scan that the metrics do not have.
    """
    rows = []
    for kind, check in CHECKS.items():
        for model in in_order(set(transfer), MODEL_LABELS):
            slices = _slices_of_model(model, transfer[model], diversity.get(model, ()), cis.get(model, ()))
            chosen = slices[slices["kind"] == kind]
            if chosen.empty:
                continue
            row: dict[str, Any] = {"check": check, "method": MODEL_LABELS.get(model, model), "model": model}
            row |= {"seeds": len(transfer[model]), "patients": chosen["patient"].nunique()}
            row["slices"] = int(chosen["lpips_content"].notna().sum() // len(transfer[model]))
            row["withheld"] = withheld(seeds=row["seeds"], patients=row["patients"])
            for measure, values in by_seed_and_patient(chosen, TRANSFER_ROWS).items():
                row |= mean_over_patients(values, intervals, bounds=BOUNDS[measure]).cells(measure)
            rows.append(row)
    if not rows:
        raise PaperInputError(
            "no generated test slice to tabulate",
            where="Table 1",
            found=f"models {sorted(transfer)}",
            expected="at least one row of kind transfer",
            fix="Look into the transfer metrics of this run: no test patient may have been left after the split.",
        )
    return Table(
        frame=pd.DataFrame(rows),
        row="method",
        group="check",
        printed=TRANSFER_ROWS,
        counts=("patients", "slices", "seeds"),
        measures_as_rows=True,
        void=("cis", "style_hit") if near_chance else (),
    )


def table1_notes(facts: RunFacts, table: Table, cis: str) -> Notes:
    """Title and notes of Table 1; `cis` is `cis_note`."""
    return Notes(
        "Content kept and style reached on test slices",
        (
            cohorts_note(facts),
            f"Models: encoder {facts.encoder} with {facts.weights_name}; decoder warm-up {facts.warm_up_steps} steps, "
            f"then {facts.transfer_steps} steps of style transfer; {seeds_note(table)}",
            f"LPIPS trunk: {facts.lpips_trunk}. LPIPS values compare within this table only.",
            cis,
            _how_models_differ(table),
            slices_note(facts),
            f"Means over patients of the patient's mean over slices; {interval_note(facts)}",
            *withheld_notes(table, "check"),
            "True target: the same slice of the same patient, scanned in the style of Y. "
            "Dice: a frozen segmenter on X and on G against the mask of X.",
        ),
        number="Table 1",
    )


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


def table2(scored: Sequence[Domain], intervals: Intervals) -> Table:
    """Table 2: segmentation of every arm in every domain, in percent, and the gain over the plain U-Net in points.

    `scored` is what `domains.domains` makes of a run. Scores come from counts pooled over the scans of a domain, per
    seed, then the mean over seeds; intervals over seeds and patients from jackknife pseudo-values, of gains from their
    differences, so that gains are paired. The column `withheld` says why a domain has no intervals.
    """
    rows = []
    for domain in scored:
        for arm in domain.counts:
            row: dict[str, Any] = {"domain": domain.label, "method": ARM_LABELS.get(arm, arm), "arm": arm}
            row |= domain.size()
            row["added_slices"] = domain.added[arm]
            for measure in SEGMENTATION_MEASURES:
                value, values = domain.score(arm, measure), domain.pseudo(arm, measure)
                row |= interval(value, values, intervals, bounds=BOUNDS[measure]).cells(measure)
            for measure in SEGMENTATION_MEASURES:
                gain = lead(domain, arm, "plain", measure, intervals) if arm != "plain" else Estimate(np.nan)
                row |= gain.cells(f"{measure}_gain")
            row["withheld"] = withheld(seeds=domain.seeds, patients=domain.patients)
            rows.append(row)
    frame = pd.DataFrame(rows)
    return Table(
        frame=frame,
        row="method",
        group="domain",
        printed=(*SEGMENTATION_MEASURES, "foreground_iou_gain"),
        counts=("patients", "slices", "seeds"),
        no_contest=tuple(ARMS[arm].label for arm in frame["arm"].unique() if arm in ARMS and is_reference(arm)),
    )


def table2_notes(facts: RunFacts, table: Table) -> Notes:
    """Title and notes of Table 2, with the simulated coverage of its intervals."""
    return Notes(
        "Segmentation of vertebrae with and without augmentation",
        (
            cohorts_note(facts),
            f"Every arm: {facts.segmentation_steps} optimiser steps, the same geometric augmentation. "
            f"{unet_seeds_note(facts, table)}",
            f"Augmented slices: encoder {facts.encoder} with {facts.weights_name}, decoder warm-up "
            f"{facts.warm_up_steps} steps, then {facts.transfer_steps} steps of style transfer.",
            _added(table),
            slices_note(facts),
            "Scores from pixel counts pooled over the scans of a domain; two classes, MIoU counts the background; "
            f"{interval_note(facts)} Gains are paired: the same patients and seeds in both arms.",
            *_coverage(facts, table),
            *withheld_notes(table, "domain"),
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


def _lending(table: Table) -> tuple[str, ...]:
    """What must be said of the transductive arm where there is one."""
    if "transductive" not in set(table.frame["arm"]):
        return ()
    return (
        "Transductive: the network of ours, its styles unlabelled slices of the lower end of the real scan itself, on "
        "which it is then tested: no fair rival elsewhere. Every arm is scored on the slices of the real scan that lie "
        "apart from those, and on no others.",
    )


def _how_models_differ(table: Table) -> str:
    """What tells the models of Table 1 from ours, other than the losses."""
    alone = [MODEL_LABELS[model] for model in ("contextual", "cyclegan") if model in set(table.frame["model"])]
    said = f"{' and '.join(alone)}: no style input, one network per target style, no identity check. " if alone else ""
    return said + "Gatys: optimised pixels, one slice per patient only."


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


def make_tests(inputs: Any, settings: Mapping[str, Any]) -> tuple[Table, Notes]:
    """The table of tests and its notes from the scores of every arm."""
    facts, margin = run_facts(inputs, settings), settings["margin_points"]
    table = significance(domains(read_frames(inputs.segmentation), "tests"), facts.intervals, margin)
    return table, significance_notes(facts, table, margin)


def significance(scored: Sequence[Domain], intervals: Intervals, margin: float) -> Table:
    """The table of tests: one row per arm and question (`measures.significance.comparisons`)."""
    return Table(
        frame=comparisons(scored, intervals, margin),
        row="method",
        group="comparison",
        printed=("difference", "p", "p_holm", "needed"),
        counts=("verdict", "patients", "slices", "seeds"),
        contest=False,
    )


def significance_notes(facts: RunFacts, table: Table, margin_points: float) -> Notes:
    """Title and notes of the table of tests."""
    level = 1 - facts.intervals.confidence
    rivals = [arm for arm in table.frame["against"].unique() if arm != "plain"]
    chosen = " and ".join(ARM_LABELS.get(arm, arm) for arm in rivals)
    reasons = table.frame[table.frame["reason"] != ""].drop_duplicates(["comparison", "reason"])
    return Notes(
        "Which arm is better than the plain U-Net and than the best rival, and which does harm in style",
        (
            cohorts_note(facts),
            f"Differences in foreground IoU from pooled counts; {interval_note(facts)} {unet_seeds_note(facts, table)}",
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


def _slices_of_model(
    model: str,
    transfer: Sequence[pd.DataFrame],
    diversity: Sequence[pd.DataFrame],
    cis: Sequence[pd.DataFrame],
) -> pd.DataFrame:
    """All rows of one model over its seeds; rows per content slice are appended with the patient of their scan."""
    where = f"transfer metrics of {model}"
    if not transfer:
        raise PaperInputError("no metrics", where=where, found="0 frames", expected="one frame per seed")
    frames = [_require(frame, ["content_scan", "patient", "kind", *TRANSFER_MEASURES], where) for frame in transfer]
    slices = _by_seed(frames)
    unknown = sorted(set(slices["kind"]) - set(CHECKS))
    if unknown:
        raise PaperInputError("unknown kind of slice", where=where, found=unknown, expected=sorted(CHECKS))
    patients = slices.drop_duplicates("content_scan").set_index("content_scan")["patient"]
    diverse = [_of_content(frame, ["lpips_diversity"], patients, f"diversity of {model}") for frame in diversity]
    classified = []
    for frame in cis:
        scored = frame[frame["kind"] == "generated"]
        # one output cannot differ from itself
        scored = scored.assign(cis=scored["cis"].where(scored["outputs"] > 1))
        classified.append(_of_content(scored, ["cis", "style_hit"], patients, f"CIS of {model}"))
    added = [_by_seed(frames) for frames in (diverse, classified) if frames]
    slices = pd.concat([slices, *(frame for frame in added if not frame.empty)], ignore_index=True)
    return slices.reindex(columns=list(dict.fromkeys([*slices.columns, *TRANSFER_ROWS])))


def _by_seed(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Frames in the order of the seeds as one, with a column `seed`."""
    return pd.concat([frame.assign(seed=number) for number, frame in enumerate(frames)], ignore_index=True)


def _of_content(frame: pd.DataFrame, measures: list[str], patients: pd.Series, where: str) -> pd.DataFrame:
    """The measures of each content slice, with its patient, as rows of kind transfer."""
    frame = _require(frame, ["content_scan", *measures], where)
    strangers = sorted(set(frame["content_scan"]) - set(patients.index))
    if strangers:
        raise PaperInputError(
            "a scan that was not a test content",
            where=where,
            found=strangers[0],
            expected="content scans of the transfer metrics",
            fix="Both files must come from the same run: remove the older one and run again.",
        )
    return frame[["content_scan", *measures]].assign(patient=frame["content_scan"].map(patients), kind="transfer")


def _require(frame: pd.DataFrame, columns: Sequence[str], where: str) -> pd.DataFrame:
    missing = [name for name in columns if name not in frame]
    if missing:
        raise PaperInputError(
            "columns are missing",
            where=where,
            found=sorted(map(str, frame.columns)),
            expected=missing,
            fix="Run the evaluation again: these metrics come from another version.",
        )
    return frame
