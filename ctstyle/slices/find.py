"""From the slices of all scans to their grey-scale styles and the split of their patients."""

import warnings
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from ctstyle.errors import CTStyleError
from ctstyle.slices.archive import Archive
from ctstyle.slices.body import body_mask
from ctstyle.slices.features import feature_frame
from ctstyle.slices.run import SOURCE
from ctstyle.slices.split import LENT_TO, SCORED_FROM, NoSplit, bounds, split
from ctstyle.slices.window import Window
from ctstyle.study.data import TEXT_TAGS, ClusterSettings, RegionSettings, SplitSettings


class NoStyles(CTStyleError):
    """The styles of a cohort cannot be found as the config asks."""


@dataclass(frozen=True)
class Styles:
    """Found styles: `style` of every scan (Series `s1`..`sK`, indexed by scan) and how well they agree with the hints.

    `agreement` is the adjusted Rand index between found styles and style hints over the scans that have a hint (1:
    the same partition, about 0: chance; Hubert and Arabie 1985), NaN where fewer than two scans have one.
    """

    style: pd.Series
    agreement: float


def cluster(
    table: pd.DataFrame,
    training: Collection[str],
    settings: ClusterSettings,
    *,
    hints: pd.Series,
    labelled: Collection[str],
) -> Styles:
    """Find the styles of the training scans and give every scan the nearest one.

    `table` is indexed by scan (`features.feature_frame`), `training` names the scans of training patients, `hints` is
    the style hint by scan (empty unknown) and `labelled` the scans that hold a mask. Features are standardised by the
    training scans' mean and deviation; an unknown number counts as the mean; text tags become one indicator per value
    known in training. Nothing about other scans moves the centres.

    Style `s1` is the source; the others follow by their number of training scans, then by the first of their scans'
    names. Raises NoStyles: k < 1, no training scan, k above the number of different training scans, a source that is
    unknown, or one without a labelled training scan.
    """
    train = sorted(scan for scan in table.index if scan in set(training))
    points = standardised(table, train, settings.features)
    _check_k(settings.k, len(np.unique(points.loc[train].to_numpy(), axis=0)))
    raw = _assign(points, train, settings)
    if raw[train].nunique() < settings.k:
        raise NoStyles(
            "some of the styles asked for hold no training scan",
            where="styles: k",
            found=f"{raw[train].nunique()} styles with training scans",
            expected=settings.k,
            fix="Lower `styles: k`, or set `styles: method` to kmeans.",
        )
    order = _order(raw, train, settings.source, hints=hints, labelled=set(labelled))
    names = {number: f"s{rank}" for rank, number in enumerate(order, start=1)}
    style = raw.map(names).rename("style")
    return Styles(style=style, agreement=agreement(style, hints))


def agreement(style: pd.Series, hints: pd.Series) -> float:
    """Adjusted Rand index of found styles and style hints (both by scan) over the scans with a hint; NaN below two."""
    known = [scan for scan in style.index if hints.get(scan, "")]
    if len(known) < 2:
        return float("nan")
    return float(adjusted_rand_score(hints[known], style[known]))


def standardised(table: pd.DataFrame, training: list[str], columns: tuple[str, ...]) -> pd.DataFrame:
    """Columns of the feature table as numbers with mean 0 and deviation 1 over the training scans.

    A constant column becomes 0, an unknown number 0 (the training mean); a text tag becomes one column per value that
    occurs in training.
    """
    numbers = {}
    for column in columns:
        if column in TEXT_TAGS:
            for value in sorted(set(table.loc[training, column])):
                numbers[f"{column}={value}"] = (table[column] == value).astype(float)
        else:
            numbers[column] = table[column].astype(float)
    frame = pd.DataFrame(numbers, index=table.index)
    mean, deviation = frame.loc[training].mean(), frame.loc[training].std(ddof=0)
    return ((frame - mean) / deviation.where(deviation > 1e-12, 1.0)).fillna(0.0)


def _assign(points: pd.DataFrame, training: list[str], settings: ClusterSettings) -> pd.Series:
    if settings.method == "kmeans":
        model = KMeans(settings.k, n_init=10, random_state=settings.seed)
    else:
        # diagonal and with a floor: a handful of scans cannot carry full covariances
        model = GaussianMixture(
            settings.k, covariance_type="diag", reg_covar=1e-2, n_init=10, random_state=settings.seed
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            model.fit(points.loc[training].to_numpy())
        except ConvergenceWarning as fault:
            raise NoStyles(
                "the clustering of the training scans did not converge",
                where="styles",
                found=str(fault).splitlines()[0],
                expected=f"{settings.k} separate styles",
                fix="Lower `styles: k`, or choose other `styles: features`.",
            ) from fault
    return pd.Series(model.predict(points.to_numpy()), index=points.index)


def _order(raw: pd.Series, training: list[str], source: str, *, hints: pd.Series, labelled: set[str]) -> list[int]:
    of_style = {number: [scan for scan in training if raw[scan] == number] for number in sorted(set(raw[training]))}
    with_labels = {number: [scan for scan in scans if scan in labelled] for number, scans in of_style.items()}
    if source == "auto":
        first = max(of_style, key=lambda number: (len(with_labels[number]), -training.index(of_style[number][0])))
    elif source in raw.index:
        first = raw[source]
    else:
        hinted = [raw[scan] for scan in training if hints.get(scan, "") == source]
        if not hinted:
            raise NoStyles(
                "the source style is unknown",
                where="styles: source",
                found=source,
                expected="auto, " + ", ".join(sorted({hint for hint in hints if hint})) + " or the name of a scan",
                fix="Name a scan or a style hint that occurs among the training scans.",
            )
        first = max(sorted(set(hinted)), key=hinted.count)
    if not with_labels.get(first):
        raise NoStyles(
            "the source style has no labelled training scan to train the first U-Net on",
            where="styles: source",
            found=f"{len(of_style.get(first, []))} training scans of that style, none with a mask",
            expected="at least one",
            fix="Choose another `styles: source`, or add masks to the sheet.",
        )
    rest = sorted((n for n in of_style if n != first), key=lambda n: (-len(of_style[n]), of_style[n][0]))
    return [first, *rest]


def _check_k(k: int, distinct: int) -> None:
    if k < 1:
        raise NoStyles(
            "at least one style is needed", where="styles: k", found=k, expected=">= 1", fix="Set `styles: k`."
        )
    if k > distinct:
        raise NoStyles(
            "more styles are asked for than there are different training scans",
            where="styles: k",
            found=k,
            expected=f"at most {distinct}",
            fix="Lower `styles: k`, or add training scans.",
        )


class NoUsableScans(CTStyleError):
    """Every scan of a run was skipped."""


class NothingLent(CTStyleError):
    """No scan lends its style, and an arm needs one."""


@dataclass(frozen=True)
class Found:
    """`styles`: `scan, patient, cohort, style, style_hint`, features. `split`: `scan, patient, cohort, style, side` and
    the bounds of the regions, empty but for axial scans of cohorts that train nothing.

    `agreement` is the adjusted Rand index of the found styles with the sheet's style hints.
    """

    styles: pd.DataFrame
    split: pd.DataFrame
    agreement: float


def find_styles(
    archive: Archive,
    scans: pd.DataFrame,
    *,
    clustering: ClusterSettings,
    splitting: SplitSettings,
    lending: RegionSettings,
    window: Window,
    must_lend: bool = False,
) -> Found:
    """Split the patients, find the styles on the training scans and give every scan its style.

    `scans` is the sheet (columns of `cohorts.sheet.Scan`); scans without slices were skipped and have no row in the
    results. Patients are stratified by how they were scanned (maker, model, kernel, kVp, kind of export). `must_lend`
    asks for a scan that lends its style (`regions`), so that an arm which needs one is known to be possible before
    anything is trained. Raises NoUsableScans, NoSplit, NoStyles, EmptyBody and NothingLent.
    """
    used = scans[scans["scan"].isin(set(archive.rows["scan"]))].reset_index(drop=True)
    if used.empty:
        raise NoUsableScans(
            "no scan can be used",
            where="cohorts",
            found="; ".join(f"{name}: {reason}" for name, reason in archive.reasons.items()) or "no scan",
            expected="at least two patients",
            fix="Mend the scans, or add others to the sheet.",
        )
    groups = [_acquisition_group(archive.scans[scan]) for scan in used["scan"]]
    side = split(used.assign(group=groups), splitting)
    table = feature_frame(_pixels(archive, scan, window) for scan in used["scan"])
    foreground = archive.rows.groupby("scan")["foreground_px"].sum()
    found = cluster(
        table,
        side.index[side == "train"],
        clustering,
        hints=used.set_index("scan")["style_hint"],
        labelled=set(foreground.index[foreground > 0]),
    )
    base = used[["scan", "patient", "cohort"]].assign(style=found.style[used["scan"]].to_numpy())
    styles = base.assign(style_hint=used["style_hint"]).merge(table.reset_index(), on="scan", validate="1:1")
    divided = base.assign(side=side[used["scan"]].to_numpy())
    _require_content(divided)
    columns = _bounds(archive, divided, lending)
    if must_lend and not any(columns[LENT_TO]):
        raise NothingLent(
            "no test scan lends its style to the arm transductive",
            where="lending",
            found="no axial scan of a cohort that trains nothing has half of its slices "
            f"{lending.gap_mm:g} mm beyond the {lending.share:.0%} that it would lend",
            expected="a cohort for testing alone with scans long enough, as lidc0001",
            fix="Add one, or leave `transductive` out of `segment: arms`.",
        )
    return Found(styles, divided.assign(**columns), found.agreement)


def _require_content(split: pd.DataFrame) -> None:
    """Raise NoSplit where no test patient was scanned in the source style, in a cohort that trains."""
    trained = set(split.loc[split["side"] == "train", "cohort"])
    source = split[(split["style"] == SOURCE) & split["cohort"].isin(trained)]
    if (source["side"] == "test").any():
        return
    raise NoSplit(
        "no test patient was scanned in the source style, so no transfer could be judged",
        where="split",
        found=f"{SOURCE}: " + ", ".join(f"{scan} ({side})" for scan, side in zip(source["scan"], source["side"])),
        expected=f"at least one scan of {SOURCE} on the test side",
        fix="Write `test` in the column split_hint of one of them, take another `split: seed`, or add patients.",
    )


def _bounds(archive: Archive, split: pd.DataFrame, lending: RegionSettings) -> dict[str, list[str]]:
    """The columns with the bounds of the regions of each scan."""
    training = set(split.loc[split["side"] == "train", "cohort"])
    columns: dict[str, list[str]] = {LENT_TO: [], SCORED_FROM: []}
    for scan, cohort in zip(split["scan"], split["cohort"]):
        slices = archive.rows[archive.rows["scan"] == scan]
        axial = (slices["orientation"] == "axial").all()
        found = bounds(slices["position_mm"], lending) if axial and cohort not in training else None
        for column, value in zip((LENT_TO, SCORED_FROM), found or ("", "")):
            columns[column].append(str(value))
    return columns


def _acquisition_group(about: dict) -> str:
    tags = about["acquisition"]
    names = ("manufacturer", "model", "kernel", "kvp")
    return "|".join([str(tags.get(name) or "") for name in names] + [about["grey_values"]])


def _pixels(archive: Archive, scan: str, window: Window) -> tuple[str, np.ndarray, np.ndarray, dict]:
    hu = archive.select(scan=scan).hu()
    about = archive.scans[scan]
    return scan, hu, body_mask(hu, window), {**about["acquisition"], "grey_values": about["grey_values"]}
