"""The small trainings that compare: encoders (Figures 8 and 9, Table 3), style weights (claim A), layer lists (H)."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

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
