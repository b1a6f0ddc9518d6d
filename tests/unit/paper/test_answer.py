"""Which arm is recommended, from constructed runs whose right answer is known."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ctstyle.measures.domains import domains
from ctstyle.measures.segmentation import Counts, scores
from ctstyle.measures.significance import best_rival, harm
from ctstyle.paper.answer import Candidate, Decision, answer, decide, read_candidates
from ctstyle.paper.drawing import Look
from ctstyle.paper.rank_plot import rank_plot, ranks_of
from ctstyle.paper.tables import significance, table2
from ctstyle.paper.write import to_csv
from ctstyle.study.analysis import Intervals
from ctstyle.study.arms import ARM_LABELS

DRAW = Intervals(replicates=200)
MARGIN = 3
FACTS = {"seeds": 1, "cohorts": ["phantom", "lidc0001"]}
COSTS = pd.DataFrame(
    [("main models", "ours", 111.0), ("main models", "adain", 222.0), ("comparison", "ours", 9.0)],
    columns=["run", "model", "training_seconds"],
)
PLAIN = {"in": 70, "out": 40, "real": 50}


def of_run(arms, *, patients=8, seeds=3, noise=0.3, seed=0):
    """Counts of a run: `arms[name]` is the gain in points (in style, out of style, real) over the plain U-Net."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(0, 4, patients)
    rows = []
    for arm, gains in {"plain": (0, 0, 0), **arms}.items():
        for number in range(seeds):
            for domain, style, start, gain in zip(("in_style", "out_of_style"), ("s1", "s2"), (70, 40), gains):
                for patient in range(patients):
                    iou = start + gain + hard[patient] + noise * rng.standard_normal()
                    rows.append(_row(arm, number, f"p{patient}", style, domain, iou))
            rows.append(_row(arm, number, "lidc0001", "s9", "real", 50 + gains[2]))
    return [pd.DataFrame(rows)]


def _iou(tp):
    return {"tp": tp, "fp": 100_000 - tp, "fn": 0, "tn": 900_000}


def _row(arm, seed, patient, style, domain, iou):
    """Counts whose IoU is `iou` percent."""
    cohort = "lidc0001" if domain == "real" else "phantom"
    about = {"arm": arm, "seed": seed, "scan": f"{patient}-{style}", "patient": patient, "cohort": cohort}
    tp = round(1000 * iou)
    return about | {"style": style, "domain": domain, "slices": 8, "added_slices": 5, **_iou(tp)}


def page(arms, **how):
    """The answer to such a run, its tables read back from their CSV."""
    scored = domains(of_run(arms, **how), "test")
    frames = [table2(scored, DRAW), significance(scored, DRAW, MARGIN)]
    read = [pd.read_csv(io.StringIO(to_csv(table))) for table in frames]
    return answer(*read, COSTS, margin_points=MARGIN, facts=FACTS)


def first_line(text):
    return text.split("\n")[2]


def test_constructed_counts_have_the_score_they_should():
    row = _row("plain", 0, "p", "s1", "in_style", 40)
    assert scores(Counts(*(row[name] for name in ("tp", "fp", "fn", "tn"))))["foreground_iou"] == pytest.approx(0.4)


def test_a_clear_winner_is_named_with_effect_interval_and_cost():
    said = first_line(page({"ours": (0, 24, 1), "histogram": (0, 12, 0), "instance": (0, 5, 0)}))
    assert said.startswith("Use U-Net + ours: +24.") or said.startswith("Use U-Net + ours: +23.")
    assert "111 s of training" in said and "in style non-inferior (margin 3 points)" in said
    assert f"It leads the best cheap arm, {ARM_LABELS['histogram']}: +1" in said and "[+" in said


def test_a_cheap_rival_that_is_as_good_is_preferred():
    said = first_line(page({"ours": (0, 20.1, 0), "instance": (0, 20, 0)}, noise=1.0))
    assert said.startswith(
        f"No arm with a trained generator beats {ARM_LABELS['instance']} here. Use {ARM_LABELS['instance']}"
    )
    assert "no generator to train" in said and "The best of those is U-Net + ours: its lead is" in said


def test_a_cheap_rival_that_is_better_is_preferred():
    said = first_line(page({"ours": (0, 10, 0), "instance": (0, 20, 0)}))
    assert said.startswith(f"No arm with a trained generator beats {ARM_LABELS['instance']}") and "lead is −" in said


def test_no_arm_helps():
    said = first_line(page({"ours": (0, 0, 0), "instance": (0, -2, 0)}))
    assert said.startswith("No arm beats the plain U-Net here")


def test_harm_in_style_excludes_an_arm():
    text = page({"ours": (-8, 24, 0), "instance": (0, 12, 0)})
    assert first_line(text).startswith(f"No arm with a trained generator beats {ARM_LABELS['instance']}")
    assert "Left out for harm in style: U-Net + ours." in first_line(text)
    alone = first_line(page({"ours": (-8, 24, 0), "instance": (-9, 12, 0)}))
    assert alone.startswith("No arm can be recommended") and "more than 3 points in style" in alone


@pytest.mark.parametrize(
    ("how", "reason"),
    [({"seeds": 1}, "1 seed: two trainings may differ"), ({"patients": 2}, "2 patients: no p below 2/2^2 = 0.5")],
)
def test_one_seed_or_too_few_patients_withhold_the_answer(how, reason):
    text = page({"ours": (0, 24, 0), "instance": (0, 12, 0)}, **how)
    assert first_line(text).startswith("Withheld") and reason in first_line(text)
    assert "U-Net + ours: +2" in first_line(text) and "without an interval" in first_line(text)
    assert "[" not in text


@pytest.mark.parametrize("kept", ["in_style", "out_of_style", "real"])
def test_a_run_of_one_kind_of_scans_has_its_pages(kept):
    frames = [frame[frame["domain"] == kept] for frame in of_run({"ours": (0, 24, 1)})]
    scored = domains(frames, "test")
    made = significance(scored, DRAW, MARGIN)
    assert len(made.frame) and rank_plot(scored, DRAW, Look())
    read = [pd.read_csv(io.StringIO(to_csv(table))) for table in (table2(scored, DRAW), made)]
    said = first_line(answer(*read, COSTS, margin_points=MARGIN, facts=FACTS))
    assert said.startswith("Use U-Net + ours" if kept == "out_of_style" else "Withheld")


def test_the_plain_arm_alone_has_its_pages_too():
    assert first_line(page({})) == "Withheld: this run cannot say which arm to use (no arm was compared out of style)."


def test_references_are_no_candidates():
    text = page({"ours": (0, 5, 0), "oracle": (0, 50, 3), "transductive": (0, 40, 2)})
    assert first_line(text).startswith("Use U-Net + ours")


def test_what_the_evidence_is_worth():
    text = page({"ours": (0, 24, 1), "transductive": (0, 0, 4), "oracle": (0, 30, 6), "instance": (0, 12, 2)})
    assert "Test patients out of style: 8, 64 slices; seeds of U-Nets: 3; seeds of generators: 1." in text
    assert "development score" in text and "silver" in text and "simulated" in text
    real = next(line for line in text.splitlines() if line.startswith("- Real scan"))
    assert "plain U-Net 50.0 %, 2" in real and "below its score in style" in real
    for said in ("U-Net + ours +1.0 points", "real scan +4.0", "instance norm +2.0", "styles labelled +6.0"):
        assert said in real
    assert "Intervals withheld: 1 patient, 3 are needed" in text


def test_two_writes_are_the_same_bytes():
    arms = {"ours": (0, 24, 1), "instance": (0, 12, 2)}
    assert page(arms) == page(arms)


# The rule itself


def one(arm, gain, low, **more):
    return Candidate(arm=arm, cheap=arm == "instance", gain=gain, low=low, high=2 * gain - low, **more)


OURS = one("ours", 20.0, 15.0, lead=(5.0, 1.0, 9.0))
CHEAP = one("instance", 15.0, 10.0)


@pytest.mark.parametrize(
    ("candidates", "decision"),
    [
        ([OURS, CHEAP], Decision(outcome="use", arm="ours")),
        ([replace(OURS, lead=(5.0, -1.0, 11.0)), CHEAP], Decision(outcome="cheap", arm="instance", runner_up="ours")),
        ([CHEAP], Decision(outcome="cheap", arm="instance")),
        ([OURS], Decision(outcome="use", arm="ours")),
        ([replace(OURS, low=-1.0), replace(CHEAP, low=-1.0)], Decision(outcome="none")),
        ([replace(OURS, in_style="inferior"), CHEAP], Decision(outcome="cheap", arm="instance", excluded=("ours",))),
        ([replace(OURS, in_style="undecided"), CHEAP], Decision(outcome="use", arm="ours")),
        ([replace(OURS, in_style="inferior")], Decision(outcome="harm", excluded=("ours",))),
        ([replace(OURS, low=np.nan), replace(CHEAP, low=np.nan)], Decision(outcome="withheld")),
        ([], Decision(outcome="withheld")),
    ],
)
def test_decisions(candidates, decision):
    assert decide(candidates) == decision


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-2.9, 5, "non-inferior"),
        (-3, 5, "undecided"),
        (-9, -3.1, "inferior"),
        (-9, -3, "undecided"),
        (np.nan, np.nan, "withheld"),
    ],
)
def test_harm_by_the_interval_and_the_margin(low, high, verdict):
    assert harm(low, high, 3) == verdict


# The table of tests


def made_tests(arms, margin=MARGIN, **how):
    return significance(domains(of_run(arms, **how), "test"), DRAW, margin).frame


def test_another_margin_is_another_verdict():
    arms = {"ours": (-4, 10, 0)}
    verdict = {m: made_tests(arms, m).query("kind == 'in_style'")["verdict"].item() for m in (3, 5)}
    assert verdict == {3: "inferior", 5: "non-inferior"}


def test_tests_are_withheld_where_no_p_could_be_small():
    few = made_tests({"ours": (0, 20, 0)}, patients=5).query("kind == 'out_of_style'")
    assert (few["verdict"] == "withheld").all() and "2/2^5 = 0.0625" in few["reason"].iloc[0] and few["p"].isna().all()
    enough = made_tests({"ours": (0, 20, 0)}, patients=6).query("kind == 'out_of_style'")
    assert enough["p"].tolist() == [2 / 64] and (enough["verdict"] == "better").all()
    family = made_tests({"ours": (0, 20, 0), "adain": (0, 9, 0)}, patients=6).query("kind == 'out_of_style'")
    assert family["p_holm"].tolist() == [4 / 64] * 2 and (family["verdict"] == "out of reach").all()
    assert "2 x 2/2^6 = 0.0625" in family["reason"].iloc[0]


def test_better_worse_and_not_shown():
    made = made_tests({"ours": (0, 20, 0), "adain": (0, -20, 0), "contextual": (0, 0, 0)}, patients=12)
    rows = made.query("kind == 'out_of_style' and against == 'plain'").set_index("arm")
    assert rows["verdict"].to_dict() == {"ours": "better", "adain": "worse", "contextual": "not shown"}
    assert rows.loc["ours", "needed"] < rows.loc["contextual", "needed"]


def test_the_best_rival_is_the_best_mean_that_does_no_harm():
    scored = domains(of_run({"ours": (0, 30, 0), "instance": (0, 10, 0), "histogram": (0, 12, 0)}), "test")
    assert best_rival(scored, DRAW, MARGIN) == "histogram"
    scored = domains(of_run({"instance": (0, 10, 0), "histogram": (-9, 12, 0)}), "test")
    assert best_rival(scored, DRAW, MARGIN) == "instance"
    assert best_rival(domains(of_run({"ours": (0, 30, 0)}), "test"), DRAW, MARGIN) == ""


def test_candidates_read_back_from_the_csv():
    scored = domains(of_run({"ours": (0, 24, 0), "instance": (0, 12, 0)}), "test")
    made = pd.read_csv(io.StringIO(to_csv(significance(scored, DRAW, MARGIN))))
    cheap, ours = read_candidates(made)
    assert (cheap.arm, cheap.cheap, ours.arm, ours.cheap) == ("instance", True, "ours", False)
    assert ours.lead[0] == pytest.approx(ours.gain - cheap.gain, abs=1e-4) and np.isnan(cheap.lead[0])


# The figure of ranks


def test_ranks_follow_the_scores_and_leave_references_out():
    scored = domains(of_run({"ours": (0, 24, 0), "instance": (0, 12, 0), "oracle": (0, 40, 0)}), "test")
    ranks = ranks_of(next(one for one in scored if one.kind == "out_of_style"), DRAW)
    assert ranks.arms == ("plain", "instance", "ours") and ranks.mean.tolist() == [3, 2, 1]
    shown = [text.get_text() for axes in rank_plot(scored, DRAW, Look()).axes for text in axes.texts]
    assert any(text.startswith("U-Net + ours  1.00") for text in shown) and not any("Oracle" in text for text in shown)
    assert any("Friedman p" in text and "8 patients" in text for text in shown)


def test_the_figure_says_where_there_is_no_test():
    scored = domains(of_run({"ours": (0, 24, 0)}, patients=2), "test")
    figure = rank_plot(scored, DRAW, Look())
    shown = [text for axes in figure.axes for text in axes.texts]
    assert any("no test with fewer than 3" in text.get_text() for text in shown)
    figure.canvas.draw()
    page = figure.bbox
    for text in shown:
        box = text.get_window_extent()
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, text.get_text()
