"""CIS against its closed forms, a table worked by hand and scipy's entropy; chance against binomial sums."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy

from ctstyle.errors import CTStyleError
from ctstyle.measures.cis import CIS_COLUMNS, NotProbabilities, cis_frame, is_near_chance, score_generated


def draw(n: int, k: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(k, 0.3), size=n)


def cis(probabilities, groups):
    rows = pd.DataFrame({"content_scan": groups, "content_index": 0, "patient": "p"})
    return cis_frame(probabilities, rows)["cis"].mean()


def test_copies_score_zero():
    copies = np.repeat(draw(5, 4), 3, axis=0)
    assert cis(copies, np.repeat(np.arange(5), 3).tolist()) == 0


@pytest.mark.parametrize("k", [2, 3, 4, 7])
def test_every_class_once_per_input_scores_ln_k(k):
    assert cis(np.tile(np.eye(k), (3, 1)), np.repeat([*"abc"], k).tolist()) == pytest.approx(math.log(k), rel=1e-12)


def test_fewer_outputs_than_classes_reach_ln_of_the_outputs_only():
    assert cis(np.eye(4)[[0, 2]], ["x", "x"]) == pytest.approx(math.log(2), rel=1e-12)


def test_a_table_worked_by_hand():
    # x1: p = (1, 0), (1/2, 1/2), mean (3/4, 1/4): ln(4/3) and ln(2/3)/2 + ln(2)/2; x2: one output, so 0
    p = np.array([[1.0, 0.0], [0.5, 0.5], [0.2, 0.8]])
    x1 = (math.log(4 / 3) + 0.5 * math.log(2 / 3) + 0.5 * math.log(2)) / 2
    assert cis(p, ["x1", "x1", "x2"]) == pytest.approx(x1 / 2, rel=1e-12)


def test_equals_scipys_relative_entropy_whatever_the_order():
    p, groups = draw(24, 5), np.array([f"x{i % 7}" for i in range(24)])
    per_input = []
    for key in np.unique(groups):
        own = p[groups == key]
        per_input.append(np.mean([entropy(row, own.mean(axis=0)) for row in own]))
    assert cis(p, groups.tolist()) == pytest.approx(np.mean(per_input), rel=1e-12)
    order = np.random.default_rng(1).permutation(24)
    assert cis(p[order], groups[order].tolist()) == pytest.approx(np.mean(per_input), rel=1e-12)
    assert cis(p[:, ::-1], groups.tolist()) == pytest.approx(np.mean(per_input), rel=1e-12)


@pytest.mark.parametrize(
    ("p", "groups", "match"),
    [
        ([[1.2, -0.2]], ["x"], "negative"),
        ([[np.nan, 1.0]], ["x"], "negative or missing"),
        ([[0.5, 0.4]], ["x"], "sum to 1"),
        ([[0.5, 0.5]], ["x", "y"], "do not fit"),
        ([0.5, 0.5], ["x", "y"], "do not fit"),
    ],
)
def test_what_is_no_probability_is_refused(p, groups, match):
    with pytest.raises(NotProbabilities, match=match):
        cis(np.array(p), groups)


def test_frame_has_a_row_per_content_slice():
    rows = pd.DataFrame({"content_scan": ["b", "b", "a", "b"], "content_index": [1, 1, 5, 0], "patient": [*"qqpq"]})
    frame = cis_frame(np.eye(4), rows)
    assert list(frame.columns) == CIS_COLUMNS
    assert frame[["content_scan", "content_index", "patient", "outputs"]].values.tolist() == [
        ["a", 5, "p", 1],
        ["b", 0, "q", 1],
        ["b", 1, "q", 2],
    ]
    np.testing.assert_allclose(frame["cis"], [0, 0, math.log(2)], rtol=1e-12)


def test_generated_slices_lie_between_copies_and_real_scans():
    """Grey g of a slice is its class; the generator reaches one of two target styles, the real scans both."""
    scans = {"x1": 0, "x2": 0, "x1-s2": 1, "x1-s3": 2}
    hu = np.array([1, 0, 1, 2, 0], dtype=np.int16)[:, None, None] * np.ones((1, 2, 2), np.int16)
    rows = pd.DataFrame(
        {
            "index": range(5),
            "content_scan": ["x1", "x1", "x2", "x2", "x1"],
            "content_index": 7,
            "patient": ["p1", "p1", "p2", "p2", "p1"],
            "target_style": ["s2", "s3", "s2", "s3", "s1"],
            "target_scan": ["x1-s2", "x1-s3", "", "", "x1"],
            "target_index": [7, 7, -1, -1, 7],
            "kind": ["transfer"] * 4 + ["identity"],
        }
    )
    classified = []

    def classify(slices: np.ndarray) -> np.ndarray:
        """One-hot by the grey value of the first pixel."""
        classified.append(len(slices))
        return np.eye(3)[slices[:, 0, 0]]

    def lookup(scan: str, index: int) -> tuple[np.ndarray, np.ndarray]:
        """A flat slice without labels."""
        assert index == 7
        return np.full((2, 2), scans[scan], np.int16), np.zeros((2, 2), np.uint8)

    scores, table = score_generated(hu, rows, lookup=lookup, classify=classify, classes=["s1", "s2", "s3"])
    found = scores.set_index(["kind", "content_scan"])["cis"]
    assert found["generated"].to_dict() == pytest.approx({"x1": math.log(2), "x2": math.log(2)})
    assert found["floor"].to_dict() == {"x1": 0, "x2": 0}
    assert found["ceiling"].to_dict() == pytest.approx({"x1": math.log(2)})
    assert list(table.columns) == ["index", "kind", "target_style", "p_s1", "p_s2", "p_s3", "predicted"]
    assert table["predicted"].tolist() == ["s2", "s1", "s2", "s3", "s1"]
    transfer = table[table["kind"] == "transfer"]
    assert (transfer["predicted"] == transfer["target_style"]).mean() == 0.75
    assert classified == [5, 2, 2]
    none = rows.assign(target_scan="", target_index=-1)
    scores, _ = score_generated(hu, none, lookup=lookup, classify=classify, classes=["s1", "s2", "s3"])
    assert set(scores["kind"]) == {"generated", "floor"}


def test_chance_is_told_by_the_binomial_tail():
    for n, k in ((24, 4), (6, 2), (40, 5)):
        for right in range(n + 1):
            tail = sum(math.comb(n, i) * (1 / k) ** i * (1 - 1 / k) ** (n - i) for i in range(right, n + 1))
            if abs(tail - 0.05) > 1e-6:
                assert is_near_chance(right / n, n, k) == (tail >= 0.05), (n, k, right)


def test_few_scans_cannot_prove_what_many_can():
    assert is_near_chance(0.5, 4, 4) and not is_near_chance(0.5, 40, 4)
    for wrong in ((0.5, 0, 4), (1.5, 4, 4), (0.5, 4, 1)):
        with pytest.raises(CTStyleError, match="chance"):
            is_near_chance(*wrong)
