"""Figure 4, the grey-scale styles of the cohort, and the plane of their features."""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from ctstyle.measures.columns import PaperInputError
from ctstyle.paper.drawing import (
    GAP,
    OKABE_ITO,
    STYLE_COLOURS,
    STYLE_MARKERS,
    Look,
    Sheet,
    drawing,
    look_of,
    require_slices,
    require_some,
)
from ctstyle.paper.inputs import fullest_slice, read_frames
from ctstyle.slices.archive import Archive
from ctstyle.slices.body import body_mask
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window

ACQUISITION_COLUMNS = 24


SHOWN_SCANS = 4


def draw_figure4(inputs: Any, settings: Mapping[str, Any]) -> Figure:
    """Figure 4 from the slices of a run."""
    archive = open_run(inputs.slices, inputs.split)
    shown = grey_scales(archive, Window(*settings["slices"]["window_hu"]))
    return figure4(*shown, look_of(settings["slices"]))


def draw_style_space(inputs: Any, settings: Mapping[str, Any]) -> Figure:
    """The style space from the table of styles."""
    (styles,) = read_frames([inputs.styles])
    return style_space(styles, settings["features"], look_of(settings["slices"]))


def grey_scales(archive: Archive, window: Window) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], pd.DataFrame]:
    """Figure 4's example slices `[n, H, W]` and body pixels of each style, and one row per scan with its acquisition.

    One slice of each of four scans a style: patients that were scanned in every style come first, so that a column
    shows one patient; then by name. A scan's example is the slice with most vertebra.
    """
    rows = archive.rows
    styles = sorted(rows["style"].unique())
    seen = rows.groupby("patient")["style"].nunique()
    order = sorted(seen.index, key=lambda patient: (-seen[patient], patient))
    examples, values = {}, {}
    for style in styles:
        of_style = rows[rows["style"] == style]
        patients = [p for p in order if p in set(of_style["patient"])][:SHOWN_SCANS]
        chosen = [fullest_slice(of_style[of_style["patient"] == patient]) for patient in patients]
        examples[style] = archive.hu(chosen)
        hu = archive.select(style=style).hu()
        values[style] = hu[body_mask(hu, window)]
    scans = rows.drop_duplicates("scan")[["scan", "patient", "style"]].reset_index(drop=True)
    about = [archive.scans[scan] for scan in scans["scan"]]
    for tag in ("kvp", "kernel"):
        scans[tag] = [one["acquisition"][tag] for one in about]
    return examples, values, scans.assign(grey_values=[one["grey_values"] for one in about])


def figure4(
    examples: Mapping[str, np.ndarray],
    values: Mapping[str, np.ndarray],
    scans: pd.DataFrame,
    look: Look,
) -> Figure:
    """Figure 4, the grey-scale styles of the cohort: example slices, body histogram and acquisition of each style.

    `examples[style]` are slices `[n, H, W]` in HU (the first four are drawn), `values[style]` the HU of the style's
    body pixels (any shape), `scans` one row per scan with `scan, patient, style, kvp, kernel, grey_values`.
    """
    styles = sorted(examples)
    require_some("Figure 4", styles, "style")
    missing = [name for name in ("scan", "patient", "style", "kvp", "kernel", "grey_values") if name not in scans]
    if missing:
        raise PaperInputError("columns are missing", where="Figure 4, scans", found=list(scans), expected=missing)
    shown = min(4, min(len(examples[style]) for style in styles))
    require_some("Figure 4", range(shown), "example slice in each style")
    height, width = require_slices("Figure 4", **{f"style {s}": examples[s][0] for s in styles})
    label, histogram = 27.0, 40.0
    size = (look.width_mm - label - histogram - 6 - shown * GAP) / max(shown, 3)
    tall = size * height / width
    pitch = tall + 6.5
    with drawing():
        sheet = Sheet(look, 4 + len(styles) * pitch)
        shares = {style: _shares(values[style], look) for style in styles}
        highest = max(max(share.inside.max() for share in shares.values()), 1e-3)
        for row, style in enumerate(styles):
            top = 4 + row * pitch
            colour = STYLE_COLOURS[row % len(STYLE_COLOURS)]
            sheet.text(1, top, style, fontsize=9, weight="bold", color=colour)
            sheet.text(1, top + 4.5, _acquisition(scans[scans["style"] == style]), fontsize=5.5, linespacing=1.35)
            for i in range(shown):
                sheet.slice(label + i * (size + GAP), top, size, examples[style][i], marks=i == 0)
            axes = sheet.axes(look.width_mm - histogram, top, histogram - 4, tall - 2)
            share = shares[style]
            axes.stairs(share.inside, share.edges, fill=True, color=colour, alpha=0.35)
            axes.stairs(share.inside, share.edges, color=colour, linewidth=0.8)
            axes.set(xlim=look.window_hu, ylim=(0, 1.05 * highest), xticks=[])
            ends = f"≤ {look.window_hu[0]:g}: {share.below:.1f} %\n≥ {look.window_hu[1]:g}: {share.above:.1f} %"
            axes.text(0.99, 0.98, ends.replace("-", "−"), transform=axes.transAxes, ha="right", va="top", fontsize=5.5)
            axes.set_title("body pixels, % per bin" if row == 0 else "", fontsize=6, pad=2)
            axes.tick_params(length=1.5, pad=1, labelsize=5)
            _grey_ramp(sheet, look.width_mm - histogram, top + tall - 2, histogram - 4)
    return sheet.figure


def style_space(features: pd.DataFrame, columns: Sequence[str], look: Look) -> Figure:
    """The scans in the plane of the first two principal components of their standardised style features.

    `features` has one row per scan with `style` and the `columns`; those that hold text take no part. Raises
    PaperInputError for fewer than two usable columns or three scans.
    """
    numbers = features[list(columns)].select_dtypes("number").astype(np.float64)
    numbers = numbers.loc[:, numbers.notna().all() & (numbers.std() > 0)]
    if numbers.shape[1] < 2 or len(numbers) < 3:
        raise PaperInputError(
            "too little to span a plane",
            where="style space",
            found=f"{len(numbers)} scans, {numbers.shape[1]} features that vary",
            expected="at least 3 scans and 2 features that vary",
        )
    pca = PCA(n_components=2, svd_solver="full")
    points = pca.fit_transform(StandardScaler().fit_transform(numbers))
    with drawing():
        sheet = Sheet(look, 80)
        axes = sheet.axes(14, 6, 80, 62)
        styles = features["style"].to_numpy()
        for i, style in enumerate(sorted(set(styles))):
            marker, colour = STYLE_MARKERS[i % len(STYLE_MARKERS)], STYLE_COLOURS[i % len(STYLE_COLOURS)]
            chosen = points[styles == style]
            label = f"{style} ({len(chosen)} scans)"
            axes.scatter(*chosen.T, s=16, marker=marker, color=colour, alpha=0.8, linewidth=0, label=label)
        shares = 100 * pca.explained_variance_ratio_
        axes.set(xlabel=f"component 1 ({shares[0]:.0f} % of variance)", ylabel=f"component 2 ({shares[1]:.0f} %)")
        axes.legend(loc="best")
        loads = sheet.axes(125, 6, 40, 62)
        order = np.argsort(-np.abs(pca.components_).max(axis=0), kind="stable")[:12][::-1]
        place = np.arange(len(order))
        for component, colour, shift in ((0, OKABE_ITO["black"], 0.2), (1, "0.6", -0.2)):
            weights = pca.components_[component, order]
            loads.barh(place + shift, weights, height=0.38, color=colour, label=f"component {component + 1}")
        loads.set_yticks(place, [str(numbers.columns[j]).replace("_", " ") for j in order])
        loads.axvline(0, color="black", linewidth=0.5)
        loads.set_xlabel("weight of the feature")
        loads.legend(loc="upper center", bbox_to_anchor=(0.5, 1.09), ncols=2, handlelength=1)
    return sheet.figure


@dataclass(frozen=True)
class _Shares:
    """Percent of a style's body pixels in 80 bins of the window, and at or beyond its two ends."""

    edges: np.ndarray
    inside: np.ndarray
    below: float
    above: float


def _shares(values: np.ndarray, look: Look) -> _Shares:
    """Lung and air below the window, and what an export cut off above it, would dwarf the tissues as end bins."""
    low, high = look.window_hu
    values = np.ravel(values)
    percent = 100 / max(values.size, 1)
    counts, edges = np.histogram(values[(values > low) & (values < high)], bins=80, range=(low, high))
    below, above = percent * np.count_nonzero(values <= low), percent * np.count_nonzero(values >= high)
    return _Shares(edges, percent * counts, below, above)


def _acquisition(scans: pd.DataFrame) -> str:
    lines = [f"{_counted(len(scans), 'scan')}, {_counted(scans['patient'].nunique(), 'patient')}"]
    for column, before, after in (("kvp", "", " kVp"), ("kernel", "kernel ", ""), ("grey_values", "", "")):
        counts = Counter(_named(value) for value in scans[column])
        shown = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        parts = [name if len(shown) == 1 else f"{name} ({count})" for name, count in shown[:3]]
        more = f", {len(shown) - 3} more" if len(shown) > 3 else ""
        lines += textwrap.wrap(f"{before}{', '.join(parts)}{more}{after}", ACQUISITION_COLUMNS)
    return "\n".join(lines)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _named(value: object) -> str:
    if pd.isna(value) or value == "":
        return "not stated"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _grey_ramp(sheet: Sheet, left: float, top: float, width: float) -> None:
    low, high = sheet.look.window_hu
    axes = sheet.axes(left, top, width, 1.8)
    ramp = np.linspace(low, high, 256)[None]
    axes.imshow(ramp, cmap="gray", vmin=low, vmax=high, aspect="auto", extent=(low, high, 0, 1))
    axes.set(yticks=[], xticks=[low, 0, (low + high) / 2, high] if low < 0 else [low, high])
    axes.tick_params(length=1.5, pad=1, labelsize=5)
    axes.set_xlabel("HU", fontsize=5, labelpad=0)
