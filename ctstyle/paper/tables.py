"""Tables 1 and 2: metrics of all test patients in, one frame with intervals over seeds and patients out.

Nothing here weighs slices as if they were independent: Table 1 means slices within a patient and then patients,
Table 2 pools pixel counts over the patients and leaves out whole patients.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ctstyle.measures.evaluate import TRANSFER_MEASURES
from ctstyle.paper.domains import Domain
from ctstyle.paper.intervals import Estimate, interval, mean_over_patients, withheld
from ctstyle.paper.measures import (
    BOUNDS,
    MODEL_LABELS,
    SEGMENTATION_MEASURES,
    TRANSFER_ROWS,
    PaperInputError,
    in_order,
)
from ctstyle.study.analysis import Intervals
from ctstyle.study.arms import ARM_LABELS, ARMS, is_reference

CHECKS = {"transfer": "X to Y", "identity": "X to X"}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A frame and how it is printed.

    `frame` has one row per cell group: label columns, counts, and measures of `measures.MEASURES`, each with
    `<measure>_low` and `<measure>_high` where it has an interval. `row` and `group` name the columns that name a row
    and the rows it competes with, `printed` the measures that are printed (the CSV has all), `no_contest` rows that
    are references and never marked best, `contest` whether any row is, `void` measures that mean nothing here and
    are printed in parentheses, `measures_as_rows` whether the printed table is turned, `digits` numbers of printed
    digits in place of the measures' own.
    """

    frame: pd.DataFrame
    row: str
    group: str
    printed: tuple[str, ...]
    counts: tuple[str, ...] = ()
    no_contest: tuple[str, ...] = ()
    contest: bool = True
    void: tuple[str, ...] = ()
    measures_as_rows: bool = False
    digits: Mapping[str, int] = field(default_factory=dict)


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
            row = {"check": check, "method": MODEL_LABELS.get(model, model), "model": model}
            row |= {"seeds": len(transfer[model]), "patients": chosen["patient"].nunique()}
            row["slices"] = int(chosen["lpips_content"].notna().sum() // len(transfer[model]))
            row["withheld"] = withheld(seeds=row["seeds"], patients=row["patients"])
            for measure, values in by_seed_and_patient(chosen, TRANSFER_ROWS).items():
                row |= cells(measure, mean_over_patients(values, intervals, bounds=BOUNDS[measure]))
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


def table2(scored: Sequence[Domain], intervals: Intervals) -> Table:
    """Table 2: segmentation of every arm in every domain, in percent, and the gain over the plain U-Net in points.

    `scored` is what `domains.domains` makes of a run. Scores come from counts pooled over the scans of a domain, per
    seed, then the mean over seeds; intervals over seeds and patients from jackknife pseudo-values, of gains from their
    differences, so that gains are paired. The column `withheld` says why a domain has no intervals.
    """
    rows = []
    for domain in scored:
        for arm in domain.counts:
            row = {"domain": domain.label, "method": ARM_LABELS.get(arm, arm), "arm": arm} | domain.size()
            row["added_slices"] = domain.added[arm]
            for measure in SEGMENTATION_MEASURES:
                value, values = domain.score(arm, measure), domain.pseudo(arm, measure)
                row |= cells(measure, interval(value, values, intervals, bounds=BOUNDS[measure]))
            for measure in SEGMENTATION_MEASURES:
                gain = lead(domain, arm, "plain", measure, intervals) if arm != "plain" else Estimate(np.nan)
                row |= cells(f"{measure}_gain", gain)
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


def lead(domain: Domain, arm: str, other: str, measure: str, intervals: Intervals) -> Estimate:
    """What `arm` leads `other` by in points, paired: the same seeds and patients in both."""
    values = domain.pseudo(arm, measure) - domain.pseudo(other, measure)
    return interval(domain.score(arm, measure) - domain.score(other, measure), values, intervals, bounds=(-100, 100))


def by_seed_and_patient(slices: pd.DataFrame, measures: Sequence[str]) -> dict[str, np.ndarray]:
    """Means over slices of each measure, float64 `[seeds, patients]`, of rows with `seed` and `patient`."""
    means = slices.groupby(["patient", "seed"], sort=True)[list(measures)].mean()
    return {measure: means[measure].unstack("patient").to_numpy(dtype=np.float64) for measure in measures}


def cells(measure: str, made: Estimate) -> dict[str, float]:
    """The three columns of a measure with its interval."""
    return {measure: made.value, f"{measure}_low": made.low, f"{measure}_high": made.high}


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
