"""Leases of cards: each job its own, given back when a job dies, an executor's choice respected."""

import fcntl
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from errno import ENOLCK
from pathlib import Path

import pytest

from ctstyle.run import lease
from ctstyle.run.lease import NoLease, cards, lease_cards

JOB = """import sys, time
from ctstyle.run.lease import lease_cards
print(*lease_cards(int(sys.argv[1])), flush=True)
time.sleep(60)
"""
TWO = "GPU 0: NVIDIA H200 (UUID: GPU-aaaa-1)\nGPU 1: NVIDIA H200 (UUID: GPU-bbbb-2)\n"
MIG = """GPU 0: NVIDIA A100 (UUID: GPU-aaaa-1)
  MIG 3g.20gb     Device  0: (UUID: MIG-0001)
  MIG 3g.20gb     Device  1: (UUID: MIG-0002)
GPU 1: NVIDIA A100 (UUID: GPU-bbbb-2)
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine whose driver lists what it is told, with leases of its own."""

    def machine(listing: str = TWO) -> None:
        """Write a driver's tool that prints `listing`."""
        tool = tmp_path / "bin" / "nvidia-smi"
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(f"#!/bin/sh\ncat <<'END'\n{listing}END\n")
        tool.chmod(0o755)

    machine()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CTSTYLE_LEASES", str(tmp_path / "leases"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield machine
    for descriptor in lease._held:
        os.close(descriptor)
    lease._held.clear()
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)


def start(count: int = 1) -> subprocess.Popen:
    """A job that leases cards in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", JOB, str(count)], stdout=subprocess.PIPE, text=True)


def test_jobs_get_a_card_each_and_a_third_waits_until_one_is_killed(machine):
    jobs = [start(), start()]
    try:
        held = [job.stdout.readline().strip() for job in jobs]
        assert sorted(held) == ["GPU-aaaa-1", "GPU-bbbb-2"]
        jobs.append(start())
        time.sleep(1.5)
        assert jobs[2].poll() is None
        os.set_blocking(jobs[2].stdout.fileno(), False)
        assert not jobs[2].stdout.readline()
        os.set_blocking(jobs[2].stdout.fileno(), True)
        jobs[1].send_signal(signal.SIGKILL)
        assert jobs[2].stdout.readline().strip() == held[1]
    finally:
        for job in jobs:
            job.kill()
            job.wait()
            job.stdout.close()


def test_a_job_may_lease_several_cards_and_cuda_sees_those_alone(machine):
    assert lease_cards(2) == ["GPU-aaaa-1", "GPU-bbbb-2"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-aaaa-1,GPU-bbbb-2"


def test_a_job_that_waits_for_two_cards_holds_none(machine):
    first, greedy = start(), None
    try:
        assert first.stdout.readline().strip() == "GPU-aaaa-1"
        greedy = start(2)
        time.sleep(0.5)
        assert lease_cards(1) == ["GPU-bbbb-2"]
    finally:
        for job in filter(None, (first, greedy)):
            job.kill()
            job.wait()
            job.stdout.close()


@pytest.mark.parametrize("given", ["3", ""])
def test_what_an_executor_chose_is_respected(machine, monkeypatch, given):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert lease_cards(1) == [] and os.environ["CUDA_VISIBLE_DEVICES"] == given and not lease._held


def test_instances_of_a_card_take_its_place(machine):
    machine(MIG)
    assert cards() == ["MIG-0001", "MIG-0002", "GPU-bbbb-2"]


def test_without_a_card_nothing_is_leased(machine):
    machine("")
    assert cards() == [] and lease_cards(1) == [] and "CUDA_VISIBLE_DEVICES" not in os.environ


def test_more_cards_than_there_are_is_an_error(machine):
    with pytest.raises(NoLease, match=r"gpu=3.*found 2, expected 3"):
        lease_cards(3)


def as_user(user, act, *, umask=0o022):
    """The result of `act()` (a small number) in a process of another user."""
    child = os.fork()
    if not child:
        code = 99
        try:
            os.umask(umask)
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
            code = act()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def shared():
    """A sticky folder for everybody, as /tmp is; pytest's own is closed to other users."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o1777)
        yield Path(folder) / "leases"


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_second_user_may_lock_what_the_first_one_made(shared, umask):
    def lock():
        return 0 if lease._lock(shared, "GPU-1") is not None else 1

    assert as_user(12345, lock, umask=umask) == 0
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777
    assert stat.S_IMODE((shared / "GPU-1.lock").stat().st_mode) == 0o444
    assert as_user(23456, lock) == 0
    held = lease._lock(shared, "GPU-1")  # by a third one, root where the tests run as root
    try:
        assert as_user(23456, lock) == 1
    finally:
        os.close(held)
    assert as_user(12345, lock) == 0


def test_a_second_user_may_lock_what_an_earlier_version_left(shared):
    shared.mkdir(mode=0o777)
    shared.chmod(0o1777)
    (shared / "GPU-1.lock").touch(0o644)  # a file of this user, in a sticky folder
    assert as_user(23456, lambda: 0 if lease._lock(shared, "GPU-1") is not None else 1) == 0


@pytest.mark.parametrize("planted", ["file", "folder", "link to nothing", "fifo", "folder is a link"])
def test_what_was_planted_is_neither_followed_nor_touched(tmp_path, planted):
    victim, folder = tmp_path / "victim", tmp_path / "leases"
    victim.mkdir()
    (victim / "file").write_text("precious")
    if planted == "folder is a link":
        folder.symlink_to(victim)
    else:
        folder.mkdir()
    lock = folder / "GPU-1.lock"
    if planted == "fifo":
        os.mkfifo(lock)
    elif planted != "folder is a link":
        lock.symlink_to({"file": victim / "file", "folder": victim}.get(planted, victim / "new"))
    with pytest.raises(NoLease, match="lock file of a card cannot be used"):
        lease._lock(folder, "GPU-1")
    assert [path.name for path in victim.iterdir()] == ["file"] and (victim / "file").read_text() == "precious"


def test_a_folder_that_cannot_hold_locks_is_named(machine, monkeypatch, tmp_path):
    def no_locks(*_):
        raise OSError(ENOLCK, "No locks available")

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", no_locks)
        with pytest.raises(NoLease, match=r"GPU-aaaa-1\.lock.*No locks available.*CTSTYLE_LEASES"):
            lease_cards(1)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CTSTYLE_LEASES", str(tmp_path / "file"))
    with pytest.raises(NoLease, match="CTSTYLE_LEASES"):
        lease_cards(1)
