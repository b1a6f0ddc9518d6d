"""The workflow on a real SLURM: cards, cancelled jobs, and tables that are those of a local run."""

import json
import subprocess
import sys
import time

import pytest

from tests.runs import Workflow

pytestmark = pytest.mark.slow
QUICK = ("--slurm-init-seconds-before-status-checks", "3", "--seconds-between-status-checks", "2")
QUICK += ("--slurm-status-command", "squeue")  # there is no accounting here
ON_THE_CPU = ("--config", "gpu=0")
"""The card of the test's cluster is none, and a job that is promised a card and sees none fails."""
CARD = """
rule card:
    output:
        "card.txt",
    resources:
        gpu=1,
    shell:
        "{python} -c 'import os; from ctstyle.lease import lease_cards; lease_cards(1); "
        "print(os.environ[\\"CUDA_VISIBLE_DEVICES\\"])' > {{output}}"
"""


def profile(root):
    """The options of a run with the profile that users are given."""
    return ("--workflow-profile", root / "profiles" / "slurm", *QUICK)


def submitted(slurm, rule):
    """The running jobs of a rule, by SLURM's ids."""
    return [job for job, (state, comment) in slurm.jobs().items() if state == "RUNNING" and rule in comment]


def cancel_when(slurm, process, rule, ready=lambda: True, limit_s=900):
    """Cancel a job of `rule` while it runs, once `ready`; returns its id."""
    until = time.monotonic() + limit_s
    while process.poll() is None and time.monotonic() < until:
        jobs = submitted(slurm, rule)
        if jobs and ready():
            subprocess.run(["scancel", jobs[0]], check=True)
            return jobs[0]
        time.sleep(0.5)
    raise AssertionError(f"no job of {rule} could be cancelled")


def start(workflow, log, *arguments):
    """Snakemake in the background."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(workflow.root / "Snakefile")]
    command += ["--directory", str(workflow.folder), *map(str, arguments)]
    return subprocess.Popen(command, cwd=workflow.root, stdout=log.open("w"), stderr=subprocess.STDOUT)


def test_a_job_uses_the_card_that_slurm_gave_it(slurm, root, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(root))
    (tmp_path / "Snakefile").write_text(CARD.format(python=sys.executable))
    done = Workflow(tmp_path, tmp_path).run(*profile(root), "card.txt", cores=1)
    assert done.returncode == 0, done.stdout[-3000:]
    assert (tmp_path / "card.txt").read_text() == "0\n"


def test_a_cancelled_training_goes_on_where_it_was(slurm, root, tmp_path):
    config = tmp_path / "longer.yaml"
    config.write_text(
        (root / "tests/config/chaos.yaml").read_text().replace("training: {steps: 20", "training: {steps: 120")
    )
    target = "results/chaos/transfer/ours/seed0/history.tsv"
    arguments = (
        target,
        "--configfile",
        config,
        "--default-resources",
        "save_every_s=0",
        "slurm_partition=main",
        "mem_mb=2000",
    )
    alone, cluster = Workflow(root, tmp_path / "alone"), Workflow(root, tmp_path / "cluster")
    done = alone.run(*arguments)
    assert done.returncode == 0, done.stdout[-3000:]

    log = tmp_path / "cluster.log"
    running = start(cluster, log, *arguments, "--retries", "2", *profile(root), *ON_THE_CPU)
    told = cluster.folder / "results/chaos/logs/train_transfer/ours-seed0.log"
    cancel_when(slurm, running, "train_transfer", lambda: told.exists() and "step 40/120" in told.read_text())
    assert running.wait(600) == 0, log.read_text()[-3000:]
    for name in ("history.tsv", "generator.safetensors"):
        mine, other = (one.folder / "results/chaos/transfer/ours/seed0" / name for one in (alone, cluster))
        assert mine.read_bytes() == other.read_bytes(), name
    record = json.loads(
        (cluster.folder / "results/chaos/provenance/records/train_transfer/ours-seed0.json").read_text()
    )
    segments = [one["annotations"]["steps"] for one in record["predicate"]["runDetails"]["byproducts"]]
    assert len(segments) == 2 and segments[1][0] > 40 and segments[1][1] == 120


def test_a_run_on_slurm_with_a_cancelled_job_gives_the_tables_of_a_local_run(slurm, tiny, root, tmp_path):
    _, arguments, local = tiny
    log = tmp_path / "tiny.log"
    running = start(Workflow(root, tmp_path), log, *arguments, *profile(root), *ON_THE_CPU)
    cancel_when(slurm, running, "train_unet")
    assert running.wait(2400) == 0, log.read_text()[-5000:]
    made = tmp_path / "results" / "tiny" / "paper" / "tables"
    names = sorted(
        path.name for path in (local / "paper" / "tables").glob("*.csv") if path.stem not in ("costs", "claims")
    )
    assert len(names) > 8
    for name in names:
        assert (made / name).read_bytes() == (local / "paper" / "tables" / name).read_bytes(), name


def test_the_same_through_a_submit_command(root, tmp_path):
    submit = tmp_path / "submit.sh"
    submit.write_text('#!/bin/sh\nnohup sh "$1" > "$1.out" 2>&1 &\necho $!\n')
    submit.chmod(0o755)
    targets = ("results/chaos/transfer/ours/seed0/history.tsv", "--configfile", root / "tests/config/chaos.yaml")
    alone, through = Workflow(root, tmp_path / "alone"), Workflow(root, tmp_path / "through")
    options = ("--executor", "cluster-generic", "--cluster-generic-submit-cmd", submit, "--jobs", "2", *ON_THE_CPU)
    for workflow, more in ((alone, ()), (through, options)):
        done = workflow.run(*targets, *more)
        assert done.returncode == 0, done.stdout[-3000:]
    one, other = (one.folder / targets[0] for one in (alone, through))
    assert one.read_bytes() == other.read_bytes()


def test_an_unknown_partition_is_named(slurm, root, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(root))
    (tmp_path / "Snakefile").write_text(CARD.format(python=sys.executable))
    elsewhere = ("--set-resources", "card:slurm_partition=dusk")
    done = Workflow(tmp_path, tmp_path).run(*profile(root), "card.txt", *elsewhere, cores=1)
    assert done.returncode != 0 and "invalid partition specified: dusk" in done.stdout
