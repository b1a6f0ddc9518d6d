"""A training step of the style transfer beside the common public PyTorch AdaIN step.

    python -m benchmarks.transfer_step [ROUNDS]

The public ports encode content and style anew in each step, as three channels, and decode by nearest up-sampling and
3x3 convolution. Both sides have the same VGG19 (random weights), decoder (stride 8), slices and losses: MSE to the
AdaIN target and to mean and deviation at four levels. One thread, CPU seconds in turn.
"""

import copy
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.side_by_side import interleave, machine, ratios, spread, table
from ctstyle.encoders.network import Encoder, build, trunk
from ctstyle.encoders.registry import encoder_spec
from ctstyle.transfer.adain import channel_statistics, restyle
from ctstyle.transfer.decoder import Decoder
from ctstyle.transfer.features import FeatureCache
from ctstyle.transfer.losses import style_loss

SIZES = (64, 96, 128, 256)
BATCH = 8
SLICES = 8
STYLE_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
STYLE_WEIGHT = 10.0
ROUNDS = 5


def vgg19_state() -> dict[str, Tensor]:
    """Random weights of VGG19, the same every time."""
    network = trunk(encoder_spec("vgg19"))
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, value in network.state_dict().items():
        fan = max(value[0].numel(), 1)
        state[name] = torch.randn(value.shape, generator=generator) * (2 / fan) ** 0.5 if value.ndim > 1 else value * 0
        state[name] = torch.zeros(value.shape) if value.ndim == 1 else state[name]
    return state


class PublicStep:
    """The step of the public ports: everything anew, three channels."""

    def __init__(self, state: dict[str, Tensor], decoder: Decoder, content: np.ndarray, style: np.ndarray):
        features = build("vgg19", state).network.features
        first = nn.Conv2d(3, 64, 3, padding=1, padding_mode="reflect")
        first.weight, first.bias = features[0].weight, features[0].bias
        layers = [first, *list(features)[1:21]]
        self.stages = [nn.Sequential(*layers[a:b]) for a, b in ((0, 2), (2, 7), (7, 12), (12, 21))]
        last = decoder.layers[-1]
        wide = nn.Conv2d(last.in_channels, 3, 3, padding=1, padding_mode="reflect")
        with torch.no_grad():
            wide.weight.copy_(last.weight.expand(3, -1, -1, -1)), wide.bias.copy_(last.bias.expand(3))
        self.decoder = nn.Sequential(*list(decoder.layers)[:-1], wide)
        self.optimiser = torch.optim.Adam(self.decoder.parameters(), lr=1e-4)
        self.mean, self.std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in PREPROCESSING)
        self.content, self.style = (torch.from_numpy(each)[:, None].expand(-1, 3, -1, -1) for each in (content, style))

    def encode(self, images: Tensor) -> list[Tensor]:
        """Maps at the four levels."""
        maps, found = (images - self.mean) / self.std, []
        for stage in self.stages:
            maps = stage(maps)
            found.append(maps)
        return found

    def __call__(self) -> float:
        """One step; returns its loss."""
        style, content = self.encode(self.style), self.encode(self.content)[-1]
        target = restyle(content, *channel_statistics(style[-1]))
        made = self.encode(self.decoder(target))
        loss = F.mse_loss(made[-1], target)
        for one, other in zip(made, style):
            for own, wanted in zip(channel_statistics(one), channel_statistics(other)):
                loss = loss + STYLE_WEIGHT * F.mse_loss(own, wanted)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return float(loss.detach())


PREPROCESSING = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class OurStep:
    """The step of `ctstyle.transfer.train`: cached maps and statistics, one channel, doubling inside convolutions."""

    def __init__(self, state: dict[str, Tensor], decoder: Decoder, content: np.ndarray, style: np.ndarray):
        self.encoder: Encoder = build("vgg19", state)
        scales = dict.fromkeys(STYLE_TAPS, 1.0)
        self.contents = FeatureCache(self.encoder, content, scales=scales)
        self.styles = FeatureCache(self.encoder, style, scales=scales, limit_bytes=0)
        self.decoder, self.indices = decoder, range(BATCH)
        self.optimiser = torch.optim.Adam(decoder.parameters(), lr=1e-4)

    def __call__(self) -> float:
        """One step; returns its loss."""
        wanted = self.styles.statistics(self.indices, STYLE_TAPS)
        tap = STYLE_TAPS[-1]
        target = restyle(self.contents.maps(self.indices, (tap,))[tap], *wanted[tap])
        made = self.encoder(self.decoder(target), STYLE_TAPS)
        loss = F.mse_loss(made[tap], target)
        loss = loss + STYLE_WEIGHT * style_loss(made, wanted, dict.fromkeys(STYLE_TAPS, 1.0))
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return float(loss.detach())


def main(rounds: int) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print(f"{machine()}; batch {BATCH}, {rounds} rounds in turn, process time; minimum / median / maximum.\n")
    state, rows = vgg19_state(), []
    for size in SIZES:
        rng = np.random.default_rng(size)
        content, style = (rng.random((SLICES, size, size), dtype=np.float32) for _ in range(2))
        torch.manual_seed(0)
        decoder = Decoder(stride=8, channels=512)
        public, ours = (kind(state, copy.deepcopy(decoder), content, style) for kind in (PublicStep, OurStep))
        apart = abs(ours() / public() - 1)
        took = interleave({"ours": ours, "public": public}, rounds)
        rows.append(
            [
                f"{size} px",
                *(f"{sorted(took[name])[rounds // 2]:.2f}" for name in ("ours", "public")),
                spread(ratios(took, "ours", "public")),
                f"{apart:.0e}",
            ]
        )
    print(table(["slices", "ours, s", "public, s", "times as fast", "relative difference of the first loss"], rows))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
