"""The decoder against the published parameter counts and its shape rules."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctstyle.errors import CTStyleError
from ctstyle.transfer.decoder import FUSED_FROM, Decoder, convolve_doubled, doubled, order_of


@pytest.mark.parametrize(
    ("stride", "channels", "out", "parameters"),
    # 3,505,219: Huang and Belongie's decoder. 555,075: its second half, 9 * in * out + out summed by hand.
    [(8, 512, 3, 3_505_219), (4, 256, 3, 555_075), (4, 256, 1, 553_921)],
)
def test_parameter_count(stride, channels, out, parameters):
    decoder = Decoder(stride=stride, channels=channels, out_channels=out)
    assert sum(parameter.numel() for parameter in decoder.parameters()) == parameters


@pytest.mark.parametrize(("stride", "channels"), [(4, 256), (8, 512), (16, 1024)])
def test_gives_back_the_slices_size_without_norm(stride, channels):
    decoder = Decoder(stride=stride, channels=channels)
    assert decoder(torch.rand(1, channels, 4, 3)).shape == (1, 1, 4 * stride, 3 * stride)
    kinds = {type(module) for module in decoder.layers}
    assert kinds == {nn.Conv2d, nn.ReLU, nn.Upsample}
    assert all(m.padding_mode == "reflect" for m in decoder.layers if isinstance(m, nn.Conv2d))
    assert all(m.mode == "nearest" for m in decoder.layers if isinstance(m, nn.Upsample))


def test_unknown_stride():
    with pytest.raises(CTStyleError, match=r"stride.*32.*4 \| 8 \| 16"):
        Decoder(stride=32, channels=512)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 14), (24, 24)])
def test_doubling_and_convolution_in_one_step(height, width):
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect", dtype=torch.float64)
    maps = torch.rand(2, 3, height, width, dtype=torch.float64, requires_grad=True)
    assert min(height, width) >= FUSED_FROM
    found = convolve_doubled(maps, convolution)
    expected = convolution(nn.Upsample(scale_factor=2, mode="nearest")(maps))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    wanted = (maps, convolution.weight, convolution.bias)
    for one, other in zip(
        torch.autograd.grad(found.square().sum(), wanted), torch.autograd.grad(expected.square().sum(), wanted)
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_the_decoder_is_its_layers():
    torch.manual_seed(0)
    decoder = Decoder(stride=4, channels=256)
    maps = torch.rand(1, 256, 12, 12)
    torch.testing.assert_close(decoder(maps), decoder.layers(maps), rtol=1e-5, atol=1e-6)


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
