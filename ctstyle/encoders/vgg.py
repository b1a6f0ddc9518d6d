"""VGG's convolutions in torch alone (Simonyan and Zisserman 2015), because importing torchvision takes seconds."""

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from ctstyle.study.encoders import EncoderSpec


class VGG(nn.Module):
    """A VGG with torchvision's keys; made by `vgg`. `taps` are the names of the layers it is read behind, by number.

    A pass takes `x` `[B, 3, H, W]` (`[B, 1, H, W]` once its first convolution is folded) and returns
    `{tap: [B, channels, H/stride, W/stride]}` for all of `taps`.
    """

    def __init__(self, features: nn.Sequential, taps: Mapping[int, str]):
        super().__init__()
        self.features = features
        self.taps = dict(taps)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """The maps at all taps."""
        maps = {}
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.taps:
                maps[self.taps[number]] = x
        return maps

    def cut(self, taps: Iterable[str]) -> "VGG":
        """The network up to the deepest of `taps`, read at these; it shares the layers. ValueError for one it lacks."""
        asked = set(taps)
        if lacking := asked.difference(self.taps.values()):
            raise ValueError(f"this VGG was cut before {', '.join(sorted(lacking))}")
        read = {number: tap for number, tap in self.taps.items() if tap in asked}
        return VGG(self.features[: max(read) + 1], read)


def vgg(spec: EncoderSpec, *, batch_norm: bool = False) -> VGG:
    """The VGG of `spec` up to its last ReLU, read at every tap; with `batch_norm` torchvision's form `_bn` of it."""
    layers: list[nn.Module] = []
    taps = {}
    channels, stride = 3, 1
    for tap in spec.taps:
        if tap.stride > stride:
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        layers.append(nn.Conv2d(channels, tap.channels, kernel_size=3, padding=1))
        if batch_norm:
            layers.append(nn.BatchNorm2d(tap.channels))
        taps[len(layers)] = tap.name
        layers.append(nn.ReLU(inplace=True))
        channels, stride = tap.channels, tap.stride
    return VGG(nn.Sequential(*layers), taps)
