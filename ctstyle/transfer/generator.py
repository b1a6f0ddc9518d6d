"""The trained models: one generator for every pair of content and style, or one network for each target style."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ctstyle.encoders.network import Encoder
from ctstyle.errors import CTStyleError
from ctstyle.run.device import place
from ctstyle.run.tensors import Kind, check_fit, filled
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
        return self.generate_from_maps(self.encode(content), mean, deviation, alpha, content_body=content_body)

    def style_statistics(self, styles: Tensor, body: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Channel mean and deviation `[B, C]` of style slices, to restyle many contents by one encoding."""
        return channel_statistics(self.encode(styles), self._body(body, "style"))

    def generate_from_maps(
        self, maps: Tensor, mean: Tensor, deviation: Tensor, alpha: float = 1.0, *, content_body: Tensor | None = None
    ) -> Tensor:
        """`generate` from the `maps` of `encode` and the `style_statistics` of a style."""
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


class NetworkPerStyle(nn.Module, ABC):
    """One trained network for each target style; stands where a `Generator` stands.

    A method sets `kind`, which the metadata of its files hold, and `method`, which messages call it by, and says how
    its networks are described (`about`) and built anew (`rebuilt`).
    """

    kind: ClassVar[str]
    method: ClassVar[str]

    def __init__(self, networks: Mapping[str, nn.Module]):
        super().__init__()
        self.styles = tuple(networks)
        self.networks = nn.ModuleList(networks.values())

    @property
    def device(self) -> torch.device:
        """Where its networks are."""
        return next(self.networks.parameters()).device

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What `rebuilt` needs, as JSON."""

    @classmethod
    @abstractmethod
    def rebuilt(cls, kept: Mapping[str, Any], encoder: Encoder) -> Self:
        """A model with untrained networks as the metadata of a file describe them."""

    def generate(
        self,
        content: Tensor,
        style: Tensor | None = None,
        alpha: float = 1.0,
        *,
        content_body: Tensor | None = None,
        style_body: Tensor | None = None,
        target_style: Sequence[str],
    ) -> Tensor:
        """`content` `[B, 1, H, W]` in [0, 1] in the style that `target_style` names for each, clamped to [0, 1].

        `style` and the bodies are not looked at: the method has no style input. Raises CTStyleError for `alpha` other
        than 1, for a style it was not trained for, and for slices of a size that its networks do not take.
        """
        if alpha != 1:
            raise CTStyleError(
                f"{self.method} cannot blend with the content's own style", where="alpha", found=alpha, expected="1"
            )
        if len(target_style) != len(content):
            raise CTStyleError(
                "each slice needs one target style",
                where="target_style",
                found=f"{len(target_style)} names for {len(content)} slices",
                expected="equally many",
            )
        unknown = sorted(set(target_style) - set(self.styles))
        if unknown:
            raise CTStyleError(
                "no network was trained for this style",
                where="target_style",
                found=", ".join(unknown),
                expected=" | ".join(self.styles),
                fix="Train it with this style among its targets.",
            )
        made = torch.empty_like(content)
        for name, network in zip(self.styles, self.networks):
            rows = [row for row, wanted in enumerate(target_style) if wanted == name]
            if rows:
                made[rows] = network(content[rows]).clamp(0, 1)
        return made

    def save(self, path: Path, **metadata: Any) -> None:
        """Write all networks (safetensors) with what is needed to load them; `metadata` is any JSON beside it."""
        MODEL.save(
            path, self.networks.state_dict(), {"kind": self.kind, "styles": self.styles, **self.about(), **metadata}
        )

    @classmethod
    def load(cls, path: Path, encoder: Encoder) -> Self:
        """The networks of `path` on the device of `encoder`.

        Raises WrongGenerator for another kind of file, or where its losses were read from another encoder.
        """
        with MODEL.reading(path):
            state, kept = MODEL.load(path)
            name = encoder.spec.name
            for what, found, expected in (
                (f"this is not the file of a {cls.method}", kept.get("kind"), cls.kind),
                ("this model was trained with another encoder", name, kept.get("encoder", name)),
            ):
                if found != expected:
                    raise WrongGenerator(
                        what,
                        where=path,
                        found=found,
                        expected=expected,
                        fix="Load it with the encoder it was trained with, or run the rule that trains it.",
                    )
            with torch.device("meta"):
                check_fit(cls.rebuilt(kept, encoder).networks.state_dict(), state)
            model = cls.rebuilt(kept, encoder)
            model.networks.load_state_dict(state)
            return place(model, encoder.mean.device).eval()
