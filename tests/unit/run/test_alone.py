"""The guard against orphans: a second process of the same job waits until the first is dead, others do not."""

import signal
import subprocess
import sys
import time
from errno import ENOLCK

from ctstyle.run import alone as module
from ctstyle.run.alone import alone

ORPHAN = """import sys, time
from pathlib import Path
from ctstyle.run.alone import alone
with alone(sys.argv[1], locks=Path(sys.argv[2])):
    print("inside", flush=True)
    time.sleep(60)
"""


def test_a_job_waits_for_its_orphan_and_another_job_does_not(tmp_path, caplog):
    locks = tmp_path / ".snakemake" / "running"
    orphan = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, "results/a.npy", str(locks)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert orphan.stdout.readline() == "inside\n"
        began = time.monotonic()
        with alone("results/b.npy", locks=locks):
            assert time.monotonic() - began < 0.4 and not caplog.text
        killer = subprocess.Popen(["sh", "-c", f"sleep 1; kill -{signal.SIGKILL.value} {orphan.pid}"])
        with caplog.at_level("WARNING"), alone("results/./a.npy", locks=locks):
            assert orphan.wait(5) == -signal.SIGKILL and "still writes results/./a.npy" in caplog.text
        killer.wait()
    finally:
        orphan.kill()
        orphan.wait()
        orphan.stdout.close()


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, caplog):
    def no_locks(*_):
        raise OSError(ENOLCK, "No locks available")

    monkeypatch.setattr(module.fcntl, "lockf", no_locks)
    with caplog.at_level("WARNING"), alone("a", locks=tmp_path / "running"):
        assert "No locks available" in caplog.text
