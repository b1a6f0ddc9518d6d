"""The columns of the tables: what each is called, which direction is better, and how many digits are printed."""

from dataclasses import dataclass
from typing import Literal

from ctstyle.errors import CTStyleError
from ctstyle.metrics.columns import TRANSFER_MEASURES


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
    "lpips": Measure("LPIPS", None, 3),
    "cis": Measure("CIS", None, 3),
    "least_miou": Measure("Least MIoU two classes allow, %", None, 3),
}

TRANSFER_ROWS = (*TRANSFER_MEASURES, "lpips_diversity")
"""What Table 1 prints."""
SEGMENTATION_MEASURES = ("pa", "miou", "foreground_iou", "dice")

MODEL_LABELS = {"ours": "Ours", "adain": "AdaIN synthesis", "contextual": "Contextual transformation"}
ARM_LABELS = {
    "plain": "U-Net",
    "ours": "U-Net + ours",
    "adain": "U-Net + AdaIN synthesis",
    "noise": "Control: structureless images",
    "histogram": "Control: histogram matching",
    "instance": "Rival: U-Net with instance norm",
    "oracle": "Oracle: all styles labelled",
}

SILVER_LABELS = {
    "lidc0001": "TotalSegmentator output resampled to the scan",
    "totalsegmentator": "network output corrected by annotators",
}


def in_order(names: set[str], labels: dict[str, str]) -> list[str]:
    """`names` in the order of `labels`, names without a label behind them by the alphabet."""
    known = [name for name in labels if name in names]
    return known + sorted(names - set(labels))
