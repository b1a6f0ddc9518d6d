"""The streamed contextual similarity against the dense one, and what it must survive."""

import math

import pytest
import torch

from ctstyle.errors import CTStyleError
from ctstyle.transfer import contextual_loss as module
from ctstyle.transfer import streamed
from ctstyle.transfer.contextual_loss import contextual_loss
from ctstyle.transfer.streamed import contextual_similarity


def unit(seed: int, count: int, channels: int = 5, dtype=torch.float64) -> torch.Tensor:
    vectors = torch.randn(count, channels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (vectors / vectors.norm(dim=1, keepdim=True)).to(dtype)


def dense(generated: torch.Tensor, target: torch.Tensor, *, bandwidth: float, eps: float) -> torch.Tensor:
    """The textbook formula with all its matrices."""
    distance = (1 - generated @ target.t()).clamp_min(0)
    relative = distance / (distance.amin(dim=1, keepdim=True) + eps)
    return torch.softmax((1 - relative) / bandwidth, dim=1).amax(dim=0).mean()


def both(generated, target, **options):
    """Values and gradients of the streamed and of the dense form."""
    results = []
    for form in (contextual_similarity, dense):
        leaf = generated.clone().requires_grad_(True)
        value = form(leaf, target, **options)
        value.backward()
        results.append((value.detach(), leaf.grad))
    return results


@pytest.mark.parametrize("bandwidth", [0.1, 0.5, 2.0])
@pytest.mark.parametrize(("count", "wanted"), [(1, 1), (1, 9), (9, 1), (40, 40), (33, 70), (70, 33)])
def test_equals_the_dense_form(monkeypatch, count, wanted, bandwidth):
    monkeypatch.setattr(streamed, "BLOCK_ROWS", (16, 16))
    monkeypatch.setattr(streamed, "GROUP_ROWS", 3)
    monkeypatch.setattr(streamed, "PART_BYTES", 6 * wanted * 8)  # two parts of two groups, one of 3 + 1 rows
    (value, gradient), (expected, slope) = both(unit(1, count), unit(2, wanted), bandwidth=bandwidth, eps=1e-5)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(gradient, slope, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize(("count", "wanted"), [(1, 9), (9, 1), (70, 33)])
def test_what_a_card_computes_equals_the_dense_form(monkeypatch, count, wanted):
    """Its branches, on the CPU."""
    monkeypatch.setattr(streamed, "_on_card", lambda tensor: True)
    monkeypatch.setattr(streamed, "BLOCK_ROWS", (16, 16))
    monkeypatch.setattr(streamed, "CARD_BLOCK_BYTES", 1)
    (value, gradient), (expected, slope) = both(unit(1, count), unit(2, wanted), bandwidth=0.5, eps=1e-5)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(gradient, slope, rtol=1e-8, atol=1e-11)


def test_saturated_rows_keep_their_digits():
    target = unit(3, 60)
    near = target + 1e-3 * unit(4, 60)
    near = near / near.norm(dim=1, keepdim=True)
    (value, gradient), (expected, slope) = both(near, target, bandwidth=0.1, eps=1e-5)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, slope, rtol=1e-6, atol=1e-6 * float(slope.abs().max()))


def test_weights_too_small_for_a_normal_number_count_as_none():
    target = unit(3, 60)
    near = target + 1e-3 * unit(4, 60)
    cosine = ((near / near.norm(dim=1, keepdim=True)) @ target.t()).float()
    top = cosine.double().amax(dim=1, keepdim=True)
    expected = torch.softmax((cosine.double() - top) / (0.05 * (1 - top + 1e-3)), dim=1)
    assert bool(((expected > 0) & (expected < torch.finfo(torch.float32).tiny)).any())
    block = streamed._Block(cosine.view(12, 5, 60), count=60, part=10)
    block.to_shares(0.05, 1e-3)
    share = block.entries
    assert not bool(((share > 0) & (share < torch.finfo(torch.float32).tiny)).any())
    torch.testing.assert_close(share.double(), expected, rtol=1e-3, atol=1e-25)


def test_without_a_shift_single_precision_is_as_good(monkeypatch):
    target = unit(17, 300, 32)
    near = target + 0.25 * unit(18, 300, 32)
    near = near / near.norm(dim=1, keepdim=True)
    steepest = 0.9 * streamed.UNSHIFTED_BELOW
    bandwidth = float(1 / (steepest * (1 - (near @ target.t()).amax())))
    exact = both(near, target, bandwidth=bandwidth, eps=1e-5)[1][1]
    error = []
    for below in (0, streamed.UNSHIFTED_BELOW):
        monkeypatch.setattr(streamed, "UNSHIFTED_BELOW", below)
        gradient = both(near.float(), target.float(), bandwidth=bandwidth, eps=1e-5)[0][1]
        error.append(float((gradient.double() - exact).norm() / exact.norm()))
    assert 0 < error[1] < max(2 * error[0], 1e-6)


def test_targets_that_places_put_far_away_from_all_rows_do_not_underflow():
    generated, target = 5 * unit(19, 40).abs().float(), -5 * unit(20, 40).abs().float()
    (value, gradient), (expected, slope) = both(generated, target, bandwidth=0.008, eps=1e-5)
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(gradient, slope, rtol=1e-2, atol=1e-3 * float(slope.abs().max()))


def test_gradient_by_differences(monkeypatch):
    monkeypatch.setattr(streamed, "BLOCK_ROWS", (4, 4))
    generated, target = unit(5, 11).requires_grad_(True), unit(6, 9)
    assert torch.autograd.gradcheck(lambda g: contextual_similarity(g, target, bandwidth=0.5, eps=1e-5), (generated,))


@pytest.mark.parametrize("spatial_weight", [0.0, 0.5])
def test_gradients_of_the_dense_form_by_differences(spatial_weight):
    generated, target = (features(seed, count, channels=4).requires_grad_(True) for seed, count in ((15, 7), (16, 9)))
    places = [torch.rand(2, n, generator=torch.Generator().manual_seed(n), dtype=torch.float64) for n in (7, 9)]
    options = {"generated_xy": places[0], "target_xy": places[1], "spatial_weight": spatial_weight}
    assert torch.autograd.gradcheck(lambda g, x: contextual_loss(g, x, **options), (generated, target))


def test_only_rows_that_hold_a_maximum_take_part_in_the_second_product(monkeypatch):
    generated, target = torch.cat([unit(13, 40), -unit(14, 40)]), unit(14, 40)  # half the rows are far from any target
    found = []
    for share in (0.0, 1.0):
        monkeypatch.setattr(streamed, "GATHER_BELOW", share)
        leaf = generated.clone().requires_grad_(True)
        contextual_similarity(leaf, target, bandwidth=0.5, eps=1e-5).backward()
        found.append(leaf.grad)
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-14)


def test_single_precision_is_as_good_as_the_dense_forms():
    generated, target = unit(7, 300, 32), unit(8, 300, 32)
    exact = both(generated, target, bandwidth=0.5, eps=1e-5)[1][1]
    (_, ours), (_, theirs) = both(generated.float(), target.float(), bandwidth=0.5, eps=1e-5)
    error, other = (float((gradient.double() - exact).norm() / exact.norm()) for gradient in (ours, theirs))
    assert error < max(2 * other, 1e-6)


def test_of_equal_rows_the_first_gets_the_gradient():
    generated = unit(9, 6)[[0, 1, 0, 2, 3, 0]].requires_grad_(True)
    contextual_similarity(generated, unit(10, 8), bandwidth=0.5, eps=1e-5).backward()
    assert generated.grad[2].abs().max() == 0 and generated.grad[5].abs().max() == 0


def test_nothing_hides_a_nan():
    generated = unit(11, 30)
    generated[3, 0] = math.nan
    assert contextual_similarity(generated, unit(12, 30), bandwidth=0.5, eps=1e-5).isnan()


def features(seed: int, count: int, batch: int = 2, channels: int = 6) -> torch.Tensor:
    return torch.randn(batch, channels, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("spatial_weight", [0.0, 0.5])
@pytest.mark.parametrize(("count", "wanted"), [(30, 30), (30, 44)])
def test_the_loss_streamed_is_the_loss(monkeypatch, count, wanted, spatial_weight):
    places = [
        torch.rand(2, n, generator=torch.Generator().manual_seed(n), dtype=torch.float64) for n in (count, wanted)
    ]
    options = {"generated_xy": places[0], "target_xy": places[1], "spatial_weight": spatial_weight}
    found = []
    for stream_from in (1, 10**9):
        monkeypatch.setattr(module, "STREAM_FROM", stream_from)
        generated = features(1, count).requires_grad_(True)
        loss = contextual_loss(generated, features(2, wanted), **options)
        loss.sum().backward()
        found.append((loss.detach(), generated.grad))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-7, atol=1e-10)


def test_a_target_that_wants_a_gradient_gets_one():
    count = module.STREAM_FROM + 1
    target = features(3, count, batch=1).requires_grad_(True)
    contextual_loss(features(4, count, batch=1), target).sum().backward()
    assert target.grad.abs().max() > 0


@pytest.mark.parametrize("stream_from", [1, 10**9])
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened(monkeypatch, kind, stream_from):
    monkeypatch.setattr(module, "STREAM_FROM", stream_from)
    generated, target = (features(seed, 40).to(kind) for seed in (5, 6))
    generated *= 300  # their squares are more than float16 holds
    loss = contextual_loss(generated, target)
    assert loss.dtype == torch.float32 and loss.isfinite().all()
    torch.testing.assert_close(loss, contextual_loss(generated.float(), target.float()))


def test_autocast_changes_nothing():
    count = module.STREAM_FROM + 1
    generated, target = (features(seed, count).float() for seed in (7, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = contextual_loss(generated, target)
    assert torch.equal(inside, contextual_loss(generated, target))


@pytest.mark.parametrize(("count", "wanted"), [(0, 5), (5, 0)])
def test_nothing_to_compare(count, wanted):
    with pytest.raises(CTStyleError, match="nothing to compare"):
        contextual_loss(features(1, count), features(2, wanted))


def test_constant_maps_are_defined():
    same = torch.ones(1, 4, module.STREAM_FROM + 5, requires_grad=True)
    loss = contextual_loss(same, torch.ones_like(same).detach())
    loss.sum().backward()
    assert loss.isfinite().all() and same.grad.isfinite().all()
