"""The metric table of a generator: generated test slices in, one row per slice out. Imports no torch."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ctstyle.measures import structure
from ctstyle.measures.segmentation import confusion, require_same_shape, scores
from ctstyle.measures.structure import wasserstein1_hu
from ctstyle.slices.archive import Archive
from ctstyle.slices.body import body_mask
from ctstyle.slices.window import Window

if TYPE_CHECKING:
    from ctstyle.measures.perceptual import Perceptual

TRANSFER_MEASURES = (
    "lpips_content",
    "lpips_style",
    "ssim_target",
    "hu_error_target",
    "gradient_ssim",
    "edge_f1",
    "dice_content",
    "dice_generated",
    "wasserstein_content_hu",
    "wasserstein_generated_hu",
)
"""Measured on every generated slice."""
DIVERSITY_COLUMNS = ("content_scan", "content_index", "lpips_diversity")
"""A row per content slice: how much its outputs differ."""

# (scan, index) -> (hu int16 [H, W], labels uint8 [H, W])
SliceLookup = Callable[[str, int], tuple[np.ndarray, np.ndarray]]
# hu int16 [n, H, W] -> labels uint8 [n, H, W]
Segmenter = Callable[[np.ndarray], np.ndarray]


def slice_lookup(archive: Archive) -> SliceLookup:
    """Slices of an archive by scan and index within the scan."""
    numbers = {
        (scan, int(index)): n for n, (scan, index) in enumerate(zip(archive.rows["scan"], archive.rows["index"]))
    }

    def lookup(scan: str, index: int) -> tuple[np.ndarray, np.ndarray]:
        """HU and labels of one slice."""
        number = [numbers[scan, index]]
        return archive.hu(number)[0], archive.labels(number)[0]

    return lookup


def transfer_frame(
    generated_hu: np.ndarray,
    rows: pd.DataFrame,
    *,
    lookup: SliceLookup,
    window: Window,
    perceptual: "Perceptual | None",
    segmenter: Segmenter | None,
) -> pd.DataFrame:
    """Scores of generated test slices: the columns of `rows` (test.tsv of the transfer) and one column per measure.

    `generated_hu` is int16 `[n, H, W]` in the order of `rows`. Against the content slice X: `lpips_content,
    gradient_ssim, edge_f1`, and the Dice of the frozen `segmenter` against X's mask on X (`dice_content`) and on G
    (`dice_generated`). Against the style slice Y: `lpips_style`, and the body histogram's Wasserstein-1 distance in HU
    before (`wasserstein_content_hu`) and after (`wasserstein_generated_hu`). Against the true target, where there is
    one: `ssim_target, hu_error_target` within the body, else NaN. X's body mask holds for X, G and the target. Without
    `perceptual` or `segmenter` their columns are NaN.
    """
    rows = rows.reset_index(drop=True)
    if rows.empty:
        return rows.assign(**dict.fromkeys(TRANSFER_MEASURES, pd.Series(dtype=float)))
    content, masks = _stack(lookup, rows["content_scan"], rows["content_index"])
    style, _ = _stack(lookup, rows["style_scan"], rows["style_index"])
    require_same_shape(generated_hu, content, what="generated and content slices")
    bodies, style_bodies = body_mask(content, window), body_mask(style, window)
    unit = {name: window.to_unit(hu) for name, hu in (("x", content), ("g", generated_hu), ("y", style))}
    nothing = np.full(len(rows), np.nan)
    lpips_content, lpips_style, dice_content, dice_generated = nothing, nothing, nothing, nothing
    if perceptual is not None:
        lpips_content, lpips_style = _perceptual(perceptual, *(unit[name] for name in "gxy"))
    if segmenter is not None:
        different, place = np.unique(content, axis=0, return_inverse=True)
        found = segmenter(np.concatenate([different, generated_hu]))
        dice_content = _dice(found[place.ravel()], masks)
        dice_generated = _dice(found[len(different) :], masks)
    measures = []
    for i, row in rows.iterrows():
        body = bodies[i]
        style_values = style[i][style_bodies[i]]
        measures.append(
            {
                "lpips_content": lpips_content[i],
                "lpips_style": lpips_style[i],
                **_against_target(generated_hu[i], row, lookup, window, body),
                "gradient_ssim": structure.gradient_ssim(unit["x"][i], unit["g"][i], body),
                "edge_f1": structure.edge_f1(unit["x"][i], unit["g"][i], body),
                "dice_content": dice_content[i],
                "dice_generated": dice_generated[i],
                "wasserstein_content_hu": wasserstein1_hu(content[i][body], style_values),
                "wasserstein_generated_hu": wasserstein1_hu(generated_hu[i][body], style_values),
            }
        )
    return pd.concat([rows, pd.DataFrame(measures, columns=list(TRANSFER_MEASURES))], axis=1)


def diversity_frame(
    generated_hu: np.ndarray, rows: pd.DataFrame, *, window: Window, perceptual: "Perceptual"
) -> pd.DataFrame:
    """LPIPS diversity of the outputs of each content slice (rows of kind `transfer`), NaN where it has just one."""
    rows = rows.reset_index(drop=True)
    result = []
    chosen = rows[rows["kind"] == "transfer"]
    for (scan, index), group in chosen.groupby(["content_scan", "content_index"], sort=True):
        value = perceptual.diversity(window.to_unit(generated_hu[group.index]))
        result.append({"content_scan": scan, "content_index": index, "lpips_diversity": value})
    return pd.DataFrame(result, columns=list(DIVERSITY_COLUMNS))


def _perceptual(
    perceptual: "Perceptual", generated: np.ndarray, content: np.ndarray, style: np.ndarray, *, at_a_time: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """LPIPS of each generated slice `[n, H, W]` in [0, 1] to its content and to its style.

    Rows of one content are taken together, so that it passes the trunk once for all its outputs.
    """
    number = np.unique(content, axis=0, return_inverse=True)[1].ravel()
    order = np.argsort(number, kind="stable")
    found = np.empty((2, len(generated)))
    for start in range(0, len(order), at_a_time):
        rows = order[start : start + at_a_time]
        others, place = np.unique(np.concatenate([content[rows], style[rows]]), axis=0, return_inverse=True)
        own = np.arange(len(rows))
        stack = np.concatenate([generated[rows], others])
        pairs = perceptual.between(stack, np.tile(own, 2), len(rows) + place.ravel())
        found[:, rows] = pairs.reshape(2, len(rows))
    return found[0], found[1]


def _dice(found: np.ndarray, masks: np.ndarray) -> list[float]:
    """Foreground Dice of each slice."""
    return [scores(confusion(one, mask))["dice"] for one, mask in zip(found, masks)]


def _stack(lookup: SliceLookup, scans: pd.Series, indices: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    pairs = [lookup(scan, int(index)) for scan, index in zip(scans, indices)]
    return np.stack([hu for hu, _ in pairs]), np.stack([labels for _, labels in pairs])


def _against_target(
    generated_hu: np.ndarray, row: pd.Series, lookup: SliceLookup, window: Window, body: np.ndarray
) -> dict[str, float]:
    if pd.isna(row["target_scan"]) or row["target_scan"] == "":
        return {"ssim_target": float("nan"), "hu_error_target": float("nan")}
    truth, _ = lookup(row["target_scan"], int(row["target_index"]))
    truth = np.clip(truth, window.low, window.high)
    return {
        "ssim_target": structure.ssim(generated_hu, truth, range_hu=window.high - window.low, body=body),
        "hu_error_target": structure.hu_error(generated_hu, truth, body),
    }
