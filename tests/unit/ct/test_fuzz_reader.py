"""Damaged files and scans: a volume, slices or a named error, in seconds and within 2 GB (tests/fuzz_reader.py)."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants import KINDS

ROOT = Path(__file__).parents[3]


def fuzz(first: int, last: int, mode: str = "--many") -> Counter[str]:
    """Give the reader the mutants with these numbers, in a process of its own; count what it said."""
    command = [sys.executable, "-m", "tests.fuzz_reader", mode, str(first), str(last)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    worker = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    lines = [line.split("\t") for line in worker.stdout.splitlines()]
    assert worker.returncode == 0, f"the worker ended at {lines[-1:]}:\n{worker.stderr[-3000:]}"
    assert [line for line in lines if line[3].startswith("BAD")] == []
    assert len(lines) == last - first
    return Counter(word.strip(",") for line in lines for word in line[3].split() if word != "not")


def test_some_damaged_files():
    said = fuzz(0, 15 * len(KINDS))
    assert said["read"] > 50 and said["refused"] > 50


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_many_damaged_files(part):
    first = 1000 + 5100 * part
    said = fuzz(first, first + 5100)
    assert said["read"] > 800 and said["refused"] > 1000


def test_some_damaged_scans_are_cut_and_stylised_or_skipped():
    said = fuzz(0, 40, "--scans")
    assert said["read"] > 10 and said["skipped"] > 10 and said["stylised"]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(2))
def test_many_damaged_scans_are_cut_and_stylised_or_skipped(part):
    first = 1000 + 1500 * part
    said = fuzz(first, first + 1500, "--scans")
    assert said["read"] > 400 and said["skipped"] > 400 and said["stylised"] > 50
