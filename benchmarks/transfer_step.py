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
from ctstyle.run.device import autocast, place
from ctstyle.study.comparison import VARIANCE_GUARD
from ctstyle.study.encoders import encoder_spec
from ctstyle.transfer.adain import restyle
from ctstyle.transfer.decoder import Decoder
from ctstyle.transfer.features import FeatureCache
from ctstyle.transfer.losses import style_loss

SIZES = (64, 96, 128, 256)
BATCH = 8
CPU = torch.device("cpu")
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


def public_statistics(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Channel mean and deviation `[B, C, 1, 1]` as the ports take them."""
    flat = maps.flatten(2)
    return tuple(part[..., None, None] for part in (flat.mean(2), (flat.var(2, correction=0) + VARIANCE_GUARD).sqrt()))


class PublicStep:
    """The step of the public ports: everything anew, three channels."""

    def __init__(
        self,
        state: dict[str, Tensor],
        decoder: Decoder,
        content: np.ndarray,
        style: np.ndarray,
        device: torch.device = CPU,
    ):
        features = build("vgg19", state).network.features
        first = nn.Conv2d(3, 64, 3, padding=1, padding_mode="reflect")
        first.weight, first.bias = features[0].weight, features[0].bias
        layers = [first, *list(features)[1:21]]
        self.stages = [nn.Sequential(*layers[a:b]).to(device) for a, b in ((0, 2), (2, 7), (7, 12), (12, 21))]
        last = decoder.layers[-1]
        wide = nn.Conv2d(last.in_channels, 3, 3, padding=1, padding_mode="reflect")
        with torch.no_grad():
            wide.weight.copy_(last.weight.expand(3, -1, -1, -1)), wide.bias.copy_(last.bias.expand(3))
        self.decoder = nn.Sequential(*list(decoder.layers)[:-1], wide).to(device)
        self.optimiser = torch.optim.Adam(self.decoder.parameters(), lr=1e-4)
        self.mean, self.std = (torch.tensor(values, device=device).reshape(1, 3, 1, 1) for values in PREPROCESSING)
        slices = (torch.from_numpy(each)[:, None].to(device) for each in (content, style))
        self.content, self.style = (each.expand(-1, 3, -1, -1) for each in slices)

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
        mean, deviation = public_statistics(style[-1])
        own_mean, own_deviation = public_statistics(content)
        target = (content - own_mean) / own_deviation * deviation + mean
        made = self.encode(self.decoder(target))
        loss = F.mse_loss(made[-1], target)
        for one, other in zip(made, style):
            for own, wanted in zip(public_statistics(one), public_statistics(other)):
                loss = loss + STYLE_WEIGHT * F.mse_loss(own, wanted)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return float(loss.detach())


PREPROCESSING = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class OurStep:
    """The step of `ctstyle.transfer.train`: cached maps and statistics, one channel, doubling inside convolutions."""

    def __init__(
        self,
        state: dict[str, Tensor],
        decoder: Decoder,
        content: np.ndarray,
        style: np.ndarray,
        device: torch.device = CPU,
    ):
        self.encoder: Encoder = place(build("vgg19", state), device)
        scales = dict.fromkeys(STYLE_TAPS, 1.0)
        self.contents = FeatureCache(self.encoder, content, scales=scales)
        self.styles = FeatureCache(self.encoder, style, scales=scales, limit_bytes=0)
        self.decoder, self.indices, self.device = place(decoder, device), range(BATCH), device
        # a capturable optimiser keeps its step count on the card, as a CUDA graph needs
        self.optimiser = torch.optim.Adam(decoder.parameters(), lr=1e-4, capturable=device.type == "cuda", fused=True)

    def material(self) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
        """AdaIN's target and the wanted statistics, from what is cached."""
        wanted = self.styles.statistics(self.indices, STYLE_TAPS)
        return restyle(
            self.contents.maps(self.indices, STYLE_TAPS[-1:])[STYLE_TAPS[-1]], *wanted[STYLE_TAPS[-1]]
        ), wanted

    def descend(self, target: Tensor, wanted: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
        """Forward, backward and Adam's step; the loss stays on the device."""
        with autocast(self.device):
            made = self.encoder(self.decoder(target), STYLE_TAPS)
        made = {tap: maps.float() for tap, maps in made.items()}
        loss = F.mse_loss(made[STYLE_TAPS[-1]], target)
        loss = loss + STYLE_WEIGHT * style_loss(made, wanted, dict.fromkeys(STYLE_TAPS, 1.0))
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.detach()

    def __call__(self) -> float:
        """One step; returns its loss."""
        return float(self.descend(*self.material()))


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
