"""MixStyle (Zhou et al. 2021): the statistics of a slice's maps mixed with those of a batch mate, in training alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ctstyle.errors import CTStyleError
from ctstyle.segment.online.base import Online
from ctstyle.segment.residual import UNet

EPSILON = 1e-6


@dataclass(frozen=True)
class MixStyleSettings(Online):
    """Where and how often: after the first `levels` of the U-Net's way down, each with `probability` for a batch.

    The share of a slice's own statistics is Beta(`alpha`, `alpha`): mostly its own or its mate's, seldom between.

    The draws come from torch's global state, which `fit` seeds for every step, so a resumed training draws the same.
    The network's own file knows nothing of it. Where a card's memory splits a batch into parts (`accumulate`), mates
    are of one part, and a single slice is left as it is.
    """

    probability: float = 0.5
    alpha: float = 0.1
    levels: int = 2

    @contextmanager
    def within(self, network: UNet) -> Iterator[None]:
        """The network with this change after its first levels, and afterwards as it was."""
        hooks = [level.register_forward_hook(self._hook) for level in first_levels(network, self.levels)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _hook(self, level: nn.Module, _: tuple, maps: Tensor) -> Tensor:
        """What a level's maps become: themselves in evaluation, and where the lot says so."""
        if not level.training or torch.rand(()) >= self.probability:
            return maps
        mates = torch.randperm(len(maps))
        share = torch.distributions.Beta(self.alpha, self.alpha).sample((len(maps), 1, 1, 1))
        return mix_statistics(maps, mates.to(maps.device), share.to(maps.device))


def mix_statistics(maps: Tensor, mates: Tensor, share: Tensor) -> Tensor:
    """Maps `[B, C, H, W]` with `share` (`[B, 1, 1, 1]`) of their own mean and deviation and the rest of their mates'.

    Statistics are per sample and channel, in float32, and no gradient flows through them.
    """
    values = maps.float()
    mean = values.mean((2, 3), keepdim=True).detach()
    deviation = (values.var((2, 3), keepdim=True) + EPSILON).sqrt().detach()
    mixed_mean, mixed_deviation = (share * own + (1 - share) * own[mates] for own in (mean, deviation))
    return ((values - mean) / deviation * mixed_deviation + mixed_mean).to(maps.dtype)


def first_levels(network: UNet, count: int) -> list[nn.Module]:
    """The modules of the first `count` levels of the way down; raises CTStyleError where there are fewer."""
    levels = [down for down, up in network.levels() if up is not None]
    if len(levels) < count:
        raise CTStyleError(
            "the U-Net has too few levels",
            where="segment: mixstyle: levels",
            found=f"{len(levels)} levels above the lowest",
            expected=f"at least {count}",
            fix="Lower `levels`, or give the U-Net more `channels`.",
        )
    return levels[:count]
