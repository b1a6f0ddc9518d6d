"""Training of the decoder: first it learns to invert the encoder, then to transfer styles (method.md, 4)."""

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from ctstyle.encoders.registry import Encoder
from ctstyle.encoders.scale import tap_scales
from ctstyle.errors import CTStyleError
from ctstyle.fit import fit
from ctstyle.transfer.adain import restyle
from ctstyle.transfer.decoder import Decoder
from ctstyle.transfer.features import FeatureCache
from ctstyle.transfer.generator import Generator
from ctstyle.transfer.losses import AT_MOST_POINTS, contextual_content_loss, style_loss

MODELS = ("ours", "adain")
"""`ours`: contextual content loss. `adain`: MSE to the AdaIN target, everything else equal."""


@dataclass(frozen=True, kw_only=True)
class TransferSettings:
    """One training of the decoder; every value is a config key.

    `content_taps` and `style_taps` None take the registry's lists; `style_tap_weights` None is 1 for each.
    `content_target` x is the paper's; `adain` compares with the restyled maps of X. `identity_weight` adds the L1
    distance of D(E(X)) to X, `spatial_weight` CoBi's spatial term to the contextual distance.
    """

    model: str = "ours"
    stride: int = 4
    steps: int = 120
    warm_up_steps: int = 200
    batch: int = 8
    learning_rate: float = 1e-4
    warm_up_learning_rate: float = 1e-3
    learning_rate_decay: float = 5e-5
    style_weight: float = 10.0
    content_weight: float = 1.0
    content_taps: tuple[str, ...] | None = None
    style_taps: tuple[str, ...] | None = None
    style_tap_weights: tuple[float, ...] | None = None
    bandwidth: float = 0.5
    content_target: str = "x"
    identity_weight: float = 0.0
    spatial_weight: float = 0.0
    at_most_points: int = AT_MOST_POINTS
    cache_mb: int = 1024


def warm_up(
    encoder: Encoder,
    slices: np.ndarray,
    settings: TransferSettings,
    *,
    seed: int,
    state_path: Path | None = None,
    log_every: int = 20,
) -> tuple[Generator, pd.DataFrame]:
    tap = encoder.spec.tap(encoder.spec.adain_tap[settings.stride])
    device = encoder.mean.device
    scale = tap_scales(encoder, slices, (tap.name,))[tap.name]
    cache = FeatureCache(encoder, slices, scales={tap.name: scale}, limit_bytes=settings.cache_mb << 20)
    torch.manual_seed(seed)
    decoder = Decoder(stride=tap.stride, channels=tap.channels).to(device)
    he(decoder)
    optimiser, schedule = _adam(decoder, settings.warm_up_learning_rate, settings.learning_rate_decay)

    def step(_: int, rng: np.random.Generator):
        indices = rng.integers(len(slices), size=settings.batch)
        maps = cache.maps(indices, (tap.name,))[tap.name]
        loss = F.l1_loss(decoder(maps), cache.images(indices))
        _descend(optimiser, schedule, loss)
        return {"l1": loss.detach()}

    history = fit(
        step,
        parts={"decoder": decoder, "optimiser": optimiser, "schedule": schedule},
        steps=settings.warm_up_steps,
        seed=seed,
        name="warm-up",
        state_path=state_path,
        log_every=log_every,
    )
    return Generator(encoder, decoder.eval(), adain_tap=tap.name, scale=scale), history


def he(decoder):
    for m in decoder.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
            nn.init.zeros_(m.bias)


def train(
    start: Generator,
    settings: TransferSettings,
    *,
    content: np.ndarray,
    bodies: np.ndarray,
    style: np.ndarray,
    style_names: Sequence[str],
    seed: int,
    state_path: Path | None = None,
    log_every: int = 20,
) -> tuple[Generator, pd.DataFrame]:
    encoder, spec, device = start.encoder, start.encoder.spec, start.encoder.mean.device
    adain_tap = start.adain_tap
    content_taps = tuple(settings.content_taps or spec.content_taps)
    style_taps = tuple(settings.style_taps or spec.style_taps)
    weights = dict(zip(style_taps, settings.style_tap_weights or (1.0,) * len(style_taps)))
    contextual = settings.model == "ours"
    loss_taps = tuple(dict.fromkeys((*style_taps, *(content_taps if contextual else (adain_tap,)))))
    scales = tap_scales(encoder, content, (*loss_taps, *content_taps))
    scales[adain_tap] = start.scale
    contents = FeatureCache(encoder, content, scales=scales, limit_bytes=settings.cache_mb << 20)
    styles = FeatureCache(encoder, style, scales=scales, limit_bytes=0)
    groups = [np.flatnonzero(np.asarray(style_names) == name) for name in sorted(set(style_names))]
    body_masks = torch.from_numpy(np.ascontiguousarray(bodies)).to(device)
    decoder = copy.deepcopy(start.decoder).train()
    optimiser, schedule = _adam(decoder, settings.learning_rate, settings.learning_rate_decay)

    def step(_: int, rng: np.random.Generator):
        x = rng.integers(len(content), size=settings.batch)
        y = np.array([rng.choice(groups[g]) for g in rng.integers(len(groups), size=settings.batch)])
        taps = (adain_tap, *(content_taps if contextual else ()))
        maps = contents.maps(x, tuple(dict.fromkeys(taps)))
        wanted = styles.statistics(y, tuple(dict.fromkeys((adain_tap, *style_taps, *content_taps))))
        target = restyle(maps[adain_tap], *wanted[adain_tap])
        images = decoder(target)
        made = {tap: value / scales[tap] for tap, value in encoder(images, loss_taps).items()}
        if contextual:
            goal = maps
            if settings.content_target == "adain":
                goal = {tap: restyle(maps[tap], *wanted[tap]) for tap in content_taps}
            content_loss = contextual_content_loss(
                made,
                goal,
                body_masks[x],
                rng,
                layers=content_taps,
                bandwidth=settings.bandwidth,
                spatial_weight=settings.spatial_weight,
                at_most=settings.at_most_points,
            )
        else:
            content_loss = F.mse_loss(made[adain_tap], target)
        styling = style_loss(made, wanted, weights)
        loss = settings.content_weight * content_loss + settings.style_weight * styling
        losses = {"content": content_loss.detach(), "style": styling.detach()}
        if settings.identity_weight > 0:
            identity = F.l1_loss(decoder(maps[adain_tap]), contents.images(x))
            loss = loss + settings.identity_weight * identity
            losses["identity"] = identity.detach()
        _descend(optimiser, schedule, loss)
        return {"loss": loss.detach(), **losses}

    history = fit(
        step,
        parts={"decoder": decoder, "optimiser": optimiser, "schedule": schedule},
        steps=settings.steps,
        seed=seed,
        name=f"transfer {settings.model}",
        state_path=state_path,
        log_every=log_every,
    )
    return Generator(encoder, decoder.eval(), adain_tap=adain_tap, scale=start.scale), history


def _adam(decoder: nn.Module, rate: float, decay: float):
    optimiser = torch.optim.Adam(decoder.parameters(), lr=rate)
    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: 1 / (1 + decay * i))


def _descend(optimiser, schedule, loss) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    schedule.step()
