"""`domain` weights: an encoder trained on this run's own training slices, where no pretrained weights can be had.

The task is anatomy: the nearest vertebral level and a rotation by 0, 90, 180 or 270 degrees (Gidaris et al. 2018). The
grey-scale style is never a target, and a random grey-scale curve per slice takes it away as a cue. Every encoder gets
the same data, steps and batch.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ctstyle.encoders.network import cut, trunk
from ctstyle.encoders.weights import Weights
from ctstyle.errors import CTStyleError
from ctstyle.run.checkpoint import Checkpoint
from ctstyle.run.fit import descend, fit, he_initialise
from ctstyle.run.tensors import state_digest
from ctstyle.study.encoders import IMAGENET, EncoderSpec, encoder_spec
from ctstyle.study.networks import DomainSettings

NO_LEVEL = 0
"""The level of a slice without a vertebra near; it counts for the rotation alone."""


@dataclass(frozen=True)
class LevelledSlices:
    """Slices float32 `[n, H, W]` in [0, 1] and the label id of the nearest vertebra of each (0: none)."""

    slices: np.ndarray
    levels: np.ndarray


class TooFewLevels(CTStyleError):
    """Training slices that leave nothing to classify."""


def train_domain(
    name: str,
    training: LevelledSlices,
    validation: LevelledSlices,
    settings: DomainSettings,
    *,
    seed: int,
    device: torch.device | None = None,
    checkpoint: Checkpoint | None = None,
) -> tuple[Weights, pd.DataFrame]:
    """Train encoder `name` on `training` (training patients) and score it on `validation` (other patients).

    VGG is trained with batch norm, which is then folded into its convolutions exactly. Returns the weights and the
    history (`step, loss, level, rotation`). `Weights.heldout_accuracy` holds `level`, `rotation` (all four rotations of
    every slice), their chance `level_chance` (the most frequent level) and `rotation_chance`, and `slices`; no `level`
    where validation shares no level with training, and None without validation slices. Raises TooFewLevels below two
    levels in training, TrainingDiverged where a loss is not finite.
    """
    spec = encoder_spec(name)
    device = device or torch.device("cpu")
    known = np.unique(training.levels[training.levels != NO_LEVEL])
    if len(known) < 2:
        raise TooFewLevels(
            "the training slices show fewer than two vertebral levels",
            where="domain weights",
            found=known.tolist(),
            expected="at least two label ids",
            fix="Choose weights `hed`, `imagenet` or `random`, or give more scans with vertebra names.",
        )
    network = _Classifier(spec, len(known)).to(device)
    he_initialise(network, seed=seed)
    images = reduce_to(training.slices, settings.size_px).to(device)
    targets = _classes(training.levels, known).to(device)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=settings.steps)

    def step(_: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """One batch, each slice turned at random under a random grey-scale curve."""
        chosen = torch.from_numpy(rng.integers(len(images), size=settings.batch)).to(device)
        turns = torch.from_numpy(rng.integers(4, size=settings.batch)).to(device)
        turned = rotate(vary_grey_scale(images[chosen], rng), turns)
        level, rotation = network(turned)
        level_loss = _cross_entropy(level, targets[chosen])
        rotation_loss = F.cross_entropy(rotation, turns)
        loss = level_loss + settings.rotation_weight * rotation_loss
        descend(loss, optimiser, schedule)
        return {"loss": loss, "level": level_loss, "rotation": rotation_loss}

    network.train()
    history = fit(
        step,
        parts={"network": network, "optimiser": optimiser, "schedule": schedule},
        steps=settings.steps,
        seed=seed,
        name=f"domain {name}",
        checkpoint=checkpoint,
    )
    network.eval()
    accuracy = _score(network, validation, known, settings) if len(validation.slices) else None
    state = _plain_state(spec, network.trunk)
    weights = Weights(
        state=state,
        encoder=name,
        weights="domain",
        true_name=f"{name}, trained on this run's CT to tell vertebral level and rotation ({settings.steps} steps)",
        source="made here from the training slices",
        sha256=state_digest(state),
        licence="that of the training slices",
        heldout_accuracy=accuracy,
        steps=settings.steps,
    )
    return weights, history


class _Classifier(nn.Module):
    """The trunk up to its deepest tap, the mean over positions, and one linear layer per task."""

    def __init__(self, spec: EncoderSpec, levels: int):
        super().__init__()
        deepest = spec.taps[-1]
        self.trunk = trunk(spec, batch_norm=True).to_empty(device="cpu")
        self.features = cut(self.trunk, spec, [deepest.name])
        self.deepest = deepest.name
        self.level = nn.Linear(deepest.channels, levels)
        self.rotation = nn.Linear(deepest.channels, 4)
        mean, std = (torch.tensor(value).reshape(1, 3, 1, 1) for value in (IMAGENET.mean, IMAGENET.std))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of level `[B, levels]` and rotation `[B, 4]` of slices `[B, 1, S, S]` in [0, 1]."""
        maps = self.features((images.expand(-1, 3, -1, -1) - self.mean) / self.std)[self.deepest]
        pooled = maps.mean(dim=(2, 3))
        return self.level(pooled), self.rotation(pooled)


def _plain_state(spec: EncoderSpec, network: nn.Module) -> dict[str, Tensor]:
    """The trunk's tensors under the keys of the encoder; VGG's batch norm goes into its convolutions."""
    if not spec.name.startswith("vgg"):
        return {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}
    layers = list(network.features)
    fused = [
        fuse_conv_bn_eval(conv, norm) for conv, norm in itertools.pairwise(layers) if isinstance(norm, nn.BatchNorm2d)
    ]
    state = {}
    for tap, convolution in zip(spec.taps, fused):
        path, _, index = tap.module.rpartition(".")
        state[f"{path}.{int(index) - 1}.weight"] = convolution.weight.detach().cpu().clone()
        state[f"{path}.{int(index) - 1}.bias"] = convolution.bias.detach().cpu().clone()
    return state


def reduce_to(slices: np.ndarray, size_px: int) -> Tensor:
    """The central square of slices `[n, H, W]`, averaged down to `size_px`: float32 `[n, 1, size_px, size_px]`."""
    side = min(slices.shape[1:])
    top, left = (slices.shape[1] - side) // 2, (slices.shape[2] - side) // 2
    square = np.ascontiguousarray(slices[:, top : top + side, left : left + side], dtype=np.float32)
    return F.interpolate(torch.from_numpy(square)[:, None], size=(size_px, size_px), mode="area")


def rotate(images: Tensor, turns: Tensor) -> Tensor:
    """Each square image `[B, 1, S, S]` turned by `turns` times 90 degrees."""
    return torch.stack([torch.rot90(image, int(turn), (1, 2)) for image, turn in zip(images, turns)])


def vary_grey_scale(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Each image through a random monotonous grey-scale curve (gamma, window, then noise), clamped to [0, 1]."""
    count = len(images)

    def draw(low: float, high: float) -> Tensor:
        """One uniform number per image."""
        values = rng.uniform(low, high, size=(count, 1, 1, 1)).astype(np.float32)
        return torch.from_numpy(values).to(images.device)

    curved = images.clamp(0, 1) ** torch.exp(draw(-0.7, 0.7))
    windowed = (curved - 0.5 + draw(-0.15, 0.15)) * torch.exp(draw(-0.5, 0.7)) + 0.5
    noise = torch.from_numpy(rng.standard_normal(images.shape).astype(np.float32)).to(images.device)
    return (windowed + draw(0.0, 0.05) * noise).clamp(0, 1)


def _classes(levels: np.ndarray, known: np.ndarray) -> Tensor:
    """Class number of each level, -1 for a slice without a known level."""
    position = np.searchsorted(known, levels).clip(max=len(known) - 1)
    return torch.from_numpy(np.where(known[position] == levels, position, -1).astype(np.int64))


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over samples that have a class; zero where none has."""
    total = F.cross_entropy(logits, targets, ignore_index=-1, reduction="sum")
    return total / (targets >= 0).sum().clamp_min(1)


@torch.no_grad()
def _score(
    network: _Classifier, validation: LevelledSlices, known: np.ndarray, settings: DomainSettings
) -> dict[str, float]:
    device = network.mean.device
    images = reduce_to(validation.slices, settings.size_px).to(device)
    targets = _classes(validation.levels, known)
    levels_right, rotations_right = [], []
    for start in range(0, len(images), settings.batch):
        batch = images[start : start + settings.batch]
        for turn in range(4):
            level, rotation = network(torch.rot90(batch, turn, (2, 3)))
            rotations_right += (rotation.argmax(1) == turn).cpu().tolist()
            if turn == 0:
                levels_right += (level.argmax(1).cpu() == targets[start : start + settings.batch]).tolist()
    judged = targets.numpy() >= 0
    scores = {"rotation": float(np.mean(rotations_right)), "rotation_chance": 0.25, "slices": float(len(images))}
    if judged.any():
        counts = np.bincount(targets.numpy()[judged])
        scores["level"] = float(np.mean(np.array(levels_right)[judged]))
        scores["level_chance"] = float(counts.max() / judged.sum())
    return scores
