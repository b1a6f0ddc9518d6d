"""Contextual transformation (Mechrez et al. 2018): no style input, one generator for each target style.

The generator is trained with two contextual losses: towards the content slice, which keeps the anatomy, and towards
slices of the target style.
"""

import copy
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctstyle.accumulate import Accumulation
from ctstyle.checkpoint import Checkpoint
from ctstyle.device import autocast, place
from ctstyle.encoders.network import Encoder
from ctstyle.errors import CTStyleError
from ctstyle.fit import fit
from ctstyle.initialise import he_initialise
from ctstyle.transfer.contextual_loss import contextual_loss
from ctstyle.transfer.crn import CRN, CRNSettings
from ctstyle.transfer.features import FeatureCache
from ctstyle.transfer.generator import WrongGenerator, read_metadata
from ctstyle.transfer.losses import AT_MOST_POINTS, contextual_content_loss, sample_points
from ctstyle.transfer.material import Material

KIND = "contextual"
"""The `kind` in the metadata of a saved file."""

WARM_UP = "warm-up"
"""The stage of the history that all target styles share."""

SCHEDULES = ("cosine", "constant")
"""`constant`: the reference. `cosine`: each stage ends at a tenth of the learning rate, for few steps."""


@dataclass(frozen=True, kw_only=True)
class ContextualSettings:
    """Budget and losses: content_weight * CX loss to X + style_weight * CX loss to slices of the target style.

    `warm_up_steps` steps of L1 to X come first, once for all styles, so that the anatomy is there before a style is
    learned; then `steps` for each target style, from that network. `content_taps` None takes the registry's style tap
    at `stride`, `style_taps` None that and the one at half of it: relu4_1 and relu3_1 of a VGG at 256 px, as deep as
    the reference's relu4_2 and relu3_2, and a level less at 96 px.
    """

    warm_up_steps: int = 150
    steps: int = 80
    batch: int = 2
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    content_weight: float = 1.0
    style_weight: float = 1.0
    stride: int = 4
    content_taps: tuple[str, ...] | None = None
    style_taps: tuple[str, ...] | None = None
    bandwidth: float = 0.5
    at_most_points: int = AT_MOST_POINTS
    cache_mb: int = 1024
    crn: CRNSettings = field(default_factory=CRNSettings)


class ContextualTransformation(nn.Module):
    """One trained network for each target style; stands where a `Generator` stands.

    `encoder` is the one the losses were read from: it is not needed to generate, and tells the device.
    """

    def __init__(self, encoder: Encoder, networks: Mapping[str, CRN]):
        super().__init__()
        self.encoder = encoder
        self.styles = tuple(networks)
        self.networks = nn.ModuleList(networks.values())

    @property
    def parameter_count(self) -> int:
        """Parameters of all its networks together, without the encoder."""
        return sum(parameter.numel() for parameter in self.networks.parameters())

    def generate(
        self,
        content: Tensor,
        style: Tensor | None = None,
        alpha: float = 1.0,
        *,
        content_body: Tensor | None = None,
        style_body: Tensor | None = None,
        target_style: Sequence[str],
    ) -> Tensor:
        """`content` `[B, 1, H, W]` in [0, 1] in the style that `target_style` names for each, clamped to [0, 1].

        `style` and the bodies are not looked at: the method has no style input. Raises CTStyleError for `alpha` other
        than 1, for a style it was not trained for, and for slices of another size than those of the training.
        """
        if alpha != 1:
            raise CTStyleError(
                "contextual transformation cannot blend with the content's own style",
                where="alpha",
                found=alpha,
                expected="1",
            )
        if len(target_style) != len(content):
            raise CTStyleError(
                "each slice needs one target style",
                where="target_style",
                found=f"{len(target_style)} names for {len(content)} slices",
                expected="equally many",
            )
        unknown = sorted(set(target_style) - set(self.styles))
        if unknown:
            raise CTStyleError(
                "no network was trained for this style",
                where="target_style",
                found=", ".join(unknown),
                expected=" | ".join(self.styles),
                fix="Train it with this style among its targets.",
            )
        made = torch.empty_like(content)
        for name, network in zip(self.styles, self.networks):
            rows = [row for row, wanted in enumerate(target_style) if wanted == name]
            if rows:
                made[rows] = network(content[rows]).clamp(0, 1)
        return made

    def save(self, path: Path, **metadata: Any) -> None:
        """Write all networks (safetensors) with what is needed to load them; `metadata` is any JSON beside it."""
        kept = {
            "kind": KIND,
            "encoder": self.encoder.spec.name,
            "styles": self.styles,
            "size_px": self.networks[0].size_px,
            "crn": dataclasses.asdict(self.networks[0].settings),
            **metadata,
        }
        state = {key: value.detach().cpu().contiguous() for key, value in self.networks.state_dict().items()}
        safetensors.torch.save_file(state, path, metadata={"ctstyle": json.dumps(kept, sort_keys=True)})

    @classmethod
    def load(cls, path: Path, encoder: Encoder) -> "ContextualTransformation":
        """The networks of `path` on the device of `encoder`; raises WrongGenerator for another kind or encoder."""
        kept = read_metadata(path)
        for what, found, expected in (
            ("this is not the file of a contextual transformation", kept.get("kind"), KIND),
            ("this model was trained with another encoder", encoder.spec.name, kept["encoder"]),
        ):
            if found != expected:
                raise WrongGenerator(
                    what,
                    where=path,
                    found=found,
                    expected=expected,
                    fix="Load it with the encoder it was trained with, or run the rule that trains it.",
                )
        settings, size_px = CRNSettings(**kept["crn"]), tuple(kept["size_px"])
        model = cls(encoder, {name: CRN(settings, size_px=size_px) for name in kept["styles"]})
        model.networks.load_state_dict(safetensors.torch.load_file(path))
        return place(model, encoder.mean.device).eval()


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
    _check(settings, content, bodies, style, style_bodies, material.style_names, targets)
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
        self.optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
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


def _check(
    settings: ContextualSettings,
    content: np.ndarray,
    bodies: np.ndarray,
    style: np.ndarray,
    style_bodies: np.ndarray,
    style_names: Sequence[str],
    targets: Sequence[str],
) -> None:
    known = sorted(set(style_names))
    for where, found, expected, right in (
        ("content slices", content.shape, "[n, H, W] with n > 0", content.ndim == 3 and len(content) > 0),
        ("style slices", style.shape, "[m, H, W] with m > 0", style.ndim == 3 and len(style) > 0),
        ("body masks", bodies.shape, content.shape, bodies.shape == content.shape),
        ("body masks of the style slices", style_bodies.shape, style.shape, style_bodies.shape == style.shape),
        ("style names", len(style_names), len(style), len(style_names) == len(style)),
        (
            "targets",
            list(targets),
            f"at least one of {', '.join(known)}, each once",
            len(targets) > 0 and len(set(targets)) == len(targets) and set(targets) <= set(known),
        ),
        ("warm_up_steps", settings.warm_up_steps, "at least 0", settings.warm_up_steps >= 0),
        ("steps", settings.steps, "at least 1", settings.steps >= 1),
        ("schedule", settings.schedule, " | ".join(SCHEDULES), settings.schedule in SCHEDULES),
    ):
        if not right:
            raise CTStyleError("the training cannot start", where=where, found=found, expected=expected)
