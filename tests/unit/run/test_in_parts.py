"""Batches in parts: the gradient of the whole batch, whatever the loss; and the message of a card that is too small."""

import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss
from torch import nn

from ctstyle.encoders.network import build
from ctstyle.encoders.weights import random
from ctstyle.run.fit import GPUMemoryExhausted, fit, in_parts
from ctstyle.study.networks import WarmUpSettings
from ctstyle.transfer.train import warm_up


def network(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4, affine=True), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Conv2d(4, 2, 3, padding=1)).double()


def gradient(model: nn.Module) -> torch.Tensor:
    return torch.cat([value.grad.flatten() for value in model.parameters()])


@pytest.mark.parametrize("parts", [1, 2, 4, 7])
@pytest.mark.parametrize("named", [True, False])
def test_the_gradient_is_that_of_the_whole_batch_though_the_loss_pools_it(parts, named):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(7, 1, 8, 8, generator=generator, dtype=torch.float64)
    labels = torch.randint(2, (7, 1, 8, 8), generator=generator)
    criterion = DiceCELoss(to_onehot_y=True, softmax=True, batch=True)
    whole, model, sizes = network(), network(), []

    def forward(part):
        sizes.append(len(part))
        return {"logits": model(part)} if named else model(part)

    made = in_parts(forward, parts, images)
    loss = criterion(made["logits"] if named else made, labels)
    loss.backward()
    expected = criterion(whole(images), labels)
    expected.backward()
    torch.testing.assert_close((loss, gradient(model)), (expected, gradient(whole)), rtol=1e-10, atol=1e-12)
    largest = -(-7 // parts)
    assert max(sizes) == largest and len(sizes) == (1 if parts == 1 else 2 * -(-7 // largest))


def test_what_is_drawn_is_the_same_when_activations_are_computed_again():
    images, model, found = torch.ones(4, 1, 8, 8, dtype=torch.float64), network(dropout=0.5), []
    for forward in (lambda: in_parts(model, 2, images), lambda: torch.cat([model(images[:2]), model(images[2:])])):
        torch.manual_seed(5)
        model.zero_grad()
        forward().square().sum().backward()
        found.append(gradient(model))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("parts", [2, 3])
def test_a_training_in_parts_takes_the_same_steps(parts):
    encoder = build("vgg16", random("vgg16", seed=0).state)
    slices = np.random.default_rng(0).random((4, 32, 32), dtype=np.float32)
    histories = [
        warm_up(encoder, slices, WarmUpSettings(steps=3, batch=3, window=0, accumulate=one), seed=0)[1]
        for one in (1, parts)
    ]
    np.testing.assert_allclose(*(history["l1"] for history in histories), rtol=1e-4)


def test_a_card_without_memory_gets_one_message_that_says_what_to_set():
    def step(i, rng):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    with pytest.raises(GPUMemoryExhausted, match=r"U-Net ours.*peak.*CUDA out of memory.*`batch`.*`accumulate"):
        fit(step, parts={}, steps=1, seed=0, name="U-Net ours")
