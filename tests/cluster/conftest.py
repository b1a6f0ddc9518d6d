"""A SLURM for the tests of the cluster; they are skipped, with a reason, where none can be started."""

import pytest

from tests.cluster.slurm import Slurm, missing


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A running SLURM of one node with a fake card."""
    if why := missing():
        pytest.skip(why)
    cluster = Slurm(tmp_path_factory.mktemp("slurm") / "state")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
