"""What changes the grey values of a batch: nnU-Net's augmentation and random convolutions against closed forms."""

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.exposure import adjust_gamma

from ctstyle.errors import CTStyleError
from ctstyle.segment.online import Intensity, RandomConvolutions, factor, mix, random_network
from ctstyle.study.analysis import Change
from ctstyle.study.config import checked

NEVER = Change(0.0, (1.0, 1.0))
NOTHING = Intensity(**{field.name: NEVER for field in fields(Intensity)})
Y, X = np.mgrid[:96, :96]


def slices(count=1, size=96, seed=0) -> torch.Tensor:
    """Smooth images between 0.3 and 0.7, so that nothing is clipped."""
    field = np.random.default_rng(seed).standard_normal((count, 1, size, size))
    smooth = ndimage.gaussian_filter(field, (0, 0, 3, 3))
    low, high = smooth.min((2, 3), keepdims=True), smooth.max((2, 3), keepdims=True)
    return torch.from_numpy((0.3 + 0.4 * (smooth - low) / (high - low)).astype(np.float32))


def changed(images, seed=0, **changes) -> np.ndarray:
    """Slices `[B, H, W]` under one change of fixed strength that every slice gets."""
    settings = replace(NOTHING, **{name: Change(1.0, (value, value)) for name, value in changes.items()})
    return settings.images(images, np.random.default_rng(seed))[:, 0].numpy()


def test_nothing_is_the_identity():
    images = slices(3)
    assert torch.equal(NOTHING.images(images, np.random.default_rng(0)), images)


def test_noise_has_the_deviation_it_says_in_deviations_of_the_slice():
    images = slices(4)
    added = changed(images, noise=0.1) - images[:, 0].numpy()
    assert added.std((1, 2)) == pytest.approx(0.1 * images[:, 0].numpy().std((1, 2)), rel=0.03)
    assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 0.05


def test_blur_damps_a_wave_as_a_gaussian_does():
    wave = 0.5 + 0.2 * np.cos(2 * np.pi * X / 8)
    blurred = changed(torch.from_numpy(wave[None, None].astype(np.float32)), blur=1.0)[0]
    expected = 0.5 + np.exp(-2 * np.pi**2 / 64) * (wave - 0.5)
    assert blurred[:, 12:-12] == pytest.approx(expected[:, 12:-12], abs=1e-4)


def test_brightness_and_contrast_are_factors():
    images = slices()
    image = images[0, 0].numpy()
    assert changed(images, brightness=0.8)[0] == pytest.approx(0.8 * image, abs=1e-6)
    assert changed(images, contrast=0.5)[0] == pytest.approx(0.5 * image + 0.5 * image.mean(), abs=1e-6)
    spread = changed(images, contrast=1.25)[0]
    assert spread.min() == pytest.approx(0.3, abs=1e-6) and spread.max() == pytest.approx(0.7, abs=1e-6)
    inner = (spread > 0.31) & (spread < 0.69)
    assert spread[inner] == pytest.approx((1.25 * image - 0.25 * image.mean())[inner], abs=1e-6)


def test_low_resolution_keeps_a_ramp_and_loses_what_lies_above_its_sampling():
    ramp, stripes = X / 200, 0.5 + 0.2 * (-1.0) ** X
    both = torch.from_numpy(np.stack([ramp, stripes])[:, None].astype(np.float32))
    coarse = changed(both, low_resolution=0.5)
    assert np.diff(coarse[0], axis=1)[:, 2:-2] == pytest.approx(1 / 200, abs=1e-6)
    assert coarse[0] == pytest.approx(ramp, abs=1.01 / 200)
    assert coarse[1].std() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["gamma", "inverted_gamma"])
def test_gamma_is_that_of_scikit_image_with_mean_and_deviation_kept(name):
    images = slices()
    image = images[0, 0].numpy().astype(np.float64)
    unit = (image - image.min()) / (image.max() - image.min())
    power = adjust_gamma(unit, 1.5) if name == "gamma" else 1 - adjust_gamma(1 - unit, 1.5)
    expected = image.mean() + (power - power.mean()) / power.std() * image.std()
    assert changed(images, **{name: 1.5})[0] == pytest.approx(expected, abs=1e-4)


def test_each_slice_is_changed_as_often_as_nnu_net_changes_it():
    images = slices(1, size=8).expand(1500, 1, 8, 8).contiguous()
    settings = Intensity()
    left = (settings.images(images, np.random.default_rng(0)) == images).all((1, 2, 3)).float().mean()
    untouched = np.prod([1 - getattr(settings, field.name).probability for field in fields(settings)])
    assert left == pytest.approx(untouched, abs=0.035)


def test_factors_are_below_one_half_of_the_time_whatever_the_range():
    rng = np.random.default_rng(0)
    drawn = np.array([factor((0.7, 1.5), rng) for _ in range(2000)])
    assert (drawn < 1).mean() == pytest.approx(0.5, abs=0.04)
    assert 0.7 <= drawn.min() < 0.71 and 1.49 < drawn.max() <= 1.5
    assert 0.5 <= min(factor((0.5, 0.9), rng) for _ in range(50)) < 0.9


def test_what_leaves_the_unit_range_is_clipped():
    bright = changed(slices() + 0.25, brightness=1.25)
    assert bright.max() == 1 and (bright == 1).mean() < 0.9


CHANGES = [Intensity(**{f.name: replace(getattr(Intensity(), f.name), probability=1.0) for f in fields(Intensity)})]
CHANGES += [RandomConvolutions()]


@pytest.mark.parametrize("settings", CHANGES, ids=lambda settings: type(settings).__name__)
def test_the_generator_alone_decides(settings):
    images = slices(3)
    before = images.clone()
    torch.manual_seed(0)
    one = settings.images(images, np.random.default_rng([1, 5]))
    torch.manual_seed(1)
    two, other = (settings.images(images, np.random.default_rng([1, step])) for step in (5, 6))
    assert torch.equal(one, two) and not torch.equal(one, other)
    assert one.shape == images.shape and one.dtype == torch.float32 and torch.equal(images, before)
    same = settings.images(images[:1].repeat(2, 1, 1, 1), np.random.default_rng(0))
    assert not torch.allclose(same[0], same[1], atol=1e-3), "every slice draws its own"


@pytest.mark.parametrize("settings", [RandomConvolutions(), RandomConvolutions(3, 4, (1, 3, 5))])
def test_the_random_network_is_a_chain_of_correlations(settings):
    images = slices(2, size=24)
    made = random_network(images, settings, np.random.default_rng(7))
    rng = np.random.default_rng(7)
    maps = images.numpy().astype(np.float64)
    widths = [1, *[settings.channels] * (settings.layers - 1), 1]
    for layer, (before, after) in enumerate(pairwise(widths)):
        side = int(rng.choice(settings.kernels))
        kernels = rng.standard_normal((2, after, before, side, side), dtype=np.float32)
        shifts = rng.standard_normal((2, after), dtype=np.float32)
        maps = np.array(
            [
                [
                    sum(ndimage.correlate(m, k, mode="constant") for m, k in zip(one, kernel)) + shift
                    for kernel, shift in zip(of_slice, of_shift)
                ]
                for one, of_slice, of_shift in zip(maps, kernels, shifts)
            ]
        )
        if layer + 1 < settings.layers:
            maps = np.where(maps > 0, maps, 0.01 * maps)
    assert made.numpy() == pytest.approx(maps, rel=1e-4, abs=1e-4)


def test_mixing_keeps_the_frobenius_norm_and_no_share_is_the_identity():
    images, made = slices(4), 5 * slices(4, seed=1) - 2
    share = torch.tensor([0.0, 0.3, 0.8, 1.0])[:, None, None, None]
    mixed = mix(images, made, share)
    assert mixed[0].numpy() == pytest.approx(images[0].numpy(), rel=1e-5)
    norms = [np.linalg.norm(each[:, 0].numpy(), axis=(1, 2)) for each in (images, mixed)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-5)
    parallel = (mixed[3] / made[3]).numpy()
    assert parallel == pytest.approx(parallel.mean(), rel=1e-4)


def test_a_changed_slice_is_as_far_from_its_old_mean_as_before_and_not_clipped():
    images = slices(6)
    made = RandomConvolutions().images(images, np.random.default_rng(0))
    mean = images.mean((1, 2, 3), keepdim=True)
    norms = [torch.linalg.vector_norm(each - mean, dim=(1, 2, 3)).numpy() for each in (images, made)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-3)
    assert made.min() < 0 or made.max() > 1


def test_one_layer_of_single_pixels_is_a_linear_grey_scale():
    images = slices(5)
    made = RandomConvolutions(layers=1, kernels=(1,)).images(images, np.random.default_rng(3))
    for image, other in zip(images.flatten(1).numpy(), made.flatten(1).numpy()):
        assert abs(np.corrcoef(image, other)[0, 1]) == pytest.approx(1, abs=1e-5)


def test_kernels_need_a_centre():
    with pytest.raises(CTStyleError, match="segment: convolution: kernels"):
        checked({"segment": {"convolution": {"kernels": [3, 4]}}})
