"""The feature-layer visualisation: what each tap keeps of a slice and of a style, in numbers and in pictures."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from ctstyle.encoders.network import Encoder, positions_in_body
from ctstyle.slices.archive import Archive
from ctstyle.slices.body import body_mask
from ctstyle.slices.window import Window
from ctstyle.study.networks import LayerSettings

RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
"""Ridges of the linear readout that are tried, relative to the mean variance of the features."""


def layers(
    encoder: Encoder,
    *,
    slices: np.ndarray,
    bodies: np.ndarray,
    styles: Sequence[str],
    patients: Sequence[str],
    weights: str,
    taps: Sequence[str] | None = None,
    positions_per_slice: int = 256,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per tap: `encoder, weights, tap, stride, channels, content_score, style_score, entropy`.

    `slices` is float32 `[n, H, W]` in [0, 1] of training patients, with the body mask (bool), the style and the patient
    of each; None reads all taps.

    - `content_score`: how much of the slice the tap keeps. From the feature vector at each position a ridge regression
      predicts the stride x stride pixels it stands for (a linear probe, Alain and Bengio 2016, as a local inversion,
      Mahendran and Vedaldi 2015); the score is R^2 on slices of patients the readout has not seen (two folds), for the
      best of a few ridges.
      1: every pixel, 0: no better than the mean.
    - `style_score`: how well channel mean and standard deviation inside the body separate the styles. Nearest
      style centroid on the standardised statistics, each patient classified by centroids of the other patients;
      balanced accuracy, corrected for chance: 1 perfect, 0 chance. NaN where there is one style or no style has two
      patients.
    - `entropy`: mean entropy of the activations as a distribution over positions and channels, divided by its greatest
      value; low means few large peaks (Wang, Li, Vasconcelos 2021).
    """
    spec = encoder.spec
    names = tuple(taps or (tap.name for tap in spec.taps))
    rng = np.random.default_rng(seed)
    read = _read(encoder, slices, bodies, names, rng, positions_per_slice)
    rows = []
    for name in names:
        tap, (features, patches, statistics, entropy) = spec.tap(name), read[name]
        rows.append(
            {
                "encoder": spec.name,
                "weights": weights,
                "tap": name,
                "stride": tap.stride,
                "channels": tap.channels,
                "content_score": content_score(features, patches, patients),
                "style_score": style_score(statistics, styles, patients),
                "entropy": float(np.mean(entropy)),
            }
        )
    return pd.DataFrame(rows)


@torch.no_grad()
def _read(
    encoder: Encoder,
    slices: np.ndarray,
    bodies: np.ndarray,
    names: Sequence[str],
    rng: np.random.Generator,
    count: int,
):
    """Per tap: features `[n, P, C]`, pixels `[n, P, stride^2]` at sampled positions, statistics `[n, 2C]`, entropy."""
    collected: dict[str, list[list[np.ndarray]]] = {name: [[], [], [], []] for name in names}
    device = encoder.mean.device
    places: dict[str, np.ndarray] = {}
    for image, body in zip(slices, bodies):
        x = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)).to(device)[None, None]
        for name, maps in encoder(x, names).items():
            height, width = maps.shape[2:]
            stride = encoder.spec.tap(name).stride
            if name not in places:
                places[name] = np.sort(rng.choice(height * width, min(count, height * width), replace=False))
            flat = maps[0].flatten(1).double()
            cut = image[: height * stride, : width * stride].reshape(height, stride, width, stride)
            patches = cut.transpose(0, 2, 1, 3).reshape(height * width, stride * stride)
            share = flat.flatten() / flat.sum().clamp_min(1e-12)
            entropy = -torch.xlogy(share, share).sum() / np.log(share.numel())
            inside = positions_in_body(torch.from_numpy(body)[None], (height, width)).flatten().to(device)
            statistics = torch.cat([flat[:, inside].mean(1), flat[:, inside].std(1, correction=0)])
            parts = (
                flat.T[places[name]].cpu().numpy(),
                patches[places[name]],
                statistics.cpu().numpy(),
                float(entropy),
            )
            for store, part in zip(collected[name], parts):
                store.append(part)
    return {name: tuple(np.stack(store) for store in stores) for name, stores in collected.items()}


def content_score(features: np.ndarray, patches: np.ndarray, patients: Sequence[str]) -> float:
    """Cross-validated R^2 of a ridge readout of `patches` `[n, P, Q]` from `features` `[n, P, C]`.

    Patients are dealt into two folds (the slices themselves where there is one patient).
    """
    groups = np.unique(np.asarray(patients), return_inverse=True)[1]
    fold = groups % 2 if groups.max(initial=0) > 0 else np.arange(len(features)) % 2
    residuals, total = np.zeros(len(RIDGES)), 0.0
    for side in (0, 1):
        train, test = fold != side, fold == side
        x, y = (part[train].reshape(-1, part.shape[2]).astype(np.float64) for part in (features, patches))
        mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
        centred = x - mean_x
        gram = centred.T @ centred
        values, vectors = np.linalg.eigh(gram)
        moments = vectors.T @ (centred.T @ (y - mean_y))
        wanted = patches[test].reshape(-1, patches.shape[2]).astype(np.float64) - mean_y
        turned = (features[test].reshape(-1, features.shape[2]) - mean_x) @ vectors
        for number, ridge in enumerate(RIDGES):
            damped = values.clip(min=0) + ridge * max(values.mean(), 1e-12)
            residuals[number] += float(((wanted - turned @ (moments / damped[:, None])) ** 2).sum())
        total += float((wanted**2).sum())
    return float(1 - residuals.min() / total) if total > 0 else float("nan")


def style_score(statistics: np.ndarray, styles: Sequence[str], patients: Sequence[str]) -> float:
    """Chance-corrected balanced accuracy of nearest centroids on `statistics` `[n, D]`, leaving one patient out."""
    styles, patients = np.asarray(styles), np.asarray(patients)
    kinds = np.unique(styles)
    deviation = statistics.std(axis=0)
    points = (statistics - statistics.mean(axis=0)) / np.where(deviation > 1e-9, deviation, 1.0)
    hits: dict[str, list[bool]] = {kind: [] for kind in kinds}
    for patient in np.unique(patients):
        others = patients != patient
        known = [kind for kind in kinds if (others & (styles == kind)).any()]
        if len(known) < 2:
            continue
        centroids = np.stack([points[others & (styles == kind)].mean(axis=0) for kind in known])
        for index in np.flatnonzero(~others & np.isin(styles, known)):
            nearest = known[int(((centroids - points[index]) ** 2).sum(axis=1).argmin())]
            hits[styles[index]].append(nearest == styles[index])
    recalls = [np.mean(values) for values in hits.values() if values]
    if len(recalls) < 2:
        return float("nan")
    chance = 1 / len(recalls)
    return float((np.mean(recalls) - chance) / (1 - chance))


@torch.no_grad()
def layer_figure(
    encoder: Encoder,
    content: np.ndarray,
    style: np.ndarray,
    *,
    taps: Sequence[str] | None = None,
    frame: pd.DataFrame | None = None,
    channels: int = 4,
) -> Figure:
    """Maps of each tap for one content and one style slice (float32 `[H, W]` in [0, 1]).

    One row per tap; left the mean map and the `channels` most varied maps of the content slice, right the same channels
    of the style slice, both on one grey scale per tap. With `frame` (of `layers`) each row prints its scores.
    """
    names = tuple(taps or (tap.name for tap in encoder.spec.taps))
    pair = torch.from_numpy(np.stack([content, style]).astype(np.float32))[:, None].to(encoder.mean.device)
    maps = {name: value.float().cpu().numpy() for name, value in encoder(pair, names).items()}
    columns = channels + 2
    figure = Figure(figsize=(1.15 * 2 * columns, 1.25 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), 2 * columns, squeeze=False)
    for row, name in zip(axes, names):
        chosen = np.argsort(-maps[name][0].std(axis=(1, 2)), kind="stable")[:channels]
        top = float(np.percentile(maps[name][:, chosen], 99.5)) or 1.0
        for side, (image, title) in enumerate(((content, "content"), (style, "style"))):
            cells = row[side * columns : (side + 1) * columns]
            cells[0].imshow(image, cmap="gray", vmin=0, vmax=1)
            mean = maps[name][side].mean(axis=0)
            cells[1].imshow(mean, cmap="magma", vmin=0, vmax=float(maps[name].mean(axis=1).max()) or 1.0)
            for cell, channel in zip(cells[2:], chosen):
                cell.imshow(maps[name][side, channel], cmap="magma", vmin=0, vmax=top)
            if name == names[0]:
                cells[0].set_title(title, fontsize=8)
                cells[1].set_title("mean map", fontsize=8)
                cells[2].set_title("most varied", fontsize=8)
        label = name
        if frame is not None:
            scores = frame.set_index("tap").loc[name]
            label += (
                f"\ncontent {scores.content_score:.2f}\nstyle {scores.style_score:.2f}\nentropy {scores.entropy:.2f}"
            )
        row[0].set_ylabel(label, fontsize=7, rotation=0, ha="right", va="center")
    for cell in axes.flat:
        cell.set_xticks([])
        cell.set_yticks([])
        for spine in cell.spines.values():
            spine.set_visible(False)
    return figure


def describe(
    encoder: Encoder, training: Archive, window: Window, *, weights: str, source: str, settings: LayerSettings
) -> tuple[pd.DataFrame, Figure]:
    """`layers` and `layer_figure` of an encoder on training slices (an archive with the columns `style` and `patient`).

    Slices are drawn from `settings.seed`, the same number of every style. The figure's content slice is the fullest
    (most vertebra) of the style `source`, its style slice that of the last style.
    """
    rows = training.rows
    rng = np.random.default_rng(settings.seed)
    styles = sorted(rows["style"].unique())
    share = max(2, settings.slices // len(styles))
    of_style = {style: np.flatnonzero(rows["style"] == style) for style in styles}
    drawn = [rng.choice(places, min(share, len(places)), replace=False) for places in of_style.values()]
    chosen = training.take(np.sort(np.concatenate(drawn)))
    frame = layers(
        encoder,
        slices=window.to_unit(chosen.hu()),
        bodies=body_mask(chosen.hu(), window),
        styles=chosen.rows["style"].tolist(),
        patients=chosen.rows["patient"].tolist(),
        weights=weights,
        positions_per_slice=settings.positions_per_slice,
        seed=settings.seed,
    )
    fullest = [rows["foreground_px"].iloc[of_style[style]].astype(int).idxmax() for style in (source, styles[-1])]
    content, style = window.to_unit(training.hu(fullest))
    return frame, layer_figure(encoder, content, style, frame=frame)
