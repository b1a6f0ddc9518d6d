"""Style transfer by optimisation of the pixels (Gatys, Ecker and Bethge 2016): slow, without any training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ctstyle.encoders.network import Encoder, positions_in_body
from ctstyle.errors import CTStyleError
from ctstyle.run.fit import fit
from ctstyle.study.networks import GatysSettings


@dataclass(frozen=True, kw_only=True)
class Gatys:
    """The optimisation where a trained model stands (`apply.Model`); `scales` has the mean activation of each tap."""

    encoder: Encoder
    settings: GatysSettings
    scales: Mapping[str, float]

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.encoder.mean.device

    def generate(
        self,
        content: Tensor,
        style: Tensor,
        alpha: float = 1.0,
        *,
        content_body: Tensor,
        style_body: Tensor,
        target_style: Sequence[str] | None = None,
    ) -> Tensor:
        """`content` `[B, 1, H, W]` optimised towards `style`; raises CTStyleError for `alpha` other than 1."""
        if alpha != 1:
            raise CTStyleError("an optimisation cannot blend", where="alpha", found=alpha, expected="1")
        x, y, x_body, y_body = (one.cpu().numpy() for one in (content[:, 0], style[:, 0], content_body, style_body))
        with torch.enable_grad():
            made, _ = optimise(self.encoder, x, y, x_body, y_body, self.settings, scales=self.scales)
        return torch.from_numpy(made)[:, None].to(content.device)


def taps(encoder: Encoder, settings: GatysSettings) -> tuple[str, tuple[str, ...]]:
    """The content tap and the style taps that the losses read."""
    spec = encoder.spec
    return settings.content_tap or spec.content_taps[-1], settings.style_taps or spec.style_taps


def gram(maps: Tensor, body: Tensor) -> Tensor:
    """Gram matrices `[B, C, C]` of maps `[B, C, H, W]`: mean of f f^T over the positions inside the body.

    `body` is a bool `[B, height, width]` mask of the slices. A mean and not a sum, so that bodies and maps of
    different sizes can be compared (Gatys 2016, eq. 3, divided by the number of positions).
    """
    inside = positions_in_body(body, tuple(maps.shape[2:]))
    features = (maps * inside[:, None]).flatten(2)
    return features @ features.transpose(1, 2) / inside.sum(dim=(1, 2))[:, None, None]


def optimise(
    encoder: Encoder,
    content: np.ndarray,
    style: np.ndarray,
    bodies: np.ndarray,
    style_bodies: np.ndarray,
    settings: GatysSettings,
    *,
    scales: Mapping[str, float],
    log_every: int = 20,
) -> tuple[np.ndarray, pd.DataFrame]:
    """Content slices in the style of style slices, row by row, on the encoder's device.

    Slices are float32 `[n, H, W]` in [0, 1], bodies bool `[n, H, W]`; `scales` has the mean activation of each tap on
    training slices (`encoders.scale.tap_scales`), by which the maps are divided. Pixels outside the content's body stay
    as they are. Returns float32 `[n, H, W]` in [0, 1] and the history (`batch, step, loss, content, style`: what the
    slices of that batch cost on average before the step). Raises CTStyleError for slices that cannot be paired or a
    tap without scale, TrainingDiverged where a loss is not finite.
    """
    content_tap, style_taps = taps(encoder, settings)
    _check(content, style, bodies, style_bodies, (content_tap, *style_taps), scales)
    made = np.empty(content.shape, dtype=np.float32)
    histories = []
    for number, start in enumerate(range(0, len(content), settings.batch)):
        rows = slice(start, start + settings.batch)
        images, style_images = (_on_device(part[rows], np.float32, encoder)[:, None] for part in (content, style))
        body, style_body = (_on_device(part[rows], bool, encoder) for part in (bodies, style_bodies))
        losses = _Losses(encoder, settings, scales, images, style_images, body, style_body)
        made[rows], history = _descend(losses, images, body, settings, f"gatys batch {number + 1}", log_every)
        history.insert(0, "batch", number)
        histories.append(history)
    return made, pd.concat(histories, ignore_index=True)


class _Losses:
    """What a batch of images costs, one value for each sample."""

    @torch.no_grad()
    def __init__(
        self,
        encoder: Encoder,
        settings: GatysSettings,
        scales: Mapping[str, float],
        content: Tensor,
        style: Tensor,
        body: Tensor,
        style_body: Tensor,
    ):
        self.encoder, self.scales, self.body = encoder, scales, body
        self.content_tap, self.style_taps = taps(encoder, settings)
        self.content_maps = self._maps(content)[self.content_tap]
        style_maps = self._maps(style)
        self.grams = {tap: gram(style_maps[tap], style_body) for tap in self.style_taps}

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Content loss and style loss `[B]` each: mean squares of maps, and of Gram matrices summed over taps."""
        maps = self._maps(images)
        content = (maps[self.content_tap] - self.content_maps).square().mean(dim=(1, 2, 3))
        style = torch.zeros_like(content)
        for tap, wanted in self.grams.items():
            style = style + (gram(maps[tap], self.body) - wanted).square().mean(dim=(1, 2))
        return content, style

    def _maps(self, images: Tensor) -> dict[str, Tensor]:
        names = tuple(dict.fromkeys((self.content_tap, *self.style_taps)))
        return {tap: maps / self.scales[tap] for tap, maps in self.encoder(images, names).items()}


def _descend(
    losses: _Losses, images: Tensor, body: Tensor, settings: GatysSettings, name: str, log_every: int
) -> tuple[np.ndarray, pd.DataFrame]:
    """The optimised batch as `[B, H, W]` and its history."""
    pixels = images.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([pixels], lr=settings.learning_rate, fused=True)

    def step(_: int, __: np.random.Generator) -> Mapping[str, Tensor]:
        """One step of Adam inside [0, 1]."""
        content, style = losses(pixels)
        loss = settings.content_weight * content + settings.style_weight * style
        optimiser.zero_grad(set_to_none=True)
        # The sum, so that a sample's gradient does not depend on how many others are in its batch.
        loss.sum().backward()
        pixels.grad *= body[:, None]
        optimiser.step()
        with torch.no_grad():
            pixels.clamp_(0, 1)
        return {"loss": loss.detach().mean(), "content": content.detach().mean(), "style": style.detach().mean()}

    # Nothing is drawn at random, so the seed says nothing.
    history = fit(step, parts={}, steps=settings.steps, seed=0, name=name, log_every=log_every)
    return pixels.detach()[:, 0].cpu().numpy(), history


def _on_device(values: np.ndarray, dtype: type, encoder: Encoder) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=dtype)).to(encoder.mean.device)


def _check(
    content: np.ndarray,
    style: np.ndarray,
    bodies: np.ndarray,
    style_bodies: np.ndarray,
    names: Sequence[str],
    scales: Mapping[str, float],
) -> None:
    missing = [name for name in names if name not in scales]
    for where, found, expected, right in (
        ("content slices", content.shape, "[n, H, W] with n > 0", content.ndim == 3 and len(content) > 0),
        (
            "style slices",
            style.shape,
            f"{len(content)} slices [n, H, W]",
            style.ndim == 3 and len(style) == len(content),
        ),
        ("body masks", bodies.shape, content.shape, bodies.shape == content.shape),
        ("body masks of the style slices", style_bodies.shape, style.shape, style_bodies.shape == style.shape),
        ("scales", f"none for {', '.join(missing)}", f"one for each of {', '.join(names)}", not missing),
    ):
        if not right:
            raise CTStyleError("the optimisation cannot start", where=where, found=found, expected=expected)
