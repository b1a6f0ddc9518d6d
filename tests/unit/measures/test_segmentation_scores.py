"""Confusion counts and scores against scikit-learn, MONAI, closed forms, and the bound the paper's table breaks."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.metrics import compute_dice
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score

from ctstyle.measures.segmentation import Counts, ShapeMismatch, confusion, pooled_scores, scores


def random_masks(seed: int, shape=(3, 20, 22)):
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 28, 31], p=[0.7, 0.2, 0.1], size=shape).astype(np.uint8)
    prediction = np.where(rng.random(shape) < 0.8, labels > 0, rng.random(shape) < 0.5).astype(np.uint8)
    return prediction, labels


@pytest.mark.parametrize("seed", range(3))
def test_counts_and_scores_agree_with_scikit_learn(seed):
    prediction, labels = random_masks(seed)
    found, true = prediction.ravel() > 0, labels.ravel() > 0
    counts = confusion(prediction, labels)
    (tn, fp), (fn, tp) = confusion_matrix(true, found)
    assert (counts.tp, counts.fp, counts.fn, counts.tn) == (tp, fp, fn, tn)
    result = scores(counts)
    assert result["pa"] == pytest.approx(accuracy_score(true, found))
    assert result["foreground_iou"] == pytest.approx(jaccard_score(true, found))
    assert result["miou"] == pytest.approx(jaccard_score(true, found, average="macro"))
    assert result["dice"] == pytest.approx(f1_score(true, found))


def test_dice_agrees_with_monai():
    prediction, labels = random_masks(7)
    ours = [scores(confusion(p, t))["dice"] for p, t in zip(prediction, labels)]
    theirs = compute_dice(torch.from_numpy(prediction[:, None]), torch.from_numpy((labels[:, None] > 0).astype(float)))
    assert ours == pytest.approx(theirs[:, 0].tolist())


@given(*[st.integers(0, 10_000)] * 4)
def test_two_classes_have_miou_of_at_least_half_the_pixel_accuracy(tp, fp, fn, tn):
    result = scores(Counts(tp, fp, fn, tn))
    if tp + fp + fn and tn + fp + fn:
        assert result["miou"] >= result["pa"] / 2 - 1e-12
    assert not (result["pa"] == pytest.approx(0.7771) and result["miou"] == pytest.approx(0.3166))


@given(st.lists(st.tuples(*[st.integers(0, 500)] * 4), min_size=1, max_size=6))
def test_pooling_sums_counts_and_does_not_average_scores(parts):
    frame = pd.DataFrame(parts, columns=["tp", "fp", "fn", "tn"]).assign(arm="plain")
    pooled = pooled_scores(frame, ["arm"])
    assert len(pooled) == 1
    expected = scores(Counts(*(sum(column) for column in zip(*parts))))
    for key, value in expected.items():
        assert pooled.loc[0, key] == pytest.approx(value, nan_ok=True)


def test_scores_per_patient_stay_apart():
    frame = pd.DataFrame(
        {"arm": "plain", "patient": ["a", "b", "a"], "tp": [1, 0, 1], "fp": [0, 1, 0], "fn": [0, 1, 2], "tn": 5}
    )
    pooled = pooled_scores(frame, ["arm", "patient"]).set_index("patient")
    assert pooled.loc["a", "foreground_iou"] == pytest.approx(2 / 4)
    assert pooled.loc["b", "foreground_iou"] == 0


def test_empty_masks_have_no_foreground_score():
    empty = np.zeros((2, 4, 4), np.uint8)
    result = scores(confusion(empty, empty))
    assert result["pa"] == 1 and result["miou"] == 1
    assert math.isnan(result["foreground_iou"]) and math.isnan(result["dice"])


def test_another_shape_is_refused():
    with pytest.raises(ShapeMismatch, match=r"\(2, 3\).*\(3, 2\)"):
        confusion(np.zeros((2, 3)), np.zeros((3, 2)))
