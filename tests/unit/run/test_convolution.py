"""The quick forms of three convolutions against torch's general one, in float64 and in both orders in memory."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ctstyle.run.convolution import doubled, from_one_channel, in_channels_last, order_of, to_one_channel

ORDERS = pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last], ids=["first", "last"])


@pytest.fixture
def draw():
    generator = torch.Generator().manual_seed(0)

    def normal(*size: int, order: torch.memory_format = torch.contiguous_format) -> Tensor:
        values = torch.randn(*size, generator=generator, dtype=torch.float64)
        return (values.contiguous(memory_format=order) if len(size) == 4 else values).requires_grad_()

    return normal


def same(found: Tensor, expected: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    """Both forms and their gradients agree; returns the gradients of the first."""
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=expected.dtype)
    gradients = torch.autograd.grad(found, leaves, upstream)
    for one, other in zip(gradients, torch.autograd.grad(expected, leaves, upstream)):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    return list(gradients)


@ORDERS
def test_to_one_channel(draw, order):
    leaves = [draw(2, 5, 6, 9, order=order), draw(1, 5, 3, 3), draw(1)]
    gradients = same(to_one_channel(*leaves), F.conv2d(*leaves), leaves)
    assert order_of(gradients[0]) == order


@ORDERS
def test_from_one_channel(draw, order):
    slices, weight, bias = draw(2, 1, 6, 9), draw(4, 1, 3, 3), draw(4)
    made = from_one_channel(slices, weight, bias, channels_last=order == torch.channels_last)
    same(made, F.conv2d(slices, weight, bias), [slices])
    assert order_of(made) == order


@ORDERS
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5)])
def test_doubled(draw, order, height, width):
    leaves = [draw(2, 3, height + 2, width + 2, order=order), draw(4, 3, 3, 3), draw(4)]
    large = F.interpolate(leaves[0], scale_factor=2.0, mode="nearest")[:, :, 1:-1, 1:-1]  # one position wide all round
    made = doubled(*leaves)
    gradients = same(made, F.conv2d(large, *leaves[1:]), leaves)
    assert made.shape == (2, 4, 2 * height, 2 * width)
    assert order_of(made) == order_of(gradients[0]) == order


@ORDERS
@pytest.mark.parametrize("frozen", [0, 1], ids=["maps", "weight"])
def test_what_needs_no_gradient_gets_none(draw, order, frozen):
    leaves = [draw(1, 3, 5, 5, order=order), draw(4, 3, 3, 3), draw(4)]
    leaves[frozen] = leaves[frozen].detach()
    large = F.interpolate(leaves[0], scale_factor=2.0, mode="nearest")[:, :, 1:-1, 1:-1]
    made = doubled(*leaves)
    assert [function is None for function, _ in made.grad_fn.next_functions] == [n == frozen for n in range(3)]
    learnt = [leaf for leaf in leaves if leaf.requires_grad]
    assert len(same(made, F.conv2d(large, *leaves[1:]), learnt)) == 2


def test_orders_in_memory():
    maps = torch.zeros(2, 3, 4, 5)
    assert not in_channels_last(maps) and in_channels_last(maps.contiguous(memory_format=torch.channels_last))
    assert order_of(torch.zeros(2, 1, 4, 5)) == torch.contiguous_format  # one channel lies in both orders
