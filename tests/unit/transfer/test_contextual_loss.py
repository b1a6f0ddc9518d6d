"""The contextual loss against method.md, 3, written out in float64 with plain loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctstyle.transfer.contextual_loss import contextual_loss


def by_loops(generated: np.ndarray, target: np.ndarray, bandwidth: float = 0.5, eps: float = 1e-5) -> float:
    """-log CX of one sample, `[C, N]` and `[C, M]`, one number at a time."""
    channels, many, wanted = generated.shape[0], generated.shape[1], target.shape[1]
    mean = [sum(target[c, j] for j in range(wanted)) / wanted for c in range(channels)]

    def cosine(i: int, j: int) -> float:
        g = [generated[c, i] - mean[c] for c in range(channels)]
        x = [target[c, j] - mean[c] for c in range(channels)]
        lengths = math.sqrt(sum(v * v for v in g)) * math.sqrt(sum(v * v for v in x))
        return sum(a * b for a, b in zip(g, x)) / lengths if lengths > 0 else 0.0

    context = []
    for i in range(many):
        d = [max(0.0, 1 - cosine(i, j)) for j in range(wanted)]
        w = [math.exp((1 - value / (min(d) + eps)) / bandwidth) for value in d]
        context.append([value / sum(w) for value in w])
    return -math.log(sum(max(context[i][j] for i in range(many)) for j in range(wanted)) / wanted)


def features(seed: int, count: int, channels: int = 6, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, channels, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("many", "wanted", "bandwidth"), [(9, 9, 0.5), (12, 7, 0.5), (7, 12, 0.1), (10, 10, 1.0)])
def test_value_is_the_formula(many, wanted, bandwidth):
    generated, target = features(1, many), features(2, wanted)
    found = contextual_loss(generated.float(), target.float(), bandwidth=bandwidth)
    assert float(found[0]) == pytest.approx(by_loops(generated[0].numpy(), target[0].numpy(), bandwidth), abs=1e-5)


def test_gradient_is_the_formulas():
    generated, target = features(3, 8), features(4, 8)
    single = generated.float().requires_grad_(True)
    contextual_loss(single, target.float()).sum().backward()
    step, numeric = 1e-6, torch.zeros_like(generated)
    for c in range(generated.shape[1]):
        for i in range(generated.shape[2]):
            for sign in (1, -1):
                moved = generated[0].numpy().copy()
                moved[c, i] += sign * step
                numeric[0, c, i] += sign * by_loops(moved, target[0].numpy()) / (2 * step)
    assert numeric.abs().max() > 1e-2
    torch.testing.assert_close(single.grad.double(), numeric, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [5, 50])
def test_total_collapse_costs_ln_n(count):
    target = features(5, count).float()
    collapsed = target[:, :, :1].expand(-1, -1, count)
    assert float(contextual_loss(collapsed, target)) == pytest.approx(math.log(count), rel=1e-5)


def test_equal_sets_cost_nothing_in_any_order():
    target = features(6, 40, channels=16).float()
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert float(contextual_loss(target, target)) == pytest.approx(0, abs=1e-3)
    assert float(contextual_loss(target[:, :, order], target)) == pytest.approx(0, abs=1e-3)


def test_a_sample_never_sees_its_batch_mates():
    generated, target = features(7, 20, batch=4).float(), features(8, 20, batch=4).float() + 3
    together = contextual_loss(generated, target)
    alone = torch.cat([contextual_loss(generated[k : k + 1], target[k : k + 1]) for k in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-6)


def test_zero_vectors_give_finite_values_and_gradients():
    target = features(9, 6).float()
    target -= target.mean(dim=2, keepdim=True)
    generated = torch.zeros_like(target).requires_grad_(True)
    loss = contextual_loss(generated, target)
    loss.sum().backward()
    assert torch.isfinite(loss).all() and torch.isfinite(generated.grad).all()
    constant = torch.ones(1, 4, 5, requires_grad=True)
    same = contextual_loss(constant, torch.ones(1, 4, 5))
    same.sum().backward()
    assert same.item() == pytest.approx(math.log(5), rel=1e-5) and torch.isfinite(constant.grad).all()


@given(st.integers(0, 10_000), st.floats(0.5, 20.0))
def test_blind_to_contrast_and_bounded(seed, contrast):
    generated, target = features(seed, 12), features(seed + 1, 12)
    loss = contextual_loss(generated, target)
    assert -1e-9 <= float(loss) <= math.log(12) + 1e-9
    mean = target.mean(dim=2, keepdim=True)
    stretched = contextual_loss((generated - mean) * contrast + mean, target)
    assert float(stretched) == pytest.approx(float(loss), rel=1e-6, abs=1e-9)


def test_spatial_term_punishes_a_change_of_place():
    target = features(10, 16, channels=8).float()
    y, x = torch.meshgrid(torch.arange(4) / 4, torch.arange(4) / 4, indexing="ij")
    place = torch.stack([y.flatten(), x.flatten()])
    moved = target.flip(2)
    options = {"generated_xy": place, "target_xy": place, "spatial_weight": 0.5}
    assert float(contextual_loss(moved, target)) == pytest.approx(float(contextual_loss(target, target)), abs=1e-5)
    assert contextual_loss(moved, target, **options) > contextual_loss(target, target, **options) + 0.1
