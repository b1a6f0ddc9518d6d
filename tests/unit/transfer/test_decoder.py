"""The decoder against the published parameter counts and its shape rules."""

import pytest
import torch
from torch import nn

from ctstyle.errors import CTStyleError
from ctstyle.transfer.decoder import Decoder


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
