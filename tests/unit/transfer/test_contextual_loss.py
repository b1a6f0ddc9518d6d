"""The contextual loss against method.md, 3, in float64: with plain loops, and in matrices through autograd."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.contextual import textbook
from ctstyle.errors import CTStyleError
from ctstyle.transfer import contextual_loss as module
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


def both(generated, target, **options):
    """Value and gradient of the streamed loss, and of the textbook's matrices."""
    results = []
    for form in (contextual_loss, textbook):
        leaf = generated.clone().requires_grad_(True)
        loss = form(leaf, target, **options)
        loss.sum().backward()
        results.append((loss.detach(), leaf.grad))
    return results


def apart(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


@pytest.mark.parametrize("card", [False, True])
@pytest.mark.parametrize("bandwidth", [0.1, 0.5, 2.0])
@pytest.mark.parametrize(("count", "wanted"), [(2, 2), (2, 9), (9, 2), (40, 40), (33, 70), (70, 33)])
def test_blocks_of_rows_change_nothing(monkeypatch, count, wanted, bandwidth, card):
    monkeypatch.setattr(module, "_rows_at_once", lambda target: 1000 if card else 16)
    (value, gradient), (expected, slope) = both(features(1, count), features(2, wanted), bandwidth=bandwidth)
    torch.testing.assert_close(value, expected, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(gradient, slope, rtol=1e-7, atol=1e-10)


def test_gradient_by_differences(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_ROWS", 4)
    generated, target = features(5, 11, batch=2).requires_grad_(True), features(6, 9, batch=2)
    assert torch.autograd.gradcheck(lambda g: contextual_loss(g, target), (generated,))


def test_saturated_rows_keep_their_digits():
    target = features(3, 60)
    near = target + 0.1 * features(4, 60)
    (value, gradient), (expected, slope) = both(near, target, bandwidth=0.1)
    assert 0 < expected < 0.01 and slope.abs().max() > 1e-6
    torch.testing.assert_close(value, expected, rtol=1e-8, atol=0)
    torch.testing.assert_close(gradient, slope, rtol=1e-6, atol=1e-6 * float(slope.abs().max()))


def test_single_precision_is_as_good_as_the_textbooks():
    generated, target = features(7, 300, channels=32), features(8, 300, channels=32)
    exact = both(generated, target)[1][1]
    (_, ours), (_, theirs) = both(generated.float(), target.float())
    assert apart(ours, exact) < max(2 * apart(theirs, exact), 1e-6)


def test_of_equal_rows_the_first_gets_the_gradient():
    generated = features(9, 6)[:, :, [0, 1, 0, 2, 3, 0]].requires_grad_(True)
    contextual_loss(generated, features(10, 8)).sum().backward()
    assert generated.grad[0, :, 0].abs().max() > 0
    assert generated.grad[0, :, [2, 5]].abs().max() == 0


def test_nothing_hides_a_nan():
    generated = features(11, 30)
    generated[0, 0, 3] = math.nan
    assert contextual_loss(generated, features(12, 30)).isnan().all()


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened(kind):
    generated, target = (features(seed, 40, batch=2).to(kind) for seed in (5, 6))
    generated *= 300  # their squares are more than float16 holds
    loss = contextual_loss(generated, target)
    assert loss.dtype == torch.float32 and loss.isfinite().all()
    torch.testing.assert_close(loss, contextual_loss(generated.float(), target.float()))


def test_autocast_changes_nothing():
    generated, target = (features(seed, 600).float() for seed in (7, 8))
    found = []
    for enabled in (True, False):
        leaf = generated.clone().requires_grad_(True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = contextual_loss(leaf, target)
            loss.sum().backward()
        found.append((loss.detach(), leaf.grad))
    assert all(torch.equal(one, other) for one, other in zip(*found))


@pytest.mark.parametrize(("count", "wanted"), [(0, 5), (5, 0)])
def test_nothing_to_compare(count, wanted):
    with pytest.raises(CTStyleError, match="nothing to compare"):
        contextual_loss(features(1, count), features(2, wanted))
