"""A trained model at work on many slices."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ctstyle.encoders.network import Encoder
from ctstyle.errors import CTStyleError
from ctstyle.run.device import autocast
from ctstyle.slices.body import body_mask
from ctstyle.slices.window import Window
from ctstyle.transfer.contextual import ContextualTransformation
from ctstyle.transfer.cyclegan import CycleGAN
from ctstyle.transfer.generator import MODEL, Generator, NetworkPerStyle

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
    with MODEL.reading(path):
        kind: Any = MODEL.facts(path).get("kind")
        return PER_STYLE.get(kind, Generator).load(path, encoder)


class Encodings:
    """What a generator's encoder made of slices that it met before, by their pixels.

    An augmented set pairs every content slice with every style and draws the style slices again and again: with this
    between the calls of `stylise` each is encoded once. Maps are kept until `limit_bytes`; statistics always.
    """

    def __init__(self, generator: Generator, window: Window, *, limit_bytes: int = 1 << 30):
        self.generator, self.window, self._left = generator, window, limit_bytes
        self._maps: dict[bytes, tuple[Tensor, Tensor]] = {}
        self._statistics: dict[bytes, tuple[Tensor, Tensor]] = {}

    def maps(self, hu: np.ndarray) -> tuple[Tensor, Tensor]:
        """Maps `[B, C, H/stride, W/stride]` at the AdaIN tap and body masks `[B, H, W]` of HU `[B, H, W]`."""
        found = self._of(hu, self._maps, lambda slices, body: (self.generator.encode(slices), body))
        for key, (maps, body) in found.items():
            size = maps.numel() * maps.element_size() + body.numel()
            if key not in self._maps and size <= self._left:
                self._maps[key] = (maps.clone(), body.clone())
                self._left -= size
        return self._stack(hu, found)

    def statistics(self, hu: np.ndarray) -> tuple[Tensor, Tensor]:
        """Channel mean and deviation `[B, C]` of HU `[B, H, W]`."""
        self._statistics |= self._of(hu, self._statistics, self.generator.style_statistics)
        return self._stack(hu, self._statistics)

    def _of(
        self,
        hu: np.ndarray,
        known: Mapping[bytes, tuple[Tensor, Tensor]],
        encode: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    ) -> dict[bytes, tuple[Tensor, Tensor]]:
        """Both tensors of each slice, by its pixels; those that are not `known` are encoded as one batch."""
        slices = {one.tobytes(): one for one in hu}
        fresh = [key for key in slices if key not in known]
        found = {key: known[key] for key in slices if key in known}
        if fresh:
            made = encode(*_on_device(np.stack([slices[key] for key in fresh]), self.window, self.generator.device))
            found.update(zip(fresh, zip(*made)))
        return found

    @staticmethod
    def _stack(hu: np.ndarray, found: Mapping[bytes, tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        first, second = zip(*(found[one.tobytes()] for one in hu))
        return torch.stack(first), torch.stack(second)


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
    known: Encodings | None = None,
) -> np.ndarray:
    """Content slices in the style of style slices, row by row: HU inside the window, float64 `[n, H, W]`.

    `content_hu` and `style_hu` are HU `[n, H, W]`, `target_style` names the style of each; the result does not depend
    on `batch`. Where the content shows no body it keeps its own pixels: air is the same in every grey scale, and the
    content loss looks inside the body alone, so nothing holds a model there. `known` remembers a generator's encodings
    from call to call. Raises CTStyleError where they differ in length.
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
        if isinstance(model, Generator):
            with autocast(model.device):
                known = known or Encodings(model, window)
                maps, x_body = known.maps(content_hu[rows])
                mean, deviation = known.statistics(style_hu[rows])
                made = model.generate_from_maps(maps, mean, deviation, alpha, content_body=x_body)
        else:
            (x, x_body), (y, y_body) = (_on_device(hu[rows], window, model.device) for hu in (content_hu, style_hu))
            names = list(target_style[rows])
            made = model.generate(x, y, alpha, content_body=x_body, style_body=y_body, target_style=names)
        unit = made[:, 0].double().cpu().numpy()
        # not window.to_hu: integers would hide a NaN from the guard
        painted = window.low + unit * (window.high - window.low)
        result[rows] = np.where(x_body.cpu().numpy(), painted, content_hu[rows])
    return result


def _on_device(hu: np.ndarray, window: Window, device: torch.device) -> tuple[Tensor, Tensor]:
    """Slices as a model wants them, `[B, 1, H, W]` in [0, 1], and their body masks `[B, H, W]`."""
    unit = torch.from_numpy(np.asarray(window.to_unit(hu), dtype=np.float32))[:, None]
    return unit.to(device), torch.from_numpy(body_mask(hu, window)).to(device)
