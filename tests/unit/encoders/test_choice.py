"""The choice of taps, against a table worked by hand."""

import numpy as np
import pandas as pd

from ctstyle.encoders.plan import TapLists, choose_taps

LAYERS = pd.DataFrame(
    [
        ("a1", 1, 0.99, 0.40),
        ("a2", 1, 0.98, 0.50),
        ("b1", 2, 0.90, 0.30),
        ("b2", 2, 0.80, 0.30),
        ("c1", 4, 0.80, 0.60),
        ("c2", 4, 0.70, 0.10),
        ("d1", 8, 0.60, np.nan),
        ("d2", 8, 0.50, -0.20),
        ("e1", 16, 0.30, 0.90),
    ],
    columns=["tap", "stride", "content_score", "style_score"],
)


def test_the_tap_of_each_level_that_the_criterion_prefers():
    chosen = choose_taps(LAYERS)
    assert chosen.content_taps == ("c2", "d2")  # 0.60 against 0.20; 0.70 against 0.60 (no style score counts as 0)
    assert chosen.style_taps == ("a2", "b1", "c1", "d1")  # the shallower of equals


def test_another_criterion_gives_another_content_list_and_the_same_style_list():
    chosen = choose_taps(LAYERS, content_by="content")
    assert chosen.content_taps == ("c1", "d1") and chosen.style_taps == choose_taps(LAYERS).style_taps


def test_one_tap_per_level_leaves_nothing_to_choose():
    sparse = LAYERS[LAYERS["tap"].isin(["b1", "c1", "d1", "e1"])]
    assert choose_taps(sparse) == TapLists(content_taps=("c1", "d1"), style_taps=("b1", "c1", "d1", "e1"))


def test_lists_come_back_from_their_file(tmp_path):
    lists = TapLists(content_taps=("c2",), style_taps=("a2", "b1"))
    lists.save(tmp_path / "taps.json")
    assert TapLists.load(tmp_path / "taps.json") == lists
