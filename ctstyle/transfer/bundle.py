"""A trained generator in one file: encoder, decoder and the statistics of every style it was trained with.

The file is safetensors, so nothing in it can run when it is loaded; what is no tensor stands in its metadata as JSON
(`about.read_about`). It holds no pixel and no name of a scan or patient.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from ctstyle.device import place
from ctstyle.encoders.network import build as build_encoder
from ctstyle.encoders.weights import Weights, state_digest
from ctstyle.settings import build
from ctstyle.slices.archive import Archive
from ctstyle.slices.cut import SliceSettings
from ctstyle.tensors import save_tensors
from ctstyle.transfer.about import FORMAT, VERSION, NotABundle, read_about
from ctstyle.transfer.decoder import Decoder
from ctstyle.transfer.generator import Generator
from ctstyle.transfer.moments import moments


@dataclass(frozen=True, eq=False)
class Style:
    """Channel mean and deviation `[1, C]` at the AdaIN tap over all training slices of a style; `hint` may be empty."""

    name: str
    hint: str
    slices: int
    mean: Tensor
    deviation: Tensor


@dataclass(frozen=True, eq=False)
class Bundle:
    """A generator with the `slices` settings it was trained on and its styles by name.

    `model` is "ours" or "adain"; `weights` says where the encoder's weights come from (`Weights.metadata`).
    """

    generator: Generator
    slices: SliceSettings
    styles: Mapping[str, Style]
    model: str
    weights: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        generator: Generator,
        archive: Archive,
        settings: SliceSettings,
        *,
        hints: Mapping[str, str],
        model: str,
        weights: Weights,
    ) -> "Bundle":
        """The bundle of a finished training: statistics of each style over the training slices of the run.

        `archive` has the columns `style` and `side`, `hints` the style hint of each scan. A style's hint is that of
        most of its training scans.
        """
        training = archive.select(side="train")
        styles = {}
        for name in sorted(set(training.rows["style"])):
            chosen = training.select(style=name)
            mean, deviation = moments(generator, chosen.hu(), window=settings.window).pooled()
            told = chosen.rows["scan"].drop_duplicates().map(hints).replace("", None).dropna()
            hint = told.mode().min() if len(told) else ""
            styles[name] = Style(name, hint, len(chosen), mean, deviation)
        return cls(generator, settings, styles, model, weights.metadata())

    def save(self, path: Path) -> None:
        """Write the bundle; what of the encoder lies behind the AdaIN tap is left out."""
        generator = self.generator
        tap = generator.adain_tap
        needed = build_encoder(
            generator.encoder.spec.name, generator.encoder.network.state_dict(), taps=(tap,)
        ).network.state_dict()
        state = {f"encoder.{key}": value for key, value in needed.items()}
        state |= {f"preprocessing.{key}": getattr(generator.encoder, key).flatten() for key in ("mean", "std")}
        state |= {f"decoder.{key}": value for key, value in generator.decoder.state_dict().items()}
        for style in self.styles.values():
            state |= {f"style.{style.name}.mean": style.mean, f"style.{style.name}.deviation": style.deviation}
        # copies, as tensors that share memory cannot be saved
        state = {key: value.detach().cpu().clone().contiguous() for key, value in state.items()}
        about = {
            "format": FORMAT,
            "version": VERSION,
            "tensors_sha256": state_digest(state),
            "model": self.model,
            "generator": {
                "encoder": generator.encoder.spec.name,
                "adain_tap": tap,
                "stride": generator.decoder.stride,
                "channels": generator.decoder.channels,
                "out_channels": generator.decoder.out_channels,
                "scale": generator.scale,
                "statistics": generator.statistics,
            },
            "weights": {key: self.weights[key] for key in ("weights", "true_name", "source", "licence")},
            "slices": dataclasses.asdict(self.slices),
            "styles": [{key: getattr(one, key) for key in ("name", "hint", "slices")} for one in self.styles.values()],
        }
        save_tensors(state, path, {"ctstyle": json.dumps(about, sort_keys=True)})

    @classmethod
    def load(cls, path: Path, device: torch.device | str = "cpu") -> "Bundle":
        """Read what `save` wrote; raises NotABundle for another, a damaged or a newer file."""
        about = read_about(path)
        state = safetensors.torch.load_file(path)
        found = state_digest(state)
        if found != about["tensors_sha256"]:
            raise NotABundle(
                "the bundle is damaged",
                where=path,
                found=f"SHA-256 of its tensors {found[:16]}",
                expected=about["tensors_sha256"][:16],
                fix="Copy it again.",
            )
        kept = about["generator"]
        encoder = build_encoder(
            kept["encoder"],
            {**_part(state, "encoder."), **{key: state[key] for key in ("preprocessing.mean", "preprocessing.std")}},
            taps=(kept["adain_tap"],),
        )
        decoder = Decoder(stride=kept["stride"], channels=kept["channels"], out_channels=kept["out_channels"])
        decoder.load_state_dict(_part(state, "decoder."))
        generator = Generator(
            encoder, decoder, adain_tap=kept["adain_tap"], scale=kept["scale"], statistics=kept["statistics"]
        )
        styles = {one["name"]: Style(**one, **_part(state, f"style.{one['name']}.")) for one in about["styles"]}
        settings = build(SliceSettings, about["slices"])
        return cls(place(generator, torch.device(device)).eval(), settings, styles, about["model"], about["weights"])


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
