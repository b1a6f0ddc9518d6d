"""Tensors on the disk, in safetensors' format."""

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor


def save_tensors(tensors: Mapping[str, Tensor], path: Path | str, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors whole or not at all, readable to whom the user's umask lets read.

    The bytes are those of `safetensors.torch.save_file`, whose files nobody but the user may read.
    """
    path = Path(path)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(safetensors.torch.save(dict(tensors), metadata))
    new.replace(path)
