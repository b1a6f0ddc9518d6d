"""Batches in parts: the gradient of the whole batch, whatever the loss, and an end where nothing fits."""

import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss
from torch import nn

from ctstyle.run.accumulate import Accumulation, GPUMemoryExhausted
from ctstyle.run.checkpoint import Checkpoint
from ctstyle.run.fit import fit


def network(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4, affine=True), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Conv2d(4, 2, 3, padding=1)).double()


def card(holds: int, model: nn.Module, images: torch.Tensor):
    """A forward pass on a card whose memory holds `holds` samples, and the sizes of the parts it was asked for."""
    asked = []

    def forward(part):
        asked.append(len(images[part]))
        if asked[-1] > holds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return {"logits": model(images[part])}

    return forward, asked


@pytest.mark.parametrize(("holds", "parts"), [(7, 1), (4, 2), (2, 4), (1, 7)])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_gradient_is_that_of_the_whole_batch_though_the_loss_pools_it(holds, parts, dropout):
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.normal(size=(7, 1, 8, 8)))
    labels = torch.from_numpy(rng.integers(2, size=(7, 1, 8, 8)))
    criterion = DiceCELoss(to_onehot_y=True, softmax=True, batch=True)
    found = []
    for limit in (7, holds):
        model = network()
        forward, _ = card(limit, model, images)
        accumulation = Accumulation("training")
        losses = accumulation.backward(
            torch.optim.SGD(model.parameters(), 1.0),
            7,
            forward,
            lambda outputs, rng: {"loss": criterion(outputs["logits"], labels) * rng.uniform()},
            np.random.default_rng(3),
        )
        found.append((losses["loss"], torch.cat([p.grad.flatten() for p in model.parameters()])))
    assert accumulation.parts == parts
    torch.testing.assert_close(found[1], found[0], rtol=1e-10, atol=1e-12)


def test_what_is_drawn_is_the_same_when_activations_are_computed_again():
    images = torch.ones(4, 1, 8, 8, dtype=torch.float64)
    model = network(dropout=0.5)
    forward, _ = card(2, model, images)
    torch.manual_seed(5)
    Accumulation("training").backward(
        torch.optim.SGD(model.parameters(), 1.0),
        4,
        forward,
        lambda o, _: {"loss": o["logits"].sum()},
        np.random.default_rng(),
    )
    found = model[-1].weight.grad.clone()
    torch.manual_seed(5)
    model.zero_grad()
    with pytest.raises(torch.OutOfMemoryError):
        forward(slice(0, 4))  # draws nothing
    sum(forward(slice(i, i + 2))["logits"].sum() for i in (0, 2)).backward()
    torch.testing.assert_close(found, model[-1].weight.grad)


def test_the_parts_stay_and_are_told_and_recorded(tmp_path, caplog):
    model = network()
    forward, asked = card(2, model, torch.ones(4, 1, 8, 8, dtype=torch.float64))
    checkpoint = Checkpoint(path=tmp_path / "state", fingerprint="a")
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    accumulation = Accumulation("U-Net ours", checkpoint)

    def step(_, rng):
        return accumulation.backward(optimiser, 4, forward, lambda o, _: {"loss": o["logits"].square().mean()}, rng)

    with caplog.at_level("WARNING"):
        fit(step, parts={"model": model, "optimiser": optimiser}, steps=2, seed=0, checkpoint=checkpoint)
    assert asked == [4, *[2] * 4, *[2] * 4]  # each part twice: for its outputs, and again for its gradient
    assert "U-Net ours: the card's memory is exhausted, a batch is now run in 2 parts" in caplog.text
    assert checkpoint.segments[0]["parts_of_a_batch"] == 2


def test_a_sample_that_does_not_fit_and_a_training_that_cannot_be_split_end_with_one_message():
    model = network()
    forward, asked = card(0, model, torch.ones(3, 1, 8, 8, dtype=torch.float64))
    with pytest.raises(GPUMemoryExhausted, match=r"training.*batch of 3 in 3.*smaller `batch`"):
        Accumulation("training").backward(
            torch.optim.SGD(model.parameters(), 1.0), 3, forward, lambda o, _: o, np.random.default_rng()
        )
    assert asked == [3, 2, 1]
    with pytest.raises(GPUMemoryExhausted, match=r"domain vgg19.*CUDA out of memory"):
        fit(lambda i, rng: forward(slice(0, 3)), parts={}, steps=1, seed=0, name="domain vgg19")
