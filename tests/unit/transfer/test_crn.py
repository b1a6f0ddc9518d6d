"""The cascaded refinement network: published size, sizes of its modules, and its formula in float64."""

import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from ctstyle.errors import CTStyleError
from ctstyle.run.fit import he_initialise
from ctstyle.study.comparison import module_sizes
from ctstyle.study.networks import CRNSettings
from ctstyle.transfer.contextual import CRN

PAPER = CRNSettings(channels=512, fine_channels=256)


def test_parameters_at_the_references_scale_are_about_24_million():
    with torch.device("meta"):
        network = CRN(PAPER, size_px=(256, 256), in_channels=3, out_channels=3)
        one_channel = CRN(PAPER, size_px=(256, 256))
    count = sum(parameter.numel() for parameter in network.parameters())
    widths = [512] * 5 + [256] * 2
    expected = 256 * 3 + 3
    for before, width in zip([0, *widths], widths):
        expected += (3 + before + width) * width * 9 + 2 * width + 4 * width
    assert count == expected and 23.5e6 < count < 24.8e6
    # One channel in place of three: two fewer in front of each module and behind the last convolution.
    fewer = sum(2 * width * 9 for width in widths) + 2 * 256 + 2
    assert sum(parameter.numel() for parameter in one_channel.parameters()) == expected - fewer


@pytest.mark.parametrize(
    ("size", "smallest", "coarsest", "modules"),
    [
        ((256, 256), 4, (4, 4), 7),
        ((96, 96), 4, (6, 6), 5),
        ((96, 96), 8, (12, 12), 4),
        ((64, 96), 4, (4, 6), 5),
        ((7, 7), 4, (7, 7), 1),
        ((64, 56), 4, (8, 7), 4),
        ((144, 144), 4, (9, 9), 5),
        ((240, 240), 4, (15, 15), 5),
    ],
)
def test_modules_double_from_the_smallest_size_to_the_slices(size, smallest, coarsest, modules):
    sizes = module_sizes(size, smallest)
    assert sizes[0] == coarsest and sizes[-1] == size and len(sizes) == modules
    assert all((2 * h, 2 * w) == after for (h, w), after in itertools.pairwise(sizes))


@pytest.mark.parametrize("size", [(100, 100), (272, 272), (97, 96), (3, 3)])
def test_a_size_that_doubling_cannot_reach_is_named(size):
    with pytest.raises(CTStyleError, match=rf"{size[0]} x {size[1]} px.*coarsest module"):
        CRN(CRNSettings(), size_px=size)


def test_fine_modules_begin_at_their_size():
    settings = CRNSettings(channels=6, fine_channels=3, fine_from_px=16)
    widths = [stage[0].out_channels for stage in CRN(settings, size_px=(32, 32)).stages]
    assert widths == [6, 6, 3, 3]


def doubled(values: np.ndarray) -> np.ndarray:
    """Bilinear doubling of `[C, H, W]` along both axes: a new pixel is 3/4 its own old one and 1/4 the next."""
    for axis in (1, 2):
        moved = np.moveaxis(values, axis, -1)
        padded = np.pad(moved, [(0, 0), (0, 0), (1, 1)], mode="edge")
        left, right = 0.25 * padded[..., :-2] + 0.75 * moved, 0.75 * moved + 0.25 * padded[..., 2:]
        values = np.moveaxis(np.stack([left, right], axis=-1).reshape(*moved.shape[:-1], -1), -1, axis)
    return values


def reference(state: dict, image: np.ndarray, stages: int) -> np.ndarray:
    """The network in float64: `[1, H, W]` to `[1, H, W]`."""
    features = None
    for number in range(stages):
        factor = 2 ** (stages - 1 - number)
        height, width = image.shape[1] // factor, image.shape[2] // factor
        values = image.reshape(1, height, factor, width, factor).mean(axis=(2, 4))
        if features is not None:
            values = np.concatenate([values, doubled(features)])
        for layer in (0, 3):
            kernel, bias = state[f"stages.{number}.{layer}.weight"], state[f"stages.{number}.{layer}.bias"]
            values = np.stack(
                [sum(correlate(v, k, mode="constant") for v, k in zip(values, kernel[o])) for o in range(len(kernel))]
            )
            values = values + bias[:, None, None]
            values = (values - values.mean()) / np.sqrt(values.var() + 1e-5)
            gain, shift = (state[f"stages.{number}.{layer + 1}.{what}"] for what in ("weight", "bias"))
            values = values * gain[:, None, None] + shift[:, None, None]
            values = np.where(values > 0, values, 0.2 * values)
        features = values
    weight, bias = state["to_slice.weight"][0, :, 0, 0], state["to_slice.bias"]
    return np.tensordot(weight, features, 1)[None] + bias


@torch.no_grad()
def test_output_is_the_formula_in_float64():
    network = CRN(CRNSettings(channels=3, fine_channels=2, fine_from_px=16), size_px=(16, 24))
    he_initialise(network, seed=0)
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    images = torch.rand(2, 1, 16, 24, generator=generator)
    state = {key: value.double().numpy() for key, value in network.state_dict().items()}
    expected = np.stack([reference(state, image.double().numpy(), 3) for image in images])
    np.testing.assert_allclose(network(images).numpy(), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_slice_does_not_depend_on_its_batch_and_another_size_is_refused():
    network = CRN(CRNSettings(channels=4), size_px=(32, 32))
    he_initialise(network, seed=0)
    images = (
        torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
        * torch.tensor([0.1, 1, 5])[:, None, None, None]
    )
    together = network(images)
    for number in range(3):
        torch.testing.assert_close(network(images[number : number + 1])[0], together[number], rtol=1e-4, atol=1e-5)
    with pytest.raises(CTStyleError, match="64 x 64 px, expected 32 x 32 px"):
        network(torch.zeros(1, 1, 64, 64))
