"""Which graphics card a job computes on: one lock file per card, held as long as the process lives.

Snakemake counts cards but names none, so two jobs with `gpu=1` would land on the first card. The kernel gives a lock
(flock) back when its process ends, however it ends, so no lease outlives its job.
"""

import contextlib
import errno
import fcntl
import logging
import os
import re
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ctstyle.errors import CTStyleError

log = logging.getLogger(__name__)

VISIBLE = "CUDA_VISIBLE_DEVICES"
FOLDER = "CTSTYLE_LEASES"
"""The environment variable that names another folder for the lock files; one folder per machine, not per project."""
LOOK_AGAIN_S = 1.0
TELL_AGAIN_S = 60.0

_held: list[int] = []
"""The open lock files of this process."""


class NoLease(CTStyleError):
    """The lock files of the cards cannot be used where they should lie."""


def cards() -> list[str]:
    """The identifiers of this machine's cards, as CUDA_VISIBLE_DEVICES takes them; none without a driver.

    A card that is cut into MIG instances counts as these.
    """
    try:
        told = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    found: list[str] = []
    for line in told.splitlines():
        uuid = re.search(r"UUID: ([\w-]+)", line)
        if uuid is None:
            continue
        if uuid[1].startswith("MIG-") and found and found[-1].startswith("GPU-"):
            found.pop()  # the card that this first instance is a part of
        found.append(uuid[1])
    return found


def lease_cards(count: int) -> list[str]:
    """Lease `count` cards for this process and make CUDA see no others; call it before CUDA starts.

    Where an executor has set CUDA_VISIBLE_DEVICES, and where there is no card, nothing is leased and nothing returned.
    Waits for cards that other jobs hold, and says so in the log. Raises NoLease where the folder cannot hold locks, and
    where more cards are asked for than there are.
    """
    if VISIBLE in os.environ:
        log.info("%s=%s is given", VISIBLE, os.environ[VISIBLE])
        return []
    present = cards()
    if not present:
        return []
    if count > len(present):
        raise NoLease(
            "more cards are asked for than there are",
            where=f"resources gpu={count}",
            found=len(present),
            expected=count,
        )
    folder = Path(os.environ.get(FOLDER) or Path(tempfile.gettempdir()) / "ctstyle-leases")
    told = -TELL_AGAIN_S
    while len(leased := _lock_some(folder, present, count)) < count:
        for descriptor in leased.values():  # two jobs that held one card each would wait for each other for ever
            os.close(descriptor)
        if time.monotonic() - told >= TELL_AGAIN_S:
            log.info("waiting for %d of %d cards that other jobs hold", count - len(leased), len(present))
            told = time.monotonic()
        time.sleep(LOOK_AGAIN_S)
    _held.extend(leased.values())
    os.environ[VISIBLE] = ",".join(leased)
    log.info("leased %s", os.environ[VISIBLE])
    return list(leased)


def _lock_some(folder: Path, present: list[str], count: int) -> dict[str, int]:
    """Up to `count` cards that nobody holds, each with its open lock file."""
    locked: dict[str, int] = {}
    for card in present:
        descriptor = _lock(folder, card) if len(locked) < count else None
        if descriptor is not None:
            locked[card] = descriptor
    return locked


def _lock(folder: Path, card: str) -> int | None:
    """Lock the file of one card and return it open, for the life of this process; None where another one holds it."""
    path = folder / f"{card}.lock"
    descriptor = None
    try:
        descriptor = _open(path)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "this is no plain file")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if descriptor is not None:
            os.close(descriptor)
        return None
    except OSError as error:
        if descriptor is not None:
            os.close(descriptor)
        raise NoLease(
            "the lock file of a card cannot be used",
            where=path,
            found=error.strerror,
            expected="a folder (no link) on a local disk that every user of these cards may write to (flock)",
            fix=f"Set {FOLDER} to such a folder, the same for all who use these cards.",
        ) from error
    return descriptor


def _open(path: Path) -> int:
    """Open a lock file for reading, which is enough for flock, so that it does not matter which user made it.

    What is there is opened without O_CREAT, which Linux refuses for another user's file in a sticky folder
    (fs.protected_regular). No link is followed, a FIFO is not waited for, and nothing is ever written.
    """
    _make_shared(path.parent)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    how = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with contextlib.suppress(FileExistsError), _any_mode():
            return os.open(path.name, how | os.O_CREAT | os.O_EXCL, 0o444, dir_fd=folder)
        return os.open(path.name, how, dir_fd=folder)
    finally:
        os.close(folder)


def _make_shared(folder: Path) -> None:
    """The folder, writable for every user of this machine as the temporary folder is."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError), _any_mode():
        folder.mkdir(0o1777)


@contextlib.contextmanager
def _any_mode() -> Iterator[None]:
    """What is made here has the mode it is given, whatever the user's umask: it belongs to all."""
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)
