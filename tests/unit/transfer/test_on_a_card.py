"""What a graphics card must agree on with the CPU: losses and gradients, generated slices, the first training steps."""

import copy

import numpy as np
import pytest
import torch

from ctstyle.encoders.network import build
from ctstyle.encoders.weights import random
from ctstyle.run.device import autocast, place
from ctstyle.slices.window import Window
from ctstyle.study.networks import TransferSettings, WarmUpSettings
from ctstyle.transfer.apply import stylise
from ctstyle.transfer.contextual_loss import contextual_loss
from ctstyle.transfer.decoder import Decoder
from ctstyle.transfer.features import Material
from ctstyle.transfer.train import train, warm_up

WINDOW = Window(-250, 750)
on_a_card = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]


def trunk_slices(count: int, size: int, seed: int = 0) -> np.ndarray:
    """Discs of tissue with a bright core in air, float32 `[n, H, W]` in [0, 1]."""
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[:size, :size] / (size - 1) - 0.5
    bodies = [(x**2 + y**2 < 0.2) * (0.3 + 0.4 * (x**2 + y**2 < r)) for r in np.linspace(0.02, 0.1, count)]
    return (np.stack(bodies) + 0.03 * rng.standard_normal((count, size, size))).clip(0, 1).astype(np.float32)


def trained(device: str):
    """A generator after a few steps on `device`, and the history of its transfer training."""
    encoder = place(build("vgg16", random("vgg16", seed=0).state), torch.device(device))
    slices = trunk_slices(6, 32)
    bodies = np.ones(slices.shape, bool)
    start, _ = warm_up(encoder, slices, WarmUpSettings(steps=30, batch=4, window=0), seed=0)
    settings = TransferSettings(steps=3, batch=2, style_tap_weights=())
    names = np.array(["s2"] * len(slices))
    material = Material(content=slices, bodies=bodies, style=1 - slices, style_bodies=bodies, style_names=names)
    return train(start, "ours", settings, material, seed=0)


def test_the_last_convolution_keeps_all_digits_under_autocast():
    torch.manual_seed(0)
    decoder, maps = Decoder(stride=4, channels=256).eval(), torch.rand(1, 256, 8, 8)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        made = decoder(maps)
    assert made.dtype == torch.float32 and not torch.equal(made, made.bfloat16().float())
    assert copy.deepcopy(decoder).double()(maps.double()).dtype == torch.float64


@pytest.mark.parametrize("mark", [pytest.param(None, marks=on_a_card)])
@pytest.mark.parametrize("points", [300, 1000, 5000])
def test_the_contextual_loss_is_that_of_float64(mark, points):
    generator = torch.Generator().manual_seed(points)
    target = torch.randn(1, 64, points, generator=generator)
    made = 0.5 * target + 0.5 * torch.randn(1, 64, points, generator=generator)
    found, exact = made.cuda().requires_grad_(True), made.double().requires_grad_(True)
    with autocast(torch.device("cuda")):
        loss = contextual_loss(found, target.cuda())
    loss.sum().backward()
    wanted = contextual_loss(exact, target.double())
    wanted.sum().backward()
    torch.testing.assert_close(loss.cpu().double(), wanted.detach(), rtol=1e-4, atol=1e-5)
    apart = (found.grad.cpu().double() - exact.grad).norm() / exact.grad.norm()
    assert apart < 1e-3


@pytest.mark.parametrize("mark", [pytest.param(None, marks=on_a_card)])
def test_training_and_generating_agree_with_the_cpu(mark):
    (card, on_card), (cpu, on_cpu) = trained("cuda"), trained("cpu")
    np.testing.assert_allclose(on_card["loss"].iloc[0], on_cpu["loss"].iloc[0], rtol=0.1)
    hu = (WINDOW.low + 1000 * trunk_slices(5, 32, seed=1)).astype(np.int16)
    plain = stylise(cpu, hu, hu[::-1].copy(), ["s2"] * 5, window=WINDOW)
    moved = place(copy.deepcopy(cpu), torch.device("cuda"))
    found = stylise(moved, hu, hu[::-1].copy(), ["s2"] * 5, window=WINDOW)
    assert np.abs(found - plain).mean() < 3
    assert np.isfinite(stylise(card, hu, hu, ["s2"] * 5, window=WINDOW)).all()
