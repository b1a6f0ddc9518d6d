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
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ctstyle.errors import CTStyleError

log = logging.getLogger(__name__)


class TrainingDiverged(CTStyleError):
    """A loss became NaN or infinite."""


class StaleState(CTStyleError):
    """The file a training would resume from belongs to another training."""


def step_rng(seed: int, step: int) -> np.random.Generator:
    """The random generator of one training step."""
    return np.random.default_rng([seed, step])


def fit(
    step: Callable[[int, np.random.Generator], Mapping[str, torch.Tensor | float]],
    *,
    parts: Mapping[str, Any],
    steps: int,
    seed: int,
    name: str = "training",
    state_path: Path | None = None,
    fingerprint: str = "",
    log_every: int = 20,
    save_every_s: float = 300.0,
) -> pd.DataFrame:
    """Run `steps` training steps and return the history, one row per step.

    `step(i, rng)` does one whole step (batch, losses, backward, optimiser) and returns its losses by name; everything
    random in it comes from `rng` or from torch's global generator, which is seeded from `(seed, i)` as well. `parts`
    are the objects with `state_dict` and `load_state_dict` (networks, optimisers, schedulers) that a resumed training
    needs. With `state_path` the state is saved there atomically every `save_every_s` seconds and on SIGTERM or
    SIGUSR1 (the loop then ends with SystemExit 143), and removed after the last step.

    `history.attrs["seconds_per_step"]` is the median time of the steps that this process ran (NaN if none).

    Raises TrainingDiverged at the first loss that is not finite, and StaleState where `state_path` holds the state of
    a training with another `fingerprint`.
    """
    history: list[dict[str, float]] = []
    if state_path is not None and state_path.exists():
        history = _load(state_path, parts, fingerprint)
        log.info("%s: resumed after step %d of %d", name, len(history), steps)
    first = len(history)
    started = last_saved = time.monotonic()
    durations: list[float] = []
    with _StopSignal() as stop:
        for i in range(first, steps):
            rng, began = step_rng(seed, i), time.perf_counter()
            torch.manual_seed(int(rng.integers(2**62)))
            losses = {key: torch.as_tensor(value).detach().item() for key, value in step(i, rng).items()}
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
            if state_path is not None and i + 1 < steps and (stop.asked or now - last_saved > save_every_s):
                _save(state_path, parts, history, fingerprint)
                last_saved = now
            if stop.asked and i + 1 < steps:
                log.warning("%s: stopped by a signal after step %d", name, i + 1)
                raise SystemExit(143)
    if state_path is not None:
        state_path.unlink(missing_ok=True)
    frame = pd.DataFrame(history)
    frame.attrs["seconds_per_step"] = statistics.median(durations) if durations else math.nan
    return frame


def _save(path: Path, parts: Mapping[str, Any], history: list[dict[str, float]], fingerprint: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    states = {name: part.state_dict() for name, part in parts.items()}
    torch.save({"fingerprint": fingerprint, "history": history, "parts": states}, temporary)
    temporary.replace(path)


def _load(path: Path, parts: Mapping[str, Any], fingerprint: str) -> list[dict[str, float]]:
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["fingerprint"] != fingerprint:
        raise StaleState(
            "this training state belongs to other parameters, inputs or code",
            where=path,
            found=state["fingerprint"][:12],
            expected=fingerprint[:12],
            fix="Delete the file and run again.",
        )
    for name, part in parts.items():
        part.load_state_dict(state["parts"][name])
    return state["history"]


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
