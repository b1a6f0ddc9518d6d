"""A trained model at work on many slices."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ctstyle.encoders.network import Encoder
from ctstyle.errors import CTStyleError
from ctstyle.slices.body import body_mask
from ctstyle.slices.window import Window
from ctstyle.transfer.contextual import ContextualTransformation
from ctstyle.transfer.cyclegan import CycleGAN
from ctstyle.transfer.generator import Generator, read_metadata
from ctstyle.transfer.per_style import NetworkPerStyle

PER_STYLE: dict[str, type[NetworkPerStyle]] = {one.kind: one for one in (ContextualTransformation, CycleGAN)}
"""The methods with a network for each target style, by the `kind` in their files; every other file is a Generator."""


class Model(Protocol):
    """What carries slices into another grey scale: a Generator, a network per style, or Gatys' optimisation."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    def generate(
        self,
        content: Tensor,
        style: Tensor,
        alpha: float,
        *,
        content_body: Tensor,
        style_body: Tensor,
        target_style: Sequence[str],
    ) -> Tensor:
        """Slices `[B, 1, H, W]` in [0, 1]; bodies are bool `[B, H, W]`."""


def load_model(path: Path, encoder: Encoder) -> Model:
    """The trained model of a file, whichever method made it; raises WrongGenerator for another encoder's."""
    kind = read_metadata(path).get("kind")
    return PER_STYLE.get(kind, Generator).load(path, encoder)


@torch.no_grad()
def stylise(
    model: Model,
    content_hu: np.ndarray,
    style_hu: np.ndarray,
    target_style: Sequence[str],
    *,
    window: Window,
    alpha: float = 1.0,
    batch: int = 16,
) -> np.ndarray:
    """Content slices in the style of style slices, row by row: HU inside the window, float64 `[n, H, W]`.

    `content_hu` and `style_hu` are HU `[n, H, W]`, `target_style` names the style of each; the result does not depend
    on `batch`. Where the content shows no body it keeps its own pixels: air is the same in every grey scale, and the
    content loss looks inside the body alone, so nothing holds a model there. Raises CTStyleError where they differ in
    length.
    """
    if not len(content_hu) == len(style_hu) == len(target_style):
        raise CTStyleError(
            "content and style slices cannot be paired",
            where="stylise",
            found=f"{len(content_hu)} and {len(style_hu)} slices, {len(target_style)} names of styles",
            expected="equally many",
        )
    result = np.empty(content_hu.shape, dtype=np.float64)
    for start in range(0, len(content_hu), batch):
        rows = slice(start, start + batch)
        (x, x_body), (y, y_body) = (_on_device(hu[rows], window, model.device) for hu in (content_hu, style_hu))
        made = model.generate(
            x, y, alpha, content_body=x_body, style_body=y_body, target_style=list(target_style[rows])
        )
        unit = made[:, 0].double().cpu().numpy()
        # not window.to_hu: integers would hide a NaN from the guard
        painted = window.low + unit * (window.high - window.low)
        result[rows] = np.where(x_body.cpu().numpy(), painted, content_hu[rows])
    return result


def _on_device(hu: np.ndarray, window: Window, device: torch.device) -> tuple[Tensor, Tensor]:
    """Slices as a model wants them, `[B, 1, H, W]` in [0, 1], and their body masks `[B, H, W]`."""
    unit = torch.from_numpy(np.asarray(window.to_unit(hu), dtype=np.float32))[:, None]
    return unit.to(device), torch.from_numpy(body_mask(hu, window)).to(device)
