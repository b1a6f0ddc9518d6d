"""One process at a time for one job's outputs.

Snakemake's death (SIGKILL, out of memory) leaves its jobs running. A new Snakemake deletes their unfinished outputs and
starts the same jobs again; without a lock, two processes would write the same files.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

LOCKS = Path(".snakemake") / "ctstyle-running"
"""One file for all jobs of a working folder: each locks one byte of it, at a place its output's name decides."""
LOOK_AGAIN_S = 0.5


@contextlib.contextmanager
def alone(output: Path | str, *, locks: Path = LOCKS) -> Iterator[None]:
    """Hold the lock of the job whose first output is `output`; waits for the process that holds it, and says so.

    The kernel frees the lock when the process ends, however it ends. On a file system without locks a warning is
    logged and the job runs unguarded.
    """
    locks.parent.mkdir(parents=True, exist_ok=True)
    place = int.from_bytes(hashlib.sha256(os.path.normpath(output).encode()).digest()[:6])
    with locks.open("ab") as file:
        waited = False
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
                break
            except (BlockingIOError, PermissionError):
                if not waited:
                    log.warning("a job that an earlier Snakemake left running still writes %s: waiting for it", output)
                waited = True
                time.sleep(LOOK_AGAIN_S)
            except OSError as error:
                log.warning("no lock on %s (%s): nothing guards against a job that still runs", locks, error)
                break
        yield
