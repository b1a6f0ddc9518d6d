"""A trained generator in one file: encoder, decoder and the pooled statistics of every style it was trained with.

The file has the form of `ctstyle.run.tensors`: nothing in it can run when it is loaded, and one digest covers all of
it; what is no tensor are its facts (`about.read_about`). It holds no pixel and no name of a scan or patient.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctstyle.encoders.network import Encoder, positions_in_body
from ctstyle.encoders.network import build as build_encoder
from ctstyle.encoders.weights import Weights
from ctstyle.errors import CTStyleError
from ctstyle.run.device import place
from ctstyle.run.tensors import check_fit
from ctstyle.slices.archive import Archive
from ctstyle.slices.body import body_mask
from ctstyle.slices.window import Window
from ctstyle.study.data import SliceSettings
from ctstyle.study.settings import build
from ctstyle.transfer.about import BUNDLE, LONGEST_HINT, VERSION, check_about, plain
from ctstyle.transfer.adain import VARIANCE_GUARD
from ctstyle.transfer.generator import Generator


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
        most of its training scans, in the signs that a bundle may hold (`about.plain`).
        """
        training = archive.select(side="train")
        styles = {}
        for name in sorted(set(training.rows["style"])):
            chosen = training.select(style=name)
            mean, deviation = moments(generator, chosen.hu(), window=Window(*settings.window_hu)).pooled()
            told = chosen.rows["scan"].drop_duplicates().map(hints).replace("", None).dropna()
            hint = told.mode().min() if len(told) else ""
            styles[name] = Style(name, plain(hint, LONGEST_HINT), len(chosen), mean, deviation)
        return cls(generator, settings, styles, model, weights.metadata())

    def save(self, path: Path) -> None:
        """Write the bundle; what of the encoder lies behind the AdaIN tap is left out."""
        generator, whole = self.generator, self.generator.encoder
        needed = build_encoder(whole.spec.name, whole.network.state_dict(), taps=(generator.adain_tap,))
        about = {
            "version": VERSION,
            "model": self.model,
            "generator": generator.about(),
            "weights": {key: plain(self.weights[key]) for key in ("weights", "true_name", "source", "licence")},
            "slices": dataclasses.asdict(self.slices) | {"window_hu": list(self.slices.window_hu)},
            "styles": [{key: getattr(one, key) for key in ("name", "hint", "slices")} for one in self.styles.values()],
        }
        with BUNDLE.reading(path):
            check_about(about)
        BUNDLE.save(path, _tensors(needed, generator, self.styles), about)

    @classmethod
    def load(cls, path: Path, device: torch.device | str = "cpu") -> "Bundle":
        """Read what `save` wrote; raises NotABundle for another, a damaged or a newer file."""
        with BUNDLE.reading(path):
            state, about = BUNDLE.load(path)
            check_about(about)
            kept = about["generator"]
            encoder = build_encoder(kept["encoder"], _part(state, "encoder.") | state, taps=(kept["adain_tap"],))
            generator = Generator.rebuilt(kept, encoder, _part(state, "decoder."))
            styles = {one["name"]: _style(one, state, kept["channels"]) for one in about["styles"]}
            check_fit(_tensors(encoder, generator, styles), state)
            settings = build(SliceSettings, about["slices"] | {"size_px": int(about["slices"]["size_px"])})
            generator = place(generator, torch.device(device)).eval()
            return cls(generator, settings, styles, about["model"], about["weights"])


def _tensors(encoder: Encoder, generator: Generator, styles: Mapping[str, Style]) -> dict[str, Tensor]:
    """All tensors of a bundle by their names in the file; `encoder` ends at the generator's tap."""
    state = {f"encoder.{key}": value for key, value in encoder.network.state_dict().items()}
    state |= {f"preprocessing.{key}": getattr(generator.encoder, key).flatten() for key in ("mean", "std")}
    state |= {f"decoder.{key}": value for key, value in generator.decoder.state_dict().items()}
    for style in styles.values():
        state |= {f"style.{style.name}.mean": style.mean, f"style.{style.name}.deviation": style.deviation}
    return state


def _style(one: Mapping[str, Any], state: Mapping[str, Tensor], channels: int) -> Style:
    """A style with its statistics; raises ValueError where these are none."""
    mean, deviation = (state[f"style.{one['name']}.{part}"] for part in ("mean", "deviation"))
    if {(each.shape, each.dtype) for each in (mean, deviation)} != {((1, channels), torch.float32)}:
        raise ValueError(f"statistics of the style {one['name']} that are not float32 (1, {channels})")
    if not (deviation > 0).all():
        raise ValueError(f"a deviation of the style {one['name']} that is not above 0")
    return Style(**one, mean=mean, deviation=deviation)


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


class NoStatistics(CTStyleError):
    """Slices of which none shows a body."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Per slice: positions `count` `[n]`, and `total` and `squares` `[n, C]` of the maps there, float64 on the CPU.

    A slice without body counts no position.
    """

    count: Tensor
    total: Tensor
    squares: Tensor

    def pooled(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation `[1, C]` over the positions of all slices, as though they were one.

        Raises NoStatistics.
        """
        count = self.count.sum()
        if count == 0:
            raise NoStatistics(
                "no slice shows a body",
                found=f"{len(self.count)} slices of air",
                expected="tissue within the window",
                fix="Look at the scan, and at its Hounsfield units.",
            )
        return _statistics(self.total.sum(0, keepdim=True) / count, self.squares.sum(0, keepdim=True) / count)

    def each(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation `[n, C]` of every slice; those of all slices for one without body."""
        mean, deviation = _statistics(*(part / self.count[:, None] for part in (self.total, self.squares)))
        empty = (self.count == 0)[:, None]
        return tuple(torch.where(empty, all_, own) for all_, own in zip(self.pooled(), (mean, deviation)))


def _statistics(mean: Tensor, mean_square: Tensor) -> tuple[Tensor, Tensor]:
    variance = (mean_square - mean.square()).clamp(min=0)
    return mean.float(), torch.sqrt(variance + VARIANCE_GUARD).float()


@torch.no_grad()
def moments(generator: Generator, hu: np.ndarray, *, window: Window, batch: int = 16) -> Moments:
    """The moments of slices, HU `[n, H, W]`, at the generator's AdaIN tap.

    They are taken where the generator was trained to take its statistics: inside the body, or over whole slices.
    """
    device, parts = generator.encoder.mean.device, []
    for start in range(0, len(hu), batch):
        some = np.asarray(hu[start : start + batch])
        body = torch.from_numpy(body_mask(some, window)).to(device)
        maps = generator.encode(torch.from_numpy(window.to_unit(some))[:, None].to(device)).double()
        seen = body.any(dim=(1, 2))[:, None, None]
        inside = (
            positions_in_body(body, maps.shape[2:]) if generator.statistics == "body" else torch.ones_like(maps[:, 0])
        )
        inside = (inside * seen)[:, None].double()
        parts.append(
            [(one * inside).sum(dim=(2, 3)).cpu() for one in (torch.ones_like(maps[:, :1]), maps, maps.square())]
        )
    count, total, squares = (torch.cat(part) for part in zip(*parts))
    return Moments(count[:, 0], total, squares)
