"""Contextual transformation (Mechrez et al. 2018): no style input, one generator for each target style.

The generator is trained with two contextual losses: towards the content slice, which keeps the anatomy, and towards
slices of the target style.
"""

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctstyle.encoders.network import Encoder
from ctstyle.encoders.network import build as build_encoder
from ctstyle.encoders.weights import Weights
from ctstyle.errors import CTStyleError
from ctstyle.run.checkpoint import Checkpoint
from ctstyle.run.device import autocast, place
from ctstyle.run.fit import descend, fit, he_initialise, in_parts
from ctstyle.run.job import Run
from ctstyle.slices.run import SOURCE, open_run
from ctstyle.slices.window import Window
from ctstyle.study.comparison import module_sizes
from ctstyle.study.networks import ContextualSettings, CRNSettings
from ctstyle.study.settings import build
from ctstyle.transfer.features import FeatureCache, Material
from ctstyle.transfer.generator import NetworkPerStyle
from ctstyle.transfer.losses import contextual_map_loss


class CRN(nn.Module):
    """Maps a slice `[B, in_channels, H, W]` in [0, 1] to `[B, out_channels, H, W]`, linear at the end.

    Each module takes the slice averaged down to its size beside the features of the module before, doubled
    bilinearly, and applies two 3x3 convolutions, each with layer norm over (C, H, W) of a sample and leaky ReLU 0.2. A
    1x1 convolution makes the slice. A network is built for one size, `size_px` (height, width). At the reference's
    scale (512 and 256 channels, 256 px, RGB) it has 24.3 M parameters.
    """

    def __init__(self, settings: CRNSettings, *, size_px: tuple[int, int], in_channels: int = 1, out_channels: int = 1):
        super().__init__()
        height, width = size_px
        self.settings, self.size_px = settings, (height, width)
        self.sizes = module_sizes(self.size_px, settings.smallest_px)
        stages, width = [], 0
        for size in self.sizes:
            channels = settings.channels if min(size) < settings.fine_from_px else settings.fine_channels
            stages.append(
                nn.Sequential(*_convolution(in_channels + width, channels), *_convolution(channels, channels))
            )
            width = channels
        self.stages = nn.ModuleList(stages)
        self.to_slice = nn.Conv2d(width, out_channels, 1)

    def forward(self, slices: Tensor) -> Tensor:
        """The transformed slices, not clamped; raises CTStyleError for slices of another size."""
        if tuple(slices.shape[2:]) != self.size_px:
            raise CTStyleError(
                "this network was built for slices of another size",
                where="contextual transformation",
                found=f"{slices.shape[2]} x {slices.shape[3]} px",
                expected=f"{self.size_px[0]} x {self.size_px[1]} px",
                fix="Train it again for this size, or cut the slices as those of its training.",
            )
        features = None
        for stage, size in zip(self.stages, self.sizes):
            reduced = F.interpolate(slices, size=size, mode="area")
            if features is not None:
                doubled = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
                reduced = torch.cat([reduced, doubled.to(reduced.dtype)], dim=1)
            features = stage(reduced)
        return self.to_slice(features)


def _convolution(channels_in: int, channels: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels_in, channels, 3, padding=1), nn.GroupNorm(1, channels), nn.LeakyReLU(0.2)


KIND = "contextual"
"""The `kind` in the metadata of a saved file."""

WARM_UP = "warm-up"
"""The stage of the history that all target styles share."""


class ContextualTransformation(NetworkPerStyle):
    """One trained network for each target style; stands where a `Generator` stands.

    `encoder` is the one the losses were read from; it is not needed to generate.
    """

    kind = KIND
    method = "contextual transformation"

    def __init__(self, encoder: Encoder, networks: Mapping[str, CRN]):
        super().__init__(networks)
        self.encoder = encoder

    def about(self) -> dict[str, Any]:
        """The encoder, the size of the slices and the settings of the networks."""
        first = self.networks[0]
        crn = dataclasses.asdict(first.settings)
        return {"encoder": self.encoder.spec.name, "size_px": first.size_px, "crn": crn}

    @classmethod
    def rebuilt(cls, kept: Mapping[str, Any], encoder: Encoder) -> "ContextualTransformation":
        """A model with untrained networks as the metadata of a file describe them."""
        settings, size_px = CRNSettings(**kept["crn"]), tuple(kept["size_px"])
        return cls(encoder, {name: CRN(settings, size_px=size_px) for name in kept["styles"]})


def train_contextual(
    encoder: Encoder,
    settings: ContextualSettings,
    material: Material,
    *,
    targets: Sequence[str],
    seed: int,
    checkpoint: Checkpoint | None = None,
    log_every: int = 20,
) -> tuple[ContextualTransformation, pd.DataFrame]:
    """Train one network for each style of `targets`, on the encoder's device.

    Returns the model and the history (`stage`, which is "warm-up" or the style, `step` within it, `loss`, `content`,
    `style`; the last two are NaN in the warm-up, whose loss is L1). All stages are one training with one state file, so
    an interruption at any point loses nothing. Raises CTStyleError for slices or settings that do not fit,
    TrainingDiverged where a loss is not finite.
    """
    content, bodies, style, style_bodies = material.content, material.bodies, material.style, material.style_bodies
    material.check(targets=targets)
    device = encoder.mean.device
    content_taps, style_taps = _taps(encoder, settings)
    made_taps = tuple(dict.fromkeys((*content_taps, *style_taps)))
    # The contextual loss sees angles alone, so the taps need no scale.
    unscaled = dict.fromkeys(made_taps, 1.0)
    contents = FeatureCache(encoder, content, scales=unscaled, limit_bytes=settings.cache_mb << 20)
    styles = FeatureCache(encoder, style, scales=unscaled, limit_bytes=settings.cache_mb << 20)
    masks, style_masks = (
        torch.from_numpy(np.ascontiguousarray(body, dtype=bool)).to(device) for body in (bodies, style_bodies)
    )
    groups = [np.flatnonzero(np.asarray(material.style_names) == name) for name in targets]

    start = place(_grey_network(content, settings.crn, seed), device)
    stages = [_Stage(start, settings, settings.warm_up_steps)]
    stages += [_Stage(copy.deepcopy(start), settings, settings.steps) for _ in targets]

    parts = settings.accumulate

    def step(i: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """One batch of the warm-up or, after it, of the target style whose turn it is."""
        if i < settings.warm_up_steps:
            images = contents.images(rng.integers(len(content), size=settings.batch))
            with autocast(device):
                again = in_parts(start, parts, images)
            loss = F.l1_loss(again.float(), images)
            descend(loss, stages[0].optimiser, stages[0].rates)
            return {"loss": loss}
        turn, place = divmod(i - settings.warm_up_steps, settings.steps)
        stage = stages[turn + 1]
        if place == 0:
            stage.network.load_state_dict(start.state_dict())
        x = rng.integers(len(content), size=settings.batch)
        y = rng.choice(groups[turn], size=settings.batch)
        with autocast(device):
            made = in_parts(lambda images: encoder(stage.network(images), made_taps), parts, contents.images(x))
        made = {tap: maps.float() for tap, maps in made.items()}
        loss_to: Callable[..., Tensor] = partial(
            contextual_map_loss,
            made,
            body=masks[x],
            rng=rng,
            bandwidth=settings.bandwidth,
            at_most=settings.at_most_points,
        )
        kept = loss_to(contents.maps(x, content_taps), layers=content_taps)
        reached = loss_to(styles.maps(y, style_taps), layers=style_taps, target_body=style_masks[y])
        loss = settings.content_weight * kept + settings.style_weight * reached
        descend(loss, stage.optimiser, stage.rates)
        return {"loss": loss, "content": kept, "style": reached}

    names = [(WARM_UP, settings.warm_up_steps), *((name, settings.steps) for name in targets)]
    kept = {f"{what}{number}": getattr(stage, what) for number, stage in enumerate(stages) for what in _Stage.PARTS}
    history = fit(
        step,
        parts=kept,
        steps=sum(count for _, count in names),
        seed=seed,
        name="contextual transformation",
        checkpoint=checkpoint,
        log_every=log_every,
    )
    history["step"] = [number for _, count in names for number in range(1, count + 1)]
    history.insert(0, "stage", [name for name, count in names for _ in range(count)])
    networks = {name: stage.network for name, stage in zip(targets, stages[1:])}
    return ContextualTransformation(encoder, networks).eval(), history


class _Stage:
    """A network in training: the warm-up's, or that of one target style."""

    PARTS = ("network", "optimiser", "rates")

    def __init__(self, network: CRN, settings: ContextualSettings, steps: int):
        self.network = network
        self.optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)
        falls = settings.schedule == "cosine"
        self.rates = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: 0.55 + 0.45 * math.cos(math.pi * step / max(steps, 1)) if falls else 1.0
        )


def _taps(encoder: Encoder, settings: ContextualSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The taps of both losses."""
    by_stride = {encoder.spec.tap(name).stride: name for name in encoder.spec.style_taps}
    own = tuple(by_stride[stride] for stride in (settings.stride // 2, settings.stride) if stride in by_stride)
    named = settings.content_taps and settings.style_taps
    if settings.stride not in by_stride and not named:
        raise CTStyleError(
            "no style tap at this stride",
            where="transfer: contextual: stride",
            found=settings.stride,
            expected=" | ".join(map(str, by_stride)),
            fix="Take one of them, or name `content_taps` and `style_taps`.",
        )
    return settings.content_taps or own[-1:], settings.style_taps or own


def _grey_network(content: np.ndarray, settings: CRNSettings, seed: int) -> CRN:
    """A new network that gives nearly grey slices: from He's scale it would first have to unlearn the output's size."""
    network = CRN(settings, size_px=content.shape[1:])
    he_initialise(network, seed=seed)
    with torch.no_grad():
        network.to_slice.weight *= 0.05
        network.to_slice.bias.fill_(float(content.mean()))
    return network


def train_model(run: Run) -> tuple[ContextualTransformation, dict[str, Any], pd.DataFrame]:
    """The networks of all target styles, what their file says of them, and the history; for a job."""
    weights = Weights.load(Path(run.input.weights))
    material = Material.of(open_run(run.input.slices, run.input.split), Window(*run.params.window_hu))
    model, history = train_contextual(
        place(build_encoder(weights.encoder, weights.state), run.device),
        build(ContextualSettings, run.params.settings),
        material,
        targets=sorted(set(material.style_names) - {SOURCE}),
        seed=run.seed,
        checkpoint=run.checkpoint,
    )
    return model, {"weights": weights.true_name, "model": "contextual"}, history
