"""The generator: frozen encoder, AdaIN, trained decoder. One network for every pair of content and style."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ctstyle.encoders.network import Encoder
from ctstyle.errors import CTStyleError
from ctstyle.run.device import place
from ctstyle.run.tensors import Kind, filled
from ctstyle.transfer.adain import channel_statistics, restyle
from ctstyle.transfer.decoder import Decoder


class WrongGenerator(CTStyleError):
    """A generator file that is damaged, or does not belong to the encoder it is loaded with."""


MODEL = Kind("trained model", WrongGenerator, "a rule that trains one")


class Generator(nn.Module):
    """G(X, Y) = D(AdaIN(E(X), E(Y))); slices are float `[B, 1, H, W]` in [0, 1].

    `adain_tap` is the encoder's tap; its maps are divided by `scale`, their mean activation on training slices, so that
    the decoder sees values of the same size whatever the encoder. `statistics` is where it was trained to take channel
    means and deviations: "body" needs the body masks (bool `[B, H, W]`) of content and style, "slice" takes none.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, *, adain_tap: str, scale: float, statistics: str = "slice"):
        super().__init__()
        self.encoder, self.decoder, self.adain_tap, self.scale = encoder, decoder, adain_tap, scale
        self.statistics = statistics

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.encoder.mean.device

    def encode(self, slices: Tensor) -> Tensor:
        """The scaled maps `[B, C, H/stride, W/stride]` that AdaIN works on, in the slices' own precision."""
        return self.encoder(slices, (self.adain_tap,))[self.adain_tap].to(slices.dtype) / self.scale

    def decode(self, maps: Tensor) -> Tensor:
        """The slice of (restyled) maps, clamped to [0, 1]."""
        return self.decoder(maps).clamp(0, 1)

    def generate(
        self,
        content: Tensor,
        style: Tensor,
        alpha: float = 1.0,
        *,
        content_body: Tensor | None = None,
        style_body: Tensor | None = None,
        target_style: Sequence[str] | None = None,
    ) -> Tensor:
        """`content` in the grey-scale style of `style`; `alpha` 0 keeps the content's own style, 1 takes it all.

        `target_style` names the styles, for models that have no style input; this one looks at the slices alone.
        """
        mean, deviation = self.style_statistics(style, style_body)
        return self.generate_from_statistics(content, mean, deviation, alpha, content_body=content_body)

    def blend(
        self,
        content: Tensor,
        styles: Sequence[Tensor],
        weights: Sequence[float],
        *,
        content_body: Tensor | None = None,
        style_bodies: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """`content` in a mixture of several styles: the weighted mean of the restyled maps, decoded.

        `styles` are slices `[B, 1, H, W]`, `weights` are non-negative and are divided by their sum.
        """
        total = float(sum(weights))
        if len(styles) != len(weights) or total <= 0 or min(weights) < 0:
            raise CTStyleError(
                "the weights of a blend do not fit its styles",
                where="weights",
                found=list(weights),
                expected=f"{len(styles)} numbers >= 0 with a sum above 0",
            )
        maps, body = self.encode(content), self._body(content_body, "content")
        mixed = torch.zeros_like(maps)
        for style, style_body, weight in zip(styles, style_bodies or [None] * len(styles), weights):
            mixed += weight / total * restyle(maps, *self.style_statistics(style, style_body), body)
        return self.decode(mixed)

    def style_statistics(self, styles: Tensor, body: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Channel mean and deviation `[B, C]` of style slices, to restyle many contents by one encoding."""
        return channel_statistics(self.encode(styles), self._body(body, "style"))

    def generate_from_statistics(
        self,
        content: Tensor,
        mean: Tensor,
        deviation: Tensor,
        alpha: float = 1.0,
        *,
        content_body: Tensor | None = None,
    ) -> Tensor:
        """`generate` where the style is known by its statistics alone."""
        return self.generate_from_maps(self.encode(content), mean, deviation, alpha, content_body=content_body)

    def generate_from_maps(
        self, maps: Tensor, mean: Tensor, deviation: Tensor, alpha: float = 1.0, *, content_body: Tensor | None = None
    ) -> Tensor:
        """`generate_from_statistics` where the content was encoded before: `maps` of `encode`."""
        if not 0 <= alpha <= 1:
            raise CTStyleError("the blending weight is out of range", where="alpha", found=alpha, expected="0 to 1")
        restyled = restyle(maps, mean, deviation, self._body(content_body, "content"))
        return self.decode((1 - alpha) * maps + alpha * restyled)

    def _body(self, body: Tensor | None, which: str) -> Tensor | None:
        """The mask that statistics are taken in: none for a generator of whole slices, and never missing else."""
        if self.statistics == "slice":
            return None
        if body is None:
            raise CTStyleError(
                "this generator takes its statistics inside the body",
                where=f"{which} slices",
                found="no body masks",
                expected="bool [B, H, W]",
                fix="Make them with ctstyle.slices.body.body_mask, or train with statistics: slice.",
            )
        return body

    def save(self, path: Path, **metadata: Any) -> None:
        """Write the decoder (safetensors) with what is needed to load it; `metadata` is any JSON beside it."""
        MODEL.save(path, self.decoder.state_dict(), self.about() | metadata)

    def about(self) -> dict[str, Any]:
        """All that `rebuilt` needs beside the tensors, as JSON."""
        return {
            "encoder": self.encoder.spec.name,
            "adain_tap": self.adain_tap,
            "scale": self.scale,
            "statistics": self.statistics,
            "stride": self.decoder.stride,
            "channels": self.decoder.channels,
            "out_channels": self.decoder.out_channels,
        }

    @classmethod
    def load(cls, path: Path, encoder: Encoder) -> "Generator":
        """The generator of `path` around `encoder`, on its device; raises WrongGenerator for another encoder's."""
        with MODEL.reading(path):
            state, kept = MODEL.load(path)
            if kept["encoder"] != encoder.spec.name:
                raise WrongGenerator(
                    "this generator was trained with another encoder",
                    where=path,
                    found=encoder.spec.name,
                    expected=kept["encoder"],
                    fix="Load it with the encoder and the weights it was trained with.",
                )
            return cls.rebuilt(kept, encoder, state)

    @classmethod
    def rebuilt(cls, kept: Mapping[str, Any], encoder: Encoder, state: Mapping[str, Tensor]) -> "Generator":
        """The generator that `about` described, with the tensors of its decoder, on the encoder's device.

        Raises ValueError and others where they do not fit.
        """
        tap, scale = encoder.spec.tap(kept["adain_tap"]), kept["scale"]
        if (kept["stride"], kept["channels"], kept["out_channels"]) != (tap.stride, tap.channels, 1):
            raise ValueError(f"a decoder of another tap than {tap.name}, or not of grey slices")
        if not 0 < scale < math.inf or kept["statistics"] not in ("body", "slice"):
            raise ValueError(f"scale {scale} and statistics {kept['statistics']!r}")
        make = partial(Decoder, stride=tap.stride, channels=tap.channels)
        decoder = place(filled(make, state), encoder.mean.device)
        return cls(encoder, decoder, adain_tap=tap.name, scale=scale, statistics=kept["statistics"]).eval()
