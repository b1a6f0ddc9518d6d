"""Each limit of the guard refuses the slice that breaks it, by name, and lets a good one through."""

import numpy as np
import pytest
from scipy import ndimage

from ctstyle.segment.guard import BODY, CONSTANT, NOT_FINITE, REASONS, STRUCTURE, STYLE, counts, refusal
from ctstyle.slices.window import Window
from ctstyle.study.analysis import GuardSettings

WINDOW = Window(-250, 750)
OFF = {"min_deviation_hu": 0, "min_body_iou": 0, "min_gradient_ssim": -1, "max_style_ratio": np.inf}


def trunk(shift=0, seed=0) -> np.ndarray:
    y, x = np.mgrid[:96, :96]
    texture = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((96, 96)), 2) * 100
    hu = np.where(((x - 48) / 40) ** 2 + ((y - 48) / 30) ** 2 < 1, 40 + shift + texture, -250)
    hu[(x - 48) ** 2 + (y - 60) ** 2 < 64] = 300 + shift
    hu[(x - 30) ** 2 + (y - 40) ** 2 < 49] = -100 + shift
    hu[(x - 66) ** 2 + (y - 40) ** 2 < 49] = 160 + shift
    return np.round(hu).astype(np.int16)


CONTENT, STYLE_SLICE = trunk(), trunk(shift=120, seed=1)
GOOD = np.where(CONTENT > -240, CONTENT + 120, CONTENT).astype(np.float64)


def check(generated, **limits):
    return refusal(generated, CONTENT, STYLE_SLICE, window=WINDOW, settings=GuardSettings(**limits))


def broken(reason):
    image = GOOD.copy()
    if reason == NOT_FINITE:
        image[3, 3] = np.inf
    elif reason == CONSTANT:
        image[image > -240] = 160
    elif reason == BODY:
        image[:, :40] = -250
    elif reason == STRUCTURE:
        noise = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal(image.shape), 1.0)
        image = np.where(image > -240, (160 + 1200 * noise).clip(-190, 750), image)
    elif reason == STYLE:
        image = np.where(image > -240, (CONTENT - 60.0).clip(-190), image)
    return image


def test_a_good_slice_is_accepted():
    assert check(GOOD) == ""


@pytest.mark.parametrize("reason", REASONS)
def test_each_fault_is_refused_by_its_name(reason):
    assert check(broken(reason)) == reason


@pytest.mark.parametrize(
    ("reason", "switch"),
    [
        (CONSTANT, "min_deviation_hu"),
        (BODY, "min_body_iou"),
        (STRUCTURE, "min_gradient_ssim"),
        (STYLE, "max_style_ratio"),
    ],
)
def test_each_limit_alone_refuses_its_fault_and_can_be_switched_off(reason, switch):
    only = {key: value for key, value in OFF.items() if key != switch}
    assert check(broken(reason), **only) == reason
    assert check(broken(reason), **OFF) == ""


def test_a_content_already_in_the_style_needs_no_approach():
    same = refusal(CONTENT + 4.0, CONTENT, CONTENT, window=WINDOW, settings=GuardSettings())
    assert same == ""
    assert refusal(CONTENT + 4.0, CONTENT, CONTENT, window=WINDOW, settings=GuardSettings(style_floor_hu=1)) == STYLE


def test_every_reason_is_counted_even_when_it_did_not_occur():
    assert counts(["", STYLE, ""]) == {
        "accepted": 2,
        **dict.fromkeys(REASONS, 0),
        STYLE: 1,
    }
