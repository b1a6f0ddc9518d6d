"""What the tests of the workflow share."""

import pytest


@pytest.fixture(scope="session")
def report(tiny):
    """Snakemake's report of the tiny run."""
    workflow, arguments, _ = tiny
    path = workflow.folder / "report.html"
    done = workflow.run(*arguments, "--report", path)
    assert done.returncode == 0, done.stdout[-3000:]
    return path
