"""The columns of the tables: what each is called, which direction is better, and how many digits are printed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ctstyle.errors import CTStyleError
from ctstyle.measures.evaluate import TRANSFER_MEASURES
from ctstyle.study.encoders import ENCODERS


class PaperInputError(CTStyleError):
    """A table or figure was given metrics, slices or names that do not fit together."""


@dataclass(frozen=True)
class Measure:
    """One measured column: heading with its unit, the better direction (None: neither), digits after the point."""

    heading: str
    better: Literal["lower", "higher"] | None
    digits: int
    signed: bool = False


MEASURES: dict[str, Measure] = {
    "lpips_content": Measure("LPIPS(G, X): content kept", "lower", 3),
    "lpips_style": Measure("LPIPS(G, Y): style reached", "lower", 3),
    "lpips_diversity": Measure("LPIPS diversity, outputs of one X", "higher", 3),
    "ssim_target": Measure("SSIM to the true target", "higher", 3),
    "hu_error_target": Measure("HU error to the true target", "lower", 1),
    "gradient_ssim": Measure("Gradient SSIM (G, X)", "higher", 3),
    "edge_f1": Measure("Edge F1 (G, X)", "higher", 3),
    "dice_content": Measure("Dice(X), segmenter on X", None, 3),
    "dice_generated": Measure("Dice(G), segmenter on G, mask of X", "higher", 3),
    "wasserstein_content_hu": Measure("Wasserstein-1 X to Y, before, HU", None, 1),
    "wasserstein_generated_hu": Measure("Wasserstein-1 G to Y, after, HU", "lower", 1),
    "pa": Measure("PA, %", "higher", 1),
    "miou": Measure("MIoU, %", "higher", 1),
    "foreground_iou": Measure("Foreground IoU, %", "higher", 1),
    "dice": Measure("Dice, %", "higher", 1),
    "pa_gain": Measure("PA gain, points", "higher", 1, signed=True),
    "miou_gain": Measure("MIoU gain, points", "higher", 1, signed=True),
    "foreground_iou_gain": Measure("Foreground IoU gain", "higher", 1, signed=True),
    "dice_gain": Measure("Dice gain, points", "higher", 1, signed=True),
    "iou_out_of_style": Measure("Foreground IoU out of style, %", "higher", 1),
    "iou_in_style": Measure("Foreground IoU in style, %", "higher", 1),
    "difference": Measure("Difference in foreground IoU, points", "higher", 1, signed=True),
    "p": Measure("p, sign flips", "lower", 3),
    "p_holm": Measure("p after Holm", "lower", 3),
    "needed": Measure("Patients for half the difference", None, 0),
    "rotation_accuracy": Measure("Held-out rotation accuracy, %", "higher", 0),
    "level_accuracy": Measure("Held-out level accuracy, %", "higher", 0),
    "entropy_4": Measure("Entropy, stride 4", None, 3),
    "entropy_8": Measure("Entropy, stride 8", None, 3),
    "entropy_16": Measure("Entropy, stride 16", None, 3),
    "encoder_parameters": Measure("Encoder, M parameters", None, 2),
    "decoder_parameters": Measure("Decoder, M parameters", None, 2),
    "content_score": Measure("Content score", None, 3),
    "style_score": Measure("Style score", None, 3),
    "entropy": Measure("Activation entropy", None, 3),
    "seconds_per_step": Measure("Seconds per step", "lower", 3),
    "training_seconds": Measure("Training, s", "lower", 0),
    "seconds_per_slice": Measure("Seconds per slice", "lower", 4),
    "peak_memory_mb": Measure("Largest memory, MB", "lower", 0),
    "cis": Measure("CIS, nats", "higher", 3),
    "style_hit": Measure("Outputs classified as their target style", "higher", 3),
    "lpips_printed": Measure("LPIPS", None, 3),
    "cis_printed": Measure("CIS", None, 3),
    "least_miou": Measure("Least MIoU two classes allow, %", None, 3),
}

TRANSFER_ROWS = (*TRANSFER_MEASURES, "lpips_diversity", "cis", "style_hit")
"""What Table 1 prints."""
SEGMENTATION_MEASURES = ("pa", "miou", "foreground_iou", "dice")

BOUNDS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("lpips_content", "lpips_style", "lpips_diversity", "cis"), (0, math.inf)),
    **dict.fromkeys(("wasserstein_content_hu", "wasserstein_generated_hu", "hu_error_target"), (0, math.inf)),
    **dict.fromkeys(("ssim_target", "gradient_ssim"), (-1, 1)),
    **dict.fromkeys(("edge_f1", "dice_content", "dice_generated", "style_hit"), (0, 1)),
    **dict.fromkeys(SEGMENTATION_MEASURES, (0, 100)),
}
"""Values that measures cannot leave; intervals are cut there."""

MODEL_LABELS = {
    "ours": "Ours",
    "adain": "AdaIN synthesis",
    "contextual": "Contextual transformation",
    "cyclegan": "CycleGAN",
    "gatys": "Gatys optimisation",
}
LOSS_LABELS = {"adain": "MSE", "ours": "Contextual loss"}
ENCODER_LABELS = {name: spec.label for name, spec in ENCODERS.items()}

SILVER_LABELS = {
    "lidc0001": "TotalSegmentator output resampled to the scan",
    "totalsegmentator": "network output corrected by annotators",
}


def loss_label(model: str, smoothing: str = "none") -> str:
    """The content loss of a training of the comparison."""
    return LOSS_LABELS.get(model, model) + ("" if smoothing == "none" else f", {smoothing} smoothing")


def in_order(names: set[str], labels: Mapping[str, str]) -> list[str]:
    """`names` in the order of `labels`, names without a label behind them by the alphabet."""
    known = [name for name in labels if name in names]
    return known + sorted(names - set(labels))
