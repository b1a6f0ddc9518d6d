"""Statistics of many slices: each slice's are AdaIN's own, all together those of their positions in one heap."""

import numpy as np
import pytest
import torch

from ctstyle.encoders.network import positions_in_body
from ctstyle.slices.body import body_mask
from ctstyle.slices.window import Window
from ctstyle.transfer.adain import channel_statistics
from ctstyle.transfer.bundle import NoStatistics, moments
from tests.bundles import random_generator

WINDOW = Window(-250, 750)


@pytest.fixture(scope="module")
def generator():
    return random_generator()


@pytest.fixture(scope="module")
def hu() -> np.ndarray:
    """Five trunks of unlike size and grey, the fourth slice air."""
    y, x = np.mgrid[:48, :48]
    noise = np.random.default_rng(0).normal(0, 30, (5, 48, 48))
    trunks = [np.where(np.hypot(y - 24, x - 22) < 8 + 3 * k, 60 * k, -1000) + noise[k] for k in range(5)]
    trunks[3][:] = -1000
    return np.stack(trunks).astype(np.int16)


@torch.no_grad()
def _maps(generator, hu):
    return generator.encode(torch.from_numpy(WINDOW.to_unit(hu))[:, None])


def test_each_slice_has_the_statistics_that_adain_takes(generator, hu):
    mean, deviation = moments(generator, hu, window=WINDOW, batch=2).each()
    body = torch.from_numpy(body_mask(hu, WINDOW))
    expected = channel_statistics(_maps(generator, hu), body)
    seen = [0, 1, 2, 4]
    torch.testing.assert_close(mean[seen], expected[0][seen], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(deviation[seen], expected[1][seen], rtol=1e-4, atol=1e-5)


def test_pooled_statistics_are_those_of_all_positions_in_one_heap(generator, hu):
    found = moments(generator, hu, window=WINDOW)
    mean, deviation = found.pooled()
    body = torch.from_numpy(body_mask(hu, WINDOW))
    maps = _maps(generator, hu)
    inside = positions_in_body(body, maps.shape[2:])
    inside[3] = False
    heap = maps.permute(0, 2, 3, 1)[inside].double().numpy()
    np.testing.assert_allclose(mean[0], heap.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(deviation[0], np.sqrt(heap.var(axis=0) + 1e-5), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.each()[0][3:4], mean)


def test_whole_slices_count_where_the_generator_was_trained_so(hu):
    generator = random_generator()
    generator.statistics = "slice"
    mean, _ = moments(generator, hu, window=WINDOW).each()
    expected, _ = channel_statistics(_maps(generator, hu))
    torch.testing.assert_close(mean[:3], expected[:3], rtol=1e-4, atol=1e-5)


def test_air_alone_has_no_statistics(generator):
    with pytest.raises(NoStatistics, match=r"no slice shows a body.*2 slices of air"):
        moments(generator, np.full((2, 48, 48), -1000, np.int16), window=WINDOW).pooled()
