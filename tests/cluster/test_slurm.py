"""The workflow on a real SLURM: cards, cancelled jobs, and tables and figures that are those of a local run."""

import json
import re
import shutil
import subprocess
import sys
import time

import pytest
import yaml

from tests.runs import Workflow

pytestmark = pytest.mark.slow
# eight patients, two cores: two jobs of scans; first, as it takes all that follows it for groups up to the next option
QUICK = ("--group-components", "scans=4")
# where a check finds no job at its end, the next one waits 10 s longer: a short pause makes a run longer
QUICK += ("--slurm-init-seconds-before-status-checks", "6")
QUICK += ("--slurm-status-command", "squeue")  # there is no accounting here
ON_THE_CPU = ("--config", "gpu=0")
"""The card of the test's cluster is none, and a job that is promised a card and sees none fails."""
DIFFERENT = {f"{table}{form}" for table in ("costs", "claims") for form in (".csv", ".md", ".tex", ".lineage.json")}
"""What tells seconds, or which of two was faster; every other table and figure has the same bytes in every run."""
CARD = """
rule card:
    output:
        "card.txt",
    resources:
        gpu=1,
    shell:
        "{python} -c 'import os; from ctstyle.run.lease import lease_cards; lease_cards(1); "
        "print(os.environ[\\"CUDA_VISIBLE_DEVICES\\"])' > {{output}}"
"""


def profile(root):
    """The options of a run with the profile that users are given."""
    return ("--workflow-profile", root / "profiles" / "slurm", *QUICK)


def submitted(slurm, rule):
    """The running jobs of a rule, by SLURM's ids."""
    return [job for job, (state, comment) in slurm.jobs().items() if state == "RUNNING" and rule in comment]


def cancel_when(slurm, process, rule, ready=lambda: True, limit_s=1800):
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


def test_a_cancelled_training_goes_on_where_it_was(slurm, trained, root, tmp_path):
    workflow, _, _ = trained
    longer = yaml.safe_load((root / "tests/config/chaos.yaml").read_text())
    longer["transfer"]["training"]["steps"] = 120
    config = tmp_path / "longer.yaml"
    config.write_text(yaml.safe_dump(longer, sort_keys=False))
    target = "results/chaos/transfer/ours/seed0/history.tsv"
    arguments = (target, "--configfile", config, "--default-resources", "save_every_s=0")
    arguments += ("slurm_partition=main", "mem_mb=2000")
    alone, cluster = Workflow(root, tmp_path / "alone"), Workflow(root, tmp_path / "cluster")
    for one in (alone, cluster):
        shutil.copytree(workflow.folder, one.folder)  # what comes before the training is there
    done = alone.run(*arguments)
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.findall(r"^(?:local)?rule (\w+):", done.stdout, flags=re.MULTILINE) == ["train_transfer"]

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


def test_a_run_on_slurm_with_a_cancelled_job_gives_the_bytes_of_a_local_run(slurm, tiny, root, tmp_path):
    _, arguments, local = tiny
    log = tmp_path / "tiny.log"
    running = start(Workflow(root, tmp_path), log, *arguments, *profile(root), *ON_THE_CPU)
    cancel_when(slurm, running, "train_unet")
    assert running.wait(2400) == 0, log.read_text()[-5000:]
    made = tmp_path / "results" / "tiny"
    names = [path.relative_to(local) for path in sorted(local.glob("paper/*/*")) if path.name not in DIFFERENT]
    assert len(names) > 70
    assert [name for name in names if (made / name).read_bytes() != (local / name).read_bytes()] == []


def test_the_same_through_a_submit_command(trained, root, tmp_path):
    workflow, arguments, outputs = trained
    submit = tmp_path / "submit.sh"
    submit.write_text('#!/bin/sh\nnohup sh "$1" > "$1.out" 2>&1 &\necho $!\n')
    submit.chmod(0o755)
    options = ("--executor", "cluster-generic", "--cluster-generic-submit-cmd", submit, "--jobs", "2", *ON_THE_CPU)
    through = Workflow(root, tmp_path / "through")
    shutil.copytree(workflow.folder, through.folder)  # scans, slices and styles are there, networks are trained
    for made in ("transfer", "segmentation", "metrics"):
        shutil.rmtree(through.folder / "results/chaos" / made)
    done = through.run(*arguments, *options)
    assert done.returncode == 0, done.stdout[-3000:]
    for name in outputs:
        assert (through.folder / name).read_bytes() == (workflow.folder / name).read_bytes(), name


def test_an_unknown_partition_is_named(slurm, root, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(root))
    (tmp_path / "Snakefile").write_text(CARD.format(python=sys.executable))
    elsewhere = ("--set-resources", "card:slurm_partition=dusk")
    done = Workflow(tmp_path, tmp_path).run(*profile(root), "card.txt", *elsewhere, cores=1)
    assert done.returncode != 0 and "invalid partition specified: dusk" in done.stdout
