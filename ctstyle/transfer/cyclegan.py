"""CycleGAN (Zhu, Park, Isola, Efros 2017): an adversarial rival without pairs and without a style input.

For each target style two generators, from the source style and back, and a discriminator for each side. The losses see
whole slices, as the reference's do; no encoder takes part.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctstyle.encoders.network import Encoder
from ctstyle.errors import CTStyleError
from ctstyle.run.checkpoint import Checkpoint
from ctstyle.run.device import autocast
from ctstyle.run.fit import descend, fit, in_parts
from ctstyle.run.job import Run
from ctstyle.slices.run import SOURCE, open_run
from ctstyle.slices.window import Window
from ctstyle.study.networks import CycleGANSettings, DiscriminatorSettings, GeneratorSettings
from ctstyle.study.settings import build
from ctstyle.transfer.features import Material
from ctstyle.transfer.generator import NetworkPerStyle

DEVIATION = 0.02
"""Of the normal distribution that all convolutions are drawn from (the reference)."""


class ResNetGenerator(nn.Module):
    """Maps slices `[B, in_channels, H, W]` in [0, 1] to `[B, out_channels, H, W]` in [0, 1]; H and W multiples of 4.

    c7s1-k, d2k, d4k, R4k ..., u2k, uk, c7s1-1 with reflection padding, instance norm and ReLU, tanh at the end. On the
    way up the maps are doubled (nearest) and convolved in place of the reference's transposed convolution, with as many
    parameters: in a short training that draws a checkerboard (Odena et al. 2016).
    """

    def __init__(self, settings: GeneratorSettings, *, in_channels: int = 1, out_channels: int = 1):
        super().__init__()
        self.settings, width = settings, settings.channels
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(in_channels, width, 7), *_normed(width)]
        for k in (width, 2 * width):
            layers += [nn.Conv2d(k, 2 * k, 3, stride=2, padding=1), *_normed(2 * k)]
        layers += [_Block(4 * width) for _ in range(settings.blocks)]
        for k in (4 * width, 2 * width):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(k, k // 2, 3, padding=1), *_normed(k // 2)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, slices: Tensor) -> Tensor:
        """The transformed slices; raises CTStyleError for sides that cannot be halved twice."""
        if slices.shape[2] % 4 or slices.shape[3] % 4 or min(slices.shape[2:]) < 8:
            raise CTStyleError(
                "slices of this size cannot be halved twice and doubled again",
                where="CycleGAN",
                found=f"{slices.shape[2]} x {slices.shape[3]} px",
                expected="multiples of 4, at least 8",
            )
        return (self.layers(2 * slices - 1) + 1) / 2


class PatchDiscriminator(nn.Module):
    """One number for each patch of slices `[B, in_channels, H, W]`: near 1 for real, near 0 for generated ones.

    4x4 convolutions with leaky ReLU 0.2 (`layers` of stride 2, doubling the channels up to eightfold, then two of
    stride 1), instance norm in all but the first and the last (PatchGAN, Isola et al. 2017).
    """

    def __init__(self, settings: DiscriminatorSettings, *, in_channels: int = 1):
        super().__init__()
        widths = [settings.channels * min(2**n, 8) for n in range(settings.layers + 1)]
        layers: list[nn.Module] = [nn.Conv2d(in_channels, widths[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for n, (k, wider) in enumerate(pairwise(widths), start=1):
            stride = 2 if n < settings.layers else 1
            layers += [nn.Conv2d(k, wider, 4, stride=stride, padding=1), nn.InstanceNorm2d(wider), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, padding=1))

    def forward(self, slices: Tensor) -> Tensor:
        """Scores `[B, 1, h, w]`, not bounded."""
        return self.layers(2 * slices - 1)


def draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Fill a network anew, in place: normal weights with DEVIATION, biases zero (the reference).

    The numbers are the CPU's, whatever the network's device.
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.copy_(DEVIATION * torch.randn(module.weight.shape, generator=generator))
                module.bias.zero_()


def adversarial_loss(scores: Tensor, real: bool) -> Tensor:
    """Least-squares loss of a discriminator's scores (Mao et al. 2017): mean of (score - 1)^2, or of score^2."""
    return F.mse_loss(scores, torch.full_like(scores, float(real)))


class _Block(nn.Module):
    """x + conv(relu(conv(x))), reflection padding, instance norm after both convolutions."""

    def __init__(self, width: int):
        super().__init__()
        first = (nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), *_normed(width))
        self.layers = nn.Sequential(*first, nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape."""
        return maps + self.layers(maps)


def _normed(width: int) -> tuple[nn.Module, ...]:
    return nn.InstanceNorm2d(width), nn.ReLU()


BETAS = (0.5, 0.999)
"""Of Adam (the reference)."""


class CycleGAN(NetworkPerStyle):
    """The trained generators from the source style, one for each target style.

    The way back and the discriminators are needed for the training alone and are not kept: the file has 45 MB a style
    at the reference's size.
    """

    kind = "cyclegan"
    method = "CycleGAN"

    def about(self) -> dict[str, Any]:
        """The settings of the generators."""
        return {"generator": dataclasses.asdict(self.networks[0].settings)}

    @classmethod
    def rebuilt(cls, kept: Mapping[str, Any], encoder: Encoder) -> "CycleGAN":
        """A model with untrained generators as the metadata of a file describe them."""
        settings = GeneratorSettings(**kept["generator"])
        return cls({name: ResNetGenerator(settings) for name in kept["styles"]})


class ImagePool:
    """The history of generated slices that a discriminator learns from (Shrivastava et al. 2017).

    Until it holds `size` slices it keeps each and hands it on. Then it hands on the new slice or, half of the time, one
    that it kept, which the new one replaces. Size 0 keeps nothing.
    """

    def __init__(self, size: int):
        self.size = size
        self.kept: list[Tensor] = []

    def exchange(self, slices: Tensor, rng: np.random.Generator) -> Tensor:
        """As many slices as `slices` `[B, 1, H, W]`, new and old ones, detached."""
        handed = []
        for one in slices.detach():
            if len(self.kept) < self.size:
                self.kept.append(one.clone())
            elif self.size and rng.random() < 0.5:
                place = int(rng.integers(self.size))
                one, self.kept[place] = self.kept[place].to(one.device), one.clone()
            handed.append(one)
        return torch.stack(handed)

    def state_dict(self) -> dict[str, list[Tensor]]:
        """The kept slices, for a checkpoint."""
        return {"kept": list(self.kept)}

    def load_state_dict(self, state: Mapping[str, list[Tensor]]) -> None:
        """Take over the kept slices of a checkpoint."""
        self.kept = list(state["kept"])


def rate_factor(step: int, steps: int, constant_share: float) -> float:
    """What the learning rate is multiplied by in step `step` (from 0) of `steps`: 1, then linearly down to zero.

    With c constant steps it is 1 - (step + 1 - c) / (steps - c + 1) after them, so that no step has a rate of zero.
    """
    constant = round(constant_share * steps)
    return 1 - max(0, step + 1 - constant) / (steps - constant + 1)


def train_cyclegan(
    settings: CycleGANSettings,
    material: Material,
    *,
    targets: Sequence[str],
    seed: int,
    device: torch.device | None = None,
    checkpoint: Checkpoint | None = None,
    log_every: int = 20,
) -> tuple[CycleGAN, pd.DataFrame]:
    """Train a CycleGAN between the source style and each style of `targets`, one after the other; the CPU by default.

    X are the content slices of `material`, Y its style slices of the target style, drawn apart. Returns the model and
    the history (`stage`, the style, `step` within it, `loss` of the generators and its parts `adversarial`, `cycle`,
    `identity` before their weights, and `discriminators`). All styles are one training with one state file. Raises
    CTStyleError for slices or settings that do not fit, TrainingDiverged where a loss is not finite.
    """
    material.check(targets=targets)
    device = device or torch.device("cpu")
    names = np.asarray(material.style_names)
    groups = [np.flatnonzero(names == name) for name in targets]
    finished = nn.ModuleList(ResNetGenerator(settings.generator) for _ in targets).to(device)
    pair = _Pair(settings, device)

    def step(i: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """One step of the generators and one of the discriminators of the style whose turn it is."""
        turn, place = divmod(i, settings.steps)
        if place == 0:
            pair.begin(seed)
        pair.set_rate(settings.learning_rate * rate_factor(place, settings.steps, settings.constant_share))
        x = _images(material.content, rng.integers(len(material.content), size=settings.batch), device)
        y = _images(material.style, rng.choice(groups[turn], size=settings.batch), device)
        losses = pair.descend(x, y, rng)
        if place == settings.steps - 1:
            finished[turn].load_state_dict(pair.networks["to_y"].state_dict())
        return losses

    history = fit(
        step,
        parts={"finished": finished, **pair.parts()},
        steps=settings.steps * len(targets),
        seed=seed,
        name="CycleGAN",
        checkpoint=checkpoint,
        log_every=log_every,
    )
    history["step"] = [*range(1, settings.steps + 1)] * len(targets)
    history.insert(0, "stage", np.repeat(list(targets), settings.steps))
    return CycleGAN(dict(zip(targets, finished))).eval(), history


class _Pair:
    """What is trained for one target style: two generators, two discriminators, their optimisers, two pools."""

    def __init__(self, settings: CycleGANSettings, device: torch.device):
        self.settings, self.device = settings, device
        self.accumulate = settings.accumulate
        self.networks = nn.ModuleDict(
            {
                "to_y": ResNetGenerator(settings.generator),
                "to_x": ResNetGenerator(settings.generator),
                "judge_y": PatchDiscriminator(settings.discriminator),
                "judge_x": PatchDiscriminator(settings.discriminator),
            }
        ).to(device)
        self.to_y, self.to_x, self.judge_y, self.judge_x = self.networks.values()
        self.judges = nn.ModuleList([self.judge_y, self.judge_x])
        self.optimisers = {
            name: torch.optim.Adam(chain(*(network.parameters() for network in of)), betas=BETAS, fused=True)
            for name, of in (("generators", (self.to_y, self.to_x)), ("discriminators", self.judges))
        }
        self.pools = {name: ImagePool(settings.pool) for name in ("made_y", "made_x")}

    def parts(self) -> dict[str, Any]:
        """All that a resumed training needs."""
        return {"networks": self.networks, **self.optimisers, **self.pools}

    def begin(self, seed: int) -> None:
        """Begin anew, as for every target style: weights from `seed`, optimisers and pools empty."""
        draw_weights(self.networks, torch.Generator().manual_seed(seed))
        for optimiser in self.optimisers.values():
            optimiser.state.clear()
        for pool in self.pools.values():
            pool.kept.clear()

    def set_rate(self, rate: float) -> None:
        """The learning rate of the next step."""
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = rate

    def descend(self, x: Tensor, y: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
        """One step down for the generators, then for the discriminators on what the pools hand on; the losses."""
        self.judges.requires_grad_(False)
        with autocast(self.device):
            made = _floats(in_parts(self._generate, self.accumulate, x, y))
        adversarial = adversarial_loss(made["score_y"], True) + adversarial_loss(made["score_x"], True)
        cycle = F.l1_loss(made["again_x"], x) + F.l1_loss(made["again_y"], y)
        losses = {"adversarial": adversarial, "cycle": cycle}
        loss = adversarial + self.settings.cycle_weight * cycle
        if self.settings.identity_weight:
            losses["identity"] = F.l1_loss(made["same_y"], y) + F.l1_loss(made["same_x"], x)
            loss = loss + self.settings.identity_weight * losses["identity"]
        descend(loss, self.optimisers["generators"])
        old_y, old_x = (pool.exchange(made[name], rng) for name, pool in self.pools.items())
        self.judges.requires_grad_(True)
        with autocast(self.device):
            scores = _floats(in_parts(self._judge, self.accumulate, y, x, old_y, old_x))
        judging = discriminator_loss(scores)
        descend(judging, self.optimisers["discriminators"])
        return {"loss": loss, **losses, "discriminators": judging}

    def _generate(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """All that the generators make of slices of both sides, and the scores of it."""
        made_y, made_x = self.to_y(x), self.to_x(y)
        same = {"same_y": self.to_y(y), "same_x": self.to_x(x)} if self.settings.identity_weight else {}
        again = {"again_x": self.to_x(made_y), "again_y": self.to_y(made_x)}
        scores = {"score_y": self.judge_y(made_y), "score_x": self.judge_x(made_x)}
        return {"made_y": made_y, "made_x": made_x, **again, **scores, **same}

    def _judge(self, real_y: Tensor, real_x: Tensor, old_y: Tensor, old_x: Tensor) -> dict[str, Tensor]:
        """Scores of real and generated slices on both sides."""
        real = {"real_y": self.judge_y(real_y), "real_x": self.judge_x(real_x)}
        return {**real, "old_y": self.judge_y(old_y), "old_x": self.judge_x(old_x)}


def discriminator_loss(scores: Mapping[str, Tensor]) -> Tensor:
    """Half of (D(real) - 1)^2 + D(generated)^2, summed over both sides (`real_y`, `old_y`, `real_x`, `old_x`)."""
    sides = [
        adversarial_loss(scores[f"real_{side}"], True) + adversarial_loss(scores[f"old_{side}"], False) for side in "yx"
    ]
    return 0.5 * (sides[0] + sides[1])


def _floats(maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: values.float() for name, values in maps.items()}


def _images(slices: np.ndarray, chosen: np.ndarray, device: torch.device) -> Tensor:
    """Chosen slices as `[B, 1, H, W]`."""
    return torch.from_numpy(np.ascontiguousarray(slices[chosen], dtype=np.float32))[:, None].to(device)


def train_model(run: Run) -> tuple[CycleGAN, dict[str, Any], pd.DataFrame]:
    """The networks of all target styles, what their file says of them, and the history; for a job."""
    material = Material.of(open_run(run.input.slices, run.input.split), Window(*run.params.window_hu))
    model, history = train_cyclegan(
        build(CycleGANSettings, run.params.settings),
        material,
        targets=sorted(set(material.style_names) - {SOURCE}),
        seed=run.seed,
        device=run.device,
        checkpoint=run.checkpoint,
    )
    return model, {"model": "cyclegan"}, history
