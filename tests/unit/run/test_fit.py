"""The training loop: deterministic, resumable bit for bit, stopped by NaN and by signals."""

import errno
import hashlib
import io
import os
import random
import signal
from pathlib import Path

import pytest
import torch

from ctstyle.run.checkpoint import Checkpoint, _payload, _write
from ctstyle.run.fit import TrainingDiverged, fit, step_rng
from tests.damage import mutated


def _line(seed=0):
    """A one-weight regression on y = 3 x with noise from the step's generator, and with dropout."""
    torch.manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)

    def step(i, rng):
        x = torch.from_numpy(rng.normal(size=(16, 4))).float()
        loss = ((network(x) - 3 * x.sum(1, keepdim=True)) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return {"loss": loss}

    return network, {"network": network, "optimiser": optimiser}, step


def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path):
    network, parts, step = _line()
    whole = fit(step, parts=parts, steps=12, seed=7)
    expected = torch.cat([p.flatten() for p in network.parameters()])

    state = tmp_path / "state.pt"
    network, parts, step = _line()

    def interrupted(i, rng):
        losses = step(i, rng)
        if i == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return losses

    with pytest.raises(SystemExit) as stop:
        fit(interrupted, parts=parts, steps=12, seed=7, checkpoint=Checkpoint(path=state, fingerprint="a"))
    assert stop.value.code == 143
    assert state.exists()

    network, parts, step = _line(seed=99)
    resumed = fit(step, parts=parts, steps=12, seed=7, checkpoint=Checkpoint(path=state, fingerprint="a"))
    assert resumed.equals(whole)
    assert torch.equal(torch.cat([p.flatten() for p in network.parameters()]), expected)
    assert not state.exists()


def interrupted(path, fingerprint="a"):
    """A training of three steps that was stopped by a signal after the first."""
    _, parts, step = _line()

    def stopped(i, rng):
        os.kill(os.getpid(), signal.SIGUSR1)
        return step(i, rng)

    with pytest.raises(SystemExit):
        fit(stopped, parts=parts, steps=3, seed=0, checkpoint=Checkpoint(path=path, fingerprint=fingerprint))


def trained(checkpoint=None):
    """The same training run to its end: weights, history."""
    network, parts, step = _line()
    history = fit(step, parts=parts, steps=3, seed=0, checkpoint=checkpoint)
    return torch.cat([p.flatten() for p in network.parameters()]), history


def rewritten(path, change):
    """A state file whose content was changed by one who wrote a right head for it."""
    state = torch.load(io.BytesIO(_payload(path)), weights_only=True)
    with path.open("w+b") as file:
        _write(change(state), file)


@pytest.mark.parametrize(
    "damage",
    ["truncated", "empty", "pickled", "torch", "format", "parts", "segments", "fingerprint", "plain", "folder", "fifo"],
)
def test_a_state_that_cannot_be_used_is_said_and_the_training_begins_anew(tmp_path, caplog, damage):
    path = tmp_path / "state.pt"
    interrupted(path)
    if damage in ("torch", "format", "fingerprint", "segments"):
        rewritten(path, lambda state: {**state, damage: "another"})
    elif damage == "parts":  # the first part fits, the second does not
        rewritten(path, lambda state: {**state, "parts": {**state["parts"], "optimiser": {}}})
    elif damage == "pickled":
        rewritten(path, lambda state: {**state, "history": path})
    elif damage == "plain":  # as earlier versions wrote it
        path.write_bytes(_payload(path))
    elif damage in ("folder", "fifo"):
        path.unlink()
        path.mkdir() if damage == "folder" else os.mkfifo(path)
    else:
        path.write_bytes(path.read_bytes()[: 900 if damage == "truncated" else 0])
    checkpoint = Checkpoint(path=path, fingerprint="a")
    with caplog.at_level("WARNING"):
        weights, history = trained(checkpoint)
    assert torch.equal(weights, trained()[0]) and history.equals(trained()[1])
    assert "state.pt cannot be resumed from, begins anew" in caplog.text and not path.is_file()
    assert [one["steps"] for one in checkpoint.segments] == [[1, 3]]


@pytest.mark.parametrize("error", [MemoryError, AttributeError, RecursionError, OverflowError])
def test_whatever_torch_raises_the_training_begins_anew_with_its_parts_as_they_were(tmp_path, monkeypatch, error):
    path = tmp_path / "state.pt"
    interrupted(path)

    def fails(*_, **__):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(torch, "load", fails)
        weights, _ = trained(Checkpoint(path=path, fingerprint="a"))
    assert torch.equal(weights, trained()[0])


def outcome(path, data):
    """What a training resumes from when its state file holds `data`: "anew", or a digest of all that was loaded."""
    path.write_bytes(data)
    _, parts, _ = _line(seed=99)
    before = _digest_of(parts)
    checkpoint = Checkpoint(path=path, fingerprint="a")
    history = checkpoint.resume(parts, "training")
    if history or _digest_of(parts) != before:
        return repr((history, checkpoint.segments[:-1], _digest_of(parts)))
    assert len(checkpoint.segments) == 1
    return "anew"


def _digest_of(parts):
    file = io.BytesIO()
    torch.save([part.state_dict() for part in parts.values()], file)
    return hashlib.sha256(file.getvalue()).hexdigest()


def test_of_500_flipped_bits_none_resumes_with_other_values(tmp_path):
    path = tmp_path / "state.pt"
    interrupted(path)
    whole = path.read_bytes()
    assert outcome(path, whole) != "anew"
    for at in random.Random(20).sample(range(8 * len(whole)), 500):
        flipped = bytearray(whole)
        flipped[at // 8] ^= 1 << at % 8
        assert outcome(path, flipped) == "anew", f"bit {at}"


@pytest.mark.slow
def test_a_fuzz_of_state_files_resumes_identically_or_begins_anew(tmp_path, caplog):
    path, draw = tmp_path / "state.pt", random.Random(9)
    interrupted(path)
    whole = path.read_bytes()
    interrupted(path, fingerprint="b")
    other, expected = path.read_bytes(), outcome(path, whole)
    assert outcome(path, other) == "anew" != expected
    caplog.set_level("CRITICAL")
    for _ in range(4000):
        data = mutated(whole, other, draw)
        assert outcome(path, data) == (expected if data == whole else "anew")


def test_states_of_other_parameters_are_deleted_and_those_of_other_outputs_kept(tmp_path):
    mine, other = (Checkpoint.beside(tmp_path / "seed0.safetensors", "train", fingerprint * 64) for fingerprint in "ab")
    neighbour = Checkpoint.beside(tmp_path / "seed1.safetensors", "train", "a" * 64)
    interrupted(other.path), interrupted(neighbour.path)
    other.path.with_name(other.path.name + ".tmp").write_bytes(b"half")
    weights, _ = trained(mine)
    assert torch.equal(weights, trained()[0])
    assert [path.name for path in tmp_path.iterdir()] == [neighbour.path.name]


def test_a_full_disk_does_not_stop_a_training(tmp_path, caplog, monkeypatch):
    def full(state, file):
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    checkpoint = Checkpoint(path=tmp_path / "state", fingerprint="a", every_s=0)
    with caplog.at_level("WARNING"):
        weights, _ = trained(checkpoint)
    assert torch.equal(weights, trained()[0]) and "No space left on device" in caplog.text
    assert not list(tmp_path.iterdir())


def test_saving_takes_a_small_share_of_the_time_however_slow_the_disk(tmp_path, monkeypatch):
    clock, saves = [0.0], []
    monkeypatch.setattr("ctstyle.run.checkpoint.time.monotonic", lambda: clock[0])

    def slow(state, file):
        clock[0] += 7
        saves.append(clock[0])

    monkeypatch.setattr(torch, "save", slow)
    checkpoint = Checkpoint(path=tmp_path / "state", fingerprint="a", every_s=10)
    checkpoint.resume({}, "training")
    history = []
    while clock[0] < 10_000:
        clock[0] += 1
        history.append({})
        if checkpoint.due():
            checkpoint.save({}, history)
    assert 7 * len(saves) / clock[0] < 0.02 and len(saves) > 5


def test_a_state_is_on_the_disk_before_it_takes_the_place_of_the_last_one(tmp_path, monkeypatch):
    done, sync, replace = [], os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append(str(Path(f"/proc/self/fd/{fd}").readlink())), sync(fd)))
    monkeypatch.setattr(Path, "replace", lambda self, to: (done.append("renamed"), replace(self, to)))
    interrupted(tmp_path / "state")
    assert done == [str(tmp_path / "state.tmp"), "renamed", str(tmp_path)]


def test_nan_stops_the_training_and_names_the_loss_and_the_step():
    with pytest.raises(TrainingDiverged, match=r"content_loss.*step 3 of 5.*nan"):
        fit(lambda i, rng: {"content_loss": float("nan") if i == 2 else 1.0}, parts={}, steps=5, seed=0)


def test_random_numbers_of_a_step_depend_on_seed_and_step_alone():
    draws = {(seed, i): step_rng(seed, i).integers(2**60) for seed in (0, 1) for i in (0, 1)}
    assert len(set(draws.values())) == 4
    assert draws[1, 0] == step_rng(1, 0).integers(2**60)


def test_signal_handlers_are_given_back():
    before = signal.getsignal(signal.SIGTERM)
    fit(lambda i, rng: {"loss": 1.0}, parts={}, steps=1, seed=0)
    assert signal.getsignal(signal.SIGTERM) is before
