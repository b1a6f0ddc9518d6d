"""Geometric augmentation, one form for images and masks and for every arm: the grey values are never touched."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ctstyle.study.analysis import GeometrySettings


def random_grid(count: int, height: int, width: int, settings: GeometrySettings, rng: np.random.Generator) -> Tensor:
    """Sampling grid `[count, height, width, 2]` for `grid_sample` (align_corners=False), drawn from `rng`."""
    angle = np.deg2rad(rng.uniform(-settings.rotation_deg, settings.rotation_deg, count))
    zoom = 1 + rng.uniform(-settings.scale, settings.scale, count)
    # in the grid's unit the side is 2 long
    shift = 2 * rng.uniform(-settings.shift, settings.shift, (count, 2))
    mirror = np.where(rng.random(count) < settings.flip, -1.0, 1.0)
    aspect = height / width
    theta = np.zeros((count, 2, 3))
    theta[:, 0, 0] = np.cos(angle) * mirror / zoom
    theta[:, 0, 1] = -np.sin(angle) * aspect / zoom
    theta[:, 1, 0] = np.sin(angle) / aspect * mirror / zoom
    theta[:, 1, 1] = np.cos(angle) / zoom
    theta[:, :, 2] = shift
    theta = torch.from_numpy(theta).float()
    grid = functional.affine_grid(theta, [count, 1, height, width], align_corners=False)
    points = [max(2, math.ceil(side / settings.elastic_step_px) + 1) for side in (height, width)]
    field = torch.from_numpy(rng.standard_normal((count, 2, *points))).float() * settings.elastic_px
    if settings.elastic_px:
        smooth = functional.interpolate(field, (height, width), mode="bicubic", align_corners=True)
        grid = grid + smooth.permute(0, 2, 3, 1) * torch.tensor([2 / width, 2 / height])
    return grid


def transform(images: Tensor, labels: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Images (float `[B, 1, H, W]` in [0, 1]) bilinear and labels (integer `[B, 1, H, W]`) nearest, on one grid.

    Outside the slice there is 0: the window's lower end (air), and background.
    """
    moved = functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    marks = functional.grid_sample(labels.float(), grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return moved, marks.to(labels.dtype)
