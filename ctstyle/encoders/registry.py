"""The encoders of the comparison: which maps of which network are read, and the frozen network that reads them.

A `Tap` is data: its name, its stride (input pixels per position), its channels and the torchvision module whose output
it is. All taps are read after a ReLU (DenseNet after the transition's norm and ReLU, because the raw concatenation of a
block mixes scales), so every tap is non-negative. At one stride all six encoders of the paper have the same number of
channels at the AdaIN tap (256 at stride 4, 512 at stride 8), so one identical decoder fits all (method.md, 4).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from ctstyle.encoders.grey import fold_first_convolution
from ctstyle.errors import CTStyleError


class UnknownEncoder(CTStyleError):
    """An encoder or a tap that the registry does not hold."""


class WrongArchitecture(CTStyleError):
    """Weights whose names or shapes are not those of the encoder they are loaded into."""


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


@dataclass(frozen=True)
class EncoderSpec:
    """One encoder of the registry.

    `adain_tap` maps a stride to the tap that AdaIN works on; `content_taps` are the levels at strides 4 and 8,
    `deep_content_taps` those and stride 16 (only there do ResNet50 and 101 or the three DenseNets differ in depth);
    `style_taps` are the levels of the style loss. `discarded` are modules behind the deepest tap that are never built.
    """

    name: str
    taps: tuple[Tap, ...]
    adain_tap: Mapping[int, str]
    content_taps: tuple[str, ...]
    deep_content_taps: tuple[str, ...]
    style_taps: tuple[str, ...]
    constructor: Callable[..., nn.Module] = field(repr=False)
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


def _vgg(name: str, convolutions: tuple[int, ...]) -> EncoderSpec:
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
        taps=tuple(taps),
        adain_tap={4: "relu3_1", 8: "relu4_1", 16: "relu5_1"},
        content_taps=("relu3_2", "relu4_2"),
        deep_content_taps=("relu3_2", "relu4_2", "relu5_2"),
        style_taps=("relu1_1", "relu2_1", "relu3_1", "relu4_1"),
        constructor=getattr(torchvision.models, name),
        discarded=("avgpool", "classifier"),
    )


def _resnet(name: str) -> EncoderSpec:
    taps = (
        Tap("stem", 2, 64, "relu"),
        Tap("layer1", 4, 256, "layer1"),
        Tap("layer2", 8, 512, "layer2"),
        Tap("layer3", 16, 1024, "layer3"),
    )
    return EncoderSpec(
        name=name,
        taps=taps,
        adain_tap={4: "layer1", 8: "layer2", 16: "layer3"},
        content_taps=("layer1", "layer2"),
        deep_content_taps=("layer1", "layer2", "layer3"),
        style_taps=("stem", "layer1", "layer2", "layer3"),
        constructor=getattr(torchvision.models, name),
        discarded=("layer4", "avgpool", "fc"),
    )


def _densenet(name: str, block3_channels: int) -> EncoderSpec:
    taps = (
        Tap("stem", 2, 64, "features.relu0"),
        Tap("block1", 4, 256, "features.transition1.relu"),
        Tap("block2", 8, 512, "features.transition2.relu"),
        Tap("block3", 16, block3_channels, "features.transition3.relu"),
    )
    return EncoderSpec(
        name=name,
        taps=taps,
        adain_tap={4: "block1", 8: "block2", 16: "block3"},
        content_taps=("block1", "block2"),
        deep_content_taps=("block1", "block2", "block3"),
        style_taps=("stem", "block1", "block2", "block3"),
        constructor=getattr(torchvision.models, name),
        discarded=("features.denseblock4", "features.norm5", "classifier"),
    )


ENCODERS: dict[str, EncoderSpec] = {
    spec.name: spec
    for spec in (
        _vgg("vgg19", (2, 2, 4, 4, 4)),
        _vgg("vgg16", (2, 2, 3, 3, 3)),
        _resnet("resnet50"),
        _resnet("resnet101"),
        _densenet("densenet121", 1024),
        _densenet("densenet169", 1280),
        _densenet("densenet201", 1792),
    )
}
"""The six encoders of the paper and VGG16."""

PADDINGS = ("reflect", "zeros")

COMPARED = ("vgg19", "resnet50", "resnet101", "densenet121", "densenet169", "densenet201")
"""The six encoders of the paper's Figures 8 and 9."""


def encoder_spec(name: str) -> EncoderSpec:
    """The registry's entry for `name`; raises UnknownEncoder where there is none."""
    if name not in ENCODERS:
        raise UnknownEncoder("no such encoder", where="encoder", found=name, expected=" | ".join(ENCODERS))
    return ENCODERS[name]


def trunk(spec: EncoderSpec, constructor: Callable[..., nn.Module] | None = None) -> nn.Module:
    """The torchvision network up to its deepest tap, with storage still to be assigned (device "meta")."""
    with torch.device("meta"):
        network = (constructor or spec.constructor)(weights=None)
    for path in spec.discarded:
        parent, _, child = path.rpartition(".")
        setattr(network.get_submodule(parent), child, nn.Identity())
    return network


def parameters_to(spec: EncoderSpec, taps: Iterable[str]) -> int:
    """Parameters of the trunk up to the deepest of `taps`."""
    reader = create_feature_extractor(trunk(spec), return_nodes={spec.tap(tap).module: tap for tap in taps})
    return sum(parameter.numel() for parameter in reader.parameters())


class Encoder(nn.Module):
    """A frozen trunk that returns feature maps at taps; made by `build`.

    `encoder(x, taps)` takes `x` float `[B, 1, H, W]` in [0, 1] and returns `{tap: [B, channels, H/stride, W/stride]}`;
    nothing behind the deepest tap asked for is computed. Gradients flow to `x`, never to the weights, and batch norm
    always uses its stored statistics.
    """

    def __init__(self, spec: EncoderSpec, network: nn.Module, mean: Tensor, std: Tensor):
        super().__init__()
        self.spec = spec
        self.network = network
        self.register_buffer("mean", mean.reshape(1, 3, 1, 1).float())
        self.register_buffer("std", std.reshape(1, 3, 1, 1).float())
        self._takes_grey = fold_first_convolution(network, mean, std)
        self._readers: dict[frozenset[str], nn.Module] = {}
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> "Encoder":
        """Stay in evaluation mode, whatever mode the enclosing module is put in."""
        return super().train(False)

    def forward(self, x: Tensor, taps: Iterable[str]) -> dict[str, Tensor]:
        """Feature maps of `x` at `taps`, in the order of `taps`; raises UnknownEncoder for a tap it does not have."""
        names = tuple(taps)
        colour = x if self._takes_grey else (x.expand(-1, 3, -1, -1) - self.mean) / self.std
        maps = self._reader(frozenset(names))(colour)
        return {name: maps[name] for name in names}

    def _reader(self, names: frozenset[str]) -> nn.Module:
        """The trunk cut behind the deepest of `names`; it shares the trunk's leaf modules."""
        if names not in self._readers:
            nodes = {self.spec.tap(name).module: name for name in sorted(names)}
            self._readers[names] = create_feature_extractor(self.network, return_nodes=nodes)
        return self._readers[names]


def build(
    name: str, state_dict: Mapping[str, Tensor], *, padding: str = "reflect", taps: Iterable[str] | None = None
) -> Encoder:
    """The frozen encoder `name` with the weights of `state_dict`; with `taps` only what these need.

    `padding` reflect replaces the zero padding of every convolution, as the AdaIN reference does in its VGG: black CT
    air is far from the mean that zero stands for, so zero padding draws a bright frame into every map, which then
    fills the style statistics. `padding` zeros leaves torchvision's network as it is.

    `state_dict` has torchvision's keys; layers behind the deepest tap (heads, the last stage) are left out. The keys
    `preprocessing.mean` and `preprocessing.std` (3 values each) replace the registry's preprocessing where a file
    brings its own. Raises UnknownEncoder, CTStyleError for another padding, and WrongArchitecture where keys or shapes
    do not fit.
    """
    spec = encoder_spec(name)
    if padding not in PADDINGS:
        raise CTStyleError("no such padding", where="padding", found=padding, expected=" | ".join(PADDINGS))
    network = trunk(spec)
    if taps is not None:
        network = create_feature_extractor(network, return_nodes={spec.tap(tap).module: tap for tap in taps})
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and any(module.padding):
            module.padding_mode = padding
    expected = network.state_dict()
    state = {key: value for key, value in state_dict.items() if key in expected}
    optional = {key for key in expected if key.endswith("num_batches_tracked")}
    missing = sorted(expected.keys() - state.keys() - optional)
    if missing:
        raise WrongArchitecture(
            "these weights are of another architecture",
            where=name,
            found=f"{len(missing)} of {len(expected)} tensors missing, the first being {missing[0]}",
            expected=f"torchvision's {name}",
            fix="Name the encoder that the file was made for.",
        )
    for key, value in state.items():
        if value.shape != expected[key].shape:
            raise WrongArchitecture(
                "these weights are of another architecture",
                where=f"{name}, tensor {key}",
                found=f"shape {tuple(value.shape)}",
                expected=f"shape {tuple(expected[key].shape)}",
                fix="Name the encoder that the file was made for.",
            )
    # Copies: the caller's tensors must not change when the encoder moves to another device or memory format.
    network.load_state_dict({key: value.detach().clone() for key, value in state.items()}, strict=False, assign=True)
    preprocessing = spec.preprocessing
    mean = state_dict.get("preprocessing.mean", torch.tensor(preprocessing.mean))
    std = state_dict.get("preprocessing.std", torch.tensor(preprocessing.std))
    return Encoder(spec, network, mean, std)
