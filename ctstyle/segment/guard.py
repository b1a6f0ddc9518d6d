"""The rejection guard: a generated slice keeps its content's masks only where the anatomy is still under them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctstyle.measures.segmentation import require_same_shape
from ctstyle.measures.structure import gradient_ssim, wasserstein1_hu
from ctstyle.slices.body import body_mask
from ctstyle.slices.window import Window
from ctstyle.study.analysis import GuardSettings

NOT_FINITE = "not finite"
CONSTANT = "nearly constant"
BODY = "body outline lost"
STRUCTURE = "structure lost"
STYLE = "style not reached"
REASONS = (NOT_FINITE, CONSTANT, BODY, STRUCTURE, STYLE)


@dataclass(frozen=True)
class Structure:
    """What is left of a content slice's structure; all but the first are NaN where pixels are not finite.

    `finite`: no NaN and no infinity. `deviation_hu` inside the content's body, `body_iou` of the outlines,
    `gradient_ssim` inside the body.
    """

    finite: bool
    deviation_hu: float
    body_iou: float
    gradient_ssim: float


def structure(generated_hu: np.ndarray, content_hu: np.ndarray, body: np.ndarray, *, window: Window) -> Structure:
    """The structure of a generated slice against its content, both HU `[H, W]`; `body` is the content's body mask."""
    require_same_shape(generated_hu, content_hu, what="generated and content slice")
    if not np.isfinite(generated_hu).all():
        return Structure(False, np.nan, np.nan, np.nan)
    outline = body_mask(np.round(generated_hu).astype(np.int16), window)
    union = np.count_nonzero(outline | body)
    return Structure(
        finite=True,
        deviation_hu=float((generated_hu[body] if body.any() else generated_hu).std()),
        body_iou=np.count_nonzero(outline & body) / union if union else 1.0,
        gradient_ssim=gradient_ssim(window.to_unit(content_hu), window.to_unit(generated_hu), body),
    )


def lost(found: Structure, settings: GuardSettings) -> str:
    """The first limit that a slice's structure breaks, one of `REASONS`, or ""."""
    if not found.finite:
        return NOT_FINITE
    if found.deviation_hu < settings.min_deviation_hu:
        return CONSTANT
    if found.body_iou < settings.min_body_iou:
        return BODY
    return STRUCTURE if found.gradient_ssim < settings.min_gradient_ssim else ""


def refusal(
    generated_hu: np.ndarray, content_hu: np.ndarray, style_hu: np.ndarray, *, window: Window, settings: GuardSettings
) -> str:
    """Why a generated slice is refused, one of `REASONS`, or "" where it is accepted; the first broken limit counts.

    All three slices are `[H, W]` in HU; `generated_hu` may be of a float type, and hold NaN.
    """
    body, style_body = body_mask(content_hu, window), body_mask(style_hu, window)
    reason = lost(structure(generated_hu, content_hu, body, window=window), settings)
    if reason:
        return reason
    inside = generated_hu[body] if body.any() else generated_hu.ravel()
    before = wasserstein1_hu(content_hu[body], style_hu[style_body])
    after = wasserstein1_hu(inside, style_hu[style_body])
    if after > max(settings.max_style_ratio * before, settings.style_floor_hu):
        return STYLE
    return ""


def counts(reasons: Sequence[str]) -> dict[str, int]:
    """How many slices were accepted and how many refused for each reason, every reason named, for log and caption."""
    found = Counter(reasons)
    return {"accepted": found[""], **{reason: found[reason] for reason in REASONS}}
