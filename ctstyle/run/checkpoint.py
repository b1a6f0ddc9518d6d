"""What a killed training goes on from: one file beside the job's first output, keyed by the job's fingerprint.

Snakemake deletes the declared outputs of a killed job, so the file is none of them (docs/cluster.md). Another
parameter, input or line of code makes another fingerprint and so never resumes from it.
"""

import contextlib
import copy
import hashlib
import io
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

FORMAT = 2
_HEAD = "ctstyle state {digest} {size:>20}\n"
"""First line of a state file: SHA-256 and length of all that follows. `torch.load` itself checks no sum."""
_HEAD_LENGTH = len(_HEAD.format(digest="0" * 64, size=0))
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
        that is damaged, of another torch or of another format, or that cannot be read for whatever reason, is deleted
        too, with a warning. `parts` are then as they were, and the training begins anew.
        """
        stem = self.path.name.removesuffix(f"-{self.fingerprint[:16]}.state")
        for other in self.path.parent.glob(f"{stem}-*.state*"):
            if other != self.path:
                log.info("%s: deleted %s, left over from another training or a broken save", name, other.name)
                _remove(other)
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
            with temporary.open("w+b") as file:
                _write(state, file)
            temporary.replace(self.path)
            _sync_folder(self.path.parent)
        except (OSError, RuntimeError) as error:  # torch says RuntimeError where the disk is full
            _remove(temporary)
            log.warning("the state after step %d could not be saved (%s); going on without it", len(history), error)
        now = time.monotonic()
        self._due = now + max(self.every_s, (now - began) / SHARE)

    def reached(self, step: int) -> None:
        """Note the last step of the present segment."""
        self.segments[-1]["steps"][1] = step

    def finish(self) -> None:
        """The training is done: nothing will resume from here."""
        _remove(self.path)

    def _read(self, parts: Mapping[str, Any], name: str) -> list[dict[str, float]]:
        import torch

        before = {key: copy.deepcopy(part.state_dict()) for key, part in parts.items()}
        try:
            state = torch.load(io.BytesIO(_payload(self.path)), map_location="cpu", weights_only=True)
            known = (FORMAT, str(torch.__version__), self.fingerprint)
            found = tuple(state[key] for key in ("format", "torch", "fingerprint"))
            if found != known:
                raise ValueError(f"format, torch and fingerprint are {found}, not {known}")
            history = state["history"]
            segments = [one | {"startedOn": datetime.fromisoformat(one["startedOn"])} for one in state["segments"]]
            for key, part in parts.items():
                part.load_state_dict(state["parts"][key])
        except Exception as error:  # whatever it is: a training that begins anew is right, only later
            log.warning("%s: %s cannot be resumed from, begins anew: %r", name, self.path.name, error)
            for key, part in parts.items():
                part.load_state_dict(before[key])
            _remove(self.path)
            return []
        self.segments[:] = segments
        log.info("%s: resumed after step %d", name, len(history))
        return history


def _remove(path: Path) -> None:
    """Delete a state; one that cannot be deleted is said and stops no training."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s could not be deleted: %s", path.name, error)


def _write(state: Mapping[str, Any], file: Any) -> None:
    """Write the state behind its head, and wait until the disk has it: a renamed file must not be an empty one."""
    import torch

    file.write(_HEAD.format(digest="0" * 64, size=0).encode())
    torch.save(state, file)
    size = file.tell() - _HEAD_LENGTH
    file.seek(_HEAD_LENGTH)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    file.write(_HEAD.format(digest=digest, size=size).encode())
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Let the rename outlast a power cut, on file systems that can promise it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _payload(path: Path) -> bytes:
    """What lies behind the head of a state file, once its length and its digest are right. Raises ValueError."""
    if not path.is_file():
        raise ValueError("this is no file")
    with path.open("rb") as file:
        head = file.read(_HEAD_LENGTH)
        size = os.fstat(file.fileno()).st_size - len(head)
        payload = file.read() if head.endswith(b" %20d\n" % size) else b""
    if head != _HEAD.format(digest=hashlib.sha256(payload).hexdigest(), size=size).encode():
        raise ValueError("the file is damaged: it is not of the length or the SHA-256 that its first line says")
    return payload
