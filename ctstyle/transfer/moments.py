"""Channel statistics of many slices at once: what AdaIN takes from a whole volume or a whole style."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ctstyle.encoders.positions import positions_in_body
from ctstyle.errors import CTStyleError
from ctstyle.slices.body import body_mask
from ctstyle.slices.window import Window
from ctstyle.transfer.adain import VARIANCE_GUARD
from ctstyle.transfer.generator import Generator


class NoStatistics(CTStyleError):
    """Slices of which none shows a body."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Per slice: positions `count` `[n]`, and `total` and `squares` `[n, C]` of the maps there, float64 on the CPU.

    A slice without body counts no position.
    """

    count: Tensor
    total: Tensor
    squares: Tensor

    def pooled(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation `[1, C]` over the positions of all slices, as though they were one.

        Raises NoStatistics.
        """
        count = self.count.sum()
        if count == 0:
            raise NoStatistics(
                "no slice shows a body",
                found=f"{len(self.count)} slices of air",
                expected="tissue within the window",
                fix="Look at the scan, and at its Hounsfield units.",
            )
        return _statistics(self.total.sum(0, keepdim=True) / count, self.squares.sum(0, keepdim=True) / count)

    def each(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation `[n, C]` of every slice; those of all slices for one without body."""
        mean, deviation = _statistics(*(part / self.count[:, None] for part in (self.total, self.squares)))
        empty = (self.count == 0)[:, None]
        return tuple(torch.where(empty, all_, own) for all_, own in zip(self.pooled(), (mean, deviation)))


def _statistics(mean: Tensor, mean_square: Tensor) -> tuple[Tensor, Tensor]:
    variance = (mean_square - mean.square()).clamp(min=0)
    return mean.float(), torch.sqrt(variance + VARIANCE_GUARD).float()


@torch.no_grad()
def moments(generator: Generator, hu: np.ndarray, *, window: Window, batch: int = 16) -> Moments:
    """The moments of slices, HU `[n, H, W]`, at the generator's AdaIN tap.

    They are taken where the generator was trained to take its statistics: inside the body, or over whole slices.
    """
    device, parts = generator.encoder.mean.device, []
    for start in range(0, len(hu), batch):
        some = np.asarray(hu[start : start + batch])
        body = torch.from_numpy(body_mask(some, window)).to(device)
        maps = generator.encode(torch.from_numpy(window.to_unit(some))[:, None].to(device)).double()
        seen = body.any(dim=(1, 2))[:, None, None]
        inside = (
            positions_in_body(body, maps.shape[2:]) if generator.statistics == "body" else torch.ones_like(maps[:, 0])
        )
        inside = (inside * seen)[:, None].double()
        parts.append(
            [(one * inside).sum(dim=(2, 3)).cpu() for one in (torch.ones_like(maps[:, :1]), maps, maps.square())]
        )
    count, total, squares = (torch.cat(part) for part in zip(*parts))
    return Moments(count[:, 0], total, squares)
