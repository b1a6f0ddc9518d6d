"""The slices of a training, and their encoder maps, computed once and kept while they fit into memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctstyle.encoders.network import Encoder
from ctstyle.errors import CTStyleError
from ctstyle.slices.archive import Archive
from ctstyle.slices.body import body_mask
from ctstyle.slices.run import SOURCE
from ctstyle.slices.window import Window
from ctstyle.study.encoders import EncoderSpec
from ctstyle.transfer.adain import channel_statistics

SMOOTHED = "~softmax"
"""Ending of a tap's name that asks for its smoothed maps."""
DEEP_STRIDE = 8
"""Taps from this stride on are the deep ones."""


def with_smoothing(taps: Sequence[str], spec: EncoderSpec) -> tuple[str, ...]:
    """`taps` with the deep ones asked for in their smoothed form."""
    return tuple(tap + SMOOTHED if spec.tap(tap).stride >= DEEP_STRIDE else tap for tap in taps)


def scaled_maps(
    encoder: Encoder, images: Tensor, taps: Sequence[str], scales: Mapping[str, float]
) -> dict[str, Tensor]:
    """Maps `{tap: [B, C, H/stride, W/stride]}`, float32, each divided by its scale (the tap's mean activation).

    A name that ends in SMOOTHED gives the softmax of the scaled maps over all positions and channels of a sample, times
    their number, so that the mean is 1 again: residual sums make few large peaks, which then decide the statistics
    (activation smoothing, Wang, Li and Vasconcelos 2021).
    """
    plain = tuple(dict.fromkeys(tap.removesuffix(SMOOTHED) for tap in taps))
    maps = {tap: value.float() / scales[tap] for tap, value in encoder(images, plain).items()}
    return {tap: _smooth(maps[tap.removesuffix(SMOOTHED)]) if tap.endswith(SMOOTHED) else maps[tap] for tap in taps}


def _smooth(maps: Tensor) -> Tensor:
    return maps.flatten(1).softmax(dim=1).reshape(maps.shape) * maps[0].numel()


class FeatureCache:
    """Scaled maps (`scaled_maps`) of slices float32 `[n, H, W]` in [0, 1], by index.

    A slice is encoded when it is first asked for. Maps are kept until `limit_bytes` is reached; later slices are
    encoded again each time. Statistics are a few numbers per slice and always kept; they are taken inside `bodies`
    (bool `[n, H, W]`), or over the whole slices where there are none.
    """

    def __init__(
        self,
        encoder: Encoder,
        slices: np.ndarray,
        *,
        scales: Mapping[str, float],
        bodies: np.ndarray | None = None,
        limit_bytes: int = 1 << 30,
    ):
        self.encoder, self.slices, self.scales, self.bodies = encoder, slices, dict(scales), bodies
        self._left = limit_bytes
        self._maps: dict[tuple[str, int], Tensor] = {}
        self._statistics: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}

    def images(self, indices: Sequence[int]) -> Tensor:
        """The slices themselves, `[B, 1, H, W]` on the encoder's device."""
        chosen = np.ascontiguousarray(self.slices[np.asarray(indices)], dtype=np.float32)
        return torch.from_numpy(chosen)[:, None].to(self.encoder.mean.device)

    @torch.no_grad()
    def maps(self, indices: Sequence[int], taps: Sequence[str]) -> dict[str, Tensor]:
        """Scaled maps `{tap: [B, C, H/stride, W/stride]}` of the slices `indices`."""
        found = self._encode_missing(indices, taps, self._maps)
        # `stack` would not keep channels last
        return {tap: torch.cat([found[tap, index][None] for index in map(int, indices)]) for tap in taps}

    @torch.no_grad()
    def statistics(self, indices: Sequence[int], taps: Sequence[str]) -> dict[str, tuple[Tensor, Tensor]]:
        """Channel mean and deviation `{tap: ([B, C], [B, C])}` of the scaled maps of the slices `indices`."""
        wanted = sorted({int(i) for i in indices if any((tap, int(i)) not in self._statistics for tap in taps)})
        if wanted:
            body = None if self.bodies is None else torch.from_numpy(self.bodies[wanted]).to(self.encoder.mean.device)
            for tap, maps in self._encode(wanted, taps).items():
                for place, index in enumerate(wanted):  # one by one, as they are encoded
                    one = slice(place, place + 1)
                    mean, deviation = channel_statistics(maps[one], None if body is None else body[one])
                    self._statistics[tap, index] = (mean[0], deviation[0])
        pairs = {tap: [self._statistics[tap, int(index)] for index in indices] for tap in taps}
        return {tap: tuple(torch.stack(part) for part in zip(*values)) for tap, values in pairs.items()}

    def _encode(self, indices: Sequence[int], taps: Sequence[str]) -> dict[str, Tensor]:
        # Always one by one: the rounding of a batch depends on its size, and a resumed training must see the same maps.
        parts = [scaled_maps(self.encoder, self.images([index]), taps, self.scales) for index in indices]
        return {tap: torch.cat([part[tap] for part in parts]) for tap in taps}

    def _encode_missing(
        self, indices: Sequence[int], taps: Sequence[str], kept: dict[tuple[str, int], Tensor]
    ) -> dict[tuple[str, int], Tensor]:
        wanted = sorted({int(index) for index in indices if any((tap, int(index)) not in kept for tap in taps)})
        fresh = {}
        if wanted:
            for tap, maps in self._encode(wanted, taps).items():
                fresh.update({(tap, index): one for index, one in zip(wanted, maps)})
        for key, one in fresh.items():
            size = one.numel() * one.element_size()
            if key not in kept and size <= self._left:
                kept[key] = one.clone()
                self._left -= size
        return {**fresh, **{key: kept[key] for key in ((t, int(i)) for t in taps for i in indices) if key in kept}}


@dataclass(frozen=True, kw_only=True)
class Material:
    """Content slices of the source style and style slices of all styles, as `train.train` takes them.

    `content` and `style` are float32 `[n, H, W]` in [0, 1], `bodies` and `style_bodies` their masks (bool), and
    `style_names` the style of each style slice.
    """

    content: np.ndarray
    bodies: np.ndarray
    style: np.ndarray
    style_bodies: np.ndarray
    style_names: np.ndarray

    @classmethod
    def of(cls, archive: Archive, window: Window) -> "Material":
        """The training side of a run."""
        training = archive.select(side="train")
        content = training.select(style=SOURCE)
        return cls(
            content=window.to_unit(content.hu()),
            bodies=body_mask(content.hu(), window),
            style=window.to_unit(training.hu()),
            style_bodies=body_mask(training.hu(), window),
            style_names=training.rows["style"].to_numpy(),
        )

    def check(self, *further: tuple[str, Any, Any, bool], targets: Sequence[str] | None = None) -> None:
        """Check shapes, names, and the `targets` of a training that has one network for each.

        `further` are checks of the training's own: where, found, expected, whether it is right. Raises CTStyleError for
        the first fault.
        """
        shape, style_shape, known = self.content.shape, self.style.shape, sorted(set(self.style_names))
        faults = [
            ("content slices", shape, "[n, H, W] with n > 0", len(shape) == 3 and shape[0] > 0),
            ("style slices", style_shape, "[m, H, W] with m > 0", len(style_shape) == 3 and style_shape[0] > 0),
            ("body masks", self.bodies.shape, shape, self.bodies.shape == shape),
            (
                "body masks of the style slices",
                self.style_bodies.shape,
                style_shape,
                self.style_bodies.shape == style_shape,
            ),
            ("style names", len(self.style_names), style_shape[0], len(self.style_names) == style_shape[0]),
            *further,
        ]
        if targets is not None:
            right = len(targets) > 0 and len(set(targets)) == len(targets) and set(targets) <= set(known)
            faults.append(("targets", list(targets), f"at least one of {', '.join(known)}, each once", right))
        for where, found, expected, right in faults:
            if not right:
                raise CTStyleError("the training cannot start", where=where, found=found, expected=expected)
