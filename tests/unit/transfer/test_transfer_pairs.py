"""Pairs of content and style slices: complete, by level, from the seed alone."""

import pandas as pd
import pytest

from ctstyle.transfer.gallery import NothingToPair, pair_slices


def test_every_content_meets_every_style_as_often_as_asked():
    content = pd.DataFrame({"level": [31] * 4})
    style = pd.DataFrame({"level": [31] * 6, "style": ["s2"] * 2 + ["s3"] * 4})
    pairs = pair_slices(content, style, per_content=3, seed=0)
    assert pairs.groupby(["content", "target_style"]).size().tolist() == [3] * 8
    assert (style["style"].to_numpy()[pairs["style"]] == pairs["target_style"]).all()
    of_s3 = pairs[pairs["target_style"] == "s3"]
    assert of_s3.groupby("content")["style"].nunique().tolist() == [3] * 4


def test_pairing_by_level_takes_the_nearest_level_known():
    content = pd.DataFrame({"level": [28, 33, 0]})
    style = pd.DataFrame({"level": [0, 27, 30, 35], "style": "s2"})
    near = [pair_slices(content, style, seed=seed)["style"].tolist() for seed in range(20)]
    assert {pair[0] for pair in near} == {1}
    assert {pair[1] for pair in near} <= {2, 3}
    assert {pair[2] for pair in near} == {0, 1, 2, 3}
    anywhere = [pair_slices(content, style, pairing="random", seed=s)["style"].tolist() for s in range(30)]
    assert {pair[0] for pair in anywhere} == {0, 1, 2, 3}


def test_nothing_to_pair_is_an_error():
    level = pd.DataFrame({"level": [31], "style": ["s2"]})
    for content, style in ((level.iloc[:0], level), (level, level.iloc[:0])):
        with pytest.raises(NothingToPair, match=r"0 (content|style) slices"):
            pair_slices(content, style, seed=0)
