"""Where the crop lies: found from the outline of the body alone, never from labels."""

from dataclasses import dataclass

import numpy as np

from ctstyle.ct.limits import LARGEST_OUTLINE_VOXELS, check_resampled
from ctstyle.errors import CTStyleError, Fact
from ctstyle.slices.body import body_mask, tissue_threshold, trunk_mask
from ctstyle.slices.resample import area_weights, inside_weights, resample
from ctstyle.slices.window import Window

BACK_MARGIN_MM = 20.0
"""Air between the skin of the back and the lower border of the `spine` crop, give or take half of CROP_STEP_MM."""
BACK_WIDTH_MM = 60.0
"""The strip around the midline whose skin counts as the back."""
CROP_STEP_MM = 32.0
"""The crop moves in steps of about this size, so that scans of one patient in other styles get the same crop (and where
the outline lies just between two steps, their crops differ by a whole one: `archive.Archive.hu_in_field`)."""
OUTLINE_SPACING_MM = 2.0


class NoBody(CTStyleError):
    """No slice shows a body where the crop looks for it."""


@dataclass(frozen=True, eq=False)
class Outline:
    """Axial planes on a coarse lattice: `hu` float `[n, h, w]` within the window, `body` bool, pixel centres in mm."""

    hu: np.ndarray
    body: np.ndarray
    x_mm: np.ndarray
    y_mm: np.ndarray


def outline(hu: np.ndarray, x_mm: np.ndarray, y_mm: np.ndarray, window: Window) -> Outline:
    """The trunk in axial planes `[n, y, x]` (int16 HU) with pixel centres at `x_mm` (leftwards) and `y_mm` (backwards).

    HU are clipped to the window before they are averaged, so that the skin lies at the same place in a display export.
    Raises NoBody where no plane shows tissue, and OutOfBounds where the planes are larger than any body.
    """
    x, y = lattice(x_mm, OUTLINE_SPACING_MM), lattice(y_mm, OUTLINE_SPACING_MM)
    check_resampled((len(hu), len(y), len(x)), LARGEST_OUTLINE_VOXELS)
    columns, rows = (inside_weights(area_weights(at, to, OUTLINE_SPACING_MM)) for at, to in ((x_mm, x), (y_mm, y)))
    planes = np.stack([resample(window.clip(plane), rows, columns, outside=window.low) for plane in hu])
    # arms would pull the midline
    body = trunk_mask(body_mask(planes, window))
    if not body.any():
        raise _no_body(f"HU {hu.min()} to {hu.max()}", window)
    return Outline(planes, body, x, y)


def _no_body(found: str, window: Window) -> NoBody:
    return NoBody(
        "no body in any slice",
        found=Fact(found),
        expected=f"tissue within the window {[window.low, window.high]}",
        fix="Look at the scan, and at the config key `slices: window_hu`.",
    )


def lattice(centres: np.ndarray, spacing: float) -> np.ndarray:
    """The multiples of `spacing` nearest to ascending pixel centres: a lattice that no crop and no scan can move."""
    return spacing * np.arange(np.rint(centres[0] / spacing), np.rint(centres[-1] / spacing) + 1)


def midline_mm(seen: Outline) -> float:
    """The x of the body's centre: the median over the planes of its centroids."""
    area = seen.body.sum(axis=(1, 2))
    columns = seen.body.sum(axis=1)
    return float(np.median(columns[area > 0] @ seen.x_mm / area[area > 0]))


def back_mm(seen: Outline, window: Window) -> float:
    """The y of the skin of the back near the midline, to a part of a pixel: the rearmost of all planes but a tenth."""
    threshold = tissue_threshold(window)
    near = abs(seen.x_mm - midline_mm(seen)) <= BACK_WIDTH_MM / 2
    inside, hu = (np.moveaxis(stack[:, :, near], 1, 2) for stack in (seen.body, seen.hu))
    last = inside.shape[2] - 1 - inside[:, :, ::-1].argmax(axis=2)
    behind = np.minimum(last + 1, inside.shape[2] - 1)
    skin, air = (np.take_along_axis(hu, at[:, :, None], axis=2)[:, :, 0] for at in (last, behind))
    # where the threshold is crossed between the last pixel of the body and the one behind it
    part = np.clip((skin - threshold) / np.maximum(skin - air, 1e-6), 0, 1)
    edge = seen.y_mm[last] + OUTLINE_SPACING_MM * part
    planes = [float(row[hit].mean()) for row, hit in zip(edge, inside.any(axis=2), strict=True) if hit.any()]
    if not planes:
        raise _no_body("none near the midline", window)
    return float(np.quantile(planes, 0.9))


def field(centre_mm: float, *, size_px: int, spacing_mm: float, step_mm: float) -> np.ndarray:
    """`size_px` pixel centres around `centre_mm`: multiples of the spacing, moved in steps of about `step_mm`."""
    stride = spacing_mm * max(1, round(step_mm / spacing_mm))
    first = stride * round((centre_mm - spacing_mm * size_px / 2) / stride)
    return first + spacing_mm * np.arange(size_px)


def in_plane_fields(
    seen: Outline, window: Window, *, crop: str, size_px: int, spacing_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres along y and x of the crop "spine" (ends behind the back, on the midline) or "body" (its centre)."""
    if crop == "spine":
        centres = (back_mm(seen, window) + BACK_MARGIN_MM - size_px * spacing_mm / 2, midline_mm(seen))
    else:
        rows, columns = seen.y_mm[seen.body.any(axis=(0, 2))], seen.x_mm[seen.body.any(axis=(0, 1))]
        centres = ((rows[0] + rows[-1]) / 2, (columns[0] + columns[-1]) / 2)
    y, x = (field(centre, size_px=size_px, spacing_mm=spacing_mm, step_mm=CROP_STEP_MM) for centre in centres)
    return y, x
