"""The networks of Figures 1 to 3 in numbers: what each level gives out, asked of the modules themselves.

Nothing here is typed that a module knows: the encoder is run as it is built (on the device "meta", shapes
without numbers), the decoder and the U-Net as this project trains them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ctstyle.encoders.network import cut, trunk
from ctstyle.measures.columns import PaperInputError
from ctstyle.segment.unet import build_unet, require_size
from ctstyle.segment.unet import levels as unet_steps
from ctstyle.study.analysis import UNetSettings
from ctstyle.study.encoders import EncoderSpec, encoder_spec
from ctstyle.transfer.decoder import Decoder


@dataclass(frozen=True, kw_only=True)
class Level:
    """What a network gives out at one of its levels: `channels` maps of `size_px` x `size_px`, `stride` in pixels."""

    name: str
    channels: int
    size_px: int
    stride: int


@dataclass(frozen=True, kw_only=True)
class EncoderFacts:
    """An encoder as far as it is used: its tap levels in order, and the parameters up to two depths."""

    name: str
    levels: tuple[Level, ...]
    adain: Level
    parameters_to_adain: int
    parameters: int

    def level(self, name: str) -> Level:
        """The level of that tap."""
        return next(level for level in self.levels if level.name == name)


@dataclass(frozen=True, kw_only=True)
class UNetLevel:
    """One level of the U-Net: what its way down and its way up give out, by which stride, with how many parameters.

    `up` is None at the bottom. `stride` is the ratio of the sizes on the way down; the way up undoes it.
    """

    down: Level
    down_parameters: int
    up: Level | None
    up_parameters: int


def encoder_facts(name: str, *, stride: int, taps: Iterable[str], size_px: int) -> EncoderFacts:
    """Run the encoder on the shape of one slice, `size_px` x `size_px`, up to the deepest of `taps` and AdaIN's.

    Raises UnknownEncoder for an encoder or tap the registry does not have, PaperInputError for a stride without a tap
    or a slice that does not divide by the deepest stride.
    """
    spec = encoder_spec(name)
    if stride not in spec.adain_tap:
        raise PaperInputError(
            "no AdaIN tap at this stride", where=name, found=stride, expected=" | ".join(map(str, spec.adain_tap))
        )
    adain = spec.adain_tap[stride]
    used = {adain, *(spec.tap(tap).name for tap in taps)}
    names = [tap.name for tap in spec.taps if tap.name in used]
    deepest = max(spec.tap(tap).stride for tap in names)
    if size_px % deepest:
        raise PaperInputError(
            "a slice does not divide by the stride of the deepest tap",
            where=f"{name}, slices: size_px",
            found=size_px,
            expected=f"a multiple of {deepest}",
        )
    maps, parameters = _measured(spec, names, size_px)
    levels = [
        Level(name=tap, channels=maps[tap].shape[1], size_px=maps[tap].shape[2], stride=size_px // maps[tap].shape[2])
        for tap in names
    ]
    return EncoderFacts(
        name=name,
        levels=tuple(levels),
        adain=levels[names.index(adain)],
        parameters_to_adain=_measured(spec, [adain], size_px)[1],
        parameters=parameters,
    )


def unet_levels(settings: UNetSettings, size_px: int) -> tuple[UNetLevel, ...]:
    """The levels of the U-Net from the top to the bottom, from a pass of one empty slice `size_px` x `size_px`.

    Raises UNetError where such a slice does not fit.
    """
    require_size(size_px, size_px, settings)
    network = build_unet(settings, seed=0).to("meta")  # shapes without numbers
    steps = list(unet_steps(network))
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def keep(module: nn.Module, _: tuple, out: Tensor) -> None:
        """Remember the shape of what a module gives out."""
        shapes[module] = tuple(out.shape)

    for module in (module for step in steps for module in step if module is not None):
        module.register_forward_hook(keep)
    network(torch.empty(1, 1, size_px, size_px, device="meta"))
    levels, above = [], size_px
    for number, (down, up) in enumerate(steps, start=1):
        _, channels, _, size = shapes[down]
        entered = Level(name=f"down {number}", channels=channels, size_px=size, stride=above // size)
        left = None
        if up is not None:
            _, channels, _, back = shapes[up]
            left = Level(name=f"up {number}", channels=channels, size_px=back, stride=back // size)
        levels.append(
            UNetLevel(down=entered, down_parameters=count(down), up=left, up_parameters=count(up) if up else 0)
        )
        above = size
    return tuple(levels)


def decoder_stages(tap: Level) -> tuple[tuple[Level, ...], ...]:
    """What each convolution of the tap's decoder gives out, grouped by the size of its maps, first to last."""
    outputs: list[Level] = []

    def keep(_: nn.Module, __: tuple, out: Tensor) -> None:
        """Remember what a convolution gives out."""
        size = out.shape[2]
        stride = tap.size_px * tap.stride // size
        outputs.append(
            Level(name=f"convolution {len(outputs) + 1}", channels=out.shape[1], size_px=size, stride=stride)
        )

    decoder = decoder_of(tap)
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(keep)
    decoder(torch.empty(1, tap.channels, tap.size_px, tap.size_px, device="meta"))
    sizes = dict.fromkeys(level.size_px for level in outputs)
    return tuple(tuple(level for level in outputs if level.size_px == size) for size in sizes)


def decoder_of(tap: Level) -> Decoder:
    """The tap's decoder, shapes without numbers."""
    with torch.device("meta"):
        return Decoder(stride=tap.stride, channels=tap.channels)


def _measured(spec: EncoderSpec, taps: Sequence[str], size_px: int) -> tuple[dict[str, Tensor], int]:
    """The maps (shapes only) of one slice at `taps`, and the parameters of the network up to the deepest of them."""
    network = cut(trunk(spec), spec, taps)
    maps = network(torch.empty(1, 3, size_px, size_px, device="meta"))
    return maps, count(network)


def count(module: nn.Module) -> int:
    """The number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
