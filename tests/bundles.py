"""Generator bundles without a training: one with random weights, and one whose AdaIN works on the pixels themselves."""

import torch
from torch import Tensor, nn

from ctstyle.encoders.network import build
from ctstyle.encoders.weights import random
from ctstyle.run.device import place
from ctstyle.run.fit import he_initialise
from ctstyle.study.data import SliceSettings
from ctstyle.transfer.bundle import Bundle, Style
from ctstyle.transfer.decoder import Decoder
from ctstyle.transfer.generator import Generator

SETTINGS = SliceSettings(size_px=48, spacing_mm=3.0, crop="body", grey_values="as_display")


def random_generator(name: str = "vgg16", tap: str = "relu3_1") -> Generator:
    """Untrained weights of encoder `name`, and a decoder of stride 4 that paints around mid grey."""
    encoder = build(name, random(name, seed=0).state)
    decoder = Decoder(stride=4, channels=256)
    he_initialise(decoder, seed=1)
    with torch.no_grad():
        decoder.layers[-1].weight *= 0.1
        decoder.layers[-1].bias += 0.5
    generator = Generator(encoder, decoder, adain_tap=tap, scale=0.8, statistics="body").eval()
    return place(generator, torch.device("cpu"))


def random_bundle(settings: SliceSettings = SETTINGS) -> Bundle:
    """A random generator with two styles, `s1` (standard) and `s2` (sharp)."""
    drawn = torch.Generator().manual_seed(3)
    styles = {
        name: Style(name, hint, 7, *(torch.rand(1, 256, generator=drawn) for _ in range(2)))
        for name, hint in (("s1", "standard"), ("s2", "sharp"))
    }
    weights = {"weights": "random", "true_name": "vgg16, untrained", "source": "made here", "licence": "none needed"}
    return Bundle(random_generator(), settings, styles, "ours", weights)


class _Pixels(nn.Module):
    """An encoder whose only map is the slice itself."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(1))

    def forward(self, x: Tensor, taps) -> dict[str, Tensor]:
        """The slices `[B, 1, H, W]` as maps of stride 1."""
        return {tap: x for tap in taps}


def pixel_bundle(settings: SliceSettings = SETTINGS, decoder: nn.Module | None = None) -> Bundle:
    """AdaIN on grey values: with D the identity, a style that is an affine image of the content is met exactly."""
    generator = Generator(_Pixels(), decoder or nn.Identity(), adain_tap="pixels", scale=1.0, statistics="body")
    return Bundle(generator.eval(), settings, {}, "ours", {"true_name": "none"})
