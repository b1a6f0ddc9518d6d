"""Content and style losses of the two models, per batch, on maps that are scaled by their mean activation."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ctstyle.encoders.network import positions_in_body
from ctstyle.study.networks import AT_MOST_POINTS
from ctstyle.transfer.adain import channel_statistics
from ctstyle.transfer.contextual_loss import contextual_loss

"""Feature positions per sample and layer that the contextual loss compares (Mechrez's reference: 65 x 65)."""

Statistics = tuple[Tensor, Tensor]


def style_loss(
    generated: Mapping[str, Tensor],
    style: Mapping[str, Statistics],
    weights: Mapping[str, float],
    body: Tensor | None = None,
) -> Tensor:
    """sum over layers of ||m(G) - m(Y)||^2 + ||s(G) - s(Y)||^2, mean over channels and batch (the paper's eq. 12).

    `generated` holds maps `[B, C, H, W]`, `style` the mean and deviation `[B, C]` of the style slices, `weights` the
    weight of each layer, `body` the masks `[B, height, width]` of the content slices (None: statistics of all
    positions, and those of `style` must be too).
    """
    total = torch.zeros((), device=next(iter(generated.values())).device)
    for layer, weight in weights.items():
        mean, deviation = channel_statistics(generated[layer], body)
        style_mean, style_deviation = style[layer]
        total = total + weight * (F.mse_loss(mean, style_mean) + F.mse_loss(deviation, style_deviation))
    return total


def sample_points(body: Tensor, size: tuple[int, int], rng: np.random.Generator, *, at_most: int = AT_MOST_POINTS):
    """Flat indices (int64, ascending) of at most `at_most` positions of a map of `size` that lie in the body.

    `body` is a bool `[H, W]` mask of the slice. The same indices serve the generated and the target maps: identical air
    would put a floor under the loss, and different indices would compare different places.
    """
    inside = torch.nonzero(positions_in_body(body[None], size).flatten()).flatten().cpu()
    if len(inside) > at_most:
        chosen = np.sort(rng.choice(len(inside), at_most, replace=False))
        inside = inside[torch.from_numpy(chosen)]
    return inside.to(body.device)


def contextual_map_loss(
    generated: Mapping[str, Tensor],
    target: Mapping[str, Tensor],
    body: Tensor,
    rng: np.random.Generator,
    *,
    layers: Sequence[str],
    target_body: Tensor | None = None,
    bandwidth: float = 0.5,
    at_most: int = AT_MOST_POINTS,
) -> Tensor:
    """Contextual loss summed over `layers`, mean over the batch, at positions in the body of the content slice.

    Maps are `[B, C, H, W]`, `body` is bool `[B, height, width]`. Each sample has its own points and its own loss. The
    points are the same in both maps (content). Where the target shows another patient (style), it has points of its
    own inside `target_body`, and their numbers may differ.
    """
    total = torch.zeros((), device=body.device)
    for layer in layers:
        for sample, (made, wanted) in enumerate(zip(generated[layer], target[layer])):
            points = others = sample_points(body[sample], made.shape[1:], rng, at_most=at_most)
            if target_body is not None:
                others = sample_points(target_body[sample], wanted.shape[1:], rng, at_most=at_most)
            vectors, targets = made.flatten(1)[:, points], wanted.flatten(1)[:, others]  # [C, N], [C, M]
            loss = contextual_loss(vectors[None], targets[None], bandwidth=bandwidth)
            total = total + loss[0] / len(generated[layer])
    return total
