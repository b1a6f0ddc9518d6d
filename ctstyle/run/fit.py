"""One training loop for every network: deterministic, logged, resumable, stopped by the first NaN.

The randomness of step `i` comes from `(seed, i)` alone, so a resumed training needs no saved random state and equals
the uninterrupted one bit for bit on the CPU.
"""

import logging
import math
import signal
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recomputed

from ctstyle.errors import CTStyleError
from ctstyle.run.checkpoint import Checkpoint

log = logging.getLogger(__name__)


class TrainingDiverged(CTStyleError):
    """A loss became NaN or infinite."""


class GPUMemoryExhausted(CTStyleError):
    """A training step that does not fit into the card's memory."""


def step_rng(seed: int, step: int) -> np.random.Generator:
    """The random generator of one training step."""
    return np.random.default_rng([seed, step])


def fit(
    step: Callable[[int, np.random.Generator], Mapping[str, Tensor | float]],
    *,
    parts: Mapping[str, Any],
    steps: int,
    seed: int,
    name: str = "training",
    checkpoint: Checkpoint | None = None,
    log_every: int = 20,
) -> pd.DataFrame:
    """Run `steps` training steps and return the history, one row per step.

    `step(i, rng)` does one whole step (batch, losses, backward, optimiser) and returns its losses by name; everything
    random in it comes from `rng` or from torch's global generator, which is seeded from `(seed, i)` as well. `parts`
    are the objects with `state_dict` and `load_state_dict` (networks, optimisers, schedulers) that a resumed training
    needs. With `checkpoint` the state is saved by time and on SIGTERM or SIGUSR1 (the loop then ends with SystemExit
    143), and removed after the last step.

    `history.attrs["seconds_per_step"]` is the median time of the steps that this process ran (NaN if none).

    Raises TrainingDiverged at the first loss that is not finite, GPUMemoryExhausted where a card does not hold a step.
    """
    history = [] if checkpoint is None else checkpoint.resume(parts, name)
    first = len(history)
    started = time.monotonic()
    durations: list[float] = []
    with _StopSignal() as stop:
        for i in range(first, steps):
            rng, began = step_rng(seed, i), time.perf_counter()
            torch.manual_seed(int(rng.integers(2**62)))
            try:
                losses = {key: torch.as_tensor(value).detach().item() for key, value in step(i, rng).items()}
            except torch.OutOfMemoryError as error:
                raise _out_of_memory(name, error) from error
            durations.append(time.perf_counter() - began)
            bad = [key for key, value in losses.items() if not math.isfinite(value)]
            if bad:
                raise TrainingDiverged(
                    f"{name} diverged at step {i + 1} of {steps}",
                    where=bad[0],
                    found=losses[bad[0]],
                    expected="a finite loss",
                    fix="Lower the learning rate or the style weight of this training, or look for NaN in its slices.",
                )
            history.append({"step": i + 1, **losses})
            now = time.monotonic()
            if (i + 1) % log_every == 0 or i + 1 == steps:
                rate = (i + 1 - first) / max(now - started, 1e-9)
                shown = "  ".join(f"{key} {value:.4g}" for key, value in losses.items())
                left = (steps - i - 1) / rate
                log.info("%s: step %d/%d  %s  %.2f steps/s  %.0f s left", name, i + 1, steps, shown, rate, left)
            if checkpoint is not None and i + 1 < steps and (stop.asked or checkpoint.due()):
                checkpoint.save(parts, history)
            if stop.asked and i + 1 < steps:
                log.warning("%s: stopped by a signal after step %d", name, i + 1)
                raise SystemExit(143)
    if checkpoint is not None:
        checkpoint.reached(len(history))
        checkpoint.finish()
    frame = pd.DataFrame(history)
    frame.attrs["seconds_per_step"] = statistics.median(durations) if durations else math.nan
    return frame


def descend(loss: Tensor, optimiser: torch.optim.Optimizer, schedule: Any = None, *, clip: float = math.inf) -> None:
    """One step of `optimiser` down `loss` (a scalar), its gradient no longer than `clip`, and one of `schedule`."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    if clip < math.inf:
        torch.nn.utils.clip_grad_norm_([value for group in optimiser.param_groups for value in group["params"]], clip)
    optimiser.step()
    if schedule is not None:
        schedule.step()


def in_parts(forward: Callable[..., Tensor | dict[str, Tensor]], parts: int, *batch: Tensor) -> Any:
    """`forward(*batch)` in `parts` parts of the samples, whose activations are computed again for the gradient.

    Returns what `forward` returns for the whole batch: a tensor, or tensors by name, samples first. So the loss sees
    the whole batch and has the same gradient whatever it pools, as long as no layer mixes samples (Chen et al. 2016,
    arXiv 1604.06174). MixStyle finds its mates within a part.
    """
    if parts == 1:
        return forward(*batch)
    made = [recomputed(forward, *part, use_reentrant=False) for part in zip(*(one.chunk(parts) for one in batch))]
    if isinstance(made[0], Tensor):
        return torch.cat(made)
    return {name: torch.cat([part[name] for part in made]) for name in made[0]}


def _out_of_memory(name: str, error: torch.OutOfMemoryError) -> GPUMemoryExhausted:
    peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else math.nan
    return GPUMemoryExhausted(
        "the card's memory does not hold a training step",
        where=name,
        found=f"a peak of {peak:.1f} GiB; {str(error).partition('. ')[0]}",
        expected="a `batch` that fits into the card",
        fix="Set a smaller `batch` of this training, or `accumulate: 2` or more where its section has it.",
    )


class _StopSignal:
    """Remembers that SIGTERM or SIGUSR1 came, so that the loop can end between two steps."""

    def __init__(self):
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "_StopSignal":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGUSR1):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, *_: object) -> None:
        self.asked = True


def he_initialise(network: nn.Module, *, seed: int) -> torch.Generator:
    """Fill convolutions and linear layers by He et al. 2015, batch norm with the identity and biases with zero.

    In place: normal, fan in, gain of ReLU. Returns the generator for what is still to be drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
    return generator
