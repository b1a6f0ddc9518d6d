"""The grey-scale styles of a cohort: clusters of scan features, found on training scans and given to all others."""

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
from ctstyle.study.data import TEXT_TAGS, ClusterSettings


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
