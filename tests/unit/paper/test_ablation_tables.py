"""The table and figures of the ablations on constructed scores."""

import numpy as np
import pandas as pd
import pytest

from ctstyle.measures.columns import PaperInputError
from ctstyle.measures.segmentation import COUNTS
from ctstyle.paper.ablations import LEAST_SPAN, PANELS, ablation_curves, by_seed, table
from ctstyle.paper.drawing import Look
from ctstyle.paper.write import Notes, to_markdown

IOU = {("plain", "base"): (0.2, 0.3), ("ours", "base"): (0.6, 0.5), ("ours", "alpha-0.5"): (0.4, 0.5)}
"""Foreground IoU out of style of seeds 0 and 1."""
SSIM = {"base": 0.75, "alpha-0.5": 0.9}
ASKED = pd.DataFrame(
    [
        ("content_target", "x", "X", "base"),
        ("alpha", 0.5, "0.5", "alpha-0.5"),
        ("alpha", 1.0, "1", "base"),
    ],
    columns=["question", "value", "label", "point"],
)


def frames():
    """Two patients of 100 and 300 foreground pixels, whose pooled IoU is exactly that of IOU."""
    segmentation, structure, painted = [], [], []
    for (arm, point), of_seeds in IOU.items():
        for seed, iou in enumerate(of_seeds):
            rows = []
            for patient, size in (("p", 100), ("q", 300)):
                for style, domain, found in (("s1", "in_style", 1.0), ("s2", "out_of_style", iou)):
                    tp = round(size * found)
                    counts = (tp, 0, size - tp, 1000)
                    about = {"scan": f"{patient}-{style}", "patient": patient, "style": style, "domain": domain}
                    rows.append({"arm": arm, "point": point, "seed": seed, **about, **dict(zip(COUNTS, counts))})
            segmentation.append(pd.DataFrame(rows))
            ssim = 1.0 if arm == "plain" else SSIM[point]
            measures = {"hu_error_target": 50.0 + 10 * seed, "wasserstein_generated_hu": 30.0}
            # three slices of one patient and one of the other: patients weigh the same
            scores = pd.DataFrame({"patient": list("pppq"), "gradient_ssim": [ssim - 0.1] * 3 + [ssim + 0.1]})
            structure.append(scores.assign(arm=arm, point=point, seed=seed, **measures))
            accepted = [] if arm == "plain" else [1] * (8 + 2 * seed) + [0] * (4 - 2 * seed)
            painted.append(pd.DataFrame({"accepted": accepted}).assign(arm=arm, point=point, seed=seed))
    return segmentation, structure, painted


@pytest.fixture
def chains():
    return by_seed(*frames())


def test_scores_are_pooled_and_gains_are_of_the_same_seed(chains):
    found = chains.set_index(["arm", "point", "seed"])
    for (arm, point), of_seeds in IOU.items():
        for seed, iou in enumerate(of_seeds):
            row = found.loc[arm, point, seed]
            assert row["iou_out_of_style"] == pytest.approx(100 * iou) and row["iou_in_style"] == 100
            assert row["foreground_iou_gain"] == pytest.approx(100 * (iou - IOU["plain", "base"][seed]))
            assert row["patients"] == 2
    assert found.loc["ours", "base", 0]["gradient_ssim"] == pytest.approx(0.75)
    assert found.loc["ours", "base"]["accepted"].tolist() == [8, 10]
    assert found.loc["ours", "base"]["painted"].tolist() == [12, 12]
    assert found.loc["plain", "base"]["painted"].tolist() == [0, 0]


def test_the_table_has_the_mean_and_every_seeds_gain(chains):
    frame = table(chains, ASKED).frame
    assert frame["question"].tolist() == ["Reference", "Content target", "Alpha", "Alpha"]
    assert frame["value"].tolist() == ["no augmentation", "X (as the run)", "0.5", "1 (as the run)"]
    assert frame["foreground_iou_gain"].tolist()[1:] == pytest.approx([30, 20, 30])
    assert np.isnan(frame["foreground_iou_gain"][0]) and frame["gain_of_each_seed"].tolist()[0] == ""
    assert frame["gain_of_each_seed"].tolist()[1:] == ["+40.0, +20.0", "+20.0, +20.0", "+40.0, +20.0"]
    assert frame["hu_error_target"].tolist() == [55] * 4 and frame["accepted"].tolist() == [0, 9, 9, 9]
    printed = to_markdown(table(chains, ASKED), Notes("Ablations"))
    assert "| Alpha | 0.5 | 9 | 12 | +20.0, +20.0 | 45.0 | +20.0 | 100.0 | 0.900 | 55.0 |" in printed
    assert "interval" not in printed


def test_without_a_test_scan_out_of_style_its_scores_are_withheld():
    segmentation, structure, painted = frames()
    chains = by_seed([frame[frame["domain"] == "in_style"] for frame in segmentation], structure, painted)
    made = table(chains, ASKED)
    assert made.frame[["iou_out_of_style", "foreground_iou_gain"]].isna().all(axis=None)
    assert set(made.frame["patients"]) == {0} and set(made.frame["gain_of_each_seed"]) == {""}
    assert made.frame["iou_in_style"].tolist() == [100] * 4 and made.frame["hu_error_target"].tolist() == [55] * 4
    assert "nan" not in to_markdown(made, Notes("Ablations"))
    shown = [[text.get_text() for text in axes.texts] for axes in ablation_curves(chains, ASKED, "alpha", Look()).axes]
    assert shown == [["no test scan tells"], ["no test scan tells"], [], []]


def curves(figure, axes):
    lines = [np.round(np.asarray(line.get_ydata(), float), 6) for line in figure.axes[axes].lines]
    return {tuple(line.tolist()) for line in lines}


def test_a_figure_shows_every_seed_their_mean_and_the_run(chains):
    figure = ablation_curves(chains, ASKED, "alpha", Look())
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(PANELS.values())
    assert curves(figure, 0) >= {(40.0, 60.0), (50.0, 50.0), (45.0, 55.0), (25.0, 25.0)}
    assert curves(figure, 1) >= {(20.0, 40.0), (20.0, 20.0), (20.0, 30.0), (0, 0)}
    assert curves(figure, 2) == {(0.9, 0.75)}, "both seeds, their mean, and no reference: slices left alone score 1"
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["0.5", "1"]
    (band,) = figure.axes[0].patches
    assert band.get_x() + band.get_width() / 2 == pytest.approx(1)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:3] == ["seed 0", "seed 1", "mean of the seeds"] and labels[-1] == "the run's own value"


def test_words_have_no_line_between_them(chains):
    other = pd.DataFrame([("content_target", "adain", "AdaIN", "alpha-0.5")], columns=ASKED.columns)
    asked = pd.concat([ASKED[:1], other])
    axes = ablation_curves(chains, asked, "content_target", Look()).axes[0]
    assert all(line.get_linestyle() in ("None", "--") for line in axes.lines)
    (bars,) = axes.collections
    assert [segment[0][1] for segment in bars.get_segments()] == pytest.approx([55, 45])


def test_no_panel_spans_less_than_what_means_anything_and_the_reference_is_inside(chains):
    figure = ablation_curves(chains.assign(gradient_ssim=0.8, hu_error_target=50.0), ASKED, "alpha", Look())
    spans = [high - low for low, high in (axes.get_ylim() for axes in figure.axes)]
    assert all(span >= least * 0.999 for span, least in zip(spans, LEAST_SPAN.values(), strict=True))
    low, high = figure.axes[0].get_ylim()
    assert low < 25 < high, "the plain U-Net's line"


def test_missing_parts_are_named(chains):
    segmentation, structure, painted = frames()
    with pytest.raises(PaperInputError, match="plain"):
        by_seed(segmentation[2:], structure, painted)
    with pytest.raises(PaperInputError, match="no question"):
        table(chains, ASKED[:0])
    with pytest.raises(PaperInputError, match="Band width"):
        ablation_curves(chains, ASKED, "bandwidth", Look())
