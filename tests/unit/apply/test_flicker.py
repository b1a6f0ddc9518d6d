"""Flicker against sums by hand."""

import numpy as np
import pytest

from ctstyle.apply.flicker import Flicker

BODY = np.ones((4, 5), dtype=bool)


def measured(changes, bodies=None) -> dict[str, float]:
    flicker = Flicker()
    for change, body in zip(changes, bodies or [BODY] * len(changes)):
        flicker.add(np.broadcast_to(np.asarray(change, float), BODY.shape), body)
    return flicker.measures()


def test_a_change_that_is_the_same_in_every_slice_does_not_flicker():
    ramp = np.arange(20.0).reshape(4, 5)
    assert measured([ramp] * 3) == {"change_hu": 9.5, "flicker_hu": 0.0, "flicker": 0.0, "step_hu": 0.0}


def test_a_change_that_turns_round_flickers_twice_its_size():
    assert measured([30, -30, 30]) == {"change_hu": 30.0, "flicker_hu": 60.0, "flicker": 2.0, "step_hu": 60.0}


def test_texture_that_keeps_its_mean_flickers_without_a_step():
    stripes = np.where(np.arange(5) % 2, 1.0, -1.0) * [[1], [-1], [1], [-1]]
    found = measured([10 + stripes, 10 - stripes])
    assert found["flicker_hu"] == pytest.approx(2.0) and found["step_hu"] == pytest.approx(0.0)


def test_air_parts_the_volume_and_only_what_is_body_in_both_slices_counts():
    air, half = np.zeros_like(BODY), BODY.copy()
    half[2:] = False
    assert measured([10, 0, 50], [BODY, air, BODY])["flicker_hu"] == 0.0
    found = measured([10, np.where(half, 20.0, 999)], [BODY, half])
    assert found["flicker_hu"] == 10.0 and found["change_hu"] == pytest.approx((20 * 10 + 10 * 20) / 30)


def test_nothing_has_no_flicker():
    assert measured([]) == {"change_hu": 0.0, "flicker_hu": 0.0, "flicker": 0.0, "step_hu": 0.0}
