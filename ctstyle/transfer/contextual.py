"""Contextual transformation (Mechrez et al. 2018): no style input, one generator for each target style.

The generator is trained with two contextual losses: towards the content slice, which keeps the anatomy, and towards
slices of the target style.
"""

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from ctstyle.encoders.network import Encoder
from ctstyle.errors import CTStyleError
from ctstyle.run.accumulate import Accumulation
from ctstyle.run.checkpoint import Checkpoint
from ctstyle.run.device import autocast, place
from ctstyle.run.fit import fit
from ctstyle.run.initialise import he_initialise
from ctstyle.run.optimise import Adam
from ctstyle.study.networks import AT_MOST_POINTS, ContextualSettings, CRNSettings
from ctstyle.transfer.contextual_loss import contextual_loss
from ctstyle.transfer.crn import CRN
from ctstyle.transfer.features import FeatureCache, Material
from ctstyle.transfer.generator import NetworkPerStyle, check_training
from ctstyle.transfer.losses import contextual_content_loss, sample_points

KIND = "contextual"
"""The `kind` in the metadata of a saved file."""

WARM_UP = "warm-up"
"""The stage of the history that all target styles share."""

SCHEDULES = ("cosine", "constant")
"""`constant`: the reference. `cosine`: each stage ends at a tenth of the learning rate, for few steps."""


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
    check_training(
        material,
        targets,
        (
            ("warm_up_steps", settings.warm_up_steps, "at least 0", settings.warm_up_steps >= 0),
            ("steps", settings.steps, "at least 1", settings.steps >= 1),
            ("schedule", settings.schedule, " | ".join(SCHEDULES), settings.schedule in SCHEDULES),
        ),
    )
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

    accumulation = Accumulation("contextual transformation", checkpoint)

    def step(i: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """One batch of the warm-up or, after it, of the target style whose turn it is."""
        if i < settings.warm_up_steps:
            images = contents.images(rng.integers(len(content), size=settings.batch))

            def decoded(part: slice) -> dict[str, Tensor]:
                """The slices as the network gives them back."""
                with autocast(device):
                    return {"again": start(images[part]).float()}

            def l1(outputs: Mapping[str, Tensor], _: np.random.Generator) -> dict[str, Tensor]:
                """L1 to the slices."""
                return {"loss": F.l1_loss(outputs["again"], images)}

            values = accumulation.backward(stages[0].optimiser, settings.batch, decoded, l1, rng)
            stages[0].descend()
            return values
        turn, place = divmod(i - settings.warm_up_steps, settings.steps)
        stage = stages[turn + 1]
        if place == 0:
            stage.network.load_state_dict(start.state_dict())
        x = rng.integers(len(content), size=settings.batch)
        y = rng.choice(groups[turn], size=settings.batch)

        def forward(part: slice) -> dict[str, Tensor]:
            """The maps of the outputs."""
            with autocast(device):
                made = encoder(stage.network(contents.images(x[part])), made_taps)
            return {tap: maps.float() for tap, maps in made.items()}

        def loss_of(made: Mapping[str, Tensor], rng: np.random.Generator) -> dict[str, Tensor]:
            """Both contextual losses and their weighted sum."""
            shared = {"bandwidth": settings.bandwidth, "at_most": settings.at_most_points}
            kept = contextual_content_loss(
                made, contents.maps(x, content_taps), masks[x], rng, layers=content_taps, **shared
            )
            reached = contextual_style_loss(
                made, styles.maps(y, style_taps), masks[x], style_masks[y], rng, layers=style_taps, **shared
            )
            loss = settings.content_weight * kept + settings.style_weight * reached
            return {"loss": loss, "content": kept, "style": reached}

        values = accumulation.backward(stage.optimiser, settings.batch, forward, loss_of, rng)
        stage.descend()
        return values

    names = [(WARM_UP, settings.warm_up_steps), *((name, settings.steps) for name in targets)]
    parts = {f"{what}{number}": getattr(stage, what) for number, stage in enumerate(stages) for what in _Stage.PARTS}
    history = fit(
        step,
        parts=parts,
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


def contextual_style_loss(
    generated: Mapping[str, Tensor],
    style: Mapping[str, Tensor],
    body: Tensor,
    style_body: Tensor,
    rng: np.random.Generator,
    *,
    layers: Sequence[str],
    bandwidth: float = 0.5,
    at_most: int = AT_MOST_POINTS,
) -> Tensor:
    """Contextual loss of generated slices to style slices, summed over `layers`, mean over the batch.

    Maps are `[B, C, H, W]`; `body` and `style_body` are bool `[B, height, width]`. The two slices show different
    patients, so each has its own points inside its own body, and their numbers may differ.
    """
    total = torch.zeros((), device=body.device)
    for layer in layers:
        for made, wanted, own, other in zip(generated[layer], style[layer], body, style_body):
            points = sample_points(own, tuple(made.shape[1:]), rng, at_most=at_most)
            style_points = sample_points(other, tuple(wanted.shape[1:]), rng, at_most=at_most)
            loss = contextual_loss(
                made.flatten(1)[None, :, points], wanted.flatten(1)[None, :, style_points], bandwidth=bandwidth
            )
            total = total + loss[0] / len(body)
    return total


class _Stage:
    """A network in training: the warm-up's, or that of one target style."""

    PARTS = ("network", "optimiser", "rates")

    def __init__(self, network: CRN, settings: ContextualSettings, steps: int):
        self.network = network
        self.optimiser = Adam(network.parameters(), lr=settings.learning_rate)
        falls = settings.schedule == "cosine"
        self.rates = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: 0.55 + 0.45 * math.cos(math.pi * step / max(steps, 1)) if falls else 1.0
        )

    def descend(self) -> None:
        """One step of Adam down the gradient that lies in the network."""
        self.optimiser.step()
        self.rates.step()


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
