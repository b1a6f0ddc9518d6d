"""Training of the decoder: first it learns to invert the encoder, then to transfer styles (method.md, 4)."""

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from ctstyle.encoders.network import Encoder, tap_scales
from ctstyle.encoders.network import build as build_encoder
from ctstyle.encoders.plan import TapLists
from ctstyle.encoders.weights import Weights
from ctstyle.errors import CTStyleError
from ctstyle.run.checkpoint import Checkpoint
from ctstyle.run.device import autocast, place
from ctstyle.run.fit import descend, fit, he_initialise, in_parts
from ctstyle.run.job import Run
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window
from ctstyle.study.encoders import EncoderSpec
from ctstyle.study.networks import TransferSettings, WarmUpSettings
from ctstyle.study.settings import build
from ctstyle.transfer.adain import restyle
from ctstyle.transfer.decoder import Decoder
from ctstyle.transfer.features import FeatureCache, Material, scaled_maps, with_smoothing
from ctstyle.transfer.generator import Generator
from ctstyle.transfer.losses import contextual_map_loss, style_loss

MODELS = ("ours", "adain")
"""`ours`: contextual content loss. `adain`: MSE to the AdaIN target, everything else equal."""

LAYERS = ("registry", "deep", "selected")

AGAIN = "identity"
"""Among a step's outputs, beside the taps: X decoded from its own maps."""


def with_layers(
    settings: TransferSettings, layers: str, spec: EncoderSpec, selected: TapLists | None = None
) -> TransferSettings:
    """`settings` with the layer lists that `layers` (one of LAYERS) asks for.

    `registry` leaves the settings as they are (the registry's lists, or lists of the config's own), `deep` takes the
    registry's content list down to stride 16, `selected` the lists of `selected`. Raises CTStyleError where `deep` or
    `selected` meets lists of the config's own, or where there is no such choice.
    """
    if layers not in LAYERS:
        raise CTStyleError("no such layer lists", where="layers", found=layers, expected=" | ".join(LAYERS))
    own = settings.content_taps or settings.style_taps
    if layers != "registry" and own:
        raise CTStyleError(
            f"the layer lists are both given and asked for as `{layers}`",
            where="transfer: training: content_taps, style_taps",
            found=own,
            expected=f"no lists beside `layers: {layers}`",
            fix="Set them to null, or set `layers: registry`.",
        )
    if layers == "deep":
        return dataclasses.replace(settings, content_taps=spec.deep_content_taps)
    if layers == "selected" and selected is not None:
        return dataclasses.replace(settings, content_taps=selected.content_taps, style_taps=selected.style_taps)
    return settings


def warm_up(
    encoder: Encoder,
    slices: np.ndarray,
    settings: WarmUpSettings,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    log_every: int = 20,
) -> tuple[Generator, pd.DataFrame]:
    """Train a new decoder to give back each slice from its maps at the AdaIN tap.

    `slices` is float32 `[n, H, W]` in [0, 1], of training patients of all styles, with H and W multiples of the stride.
    Returns the generator (on the encoder's device) and the history (`step, l1`). Raises CTStyleError for slices that do
    not fit, TrainingDiverged where the loss is not finite.
    """
    spec = encoder.spec
    if settings.stride not in spec.adain_tap:
        raise CTStyleError(
            "no AdaIN tap at this stride",
            where="stride",
            found=settings.stride,
            expected=" | ".join(map(str, spec.adain_tap)),
        )
    _check_slices(slices, settings.stride, "warm-up slices")
    tap = spec.tap(spec.adain_tap[settings.stride])
    device = encoder.mean.device
    scale = tap_scales(encoder, slices, (tap.name,))[tap.name]
    cache = FeatureCache(encoder, slices, scales={tap.name: scale}, limit_bytes=settings.cache_mb << 20)
    decoder = Decoder(stride=tap.stride, channels=tap.channels)
    he_initialise(decoder, seed=seed)
    with torch.no_grad():
        # Begin near a grey slice: from He's scale the first hundred steps would go into unlearning the output's size.
        decoder.layers[-1].weight *= 0.05
        decoder.layers[-1].bias.fill_(float(slices.mean()))
    place(decoder, device)
    optimiser = torch.optim.Adam(decoder.parameters(), lr=settings.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rise_and_fall(step, settings.steps))
    parts = settings.accumulate

    def step(_: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """One batch of slices, or windows of them, to be given back."""
        indices = rng.integers(len(slices), size=settings.batch)
        maps, wanted = cache.maps(indices, (tap.name,))[tap.name], cache.images(indices)
        if settings.window:
            maps, wanted = _windows(maps, wanted, settings.window, rng)

        with autocast(device):
            again = in_parts(decoder, parts, maps)
        loss = F.l1_loss(again.float(), wanted)
        descend(loss, optimiser, schedule)
        return {"l1": loss}

    history = fit(
        step,
        parts={"decoder": decoder, "optimiser": optimiser, "schedule": schedule},
        steps=settings.steps,
        seed=seed,
        name="warm-up",
        checkpoint=checkpoint,
        log_every=log_every,
    )
    return Generator(encoder, decoder.eval(), adain_tap=tap.name, scale=scale), history


def train(
    start: Generator,
    model: str,
    settings: TransferSettings,
    material: Material,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    log_every: int = 20,
) -> tuple[Generator, pd.DataFrame]:
    """Train a copy of the warmed-up generator `start` as `model` ("ours" or "adain").

    A step draws content slices of `material`, then for each a style and one of its slices. Returns the generator and
    the history (`step, loss, content, style`, and `identity` with its weight above 0). Raises CTStyleError for slices
    or settings that do not fit, TrainingDiverged where a loss is not finite.
    """
    _check(start, model, settings, material)
    encoder, adain_tap = start.encoder, start.adain_tap
    device = encoder.mean.device
    losses = _Losses(start, model, settings, tap_scales(encoder, material.content, _taps(start, model, settings)))
    contents = FeatureCache(encoder, material.content, scales=losses.scales, limit_bytes=settings.cache_mb << 20)
    in_bodies = settings.statistics == "body"
    found_in = np.ascontiguousarray(material.style_bodies, dtype=bool) if in_bodies else None
    styles = FeatureCache(encoder, material.style, scales=losses.scales, bodies=found_in, limit_bytes=0)
    groups = [np.flatnonzero(material.style_names == name) for name in sorted(set(material.style_names))]
    masks = torch.from_numpy(np.ascontiguousarray(material.bodies, dtype=bool)).to(device)
    decoder = copy.deepcopy(start.decoder).train()
    optimiser = torch.optim.Adam(decoder.parameters(), lr=settings.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _rate(settings))
    parts = settings.accumulate
    with_identity = settings.identity_weight > 0

    def outputs(target: Tensor, maps: Tensor) -> dict[str, Tensor]:
        """The scaled maps of the decoded `target`, and X decoded from its own `maps` where the loss reads it."""
        made = scaled_maps(encoder, decoder(target), losses.made, losses.scales)
        return made | ({AGAIN: decoder(maps).float()} if with_identity else {})

    def step(_: int, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """One batch of contents, each towards a slice of a style drawn for it."""
        x = rng.integers(len(material.content), size=settings.batch)
        y = np.array([rng.choice(groups[group]) for group in rng.integers(len(groups), size=settings.batch)])
        maps = contents.maps(x, losses.content_maps)
        wanted = styles.statistics(y, losses.statistics)
        own = masks[x] if in_bodies else None
        mean, deviation = wanted[adain_tap]
        target = restyle(maps[adain_tap], mean, deviation, own)
        with autocast(device):
            made = in_parts(outputs, parts, target, maps[adain_tap])
        found = {
            "content": losses.content(made, maps, target, wanted, masks[x], rng),
            "style": style_loss(made, wanted, losses.style_weights, own),
        }
        loss = found["content"] + settings.style_weight * found["style"]
        if with_identity:
            found["identity"] = F.l1_loss(made[AGAIN], contents.images(x))
            loss = loss + settings.identity_weight * found["identity"]
        descend(loss, optimiser, schedule)
        return {"loss": loss, **found}

    history = fit(
        step,
        parts={"decoder": decoder, "optimiser": optimiser, "schedule": schedule},
        steps=settings.steps,
        seed=seed,
        name=f"transfer {model}",
        checkpoint=checkpoint,
        log_every=log_every,
    )
    trained = Generator(encoder, decoder.eval(), adain_tap=adain_tap, scale=start.scale, statistics=settings.statistics)
    return trained, history


def _content_taps(start: Generator, settings: TransferSettings) -> tuple[str, ...]:
    return settings.content_taps or start.encoder.spec.content_taps


def _style_taps(start: Generator, settings: TransferSettings) -> tuple[str, ...]:
    return settings.style_taps or start.encoder.spec.style_taps


def _taps(start: Generator, model: str, settings: TransferSettings) -> tuple[str, ...]:
    """The taps of the generated slice that the losses read."""
    content = _content_taps(start, settings) if model == "ours" else (start.adain_tap,)
    return tuple(dict.fromkeys((*content, *_style_taps(start, settings))))


class _Losses:
    """Which maps a model's losses need, and its content loss."""

    def __init__(self, start: Generator, model: str, settings: TransferSettings, scales: Mapping[str, float]):
        self.model, self.settings, self.adain_tap = model, settings, start.adain_tap
        # The AdaIN tap keeps the scale that the decoder was warmed up with.
        self.scales = {**scales, start.adain_tap: start.scale}
        self.layers, style_taps = _content_taps(start, settings), _style_taps(start, settings)
        if settings.smoothing == "softmax":
            self.layers, style_taps = (with_smoothing(taps, start.encoder.spec) for taps in (self.layers, style_taps))
        self.style_weights = dict(zip(style_taps, settings.style_tap_weights or (1.0,) * len(style_taps)))
        contextual = self.layers if model == "ours" else ()
        self.made = tuple(dict.fromkeys((*(contextual or (start.adain_tap,)), *style_taps)))
        self.content_maps = tuple(dict.fromkeys((start.adain_tap, *contextual)))
        restyled = contextual if settings.content_target == "adain" else ()
        self.statistics = tuple(dict.fromkeys((start.adain_tap, *style_taps, *restyled)))

    def content(
        self,
        made: Mapping[str, Tensor],
        maps: Mapping[str, Tensor],
        target: Tensor,
        wanted: Mapping[str, tuple[Tensor, Tensor]],
        masks: Tensor,
        rng: np.random.Generator,
    ) -> Tensor:
        """The model's content loss: scaled maps `made` of the output, `maps` of X, AdaIN's `target`, body `masks`."""
        if self.model == "adain":
            return F.mse_loss(made[self.adain_tap], target)
        if self.settings.content_target == "adain":
            own = masks if self.settings.statistics == "body" else None
            maps = {layer: restyle(maps[layer], *wanted[layer], own) for layer in self.layers}
        return contextual_map_loss(
            made,
            maps,
            masks if self.settings.points == "body" else torch.ones_like(masks),
            rng,
            layers=self.layers,
            bandwidth=self.settings.bandwidth,
            at_most=self.settings.at_most_points,
        )


def _windows(maps: Tensor, images: Tensor, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The same random window, `size` positions a side, of the maps and the image of each sample."""
    height, width = maps.shape[2:]
    stride = images.shape[2] // height
    rows, columns = min(size, height), min(size, width)
    tops = rng.integers(height - rows + 1, size=len(maps))
    lefts = rng.integers(width - columns + 1, size=len(maps))

    def cut(values: Tensor, scale: int) -> Tensor:
        """The windows of a batch whose positions are `scale` pixels wide."""
        windows = [
            value[:, top * scale : (top + rows) * scale, left * scale : (left + columns) * scale]
            for value, top, left in zip(values, tops, lefts)
        ]
        return torch.stack(windows)

    return cut(maps, 1), cut(images, stride)


def _rise_and_fall(step: int, steps: int) -> float:
    """Factor of the learning rate: a linear rise over 20 steps times half a cosine that ends at 3 %."""
    return min(1.0, (step + 1) / 20) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def _rate(settings: TransferSettings) -> Callable[[int], float]:
    """Factor of the learning rate at a step."""
    if settings.schedule == "cosine":
        return lambda step: _rise_and_fall(step, settings.steps)
    return lambda step: 1 / (1 + settings.learning_rate_decay * step)


def _check_slices(slices: np.ndarray, stride: int, where: str) -> None:
    if slices.ndim != 3 or len(slices) == 0 or slices.shape[1] % stride or slices.shape[2] % stride:
        raise CTStyleError(
            "no slices to train on, or of a size that the encoder cannot halve",
            where=where,
            found=f"shape {slices.shape}",
            expected=f"[n, H, W] with n > 0 and H, W multiples of {stride}",
            fix="Correct slices/size_px in the config, or look in the split table for a side without slices.",
        )


def _check(start: Generator, model: str, settings: TransferSettings, material: Material) -> None:
    taps, weights = _style_taps(start, settings), len(settings.style_tap_weights)
    material.check(
        ("model", model, " | ".join(MODELS), model in MODELS),
        ("style_tap_weights", weights, f"none, or one for each of {', '.join(taps)}", weights in (0, len(taps))),
    )
    for where, slices in (("content slices", material.content), ("style slices", material.style)):
        _check_slices(slices, start.decoder.stride, where)


def train_model(run: Run) -> tuple[Generator, dict[str, Any], pd.DataFrame]:
    """The generator of the models `ours` and `adain`, what its file says of it, and the history; for a job."""
    weights, window = Weights.load(Path(run.input.weights)), Window(*run.params.window_hu)
    encoder, model = place(build_encoder(weights.encoder, weights.state), run.device), run.wildcards.model
    selected = TapLists.load(Path(run.input.taps)) if run.input.get("taps") else None
    generator, history = train(
        Generator.load(Path(run.input.decoder), encoder),
        model,
        with_layers(build(TransferSettings, run.params.settings), run.params.told["layers"], encoder.spec, selected),
        Material.of(open_run(run.input.slices, run.input.split).at_size(run.params.told["size_px"]), window),
        seed=run.seed,
        checkpoint=run.checkpoint,
    )
    return generator, {"weights": weights.true_name, "model": model}, history
