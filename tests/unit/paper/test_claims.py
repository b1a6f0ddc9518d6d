"""Claims: frames whose answer is known by construction flip every verdict; the paper's own numbers contradict it."""

import re

import numpy as np
import pandas as pd
import pytest

from ctstyle.measures.columns import PaperInputError
from ctstyle.paper.claims import claims
from ctstyle.paper.printed import printed_table2
from ctstyle.paper.verdicts import (
    CONTENT_MARGIN,
    CRITERIA,
    MIXED,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    TOLERANCES,
    VERDICTS,
    ClaimInputs,
    augmentation_helps,
    contextual_keeps_content,
    every_style_is_reached,
    faster_than_rivals,
    gain_over_rivals,
    layers_do_not_matter,
    order_of_styles,
    vgg19_is_best,
)
from ctstyle.paper.write import text_latex, to_csv


def sweep(ours, adain):
    """Lists of (style distance in HU, gradient SSIM), one per style weight."""
    rows = [
        {"model": model, "style_weight": weight, "wasserstein_generated_hu": x, "gradient_ssim": y}
        for model, points in (("ours", ours), ("adain", adain))
        for weight, (x, y) in enumerate(points)
    ]
    return pd.DataFrame(rows)


def table2(*, contextual=None, domain="Out of style (s2, s3)", **leads):
    """Table 2 out of style: each arm's lead over the plain U-Net (50 PA, 30 MIoU) with the half width of intervals."""
    arms = {"plain": (0, 0, 0), **leads} | ({"contextual": contextual} if contextual else {})
    rows = []
    for arm, (pa, miou, half) in arms.items():
        row = {"domain": domain, "arm": arm, "pa": 50.0 + pa, "miou": 30.0 + miou}
        for score, gain in (("pa", pa), ("miou", miou)):
            row |= {f"{score}_gain": gain, f"{score}_gain_low": gain - half, f"{score}_gain_high": gain + half}
        rows.append(row)
    return pd.DataFrame(rows)


def table3(**encoders):
    """Each encoder's (gradient SSIM, HU error) under the contextual loss; MSE and smoothing turn the order."""
    rows = []
    for encoder, (kept, error) in encoders.items():
        common = {"encoder": encoder, "wasserstein_generated_hu": 50.0}
        rows += [
            common | {"model": "ours", "smoothing": "none", "gradient_ssim": kept, "hu_error_target": error},
            common | {"model": "ours", "smoothing": "softmax", "gradient_ssim": -kept, "hu_error_target": -error},
            common | {"model": "adain", "smoothing": "none", "gradient_ssim": -kept, "hu_error_target": -error},
        ]
    return pd.DataFrame(rows)


def transfer(**styles):
    """Lists of (patient, distance before, after) of each target style; identity rows must not count."""
    rows = [
        {"kind": kind, "target_style": style, "patient": patient}
        | {"wasserstein_content_hu": before, "wasserstein_generated_hu": after + (1e6 if kind == "identity" else 0)}
        for style, slices in styles.items()
        for patient, before, after in slices
        for kind in ("transfer", "identity")
    ]
    return pd.DataFrame(rows)


def costs(**models):
    """Each model's (training seconds, seconds per slice); the decoder's warm-up has no slices."""
    rows = [{"model": m, "training_seconds": t, "seconds_per_slice": s} for m, (t, s) in models.items()]
    return pd.DataFrame(rows)


def layers(kept=0.0, reached=0.0, error=0.0):
    """The selected list differs from the registry's by these amounts."""
    first = {"layers": "registry", "gradient_ssim": 0.5, "wasserstein_generated_hu": 40.0, "hu_error_target": 90.0}
    second = first | {"layers": "selected", "gradient_ssim": 0.5 + kept}
    second |= {"wasserstein_generated_hu": 40.0 + reached, "hu_error_target": 90.0 + error}
    return pd.DataFrame([first, second])


LOW = [(40, 0.50), (60, 0.60), (80, 0.70)]


@pytest.mark.parametrize(
    "ours, verdict",
    [
        ([(40, 0.55), (60, 0.65), (80, 0.75)], REPRODUCED),
        ([(50, 0.60), (100, 0.85)], REPRODUCED),  # the line 0.35 + 0.005 x: 0.05 above 0.3 + 0.005 x on 50..80
        ([(40, 0.505), (60, 0.605), (80, 0.705)], NOT_REPRODUCED),  # within the margin
        ([(40, 0.45), (60, 0.55), (80, 0.65)], NOT_REPRODUCED),
        ([(40, 0.45), (60, 0.75), (80, 0.85)], MIXED),  # more in the mean, less at one end
        ([(40, 0.70), (60, 0.50), (80, 0.70)], NOT_REPRODUCED),  # 0.20, -0.10, 0: the mean is (0.05 - 0.05) / 2 = 0
        ([(90, 0.90), (99, 0.95)], NOT_TESTABLE),  # other distances: no overlap
        ([(80, 0.90), (99, 0.95)], NOT_TESTABLE),  # they touch in one point
        ([(60, 0.90)], NOT_TESTABLE),
    ],
)
def test_a_content_at_matched_style_distance(ours, verdict):
    assert contextual_keeps_content(ClaimInputs(sweep=sweep(ours, LOW))).verdict == verdict


def test_a_is_matched_by_distance_and_not_by_weight():
    # At each weight ours keeps more content, but only because it reaches less style: both lie on one line.
    judged = contextual_keeps_content(ClaimInputs(sweep=sweep([(60, 0.6), (80, 0.7)], [(40, 0.5), (70, 0.65)])))
    assert judged.verdict == NOT_REPRODUCED
    assert "60.0 and 70.0 HU" in judged.evidence and "+0.000" in judged.evidence.replace("−", "+")


def test_a_prints_the_mean_lead_of_the_broken_lines():
    # Leads 0.02, 0.04, 0.06 at 40, 60, 80 HU: mean 0.04 by the trapezoids, never below 0.02.
    judged = contextual_keeps_content(ClaimInputs(sweep=sweep([(40, 0.52), (60, 0.64), (80, 0.76)], LOW)))
    assert judged.verdict == REPRODUCED
    assert re.findall(r"[+−]\d\.\d{3}", judged.evidence) == ["+0.040", "+0.020", "+0.060"]


def test_a_means_over_seeds_and_ignores_what_was_not_measured():
    one = sweep([(40, 0.55), (60, 0.65), (80, 0.75)], LOW)
    noisy = pd.concat([one.assign(gradient_ssim=one["gradient_ssim"] + d) for d in (-0.2, 0.2)])
    noisy = pd.concat([noisy, one.iloc[:1].assign(style_weight=99, gradient_ssim=np.nan)])
    assert contextual_keeps_content(ClaimInputs(sweep=noisy)) == contextual_keeps_content(ClaimInputs(sweep=one))


def test_a_takes_single_slices_by_patient_and_transfers_only():
    one = sweep([(40, 0.52), (60, 0.64), (80, 0.76)], LOW)
    # Patient p has three equal slices 0.03 below, q one slice 0.03 above: the mean of the patients is the training's.
    below = one.assign(patient="p", kind="transfer", gradient_ssim=one["gradient_ssim"] - 0.03)
    above = one.assign(patient="q", kind="transfer", gradient_ssim=one["gradient_ssim"] + 0.03)
    copies = one.assign(patient="p", kind="identity", gradient_ssim=1.0)
    slices = pd.concat([below, below, below, above, copies])
    assert contextual_keeps_content(ClaimInputs(sweep=slices)) == contextual_keeps_content(ClaimInputs(sweep=one))


def test_a_without_a_sweep_does_not_judge_by_table_1():
    rows = [("X to Y", "ours", 0.9, 50.0), ("X to Y", "adain", 0.1, 50.0), ("X to X", "ours", 0.3, 9.0)]
    table1 = pd.DataFrame(rows, columns=["check", "model", "gradient_ssim", "wasserstein_generated_hu"])
    judged = contextual_keeps_content(ClaimInputs(table1=table1))
    assert judged.verdict == NOT_TESTABLE
    assert "0.900 (ours) and 0.100 (MSE)" in judged.evidence and "0.300" not in judged.evidence


def test_b_orders_the_styles_by_the_relative_fall_of_patients():
    # s2 falls from 100 to 50 (patients 40 and 60, the first with two slices), s3 from 10 to 2: by HU s2 would win.
    frame = transfer(s2=[("p", 100, 30), ("p", 100, 50), ("q", 100, 60)], s3=[("p", 10, 2)])
    judged = order_of_styles(ClaimInputs(transfer=frame))
    assert judged.verdict == NOT_TESTABLE
    assert "s3 80 %, s2 50 %." in judged.evidence


@pytest.mark.parametrize(
    "ours, verdict",
    [
        ((3, 5, 1), REPRODUCED),
        ((0.5, 5, 1), MIXED),
        ((0.5, 0.5, 1), NOT_REPRODUCED),
        ((-3, -5, 1), NOT_REPRODUCED),
        ((3, 5, np.nan), NOT_TESTABLE),  # one patient, no interval
    ],
)
def test_c_needs_intervals_above_zero(ours, verdict):
    judged = augmentation_helps(ClaimInputs(table2=table2(ours=ours, noise=(0.25, -1, 0.1))))
    assert judged.verdict == verdict
    if verdict != NOT_TESTABLE:
        assert "structureless images +0.2 and −1.0" in judged.evidence


def test_c_and_f_look_at_all_out_of_style_scans_only():
    inside = table2(ours=(9, 9, 1), adain=(0, 0, 1), domain="In style (s1)")
    single = table2(ours=(9, 9, 1), adain=(0, 0, 1), domain="Style s2")
    outside = table2(ours=(-9, -9, 1), adain=(0, 0, 1))
    assert augmentation_helps(ClaimInputs(table2=pd.concat([inside, single]))).verdict == NOT_TESTABLE
    inputs = ClaimInputs(table2=pd.concat([inside, outside, single]))
    assert augmentation_helps(inputs).verdict == gain_over_rivals(inputs).verdict == NOT_REPRODUCED


@pytest.mark.parametrize(
    "encoders, verdict",
    [
        ({"vgg19": (0.8, 50), "resnet50": (0.7, 60)}, REPRODUCED),
        ({"vgg19": (0.8, 50), "resnet50": (0.7, 40)}, MIXED),
        ({"vgg19": (0.6, 50), "resnet50": (0.7, 60)}, MIXED),
        ({"vgg19": (0.6, 50), "resnet50": (0.7, 60), "resnet101": (0.5, 40)}, NOT_REPRODUCED),
        ({"vgg19": (0.8, 50)}, NOT_TESTABLE),
        ({"resnet50": (0.8, 50), "resnet101": (0.7, 60)}, NOT_TESTABLE),
    ],
)
def test_d_asks_both_measures_under_the_contextual_loss(encoders, verdict):
    assert vgg19_is_best(ClaimInputs(table3=table3(**encoders))).verdict == verdict


def test_d_prints_the_order_with_intervals():
    frame = table3(vgg19=(0.8, 50), resnet50=(0.9, 40)).assign(hu_error_target_low=1.0, hu_error_target_high=99.0)
    evidence = vgg19_is_best(ClaimInputs(table3=frame)).evidence
    assert "resnet50 40.0 [1.0, 99.0], vgg19 50.0 [1.0, 99.0]" in evidence and "resnet50 0.900, vgg19" in evidence


def test_d_refuses_two_rows_of_one_encoder():
    twice = table3(vgg19=(0.8, 50), resnet50=(0.7, 60)).assign(smoothing="none")
    with pytest.raises(PaperInputError, match="several rows"):
        vgg19_is_best(ClaimInputs(table3=twice))


@pytest.mark.parametrize("after, verdict", [((50, 90), REPRODUCED), ((50, 110), MIXED), ((100, 110), NOT_REPRODUCED)])
def test_e_every_style(after, verdict):
    frame = transfer(s2=[("p", 100, after[0])], s3=[("p", 100, after[1])])
    assert every_style_is_reached(ClaimInputs(transfer=frame)).verdict == verdict
    assert every_style_is_reached(ClaimInputs(transfer=transfer(s2=[("p", 100, 1)]))).verdict == NOT_TESTABLE


@pytest.mark.parametrize(
    "adain, contextual, verdict",
    [
        ((7, 7, 1), (8, 6, 1), REPRODUCED),  # ours leads by 3 and 3, 2 and 4
        ((7, 7, 1), (9, 6, 1), MIXED),
        ((7, 7, 1), None, MIXED),  # one rival was not run
        ((9, 9, 1), (9.5, 12, 1), NOT_REPRODUCED),
        ((9, 9, 1), None, NOT_REPRODUCED),
    ],
)
def test_f_leads_over_rivals(adain, contextual, verdict):
    judged = gain_over_rivals(ClaimInputs(table2=table2(ours=(10, 10, 1), adain=adain, contextual=contextual)))
    assert judged.verdict == verdict
    assert ("Not run: contextual transformation." in judged.evidence) == (contextual is None)


def test_the_papers_own_table_2_cannot_show_its_2_to_4_percent():
    # The printed rows as a frame: they bear out claim C in sign, hold no rival for F, and lie far above 2 to 4 points.
    printed = printed_table2()[0].frame.assign(arm=["plain", "ours"], domain="Out of style (printed)")
    ends = {f"{score}_gain_{end}": printed[f"{score}_gain"] for score in ("pa", "miou") for end in ("low", "high")}
    inputs = ClaimInputs(table2=printed.assign(**ends))
    assert augmentation_helps(inputs).verdict == REPRODUCED
    judged = gain_over_rivals(inputs)
    assert judged.verdict == NOT_TESTABLE
    assert "+18.09 and +38.15 over the plain U-Net, no row for a rival" in judged.evidence
    assert "2 to 4 %" in judged.evidence
    assert printed["pa_gain"].max() > 4 and printed["miou_gain"].max() > 4


@pytest.mark.parametrize(
    "models, verdict, words",
    [
        ({"gatys": (0, 500), "cyclegan": (50, 2)}, REPRODUCED, "more than 100 times faster than optimisation"),
        ({"gatys": (0, 500), "cyclegan": (50, 0.4)}, MIXED, "more than 2 times slower than a GAN (CycleGAN) per slice"),
        ({"gatys": (0, 50)}, MIXED, "more than 10 times faster than optimisation"),
        ({"gatys": (0, 5), "cyclegan": (5, 1)}, MIXED, "more than 2 times slower than a GAN (CycleGAN) in training"),
        ({"cyclegan": (50, 2)}, MIXED, "Not measured: optimisation (Gatys) per slice."),
        ({"gatys": (0, 50), "cyclegan": (50, 2), "warm_up": (29, np.nan)}, REPRODUCED, "is faster than a GAN"),
        ({"gatys": (0, 50), "cyclegan": (50, 2), "warm_up": (31, np.nan)}, MIXED, "is slower than a GAN"),
        ({"gatys": (0, 1.5)}, MIXED, "is faster than optimisation"),
        ({"gatys": (0, 0.5), "cyclegan": (5, 1)}, NOT_REPRODUCED, "is slower than optimisation"),
        ({"gatys": (0, np.nan)}, NOT_TESTABLE, "no cost of a rival"),
        ({"adain": (20, 1)}, NOT_TESTABLE, "no pair of ours and a rival"),
    ],
)
def test_g_compares_per_slice_and_in_training(models, verdict, words):
    judged = faster_than_rivals(ClaimInputs(costs=costs(ours=(20, 1), **models)))
    assert judged.verdict == verdict and words in judged.evidence.replace("No cost", "no cost")


def test_g_tells_the_memory_beside_a_gan_with_that_of_the_warm_up_and_does_not_judge_it():
    frame = costs(ours=(20, 1), warm_up=(5, np.nan), cyclegan=(50, 2), gatys=(0, 50))
    for megabytes, words in (
        ((900, 1000, 2500, 9), "more than 2 times less memory"),
        ((900, 3000, 2500, 9), "more mem"),
    ):
        judged = faster_than_rivals(ClaimInputs(costs=frame.assign(peak_memory_mb=megabytes)))
        assert judged.verdict == REPRODUCED and f"Ours needs {words}" in judged.evidence


def test_g_has_the_same_bytes_when_seconds_differ():
    tables = [claims(ClaimInputs(costs=costs(ours=(20, a), gatys=(0, b))))[0] for a, b in ((1.0, 33.3), (1.234, 41.0))]
    assert to_csv(tables[0]) == to_csv(tables[1])


@pytest.mark.parametrize(
    "change, verdict",
    [
        ({"kept": 0.009, "reached": -1.9, "error": 1.9}, REPRODUCED),
        ({"kept": 0.011}, NOT_REPRODUCED),
        ({"reached": -2.1}, NOT_REPRODUCED),
        ({"error": 2.1}, NOT_REPRODUCED),
        ({}, NOT_TESTABLE),  # equal to the last digit: one and the same list
    ],
)
def test_h_tolerances(change, verdict):
    assert layers_do_not_matter(ClaimInputs(layers=layers(**change))).verdict == verdict


def test_h_needs_both_lists():
    with pytest.raises(PaperInputError, match="not the two layer lists"):
        layers_do_not_matter(ClaimInputs(layers=layers(kept=1).iloc[:1]))


def test_without_any_frame_nothing_is_testable_and_each_says_why():
    frame = claims(ClaimInputs())[0].frame
    assert frame["id"].tolist() == list("ABCDEFGH")
    assert set(frame["verdict"]) == {NOT_TESTABLE}
    assert frame["evidence"].str.len().min() > 15


def test_the_table_holds_every_verdict_and_its_criteria_and_can_be_set():
    inputs = ClaimInputs(
        sweep=sweep([(40, 0.52), (60, 0.64), (80, 0.76)], LOW),
        table2=table2(ours=(0.5, 5, 1), adain=(9, 9, 1)),
        table3=table3(vgg19=(0.8, 50), resnet50=(0.7, 60)),
        costs=costs(ours=(20, 1), gatys=(0, 50)),
        layers=layers(kept=0.5),
        transfer=transfer(s2=[("p", 100, 50)], s3=[("p", 100, 80)]),
    )
    table, notes = claims(inputs)
    verdicts = dict(zip(table.frame["id"], table.frame["verdict"]))
    expected = [REPRODUCED, NOT_TESTABLE, MIXED, REPRODUCED, REPRODUCED, NOT_REPRODUCED, MIXED, NOT_REPRODUCED]
    assert verdicts == dict(zip("ABCDEFGH", expected)) and set(verdicts.values()) == set(VERDICTS)
    assert set(CRITERIA) <= set(notes.sentences) and [text[0] for text in CRITERIA] == list("ABCDEFGH")
    assert f"{CONTENT_MARGIN:g} in gradient SSIM" in CRITERIA[0]
    assert all(f"{limit:g} (" in CRITERIA[7] for limit in TOLERANCES.values())
    assert text_latex(table, notes).isascii()
    assert not re.search(r"(?<![\w.])-\d", " ".join(table.frame["evidence"]))  # numbers carry a true minus


@pytest.mark.parametrize("name", ["table1", "table2", "table3", "sweep", "costs", "layers", "transfer"])
def test_a_frame_without_its_columns_is_named(name):
    with pytest.raises(PaperInputError, match="columns are missing"):
        claims(ClaimInputs(**{name: pd.DataFrame({"other": [1]})}))
