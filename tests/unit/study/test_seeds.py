"""Which seeds the U-Nets have, and whose slices they take."""

import pytest

from ctstyle.study.arms import SeedError, lending_seed, unet_seeds


def test_unets_have_the_seeds_of_the_run_or_more():
    assert unet_seeds(None, [4, 7]) == [4, 7]
    assert unet_seeds([4, 7, 1], [4, 7]) == [4, 7, 1]


@pytest.mark.parametrize("asked", [[7, 4], [4], [1, 4, 7]])
def test_other_seeds_are_refused_with_the_way_out(asked):
    with pytest.raises(SeedError, match=r"segment: seeds.*begins with \[4, 7\].*null"):
        unet_seeds(asked, [4, 7])


def test_extra_seeds_take_the_generators_in_turn_and_the_first_ones_their_own():
    unet, seeds = [4, 7, 0, 1, 2], [4, 7]
    assert [lending_seed(seed, unet, seeds) for seed in unet] == [4, 7, 4, 7, 4]
