"""One HTML page on which a reader chooses encoder, content loss and augmentation and sees the same slices change.

The page holds its pictures itself and needs neither a network nor a script: the choice is made by CSS.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.colors import to_rgb
from PIL import Image
from scipy import ndimage

from ctstyle.measures.columns import ENCODER_LABELS, LOSS_LABELS, PaperInputError, in_order
from ctstyle.paper.drawing import PREDICTION_COLOUR, REFERENCE_COLOUR, Look
from ctstyle.paper.segmentations import SegmentationExample, iou_text
from ctstyle.paper.transfers import TransferExample
from ctstyle.slices.window import Window
from ctstyle.study.arms import ARM_LABELS

SHOWN_PX = 3
"""Pixels of the page for each pixel of a slice."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture: its `title`, the PNG as base64, what stands `below` it, and the CSS classes of what shows it."""

    title: str
    png: str
    below: str = ""
    shown_by: str = ""


def viewer(
    outputs: Sequence[TransferExample], segmentations: Sequence[SegmentationExample], look: Look, *, lineage: str
) -> str:
    """The page: outputs of each encoder under each loss, and the segmentations of each arm.

    `outputs[i].generated` is keyed by "encoder model" (model of LOSS_LABELS); every pair must be there. Raises
    PaperInputError where one is not.
    """
    keys = {tuple(key.split()) for example in outputs for key in example.generated}
    encoders = in_order({encoder for encoder, _ in keys}, ENCODER_LABELS)
    losses = in_order({model for _, model in keys}, LOSS_LABELS)
    arms = in_order({arm for example in segmentations for arm in example.predictions}, ARM_LABELS)
    missing = [f"{e} {m}" for e in encoders for m in losses for one in outputs if f"{e} {m}" not in one.generated]
    if missing or not keys or not arms:
        raise PaperInputError(
            "an output is missing",
            where="viewer",
            found=sorted(map(" ".join, keys)),
            expected=missing or "one at least, and one arm",
        )
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("viewer.html.j2").render(
        encoders={name: ENCODER_LABELS.get(name, name) for name in encoders},
        losses={name: LOSS_LABELS.get(name, name) for name in losses},
        arms={name: ARM_LABELS.get(name, name) for name in arms},
        outputs=[_output_row(example, encoders, losses, look) for example in outputs],
        segmentations=[_segmentation_row(example, arms, look) for example in segmentations],
        look=look,
        lineage=lineage,
        reference=REFERENCE_COLOUR,
        prediction=PREDICTION_COLOUR,
        shown_px=SHOWN_PX * outputs[0].content.shape[1],
    )


def _output_row(example: TransferExample, encoders: Sequence[str], losses: Sequence[str], look: Look) -> list[Panel]:
    row = [
        Panel(title=f"content X, {example.source_style}", png=_png(example.content, look)),
        Panel(title=f"style Y, {example.target_style}", png=_png(example.style, look)),
    ]
    row += [
        Panel(
            title="output G", png=_png(example.generated[f"{encoder} {loss}"], look), shown_by=f"e-{encoder} l-{loss}"
        )
        for encoder in encoders
        for loss in losses
    ]
    if example.target is not None:
        row.append(Panel(title="true target", png=_png(example.target, look)))
    return row


def _segmentation_row(example: SegmentationExample, arms: Sequence[str], look: Look) -> list[Panel]:
    reference = {REFERENCE_COLOUR: example.reference}
    row = [
        Panel(title=example.label, png=_png(example.hu, look)),
        Panel(title="reference", png=_png(example.hu, look, reference)),
    ]
    for arm in arms:
        mask = example.predictions[arm]
        row.append(
            Panel(
                title="prediction",
                png=_png(example.hu, look, {**reference, PREDICTION_COLOUR: mask}),
                below=iou_text(mask, example.reference),
                shown_by=f"a-{arm}",
            )
        )
    return row


def _png(hu: np.ndarray, look: Look, masks: Mapping[str, np.ndarray] | None = None) -> str:
    """A slice in the one grey window, enlarged by SHOWN_PX, with the outlines of masks by colour, as base64."""
    grey = np.rint(255 * np.clip(Window(*look.window_hu).to_unit(hu), 0, 1)).astype(np.uint8)
    image = np.asarray(
        Image.fromarray(grey).resize([SHOWN_PX * side for side in grey.shape[::-1]], Image.Resampling.BICUBIC)
    )
    image = np.repeat(image[..., None], 3, axis=2) if masks else image
    for colour, mask in (masks or {}).items():
        large = np.kron(mask, np.ones((SHOWN_PX, SHOWN_PX), bool))
        image[large & ~ndimage.binary_erosion(large)] = np.rint(255 * np.array(to_rgb(colour)))
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()
