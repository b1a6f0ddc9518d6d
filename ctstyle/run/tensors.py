"""Files of tensors (safetensors) with facts in JSON beside them, and the one way to write and to read them.

The header of a file holds its kind, its facts and a SHA-256 over kind, facts and tensors. So damage and edits by hand
show, whatever they touch. The digest is no signature: who writes the file writes the digest. Nothing in such a file can
run when it is loaded, and readers check what they build from it.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors

from ctstyle.errors import CTStyleError

if TYPE_CHECKING:  # a config is checked against a file's facts without torch
    from torch import Tensor, nn

_KEY = "ctstyle"
"""The one key of the header: safetensors writes several in an order that differs from run to run."""
AT_MOST_BYTES = 4 << 30
AT_MOST_FACTS = 1 << 20
"""Bytes of a file, and characters of its facts, above which it is none of ours."""
LONGEST_FOUND = 300
"""Characters of what a message quotes of a file."""


@dataclass(frozen=True)
class Kind:
    """One kind of file: what messages call it, the error that they are, and what writes it."""

    name: str
    error: type[CTStyleError]
    writer: str

    def save(self, path: Path, state: Mapping[str, "Tensor"], facts: Mapping[str, Any]) -> None:
        """Write tensors and facts (JSON), whole or not at all, readable to whom the user's umask lets read.

        safetensors' own `save_file` makes files that nobody but the user may read.
        """
        import safetensors.torch

        # copies, as tensors that share memory cannot be saved
        state = {key: value.detach().cpu().clone().contiguous() for key, value in state.items()}
        head = {"kind": self.name, "facts": facts, "sha256": _digest(self.name, facts, state)}
        text = json.dumps(head, sort_keys=True, allow_nan=False)
        path = Path(path)
        new = path.with_name(f".{path.name}.new")
        new.write_bytes(safetensors.torch.save(state, metadata={_KEY: text}))
        new.replace(path)

    def facts(self, path: Path | str) -> dict[str, Any]:
        """The facts alone, without torch. Their digest is not checked, as it covers the tensors."""
        with self.reading(path):
            return self._head(path, "numpy")[1]["facts"]

    def load(self, path: Path | str) -> tuple[dict[str, "Tensor"], dict[str, Any]]:
        """Tensors (all of them finite) and facts, once their digest is right."""
        with self.reading(path):
            store, head = self._head(path, "pt")
            state = {key: store.get_tensor(key) for key in store.keys()}  # noqa: SIM118 (not a dict)
            found = _digest(self.name, head["facts"], state)
            if found != head["sha256"]:
                raise ValueError(f"the file is damaged: its SHA-256 is {found}, and it says {head['sha256']}")
            check_finite(state)
            return state, head["facts"]

    @contextmanager
    def reading(self, path: Path | str) -> Iterator[None]:
        """Raise whatever goes wrong while a file is read, and its networks are built, as the error of this kind."""
        try:
            yield
        except Exception as error:  # a hostile file finds every kind of exception
            if isinstance(error, self.error) and error.where == path:
                raise
            raise self.error(
                f"this file holds no {self.name} that can be used",
                where=path,
                found=f"{type(error).__name__}: {error}"[:LONGEST_FOUND],
                expected=f"a whole file of {self.writer}",
                fix="Make it again, or copy it again from where it is whole.",
            ) from error

    def _head(self, path: Path | str, framework: str) -> tuple[Any, dict[str, Any]]:
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError("no such file")
        if path.stat().st_size > AT_MOST_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes, more than {AT_MOST_BYTES}")
        store = safetensors.safe_open(path, framework=framework).__enter__()
        text = (store.metadata() or {}).get(_KEY, "")
        if len(text) > AT_MOST_FACTS:
            raise ValueError(f"facts of {len(text)} characters, more than {AT_MOST_FACTS}")
        if not text:
            raise ValueError(f"no `{_KEY}` in its header")
        head = json.loads(text, parse_constant=_no_constant)
        if not isinstance(head, dict) or head.get("kind") != self.name:
            kind = head.get("kind") if isinstance(head, dict) else None
            raise ValueError(f"its kind is {kind!r}, not {self.name!r}")
        if not isinstance(head.get("facts"), dict):
            raise TypeError("its facts are no mapping")
        return store, head


def state_digest(state: Mapping[str, "Tensor"]) -> str:
    """SHA-256 over names, shapes and bytes of all tensors, in the order of their names."""
    import torch

    digest = hashlib.sha256()
    for key in sorted(state):
        value = state[key].detach().cpu().contiguous()
        digest.update(f"{key} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def check_finite(state: Mapping[str, "Tensor"]) -> None:
    """Raise ValueError for a tensor with NaN or infinite values."""
    for key, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f"NaN or infinite values in the tensor {key}")


def check_fit(expected: Mapping[str, "Tensor"], state: Mapping[str, "Tensor"]) -> None:
    """Raise ValueError where names, shapes or types of `state` are not those of `expected`."""
    if other := sorted(expected.keys() ^ state.keys()):
        raise ValueError(f"{len(other)} tensors missing or too many, the first being {other[0]}")
    for key, value in expected.items():
        found = state[key]
        if (found.shape, found.dtype) != (value.shape, value.dtype):
            raise ValueError(f"{key} is {found.dtype} {tuple(found.shape)}, not {value.dtype} {tuple(value.shape)}")


def filled(make: Callable[[], "nn.Module"], state: Mapping[str, "Tensor"]) -> "nn.Module":
    """A new network with the tensors of `state`; nothing is allocated before they are known to fit."""
    import torch

    with torch.device("meta"):
        check_fit(make().state_dict(), state)
    network = make()
    network.load_state_dict(state)
    return network


def _digest(kind: str, facts: Mapping[str, Any], state: Mapping[str, "Tensor"]) -> str:
    told = json.dumps([kind, facts], sort_keys=True)
    return hashlib.sha256(f"{told}{state_digest(state)}".encode()).hexdigest()


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} in its facts")
