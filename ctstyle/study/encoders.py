"""The encoders of the comparison: which maps of which network are read. Data alone, without torch.

A `Tap` is its name, its stride (input pixels per position), its channels and the torchvision module whose output
it is. All taps are read after a ReLU (DenseNet after the transition's norm and ReLU, because the raw concatenation of a
block mixes scales), so every tap is non-negative. At one stride all six encoders of the paper have the same number of
channels at the AdaIN tap (256 at stride 4, 512 at stride 8), so one identical decoder fits all (method.md, 4).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ctstyle.errors import CTStyleError


class UnknownEncoder(CTStyleError):
    """An encoder or a tap that the registry does not hold."""


@dataclass(frozen=True)
class Tap:
    """One place where feature maps are read: `stride` in input pixels, `module` as torchvision's path."""

    name: str
    stride: int
    channels: int
    module: str


@dataclass(frozen=True)
class Preprocessing:
    """Per-channel (R, G, B) mean and standard deviation that the input in [0, 1] is normalised with."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


IMAGENET = Preprocessing()
"""torchvision's normalisation for all its ImageNet weights."""


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """One encoder of the registry; `name` is torchvision's, `label` what tables call it.

    `imagenet` is torchvision's file of ImageNet weights, whose name ends in the first digits of its SHA-256; `sha256`
    are all of them, where somebody has published them. `adain_tap` maps a stride to the tap that AdaIN works on.
    `content_taps` are the levels at strides 4 and 8, `deep_content_taps` those and stride 16 (only there do ResNet50
    and 101 or the three DenseNets differ in depth), `style_taps` the levels of the style loss. `discarded` are modules
    behind the deepest tap that are never built.
    """

    name: str
    label: str
    imagenet: str
    sha256: str = ""
    taps: tuple[Tap, ...]
    adain_tap: Mapping[int, str]
    content_taps: tuple[str, ...]
    deep_content_taps: tuple[str, ...]
    style_taps: tuple[str, ...]
    discarded: tuple[str, ...] = ()
    preprocessing: Preprocessing = IMAGENET

    def tap(self, name: str) -> Tap:
        """The tap of that name; raises UnknownEncoder where there is none."""
        for tap in self.taps:
            if tap.name == name:
                return tap
        raise UnknownEncoder(
            "no such tap", where=self.name, found=name, expected=" | ".join(tap.name for tap in self.taps)
        )


def _vgg(name: str, convolutions: tuple[int, ...], **about: Any) -> EncoderSpec:
    """VGG: every ReLU is a tap, named as in Gatys et al.; a block is `convolutions` times (conv, ReLU), then a pool."""
    taps, index = [], 0
    for block, count in enumerate(convolutions):
        for convolution in range(count):
            channels = min(64 * 2**block, 512)
            taps.append(Tap(f"relu{block + 1}_{convolution + 1}", 2**block, channels, f"features.{index + 1}"))
            index += 2
        index += 1
    return EncoderSpec(
        name=name,
        **about,
        taps=tuple(taps),
        adain_tap={4: "relu3_1", 8: "relu4_1", 16: "relu5_1"},
        content_taps=("relu3_2", "relu4_2"),
        deep_content_taps=("relu3_2", "relu4_2", "relu5_2"),
        style_taps=("relu1_1", "relu2_1", "relu3_1", "relu4_1"),
        discarded=("avgpool", "classifier"),
    )


def _resnet(name: str, **about: Any) -> EncoderSpec:
    taps = (
        Tap("stem", 2, 64, "relu"),
        Tap("layer1", 4, 256, "layer1"),
        Tap("layer2", 8, 512, "layer2"),
        Tap("layer3", 16, 1024, "layer3"),
    )
    return EncoderSpec(
        name=name,
        **about,
        taps=taps,
        adain_tap={4: "layer1", 8: "layer2", 16: "layer3"},
        content_taps=("layer1", "layer2"),
        deep_content_taps=("layer1", "layer2", "layer3"),
        style_taps=("stem", "layer1", "layer2", "layer3"),
        discarded=("layer4", "avgpool", "fc"),
    )


def _densenet(name: str, block3_channels: int, **about: Any) -> EncoderSpec:
    taps = (
        Tap("stem", 2, 64, "features.relu0"),
        Tap("block1", 4, 256, "features.transition1.relu"),
        Tap("block2", 8, 512, "features.transition2.relu"),
        Tap("block3", 16, block3_channels, "features.transition3.relu"),
    )
    return EncoderSpec(
        name=name,
        **about,
        taps=taps,
        adain_tap={4: "block1", 8: "block2", 16: "block3"},
        content_taps=("block1", "block2"),
        deep_content_taps=("block1", "block2", "block3"),
        style_taps=("stem", "block1", "block2", "block3"),
        discarded=("features.denseblock4", "features.norm5", "classifier"),
    )


ENCODERS: dict[str, EncoderSpec] = {
    spec.name: spec
    for spec in (
        _vgg(
            "vgg19",
            (2, 2, 4, 4, 4),
            label="VGG19",
            imagenet="vgg19-dcbb9e9d.pth",
            sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        ),
        _vgg(
            "vgg16",
            (2, 2, 3, 3, 3),
            label="VGG16",
            imagenet="vgg16-397923af.pth",
            sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        ),
        _resnet(
            "resnet50",
            label="ResNet50",
            imagenet="resnet50-0676ba61.pth",
            sha256="0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
        ),
        _resnet(
            "resnet101",
            label="ResNet101",
            imagenet="resnet101-63fe2227.pth",
            sha256="63fe2227b86e8f1f2063f43a75c84d195911b6a0eace650907dd3dc62dd49a0a",
        ),
        _densenet(
            "densenet121",
            1024,
            label="DenseNet121",
            imagenet="densenet121-a639ec97.pth",
            sha256="a639ec97d7c33b07ae66f0b5fb7d0192f95a3b11b7576c66c0126c2a727c4395",
        ),
        _densenet("densenet169", 1280, label="DenseNet169", imagenet="densenet169-b2777c0a.pth"),
        _densenet("densenet201", 1792, label="DenseNet201", imagenet="densenet201-c1103571.pth"),
    )
}
"""The six encoders of the paper and VGG16."""

COMPARED = ("vgg19", "resnet50", "resnet101", "densenet121", "densenet169", "densenet201")
"""The six encoders of the paper's Figures 8 and 9."""


def encoder_spec(name: str) -> EncoderSpec:
    """The registry's entry for `name`; raises UnknownEncoder where there is none."""
    if name not in ENCODERS:
        raise UnknownEncoder("no such encoder", where="encoder", found=name, expected=" | ".join(ENCODERS))
    return ENCODERS[name]
