import subprocess
import sys

import pytest
import torch
from torch import nn

from ctstyle.run import optimise

TRAIN = """
import sys
import torch
from ctstyle.run.optimise import {kind}
network = torch.nn.Conv2d(1, 2, 3)
optimiser = {kind}(network.parameters(), lr=0.1)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, total_steps=4)
for _ in range(2):
    optimiser.zero_grad(set_to_none=True)
    network(torch.ones(1, 1, 8, 8)).square().mean().backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    schedule.step()
optimiser.load_state_dict(optimiser.state_dict())
print("torch._dynamo" in sys.modules)
"""


def trained(kind, **settings):
    """Weights after five steps, with the state written and read after the third."""
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    optimiser = kind(network.parameters(), lr=0.05, **settings)
    for step in range(5):
        optimiser.zero_grad()
        network(torch.randn(4, 3)).square().sum().backward()
        optimiser.step()
        if step == 2:
            state = optimiser.state_dict()
            optimiser = kind(network.parameters(), lr=1.0, **settings)
            optimiser.load_state_dict(state)
    assert optimiser.param_groups[0]["params"][0].requires_grad
    return network.weight, optimiser.state_dict()["state"]


@pytest.mark.parametrize(("kind", "settings"), [("Adam", {"betas": (0.5, 0.9)}), ("AdamW", {"weight_decay": 0.1})])
def test_steps_and_state_are_torchs_own(kind, settings):
    weight, state = trained(getattr(optimise, kind), **settings)
    expected, expected_state = trained(getattr(torch.optim, kind), fused=True, **settings)
    assert torch.equal(weight, expected)
    assert all(torch.equal(state[i][name], expected_state[i][name]) for i in state for name in state[i])
    plain, _ = trained(getattr(torch.optim, kind), **settings)
    assert torch.allclose(weight, plain, rtol=1e-5)


@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
def test_a_training_does_not_import_the_compiler(kind, root):
    done = subprocess.run(
        [sys.executable, "-c", TRAIN.format(kind=kind)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.strip() == "False"
