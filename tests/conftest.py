"""What every test may need: the real CT beside the checkout, one torch thread, and a fixed hypothesis profile."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.runs import Workflow

ROOT = Path(__file__).parents[1]
os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("ctstyle", deadline=None, derandomize=True)
settings.load_profile("ctstyle")


SHARED = {"tiny", "trained", "slurm"}
"""Fixtures that take minutes, or of which a machine has room for one."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """What needs a shared fixture stays in one process (`--dist loadgroup`), so that each is made once."""
    for item in items:
        if SHARED.intersection(item.fixturenames):
            item.add_marker(pytest.mark.xdist_group("shared"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real CT of public collections, laid beside the checkout on the development machines."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder ../shared/data with real CT is not beside this checkout")
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread():
    """Two torch processes with two threads each on two cores run many times slower than with one."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def workflow(root, tmp_path) -> Workflow:
    """The workflow in an empty folder."""
    return Workflow(root, tmp_path)


@pytest.fixture(scope="session")
def tiny(root, tmp_path_factory):
    """A finished tiny run: the workflow, the arguments that name its config, and its results.

    Where CTSTYLE_TINY_RUN names a folder, it is made there, or found there by Snakemake and not made again.
    """
    kept = os.environ.get("CTSTYLE_TINY_RUN")
    workflow = Workflow(root, Path(kept) if kept else tmp_path_factory.mktemp("tiny"))
    arguments = ("--configfile", root / "tests" / "config" / "tiny.yaml")
    done = workflow.run(*arguments, timeout_s=1800)
    assert done.returncode == 0, done.stdout[-5000:]
    return workflow, arguments, workflow.folder / "results" / "tiny"


@pytest.fixture(scope="session")
def trained(root, tmp_path_factory):
    """The run that chaos strikes (one transfer, one U-Net), undisturbed: the workflow, its arguments and outputs."""
    workflow = Workflow(root, tmp_path_factory.mktemp("trained"))
    outputs = ("transfer/ours/seed0/history.tsv", "transfer/ours/seed0/generator.safetensors")
    outputs += ("transfer/ours/seed0/test.hu.npy", "segmentation/plain/seed0/predictions.npy")
    outputs += ("metrics/segmentation/plain-seed0.tsv",)
    outputs = tuple(f"results/chaos/{name}" for name in outputs)
    arguments = (*outputs, "--configfile", root / "tests" / "config" / "chaos.yaml")
    done = workflow.run(*arguments)
    assert done.returncode == 0, done.stdout[-5000:]
    return workflow, arguments, outputs
