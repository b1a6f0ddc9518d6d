"""Files of tensors have the bytes that safetensors writes and the modes that every other file has."""

import os
import re

import pytest
import safetensors.torch
import torch

from ctstyle.tensors import save_tensors


@pytest.fixture(params=[0o022, 0o077, 0o007])
def umask(request):
    """One umask of a user, for one test."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_tensors_follow_the_umask_and_keep_their_bytes(tmp_path, umask):
    tensors = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(2, dtype=torch.int8)}
    path, reference = tmp_path / "w.safetensors", tmp_path / "reference.safetensors"
    for metadata in (None, {"ctstyle": '{"x": 1}'}):
        save_tensors(tensors, path, metadata)
        safetensors.torch.save_file(tensors, reference, metadata=metadata)
        assert path.read_bytes() == reference.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert {one.name for one in tmp_path.iterdir()} == {path.name, reference.name}


def test_nothing_of_the_library_makes_files_that_only_the_user_may_read(root):
    """What these make is private whatever the umask; temporary folders are, but not what is moved out of them."""
    makers = re.compile(r"\b(save_file|NamedTemporaryFile|mkstemp)\(")
    found = [path.name for path in (root / "ctstyle").rglob("*.py") if makers.search(path.read_text())]
    assert found == []
