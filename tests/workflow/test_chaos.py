"""Chaos in a short form; `make chaos` does more of it and keeps a ledger."""

import csv
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_run_struck_four_times_ends_as_an_undisturbed_one(root, tmp_path):
    ledger = tmp_path / "chaos.tsv"
    command = [sys.executable, root / "tests" / "chaos.py", "--strikes", "4", "--seed", "3", "--ledger", ledger]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    (row,) = csv.DictReader(ledger.open(newline=""), delimiter="\t")
    assert row["verdict"] == "as undisturbed" and row["strikes"]
