"""Measured features of a scan's grey scale: where its tissues lie in HU, how it is noisy and how sharp it is."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage, signal
from scipy.special import ndtri

from ctstyle.errors import CTStyleError
from ctstyle.study.data import MEASURED, NUMERIC_TAGS, QUANTILES, TEXT_TAGS

# Immerkaer's mask (J. Immerkaer, "Fast noise variance estimation", CVIU 64, 1996): the difference of two Laplacians,
# blind to constant and linear grey and insensitive to straight edges; white noise of deviation s leaves it with 6 s.
_NOISE_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float64)
_NOISE_GAIN = 6.0
_MAD_TO_DEVIATION = 1 / ndtri(0.75)


def noise_residual(hu: np.ndarray) -> np.ndarray:
    """Slices `[..., H, W]` filtered by Immerkaer's mask, float64, scaled so that white noise keeps its deviation."""
    kernel = _NOISE_MASK.reshape((1,) * (np.ndim(hu) - 2) + (3, 3))
    return ndimage.convolve(np.asarray(hu, dtype=np.float64), kernel, mode="nearest") / _NOISE_GAIN


def noise_power(hu: np.ndarray, mask: np.ndarray) -> float:
    """Noise power in HU^2 within `mask`: squared robust deviation (MAD) of Immerkaer's residual.

    `hu` and `mask` are `[..., H, W]`. For white Gaussian noise it is the variance; for a scanner's coloured noise it
    is the part at high spatial frequencies, which is what a reconstruction kernel changes. NaN for an empty mask.
    """
    residual = noise_residual(hu)[mask]
    if not residual.size:
        return float("nan")
    return float((_MAD_TO_DEVIATION * np.median(np.abs(residual))) ** 2)


PEAK_BIN_HU = 5
EDGE_SCALES_PX = (1.0, 2.0)
EDGE_WIDTH_CAP_PX = 8.0


class EmptyBody(CTStyleError):
    """A scan in whose slices no body was found."""


def features(hu: np.ndarray, body: np.ndarray, acquisition: Mapping[str, Any]) -> dict[str, float | str]:
    """The grey-scale features of one scan, measured inside the body, and its acquisition tags.

    `hu` is int16 `[n, H, W]`, `body` bool of the same shape; `acquisition` as in `dicom.volume.Volume`. Keys:
    `hu_q05 .. hu_q99` body quantiles in HU; `fat_hu` and `soft_tissue_hu` where the histogram of flat tissue peaks
    (`tissue_peaks`; unlike quantiles they do not follow how much lung or bowel is in view);
    `noise_hu` noise deviation in HU in flat tissue (Immerkaer 1996, robust);
    `noise_high` the share of the flat tissue's fine texture that lies at the highest spatial frequencies (a sharp
    kernel raises it); `edge_width_px` the Gaussian width of the strongest edges, whatever their contrast;
    then `kvp, exposure_mas, slice_thickness_mm` (NaN unknown) and `manufacturer, model, kernel, contrast, grey_values`
    (empty unknown). Raises EmptyBody where `body` is empty.
    """
    values = hu[body]
    if not values.size:
        raise EmptyBody(
            "no body was found in the slices of this scan",
            found=f"{len(hu)} slices, none with tissue inside the window",
            expected="a patient in the field of view",
            fix="Look at its slices; leave the scan out of the sheet, or check its rescale tags.",
        )
    quantiles = np.percentile(values, QUANTILES)
    result: dict[str, float | str] = {f"hu_q{q:02d}": float(v) for q, v in zip(QUANTILES, quantiles)}
    image = np.asarray(hu, dtype=np.float64)
    inside = ndimage.binary_erosion(body, np.ones((1, 3, 3)), iterations=2)
    inside = inside if inside.any() else body
    gradient = _slope(image, EDGE_SCALES_PX[0])
    flat = inside & (gradient <= np.median(gradient[inside]))
    result["fat_hu"], result["soft_tissue_hu"] = tissue_peaks(hu[flat], air_hu=float(hu.min()))
    result["noise_hu"] = math.sqrt(noise_power(hu, flat))
    result["noise_high"] = _high_frequency_share(image, flat)
    result["edge_width_px"] = edge_width_px(image, inside)
    result |= {tag: _number(acquisition.get(tag)) for tag in NUMERIC_TAGS}
    result |= {tag: _text(acquisition.get(tag)) for tag in TEXT_TAGS}
    return result


def feature_frame(scans: Iterable[tuple[str, np.ndarray, np.ndarray, Mapping[str, Any]]]) -> pd.DataFrame:
    """Features of many scans `(scan, hu, body, acquisition)`, one row each, indexed by scan.

    Raises EmptyBody naming the scan.
    """
    rows = {}
    for scan, hu, body, acquisition in scans:
        try:
            rows[scan] = features(hu, body, acquisition)
        except EmptyBody as fault:
            raise EmptyBody(fault.what, where=scan, found=fault.found, expected=fault.expected, fix=fault.fix) from None
    columns = [*MEASURED, *NUMERIC_TAGS, *TEXT_TAGS]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("scan")


def tissue_peaks(values: np.ndarray, *, air_hu: float) -> tuple[float, float]:
    """Fat and soft tissue in HU: the lowest peak of a smoothed histogram, and the tallest one 40 HU or more above it.

    `values` are HU of flat tissue; what lies within 25 HU of `air_hu`, the lower end of the window, is lung and gas.
    Peaks need a prominence of 3 % of the tallest. NaN where there is no such peak: slices without fat in view, or a
    display window that has swallowed it.
    """
    values = values[values > air_hu + 25]
    if not values.size:
        return math.nan, math.nan
    low, high = int(values.min()) - 10 * PEAK_BIN_HU, int(values.max()) + 11 * PEAK_BIN_HU
    counts, borders = np.histogram(values, bins=np.arange(low, high, PEAK_BIN_HU))
    smooth = ndimage.gaussian_filter1d(counts.astype(np.float64), 2)
    places, _ = signal.find_peaks(smooth, distance=6, prominence=0.03 * smooth.max())
    centres = (borders[places] + borders[places + 1]) / 2
    heights = smooth[places]
    if not centres.size:
        return math.nan, math.nan
    above = centres >= centres[0] + 40
    soft_tissue = float(centres[above][heights[above].argmax()]) if above.any() else math.nan
    return float(centres[0]), soft_tissue


def edge_width_px(image: np.ndarray, inside: np.ndarray) -> float:
    """Gaussian width in pixels of the strongest edges of slices `[n, H, W]` within `inside`: the edge response.

    A step blurred by a Gaussian of width b has, under a Gaussian derivative of width s, a slope proportional to
    1 / sqrt(s^2 + b^2); the ratio of its slopes at two widths (1 and 2 px) gives b and contrast cancels. The strongest
    2 % of the coarse gradient count; they lie up to half a pixel off the edge, which costs up to 0.2 px. 0 where they
    are as sharp as can be told; the width is capped at 8 px.
    """
    fine, coarse = (_slope(image, s) for s in EDGE_SCALES_PX)
    strong = inside & (coarse >= np.percentile(coarse[inside], 98))
    ratio = float(fine[strong].sum() / max(coarse[strong].sum(), 1e-9)) ** 2
    one, two = (s**2 for s in EDGE_SCALES_PX)
    if ratio <= 1:
        return EDGE_WIDTH_CAP_PX
    return min(math.sqrt(max(two - ratio * one, 0.0) / (ratio - 1)), EDGE_WIDTH_CAP_PX)


def _slope(image: np.ndarray, sigma_px: float) -> np.ndarray:
    """In-plane Gaussian gradient magnitude (scipy's own, given sigma 0 for z, would still differentiate along z)."""
    sigma = (0, sigma_px, sigma_px)
    along = (ndimage.gaussian_filter(image, sigma, order=order, mode="nearest") for order in ((0, 1, 0), (0, 0, 1)))
    return np.hypot(*along)


def _high_frequency_share(image: np.ndarray, flat: np.ndarray) -> float:
    fine = image - ndimage.gaussian_filter(image, sigma=(0, 2, 2), mode="nearest")
    texture = float(np.mean(fine[flat] ** 2))
    high = float(np.mean(noise_residual(image)[flat] ** 2))
    return high / (high + texture) if high + texture > 0 else 0.0


def _number(value: Any) -> float:
    """DICOM writes one number as text in many spellings ("120", " 1.2E2"), and unknown as empty."""
    try:
        return float(str(value).strip())
    except ValueError:
        return float("nan")


def _text(value: Any) -> str:
    """One spelling for a tag of one or several values."""
    if value is None:
        return ""
    parts = value if isinstance(value, (list, tuple)) else [value]
    return re.sub(r"\s+", " ", "\\".join(str(part) for part in parts)).strip()
