"""Damaged files of every kind: a volume or a named error, in seconds and within 2 GB (tests/fuzz_reader.py)."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants import KINDS

ROOT = Path(__file__).parents[3]


def fuzz(first: int, last: int) -> Counter[str]:
    """Give the reader the mutants with these numbers, in a process of its own; count what it said."""
    command = [sys.executable, "-m", "tests.fuzz_reader", "--many", str(first), str(last)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    worker = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    lines = [line.split("\t") for line in worker.stdout.splitlines()]
    assert worker.returncode == 0, f"the worker ended at {lines[-1:]}:\n{worker.stderr[-3000:]}"
    assert [line for line in lines if line[3].startswith("BAD")] == []
    assert len(lines) == last - first
    return Counter(line[3].split()[0] for line in lines)


def test_some_damaged_files():
    said = fuzz(0, 15 * len(KINDS))
    assert said["read"] > 50 and said["refused"] > 50


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_many_damaged_files(part):
    first = 1000 + 5100 * part
    said = fuzz(first, first + 5100)
    assert said["read"] > 1000 and said["refused"] > 1000
