"""The contextual loss (Mechrez et al. 2018): how alike two sets of feature vectors are, blind to place."""

import torch
from torch import Tensor

NORM_GUARD = 1e-8
"""Vectors shorter than this count as zero; their cosine with everything is zero."""


def contextual_loss(
    generated: Tensor,
    target: Tensor,
    *,
    bandwidth: float = 0.5,
    eps: float = 1e-5,
    generated_xy: Tensor | None = None,
    target_xy: Tensor | None = None,
    spatial_weight: float = 0.0,
) -> Tensor:
    """-log CX per sample (method.md, 3; Mechrez 2018, eq. 1 to 5).

    `generated` is `[B, C, N]` and `target` `[B, C, M]`: features g_i and x_j. Both are centred by the mean of the
    sample's targets and normalised along channels; d_ij = 1 - cos, clamped at 0; d~_ij = d_ij / (min_k d_ik + eps);
    w_ij = exp((1 - d~_ij) / bandwidth); CX_ij = w_ij / sum_k w_ik; CX = mean_j max_i CX_ij. The maximum is over the
    generated features for each target, so that total collapse costs ln M. Returns `[B]`; no sample sees another.

    With `spatial_weight` above 0 the distance is d_ij + spatial_weight * |p_i - p_j|^2, p in [0, 1] across the image,
    `[2, N]` and `[2, M]` (CoBi; Zhang et al. 2019): features then look for their like near their own place.
    """
    mean = target.mean(dim=2, keepdim=True)
    distance = (1 - _unit(generated - mean).transpose(1, 2) @ _unit(target - mean)).clamp_min(0)
    if spatial_weight > 0:
        apart = (generated_xy[:, :, None] - target_xy[:, None, :]).square().sum(dim=0)
        distance = distance + spatial_weight * apart
    relative = distance / (distance.amin(dim=2, keepdim=True) + eps)
    # A softmax over the targets is w_ij / sum_k w_ik, without overflow.
    similarity = torch.softmax((1 - relative) / bandwidth, dim=2)
    return -similarity.amax(dim=1).mean(dim=1).log()


def _unit(vectors: Tensor) -> Tensor:
    """`[B, C, N]` with unit length along C; vectors below the guard become zero, with a zero gradient."""
    squared = vectors.square().sum(dim=1, keepdim=True)
    real = squared > NORM_GUARD**2
    length = torch.where(real, squared, torch.ones_like(squared)).sqrt()
    return torch.where(real, vectors / length, torch.zeros_like(vectors))
