"""The training loop: deterministic, resumable bit for bit, stopped by NaN and by signals."""

import os
import signal

import pytest
import torch

from ctstyle.fit import StaleState, TrainingDiverged, fit, step_rng


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
        fit(interrupted, parts=parts, steps=12, seed=7, state_path=state, fingerprint="a")
    assert stop.value.code == 143
    assert state.exists()

    network, parts, step = _line(seed=99)
    resumed = fit(step, parts=parts, steps=12, seed=7, state_path=state, fingerprint="a")
    assert resumed.equals(whole)
    assert torch.equal(torch.cat([p.flatten() for p in network.parameters()]), expected)
    assert not state.exists()


def test_state_of_another_training_is_refused(tmp_path):
    _, parts, step = _line()
    state = tmp_path / "state.pt"

    def stopped(i, rng):
        os.kill(os.getpid(), signal.SIGUSR1)
        return step(i, rng)

    with pytest.raises(SystemExit):
        fit(stopped, parts=parts, steps=3, seed=0, state_path=state, fingerprint="a")
    with pytest.raises(StaleState, match=r"another|other"):
        fit(step, parts=parts, steps=3, seed=0, state_path=state, fingerprint="b")


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
