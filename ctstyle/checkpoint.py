"""What a killed training goes on from: one file beside the job's first output, keyed by the job's fingerprint.

Snakemake deletes the declared outputs of a killed job, so the file is none of them (docs/cluster.md). Another
parameter, input or line of code makes another fingerprint and so never resumes from it.
"""

import contextlib
import copy
import logging
import pickle
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

FORMAT = 1
SHARE = 0.01
"""Largest share of a training's time that goes into saving its state."""


@dataclass(kw_only=True)
class Checkpoint:
    """The state file of one job: saved every `every_s` seconds, more rarely where saving takes long.

    `segments` are the stretches a training ran in, one after each interruption: `startedOn` (UTC) and `steps`, the
    first and the last, and what else is noted (docs/provenance.md).
    """

    path: Path
    fingerprint: str
    every_s: float = 300.0
    segments: list[dict[str, Any]] = field(default_factory=list)
    _due: float = field(default=0.0, init=False)

    @classmethod
    def beside(cls, output: Path | str, rule: str, fingerprint: str, *, every_s: float = 300.0) -> "Checkpoint":
        """The state file of the job of `rule` whose first output is `output`."""
        output = Path(output)
        return cls(
            path=output.with_name(f".{output.name}-{rule}-{fingerprint[:16]}.state"),
            fingerprint=fingerprint,
            every_s=every_s,
        )

    def resume(self, parts: Mapping[str, Any], name: str) -> list[dict[str, float]]:
        """Load what was saved into `parts` and return its history; empty where the training begins.

        States of other fingerprints of the same output are deleted: nothing will resume from them any more. A file
        that is damaged, of another torch or of another format is deleted too, with a warning, and the training begins
        anew.
        """
        stem = self.path.name.removesuffix(f"-{self.fingerprint[:16]}.state")
        for other in self.path.parent.glob(f"{stem}-*.state*"):
            if other != self.path:
                log.info("%s: deleted %s, left over from another training or a broken save", name, other.name)
                other.unlink(missing_ok=True)
        history = self._read(parts, name) if self.path.exists() else []
        self.segments.append({"startedOn": datetime.now(UTC), "steps": [len(history) + 1, len(history)]})
        self._due = time.monotonic() + self.every_s
        return history

    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() >= self._due

    def save(self, parts: Mapping[str, Any], history: list[dict[str, float]]) -> None:
        """Write the state, whole or not at all; a disk that is full is told in the log, and the training goes on."""
        import torch

        began = time.monotonic()
        self.reached(len(history))
        state = {
            "format": FORMAT,
            "torch": str(torch.__version__),
            "fingerprint": self.fingerprint,
            "history": history,
            "segments": [one | {"startedOn": one["startedOn"].isoformat()} for one in self.segments],
            "parts": {name: part.state_dict() for name, part in parts.items()},
        }
        temporary = self.path.with_name(self.path.name + ".tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(state, temporary)
            temporary.replace(self.path)
        except (OSError, RuntimeError) as error:  # torch says RuntimeError where the disk is full
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            log.warning("the state after step %d could not be saved (%s); going on without it", len(history), error)
        now = time.monotonic()
        self._due = now + max(self.every_s, (now - began) / SHARE)

    def reached(self, step: int) -> None:
        """Note the last step of the present segment."""
        self.segments[-1]["steps"][1] = step

    def note(self, **facts: Any) -> None:
        """Note something of the present segment, for the job's record."""
        self.segments[-1].update(facts)

    def finish(self) -> None:
        """The training is done: nothing will resume from here."""
        self.path.unlink(missing_ok=True)

    def _read(self, parts: Mapping[str, Any], name: str) -> list[dict[str, float]]:
        import torch

        before = {key: copy.deepcopy(part.state_dict()) for key, part in parts.items()}
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            known = (FORMAT, str(torch.__version__), self.fingerprint)
            found = tuple(state[key] for key in ("format", "torch", "fingerprint"))
            if found != known:
                raise ValueError(f"format, torch and fingerprint are {found}, not {known}")
            for key, part in parts.items():
                part.load_state_dict(state["parts"][key])
            history = state["history"]
            self.segments[:] = [
                one | {"startedOn": datetime.fromisoformat(one["startedOn"])} for one in state["segments"]
            ]
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
            log.warning("%s: %s cannot be resumed from, begins anew: %s", name, self.path.name, error)
            for key, part in parts.items():
                part.load_state_dict(before[key])
            self.path.unlink(missing_ok=True)
            return []
        log.info("%s: resumed after step %d", name, len(history))
        return history
