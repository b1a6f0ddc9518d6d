"""What is known of the trainings before one runs, and the numbers that the paper's text names. Without torch."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ctstyle.errors import CTStyleError

COLUMNS = ["encoder", "weights", "model", "layers", "smoothing", "style_weight"]
"""What tells two trainings of the comparison apart; all else is equal among them."""

MODELS = ("adain", "ours")
"""MSE first (the paper's Figure 8), then the contextual loss (Figure 9)."""


def trainings(comparison: Mapping[str, Any], main: Mapping[str, str], style_weight: float) -> dict[str, pd.DataFrame]:
    """One frame of trainings (`COLUMNS`) for each question, from the config sections.

    - `encoders`: every encoder with the weights of the comparison, under both losses, plain or smoothed. Their content
      taps reach stride 16, because only there ResNet50 differs from 101, and DenseNet121 from 169 and 201, in depth.
    - `sweep`: the main encoder with its own weights under both losses, over the style weights.
    - `layers`: the main encoder under the contextual loss with the registry's and with the selected layer lists.

    `main` holds `name` and `weights` of the main encoder, `style_weight` is that of the main models. A training that
    answers two questions stands in both frames, and is run once.
    """
    encoders = [
        (encoder, comparison["weights"], model, "deep", smoothing, float(style_weight))
        for encoder in comparison["encoders"]
        for model in MODELS
        for smoothing in comparison["smoothing"]
    ]
    sweep = [
        (main["name"], main["weights"], model, "registry", "none", float(weight))
        for model in MODELS
        for weight in comparison["style_weights"]
    ]
    layers = [
        (main["name"], main["weights"], "ours", lists, "none", float(style_weight))
        for lists in ("registry", "selected")
    ]
    rows = {"encoders": encoders, "sweep": sweep, "layers": layers}
    return {question: pd.DataFrame(asked, columns=COLUMNS) for question, asked in rows.items()}


def module_sizes(size_px: tuple[int, int], smallest_px: int) -> tuple[tuple[int, int], ...]:
    """Height and width of each module, coarse to fine, for slices of `size_px` (height, width).

    Both sides are halved while they are even and neither half is below `smallest_px`. Raises CTStyleError where the
    shorter side then still is above 4 * `smallest_px`, since the coarsest module would not see the whole slice.
    """
    height, width = size_px
    sizes = [(height, width)]
    while all(side % 2 == 0 and side // 2 >= smallest_px for side in sizes[0]):
        sizes.insert(0, (sizes[0][0] // 2, sizes[0][1] // 2))
    shorter = min(sizes[0])
    if not smallest_px <= shorter <= 4 * smallest_px:
        raise CTStyleError(
            "a cascade that doubles cannot reach this size",
            where=f"slices of {size_px[0]} x {size_px[1]} px",
            found=f"a coarsest module of {sizes[0][0]} x {sizes[0][1]} px",
            expected=f"a shorter side of {smallest_px} to {4 * smallest_px} px, doubled some times",
            fix="Set `slices: size_px` to a multiple of 16 up to 256, or leave `contextual` out of `transfer: models`.",
        )
    return tuple(sizes)


VARIANCE_GUARD = 1e-5
"""Added to the variance under the root, so that the gradient of a constant channel is finite (Huang's reference)."""
DISTANCE_GUARD = 1e-5
"""Added to a row's least distance in the contextual loss (Mechrez et al. 2018, eq. 2)."""
NORM_GUARD = 1e-8
"""Vectors shorter than this count as zero; their cosine with everything is zero."""
