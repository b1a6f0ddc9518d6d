"""The metric tables: grouping, pairing and columns, on slices whose scores are known by construction."""

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from ctstyle.measures.evaluate import (
    DIVERSITY_COLUMNS,
    TRANSFER_MEASURES,
    diversity_frame,
    slice_lookup,
    transfer_frame,
)
from ctstyle.measures.segmentation import SEGMENTATION_COLUMNS, ShapeMismatch, domains, score_arm, segmentation_frame
from ctstyle.slices.archive import Archive
from ctstyle.slices.window import Window

WINDOW = Window(-250, 750)


class MeanGrey:
    """Stands in for LPIPS, which has its own tests: the distance of two slices is that of their mean grey."""

    def between(self, slices, first, second):
        return np.abs((slices[first] - slices[second]).mean((1, 2)))

    def diversity(self, outputs):
        return float(outputs.mean((1, 2)).std())


def trunk_slice(shift: int = 0, seed: int = 0) -> np.ndarray:
    """A trunk in air with a vertebra of 300 HU."""
    y, x = np.mgrid[:96, :96]
    texture = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((96, 96)), 2).round(1) * 100
    hu = np.where(((x - 48) / 40) ** 2 + ((y - 48) / 30) ** 2 < 1, 40 + texture, -1000)
    hu[(x - 48) ** 2 + (y - 60) ** 2 < 64] = 300
    return np.where(hu > -500, hu + shift, hu).astype(np.int16)


def mask_slice() -> np.ndarray:
    y, x = np.mgrid[:96, :96]
    return (31 * ((x - 48) ** 2 + (y - 60) ** 2 < 64)).astype(np.uint8)


def lookup(scan: str, index: int):
    return trunk_slice({"x": 0, "y": 100, "t": 100}[scan], seed=index), mask_slice()


def rows(**columns) -> pd.DataFrame:
    base = {
        "index": [0, 1],
        "content_scan": "x",
        "content_index": 0,
        "style_scan": ["y", "x"],
        "style_index": 0,
        "patient": "p",
        "source_style": "s1",
        "target_style": ["s2", "s1"],
        "target_scan": ["t", ""],
        "target_index": [0, ""],
        "kind": ["transfer", "identity"],
    }
    return pd.DataFrame(base | columns)


def by_threshold(hu):
    return (hu > 250).astype(np.uint8)


def test_a_perfect_transfer_reaches_style_and_target_and_keeps_structure():
    content, _ = lookup("x", 0)
    generated = np.stack([np.where(content > -500, content + 100, -250), np.clip(content, -250, 750)]).astype(np.int16)
    frame = transfer_frame(
        generated, rows(), lookup=lookup, window=WINDOW, perceptual=MeanGrey(), segmenter=by_threshold
    )
    assert list(frame.columns) == [*rows().columns, *TRANSFER_MEASURES]
    transfer, identity = frame.iloc[0], frame.iloc[1]
    assert transfer["hu_error_target"] == 0 and transfer["ssim_target"] == pytest.approx(1)
    assert transfer["wasserstein_content_hu"] == pytest.approx(100, abs=5)
    assert transfer["wasserstein_generated_hu"] == pytest.approx(0, abs=5)
    assert transfer["lpips_content"] > 0.01 and transfer["lpips_style"] == pytest.approx(0, abs=1e-6)
    assert np.isnan(identity["hu_error_target"]) and np.isnan(identity["ssim_target"])
    assert identity["gradient_ssim"] == pytest.approx(1, abs=0.02) and identity["edge_f1"] == pytest.approx(1, abs=0.02)
    assert identity["dice_content"] == identity["dice_generated"] > 0.9


def test_lost_anatomy_costs_dice_and_structure_though_the_style_is_right():
    blob = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((96, 96)), 4) * 800
    generated = np.stack([np.clip(blob, -250, 750), np.clip(lookup("x", 0)[0], -250, 750)]).astype(np.int16)
    frame = transfer_frame(
        generated, rows(), lookup=lookup, window=WINDOW, perceptual=MeanGrey(), segmenter=by_threshold
    )
    assert frame.loc[0, "dice_generated"] < 0.3 < 0.9 < frame.loc[0, "dice_content"]
    assert frame.loc[0, "gradient_ssim"] < frame.loc[1, "gradient_ssim"]
    assert frame.loc[0, "edge_f1"] < frame.loc[1, "edge_f1"]


def test_no_generated_slice_gives_an_empty_table_with_all_columns():
    frame = transfer_frame(
        np.zeros((0, 96, 96), np.int16),
        rows().iloc[:0],
        lookup=lookup,
        window=WINDOW,
        perceptual=MeanGrey(),
        segmenter=by_threshold,
    )
    assert len(frame) == 0 and list(frame.columns) == [*rows().columns, *TRANSFER_MEASURES]


def test_diversity_runs_over_the_transfers_of_one_content():
    shifts = [0, 100, 500, 0]
    generated = np.stack([np.full((8, 8), shift, np.int16) for shift in shifts])
    table = pd.DataFrame(
        {
            "content_scan": ["a", "a", "a", "b"],
            "content_index": 3,
            "kind": ["transfer", "transfer", "identity", "transfer"],
        }
    )
    frame = diversity_frame(generated, table, window=WINDOW, perceptual=MeanGrey())
    assert list(frame.columns) == list(DIVERSITY_COLUMNS)
    assert frame.loc[0, "lpips_diversity"] == pytest.approx(np.std([0, 0.1]), abs=1e-6)
    assert list(frame["content_scan"]) == ["a", "b"]


def test_counts_are_pooled_per_scan_in_scan_order():
    labels = np.zeros((3, 4, 4), np.uint8)
    labels[:, :2] = 29
    predictions = labels.copy()
    predictions[0, 0] = 0
    table = pd.DataFrame(
        {"scan": ["b", "a", "b"], "patient": "p", "cohort": "c", "style": "s2", "domain": "out_of_style"}
    )
    frame = segmentation_frame(predictions, labels, table, arm="plain", seed=3, added_slices=7)
    assert list(frame.columns) == SEGMENTATION_COLUMNS
    assert list(frame["scan"]) == ["a", "b"] and list(frame["slices"]) == [1, 2]
    assert list(frame["added_slices"]) == [7, 7]
    assert frame.loc[1, ["tp", "fp", "fn", "tn"]].tolist() == [12, 0, 4, 16]


def run_archive() -> Archive:
    """A training scan, a masked test scan, a test scan without masks, and a real one; the grey value is the index."""
    scans = {"a": "train", "b": "test", "c": "test", "d": "test"}
    rows = pd.DataFrame(
        [
            {"scan": scan, "patient": scan, "cohort": "real" if scan == "d" else "phantom", "index": i, "side": side}
            | {"style": "s1" if scan in "ad" else "s2", "foreground_px": 8 * (scan != "c")}
            | {"region": "lent" if scan == "d" and i == 0 else "scored"}
            for scan, side in scans.items()
            for i in range(3)
        ]
    )
    hu = {scan: np.arange(3, dtype=np.int16)[:, None, None] + np.zeros((1, 4, 4), np.int16) for scan in scans}
    labels = {scan: np.repeat([[[30] * 4] * 2 + [[0] * 4] * 2], 3, axis=0).astype(np.uint8) for scan in scans}
    labels["c"][:] = 0
    return Archive(rows, {}, hu, labels)


def test_an_arm_is_scored_on_the_masked_test_scans():
    archive = run_archive()
    predictions = archive.select(side="test").labels()
    predictions[0, 0] = 0
    predictions[3:6] = 1
    predictions[6:8, :2] = 0
    frame = score_arm(predictions, archive, arm="ours", seed=2, added_slices=5)
    assert frame[["scan", "domain", "slices", "fp", "fn"]].to_numpy().tolist() == [
        ["b", "out_of_style", 3, 0, 4],
        ["d", "real", 2, 0, 8],  # its first slice lends its style
    ]
    with pytest.raises(ShapeMismatch, match="arm ours"):
        score_arm(predictions[1:], archive, arm="ours", seed=2, added_slices=5)


def test_slices_are_found_by_scan_and_index():
    lookup_run = slice_lookup(run_archive().select(side="test"))
    hu, labels = lookup_run("d", 2)
    assert (hu == 2).all() and (labels[:2] == 30).all()
    with pytest.raises(KeyError):
        lookup_run("a", 0)


def test_a_cohort_without_training_scans_is_the_real_domain():
    split = pd.DataFrame(
        {
            "scan": ["a", "b", "c", "d"],
            "cohort": ["phantom", "phantom", "phantom", "lidc0001"],
            "style": ["s1", "s1", "s2", "s1"],
            "side": ["train", "test", "test", "test"],
        }
    )
    assert domains(split).to_dict() == {"a": "in_style", "b": "in_style", "c": "out_of_style", "d": "real"}
