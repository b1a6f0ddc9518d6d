"""The gradient of a whole batch, also where a card's memory does not hold the batch at once."""

import copy
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint as recomputed

from ctstyle.errors import CTStyleError
from ctstyle.run.checkpoint import Checkpoint

log = logging.getLogger(__name__)

Outputs = Mapping[str, Tensor]


class GPUMemoryExhausted(CTStyleError):
    """A training does not fit into the card's memory, a slice at a time where it can be split."""


class Accumulation:
    """Runs a batch whole, and in twice as many parts each time the card's memory does not suffice.

    In parts, each part's outputs are kept and its activations computed again when its gradient is due (Chen et al.
    2016, arXiv 1604.06174). The loss sees the outputs of the whole batch either way, so the gradient is the same
    whatever the loss, as long as no layer mixes samples: no batch norm; MixStyle then finds its mates within a part.
    The number of parts is logged and recorded.
    """

    def __init__(self, name: str, checkpoint: Checkpoint | None = None):
        self.name, self.checkpoint, self.parts = name, checkpoint, 1

    def backward(
        self,
        optimiser: torch.optim.Optimizer,
        size: int,
        forward: Callable[[slice], Outputs],
        loss_of: Callable[[Outputs, np.random.Generator], Mapping[str, Tensor]],
        rng: np.random.Generator,
    ) -> dict[str, Tensor]:
        """Leave the batch's gradient in the parameters of `optimiser` and return its losses, detached.

        `forward(part)` maps a part of the `size` samples to outputs by name, samples first; `loss_of(outputs, rng)`
        returns losses by name, of which `loss` is descended. Both may be called again: what they draw comes from `rng`
        or torch, and is the same each time. Raises GPUMemoryExhausted where a single sample does not fit.
        """
        while True:
            optimiser.zero_grad(set_to_none=True)
            losses = self._try(size, forward, loss_of, copy.deepcopy(rng))
            if losses is not None:
                return losses
            self._split(size)

    def _try(self, size: int, forward: Callable, loss_of: Callable, rng: np.random.Generator) -> dict | None:
        """The losses, or None where the memory was exhausted; returning frees what the failed pass held."""
        try:
            if self.parts == 1:
                outputs = forward(slice(0, size))
            else:
                length = math.ceil(size / self.parts)
                made = [
                    recomputed(forward, slice(start, start + length), use_reentrant=False)
                    for start in range(0, size, length)
                ]
                outputs = {name: torch.cat([part[name] for part in made]) for name in made[0]}
            losses = loss_of(outputs, rng)
            losses["loss"].backward()
        except torch.OutOfMemoryError as error:
            log.warning("%s: %s", self.name, error)
            return None
        return {name: value.detach() for name, value in losses.items()}

    def _split(self, size: int) -> None:
        if self.parts >= size:
            raise out_of_memory(self.name, f"a batch of {size} in {self.parts} part(s)")
        self.parts = min(2 * self.parts, size)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        log.warning("%s: the card's memory is exhausted, a batch is now run in %d parts", self.name, self.parts)
        if self.checkpoint is not None:
            self.checkpoint.note(parts_of_a_batch=self.parts)


def out_of_memory(name: str, found: Any) -> GPUMemoryExhausted:
    """The error of a training that does not fit into the card's memory."""
    return GPUMemoryExhausted(
        "the card's memory is exhausted",
        where=name,
        found=found,
        expected="a batch that fits",
        fix="Set a smaller `batch` or `size_px` in the config, or take a larger card.",
    )
