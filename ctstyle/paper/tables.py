"""Tables 1 and 2: metrics of all test patients in, one frame with bootstrap intervals out.

Nothing here weighs slices as if they were independent: Table 1 means slices within a patient and then patients,
Table 2 pools pixel counts within the resampled patients.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ctstyle.metrics.columns import TRANSFER_MEASURES
from ctstyle.metrics.segmentation import COUNTS, Counts, scores
from ctstyle.paper.bootstrap import Bootstrap, Estimate, estimate, mean_over_patients, resamples
from ctstyle.paper.measures import (
    MODEL_LABELS,
    SEGMENTATION_MEASURES,
    SILVER_LABELS,
    TRANSFER_ROWS,
    PaperInputError,
    in_order,
)
from ctstyle.segment.arms import ARM_LABELS, ARMS

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
    bootstrap: Bootstrap,
    *,
    near_chance: bool = False,
) -> Table:
    """Table 1: what each model keeps of X and reaches of Y (method.md, 6).

    `transfer[model]` holds one metrics frame per seed (`results/metrics/transfer/{model}-seed{seed}.tsv`, row per
    generated test slice), `diversity[model]` and `cis[model]` one frame per seed with a row per content slice. Each
    value is the mean over patients of the patient's mean over slices and seeds, with its patient-level bootstrap
    interval; identity checks (X with its own style) have rows of their own. A measure that was not taken (no true
    target, CIS of a single output) is NaN. `near_chance`: the classifier behind CIS knows nothing, and its columns are
    printed as void.

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
            by_patient = chosen.groupby("patient", sort=True)[list(TRANSFER_ROWS)].mean()
            for measure in TRANSFER_ROWS:
                row |= cells(measure, mean_over_patients(by_patient[measure].to_numpy(), bootstrap))
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
        counts=("patients", "slices"),
        measures_as_rows=True,
        void=("cis", "style_hit") if near_chance else (),
    )


def table2(segmentation: Sequence[pd.DataFrame], bootstrap: Bootstrap) -> Table:
    """Table 2: segmentation of every arm in every domain, in percent, and the gain over the plain U-Net in points.

    `segmentation` holds the frames of `results/metrics/segmentation/{arm}-seed{seed}.tsv` (row per test scan with
    pixel counts). Scores come from counts pooled over the scans of a domain, per seed, then the mean over seeds;
    intervals from resampled patients, the same resamples for every arm, so that gains are paired. Domains: in style,
    out of style, each out-of-style grey scale, and each real cohort. With one patient there is no interval.

    Raises PaperInputError for a missing column, no `plain` arm, or arms that were not tested on the same scans.
    """
    if not segmentation:
        raise PaperInputError(
            "no segmentation metrics",
            where="Table 2",
            found="0 frames",
            expected="one per arm and seed",
            fix="Run the evaluation of the segmentation arms first.",
        )
    counts = pd.concat([_with_columns(frame, f"segmentation metrics {i}") for i, frame in enumerate(segmentation)])
    arms = in_order(set(counts["arm"]), ARM_LABELS)
    if "plain" not in arms:
        raise PaperInputError(
            "gains need the plain U-Net",
            where="Table 2",
            found=f"arms {arms}",
            expected="an arm named plain",
            fix="Add `plain` to the arms of the segmentation.",
        )
    rows = []
    for domain, scans in _domains(counts).items():
        inside = counts[counts["scan"].isin(scans)]
        drawn = {arm: _pooled(inside[inside["arm"] == arm], arm, domain, scans, bootstrap) for arm in arms}
        patients = inside["patient"].nunique()
        for arm in arms:
            one = inside[(inside["arm"] == arm)]
            seeds = one["seed"].nunique()
            row = {
                "domain": domain,
                "method": ARM_LABELS.get(arm, arm),
                "arm": arm,
                "seeds": seeds,
                "patients": patients,
            }
            row |= {"scans": len(scans), "slices": int(one["slices"].sum() // seeds)}
            value, replicates = drawn[arm]
            plain, plain_replicates = drawn["plain"]
            for measure in SEGMENTATION_MEASURES:
                made = estimate(value[measure], replicates[measure], patients=patients, bootstrap=bootstrap)
                row |= cells(measure, made)
            for measure in SEGMENTATION_MEASURES:
                gain, gains = value[measure] - plain[measure], replicates[measure] - plain_replicates[measure]
                made = estimate(gain, gains, patients=patients, bootstrap=bootstrap)
                row |= cells(f"{measure}_gain", made if arm != "plain" else Estimate(*[np.nan] * 3, patients))
            rows.append(row)
    return Table(
        frame=pd.DataFrame(rows),
        row="method",
        group="domain",
        printed=(*SEGMENTATION_MEASURES, "foreground_iou_gain"),
        counts=("patients",),
        no_contest=tuple(ARMS[arm].label for arm in arms if arm in ARMS and ARMS[arm].role == "reference"),
    )


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
    slices = pd.concat(frames, ignore_index=True)
    unknown = sorted(set(slices["kind"]) - set(CHECKS))
    if unknown:
        raise PaperInputError("unknown kind of slice", where=where, found=unknown, expected=sorted(CHECKS))
    patients = slices.drop_duplicates("content_scan").set_index("content_scan")["patient"]
    added = [_of_content(frame, ["lpips_diversity"], patients, f"diversity of {model}") for frame in diversity]
    for frame in cis:
        scored = frame[frame["kind"] == "generated"]
        # one output cannot differ from itself
        scored = scored.assign(cis=scored["cis"].where(scored["outputs"] > 1))
        added.append(_of_content(scored, ["cis", "style_hit"], patients, f"CIS of {model}"))
    slices = pd.concat([slices, *(frame for frame in added if not frame.empty)], ignore_index=True)
    return slices.reindex(columns=list(dict.fromkeys([*slices.columns, *TRANSFER_ROWS])))


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


def _with_columns(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    columns = ["arm", "seed", "scan", "patient", "cohort", "style", "domain", "slices", *COUNTS]
    return _require(frame, columns, where)[columns]


def _domains(counts: pd.DataFrame) -> dict[str, list[str]]:
    """The scans of each row group of Table 2, in the order they are printed."""
    scans = counts.drop_duplicates("scan").sort_values("scan")
    domains: dict[str, list[str]] = {}
    for domain, label in (("in_style", "In style"), ("out_of_style", "Out of style")):
        inside = scans[scans["domain"] == domain]
        styles = sorted(inside["style"].unique())
        if styles:
            domains[f"{label} ({', '.join(styles)})"] = inside["scan"].tolist()
        if len(styles) > 1:
            domains |= {f"Style {style}": inside.loc[inside["style"] == style, "scan"].tolist() for style in styles}
    real = scans[scans["domain"] == "real"]
    for cohort in sorted(real["cohort"].unique()):
        silver = " (silver labels)" if cohort in SILVER_LABELS else ""
        domains[f"Real scan: {cohort}{silver}"] = real.loc[real["cohort"] == cohort, "scan"].tolist()
    unknown = sorted(set(scans["domain"]) - {"in_style", "out_of_style", "real"})
    if unknown:
        raise PaperInputError(
            "unknown domain", where="Table 2", found=unknown, expected="in_style, out_of_style or real"
        )
    return domains


def _pooled(
    rows: pd.DataFrame, arm: str, domain: str, scans: Sequence[str], bootstrap: Bootstrap
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Scores of one arm in one domain, and their replicates: counts pooled per seed, then the mean over seeds."""
    per_seed = rows.groupby("seed", sort=True)
    for seed, one in per_seed:
        if sorted(one["scan"]) != sorted(scans):
            raise PaperInputError(
                f"arm {arm}, seed {seed} was not tested on the scans of the other arms",
                where=f"Table 2, {domain}",
                found=f"{len(one)} scans",
                expected=f"{len(scans)} scans",
                fix="Evaluate every arm on the whole test set.",
            )
    if rows.empty:
        raise PaperInputError(
            f"arm {arm} has no scan here", where=f"Table 2, {domain}", found="0 scans", expected=f"{len(scans)} scans"
        )
    totals = rows.groupby(["seed", "patient"], sort=True)[COUNTS].sum()
    seeds, patients = per_seed.ngroups, rows["patient"].nunique()
    cube = totals.to_numpy().reshape(seeds, patients, len(COUNTS))
    drawn = np.einsum("rp,spc->rsc", resamples(patients, bootstrap), cube)
    value, replicates = _percent(cube.sum(1)), _percent(drawn)
    return {name: float(score) for name, score in value.items()}, replicates


def _percent(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Scores in percent of counts `[..., seeds, 4]`, the mean over seeds; one definition of a score for all tables."""
    made = pd.DataFrame([scores(Counts(*row)) for row in counts.reshape(-1, len(COUNTS)).tolist()])
    return {name: 100 * made[name].to_numpy().reshape(counts.shape[:-1]).mean(-1) for name in SEGMENTATION_MEASURES}
