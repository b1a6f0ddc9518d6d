"""Whether a claim of the paper holds in a run: one function of the run's frames per claim, A to H (method.md, 6).

A verdict is one of VERDICTS. A claim of two parts of which one could not be measured is never "reproduced": it is
"mixed" where the measured part holds. The criteria stand in the docstrings and in `CRITERIA`, which is printed under
the table.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from ctstyle.measures.columns import MEASURES, PaperInputError
from ctstyle.paper.printed import CLAIMED_GAIN, claimed_gain, printed_table2
from ctstyle.study.arms import ARMS

Verdict = Literal["reproduced", "mixed", "not reproduced", "not testable here"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
REPRODUCED, MIXED, NOT_REPRODUCED, NOT_TESTABLE = VERDICTS

KEPT, REACHED, ERROR = "gradient_ssim", "wasserstein_generated_hu", "hu_error_target"
CONTENT_MARGIN = 0.01
"""Gradient SSIM by which the contextual loss must keep more content (A)."""
TOLERANCES = {KEPT: 0.01, REACHED: 2.0, ERROR: 2.0}
"""Differences, in the measures' own units, below which two layer lists count as the same (H)."""
FASTER_THAN = (100, 10, 2, 1)
"""The orders of magnitude that are printed in place of seconds (G)."""
SPEEDS = (
    ("gatys", "seconds_per_slice", "optimisation (Gatys) per slice"),
    ("cyclegan", "training_seconds", "a GAN (CycleGAN) in training"),
    ("cyclegan", "seconds_per_slice", "a GAN (CycleGAN) per slice"),
)
"""The rivals of claim G, and what each is compared in."""
OUT_OF_STYLE = "Out of style"
RIVALS = {"adain": "AdaIN synthesis", "contextual": "contextual transformation"}
SCORES = ("pa", "miou")

CRITERIA = (
    "A: reproduced where, at every style distance (Wasserstein-1, HU) both sweeps reach, the contextual loss leads "
    f"MSE by more than {CONTENT_MARGIN:g} in gradient SSIM; not reproduced where the mean lead is not above that.",
    "B: the paper's grey scales are private, so their order cannot be tested; the order of this run is printed.",
    "C: reproduced where the intervals of the gains in PA and in MIoU out of style both lie above 0; mixed where one; "
    "not testable where they are withheld.",
    "D: reproduced where VGG19 is best under the contextual loss in HU error to the true target and in gradient SSIM; "
    "mixed where in one of the two.",
    "E: reproduced where the mean distance to every target style falls, not reproduced where it falls for none.",
    "F: reproduced where ours leads AdaIN synthesis and contextual transformation out of style by at least "
    f"{CLAIMED_GAIN[0]:g} points of PA and of MIoU; not reproduced where it leads none by that in either.",
    "G: reproduced where ours is faster than optimisation (Gatys) per slice, and than a GAN (CycleGAN, all target "
    "styles) in training, with ours' decoder warm-up, and per slice; memory is told and not judged. How many "
    "steps both trainings have is a choice of the config, and with it the order of the two. Seconds differ from run to "
    "run, so only their order of magnitude is printed.",
    "H: reproduced where no measure of the two layer lists differs by more than "
    + ", ".join(f"{limit:g} ({MEASURES[name].heading})" for name, limit in TOLERANCES.items())
    + "; else not reproduced.",
)


@dataclass(frozen=True, kw_only=True)
class ClaimInputs:
    """The frames that the claims are judged by; None where the run did not make one.

    - `table1`: the CSV of Table 1 (`check, model, gradient_ssim, wasserstein_generated_hu`).
    - `table2`: the CSV of Table 2 (`domain, arm, pa_gain, pa_gain_low, miou_gain, miou_gain_low, pa, miou`).
    - `table3`: a row per encoder and loss (`encoder, model, gradient_ssim, wasserstein_generated_hu, hu_error_target`);
      `model` is "ours" (contextual loss) or "adain" (MSE), `smoothing` (where there is such a column) "none" for the
      paper's own form.
    - `sweep`: a row per training, or per test slice then with `kind` and `patient` as in the transfer metrics (`model`
      ours or adain, `style_weight, gradient_ssim, wasserstein_generated_hu`).
    - `costs`: `model, training_seconds, seconds_per_slice`, and `peak_memory_mb` where it was measured; models ours,
      warm_up (its decoder's), gatys, cyclegan.
    - `layers`: rows as in `sweep`, `layers` registry or selected, with the measures of `table3`.
    - `transfer`: `results/metrics/transfer/ours-seed{seed}.tsv`.
    """

    table1: pd.DataFrame | None = None
    table2: pd.DataFrame | None = None
    table3: pd.DataFrame | None = None
    sweep: pd.DataFrame | None = None
    costs: pd.DataFrame | None = None
    layers: pd.DataFrame | None = None
    transfer: pd.DataFrame | None = None


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A verdict and the sentences, with numbers, that it stands on."""

    verdict: Verdict
    evidence: str


def contextual_keeps_content(inputs: ClaimInputs) -> Judgement:
    """A: content kept by both losses at matched style distance.

    Each model's sweep over the style weight is a broken line of gradient SSIM over the Wasserstein-1 distance to the
    style. Over the range of distances that both lines cover: reproduced where the contextual line lies more than
    CONTENT_MARGIN above the other everywhere, not reproduced where its mean lead is not more than that, else mixed.
    Not testable without two points for each model or without a common range of distances.
    """
    aside = _at_one_weight(inputs.table1)
    if inputs.sweep is None:
        return _untested("no sweep of the style weight was run, and at one weight the weight alone decides", aside)
    sweep = _require(inputs.sweep, ("model", "style_weight", KEPT, REACHED), "sweep")
    means = _means(sweep, ["model", "style_weight"], [REACHED, KEPT]).dropna()
    lines = {}
    for model in ("ours", "adain"):
        points = means[means.index.get_level_values("model") == model]
        lines[model] = points.groupby(REACHED)[KEPT].mean()  # sorted by distance, one value for each
        if len(lines[model]) < 2:
            return _untested(f"the sweep of {model} has {len(lines[model])} points, and a line needs two", aside)
    low = max(line.index[0] for line in lines.values())
    high = min(line.index[-1] for line in lines.values())
    spans = ", ".join(f"{model} {line.index[0]:.1f} to {line.index[-1]:.1f}" for model, line in lines.items())
    if low >= high:
        return _untested(f"the style distances of the two sweeps do not overlap ({spans} HU)", aside)
    knots = np.unique([low, high, *(x for line in lines.values() for x in line.index if low < x < high)])
    ours, adain = (np.interp(knots, lines[model].index, lines[model]) for model in ("ours", "adain"))
    lead = ours - adain  # linear between knots, so its extremes lie at them
    mean = float(np.trapezoid(lead, knots) / (high - low))
    verdict = _verdict([lead.min() > CONTENT_MARGIN, mean > CONTENT_MARGIN])
    evidence = (
        f"Between {low:.1f} and {high:.1f} HU of style distance, ours keeps {mean:+.3f} gradient SSIM in the mean "
        f"({lead.min():+.3f} to {lead.max():+.3f}) over MSE."
    )
    return _judged(verdict, evidence, aside)


def order_of_styles(inputs: ClaimInputs) -> Judgement:
    """B: never testable, because the paper's grey scales are private; the order of this run is the evidence."""
    why = "The paper's grey scales are private, so its order cannot be compared."
    if inputs.transfer is None:
        return _judged(NOT_TESTABLE, why, "Nor was the transfer of this run measured.")
    falls = _falls(inputs.transfer).sort_values("fall", ascending=False, kind="stable")
    order = ", ".join(f"{style} {100 * row.fall:.0f} %" for style, row in zip(falls.index, falls.itertuples()))
    return _judged(NOT_TESTABLE, why, f"Fall of the distance to each target style here, best learnt first: {order}.")


def augmentation_helps(inputs: ClaimInputs) -> Judgement:
    """C: gains of `ours` over the plain U-Net in all out-of-style scans, with their intervals over seeds and patients.

    Reproduced where both lower ends (PA, MIoU) lie above 0, mixed where one does, not reproduced where neither does;
    not testable where the intervals are withheld (too few patients or one seed).
    """
    found = _out_of_style(inputs.table2)
    if isinstance(found, Judgement):
        return found
    arms = found.index
    if "ours" not in arms:
        return _untested("Table 2 has no arm `ours`")
    ours = found.loc["ours"]
    lows = [ours[f"{score}_gain_low"] for score in SCORES]
    gains = " and ".join(
        f"{ours[f'{score}_gain']:+.1f}{_interval(ours, f'{score}_gain', '+.1f')} points of {_short(score)}"
        for score in SCORES
    )
    if any(pd.isna(low) for low in lows):
        return _untested(f"the gains have no intervals ({gains})")
    beside = [
        f"{arm.label.partition(': ')[2]} {found.loc[name, 'pa_gain']:+.1f} and {found.loc[name, 'miou_gain']:+.1f}"
        for name, arm in ARMS.items()
        if name in arms and arm.role in ("control", "rival")
    ]
    aside = f"Controls and rivals for nothing, same two gains: {', '.join(beside)}." if beside else ""
    verdict = _verdict([low > 0 for low in lows])
    return _judged(verdict, f"Out of style ours gains {gains} over the plain U-Net.", aside)


def vgg19_is_best(inputs: ClaimInputs) -> Judgement:
    """D: the encoders under the contextual loss, by HU error to the true target and by gradient SSIM.

    Reproduced where VGG19 is best in both, mixed where in one, not reproduced where in none. A tie for the best place
    counts as best. Not testable without VGG19 and a rival.
    """
    if inputs.table3 is None:
        return _untested("no encoders were compared")
    table = _require(inputs.table3, ("encoder", "model", KEPT, ERROR), "Table 3")
    chosen = table[table["model"] == "ours"]
    if "smoothing" in chosen:
        chosen = chosen[chosen["smoothing"] == "none"]
    chosen = chosen.dropna(subset=[KEPT, ERROR]).set_index("encoder")
    if not chosen.index.is_unique:
        twice = sorted(set(chosen.index[chosen.index.duplicated()]))
        raise PaperInputError(
            "an encoder has several rows under the contextual loss",
            where="Table 3",
            found=twice,
            expected="one row per encoder, loss and smoothing",
        )
    if "vgg19" not in chosen.index or len(chosen) < 2:
        return _untested(f"VGG19 and a rival under the contextual loss are needed, found {sorted(chosen.index)}")
    wins, said = [], []
    for measure, ascending in ((ERROR, True), (KEPT, False)):
        order = chosen.sort_values([measure], ascending=ascending, kind="stable")
        wins.append(order[measure].iloc[0] == chosen.loc["vgg19", measure])
        digits = f".{MEASURES[measure].digits}f"
        shown = [f"{name} {row[measure]:{digits}}{_interval(row, measure, digits)}" for name, row in order.iterrows()]
        said.append(f"{MEASURES[measure].heading}, best first: {', '.join(shown)}.")
    return _judged(_verdict(wins), *said)


def every_style_is_reached(inputs: ClaimInputs) -> Judgement:
    """E: reproduced where the mean distance to every target style falls, not reproduced where to none, else mixed."""
    if inputs.transfer is None:
        return _untested("the transfer was not measured")
    falls = _falls(inputs.transfer)
    if len(falls) < 2:
        return _untested(f"several target styles are needed, found {list(falls.index)}")
    fallen = int((falls["fall"] > 0).sum())
    shown = ", ".join(
        f"{style} {row.before:.1f} to {row.after:.1f} HU" for style, row in zip(falls.index, falls.itertuples())
    )
    verdict = _verdict(falls["fall"] > 0)
    return _judged(verdict, f"The distance falls for {fallen} of {len(falls)} target styles: {shown}.")


def gain_over_rivals(inputs: ClaimInputs) -> Judgement:
    """F: what `ours` leads each rival arm by, out of style, in points of PA and of MIoU.

    Reproduced where it leads both rivals by at least the first number of CLAIMED_GAIN in both scores, not reproduced
    where it leads no measured rival by that in either, else mixed; so it is where one rival was not run. The gain over
    the plain U-Net is printed beside the paper's.
    """
    printed = printed_table2()[0].frame.iloc[1]
    paper = (
        f"The paper prints {printed['pa_gain']:+.2f} and {printed['miou_gain']:+.2f} over the plain U-Net, no row for "
        f"a rival, and {claimed_gain()} in its text."
    )
    found = _out_of_style(inputs.table2)
    if isinstance(found, Judgement):
        return _judged(found.verdict, found.evidence, paper)
    arms = [arm for arm in RIVALS if arm in found.index]
    if "ours" not in found.index or not arms:
        return _untested("Table 2 has no arm of ours beside one of a rival method", paper)
    leads = {arm: [found.loc["ours", score] - found.loc[arm, score] for score in SCORES] for arm in arms}
    passed = [lead >= CLAIMED_GAIN[0] for of_arm in leads.values() for lead in of_arm]
    verdict = _verdict(passed, complete=len(arms) == len(RIVALS))
    shown = "; ".join(f"{pa:+.1f} PA, {miou:+.1f} MIoU over {RIVALS[arm]}" for arm, (pa, miou) in leads.items())
    missing = [label for arm, label in RIVALS.items() if arm not in arms]
    absent = f"Not run: {', '.join(missing)}." if missing else ""
    plain = found.loc["ours", "pa_gain"], found.loc["ours", "miou_gain"]
    here = f"Points out of style: {shown}; {plain[0]:+.1f} PA, {plain[1]:+.1f} MIoU over the plain U-Net."
    return _judged(verdict, here, absent, paper)


def faster_than_rivals(inputs: ClaimInputs) -> Judgement:
    """G: seconds per slice against Gatys and CycleGAN, training seconds against CycleGAN (SPEEDS).

    Training of ours counts its decoder's warm-up. Reproduced where ours is faster in all three, not reproduced where it
    is faster in no measured one, else mixed; so it is where one rival was not measured. The evidence holds orders of
    magnitude (FASTER_THAN) and no seconds, so that a table has the same bytes in every run.
    """
    if inputs.costs is None:
        return _untested("no costs were measured")
    columns = ("model", "training_seconds", "seconds_per_slice")
    costs = _require(inputs.costs, columns, "costs").groupby("model").mean(numeric_only=True)
    if "ours" not in costs.index or not {rival for rival, *_ in SPEEDS} & set(costs.index):
        return _untested("the costs hold no pair of ours and a rival")
    ours = _with_warm_up(costs)
    wins, said, missing = [], [], []
    for rival, column, label in SPEEDS:
        ratio = costs[column].get(rival, np.nan) / ours[column]
        if pd.isna(ratio):
            missing.append(label)
            continue
        wins.append(ratio > 1)
        said.append(f"Ours is {_order(ratio)} {label}.")
    if "cyclegan" in costs.index and "peak_memory_mb" in costs:
        ratio = costs.loc["cyclegan", "peak_memory_mb"] / ours["peak_memory_mb"]
        said.append(f"Ours needs {_order(ratio, 'less memory', 'more memory')} a GAN (CycleGAN).")
    if missing:
        said.append(f"Not measured: {', '.join(missing)}.")
    if not wins:
        return _untested("no cost of a rival was measured")
    return _judged(_verdict(wins, complete=not missing), *said)


def layers_do_not_matter(inputs: ClaimInputs) -> Judgement:
    """H: the registry's and the selected layer lists, all else equal.

    Reproduced where no measure differs by more than its tolerance (TOLERANCES), else not reproduced. Where all measures
    are equal to the last digit the two lists are the same list, and nothing was tested.
    """
    if inputs.layers is None:
        return _untested("no second layer list was trained")
    frame = _require(inputs.layers, ("layers", *TOLERANCES), "layers")
    means = _means(frame, ["layers"], list(TOLERANCES))
    if set(means.index) != {"registry", "selected"}:
        raise PaperInputError(
            "not the two layer lists", where="layers", found=sorted(means.index), expected="registry and selected"
        )
    change = (means.loc["selected"] - means.loc["registry"]).dropna()
    if change.empty:
        return _untested("no measure was taken with both layer lists")
    if (change == 0).all():
        return _untested("both layer lists gave the same numbers to the last digit, so they hold the same layers")
    beyond = [name for name in change.index if abs(change[name]) > TOLERANCES[name]]
    shown = ", ".join(f"{MEASURES[name].heading} {change[name]:+.{MEASURES[name].digits}f}" for name in change.index)
    outcome = f"{len(beyond)} of {len(change)} measures change by more than their tolerance."
    return _judged(
        NOT_REPRODUCED if beyond else REPRODUCED, f"From the registry's to the selected layers: {shown}.", outcome
    )


def _require(frame: pd.DataFrame, columns: Sequence[str], where: str) -> pd.DataFrame:
    missing = [name for name in columns if name not in frame]
    if missing:
        raise PaperInputError(
            "columns are missing", where=f"claims, {where}", found=list(frame.columns), expected=missing
        )
    return frame


def _means(frame: pd.DataFrame, by: list[str], measures: list[str]) -> pd.DataFrame:
    """Means of each group; where the rows are single slices, of transfers only, within a patient first."""
    if "kind" in frame:
        frame = frame[frame["kind"] == "transfer"]
    if "patient" in frame:
        frame = frame.groupby([*by, "patient"])[measures].mean().reset_index()
    return frame.groupby(by)[measures].mean()


def _judged(verdict: Verdict, *sentences: str) -> Judgement:
    """Sentences with the minus sign of the other tables in front of numbers."""
    evidence = " ".join(sentence for sentence in sentences if sentence)
    return Judgement(verdict=verdict, evidence=re.sub(r"(?<![\w-])-(?=\d)", "−", evidence))


def _verdict(passed: Iterable[bool], *, complete: bool = True) -> Verdict:
    """Of a claim in parts: whether all measured parts hold, none, or some; `complete` where every part was measured."""
    passed = list(passed)
    if not any(passed):
        return NOT_REPRODUCED
    return REPRODUCED if all(passed) and complete else MIXED


def _untested(why: str, *sentences: str) -> Judgement:
    return _judged(NOT_TESTABLE, f"{why[0].upper()}{why[1:]}.", *sentences)


def _falls(transfer: pd.DataFrame) -> pd.DataFrame:
    """Per target style: distance `before`, `after` (HU, mean of the patients' means), relative `fall`."""
    columns = ("kind", "target_style", "patient", "wasserstein_content_hu", REACHED)
    slices = _require(transfer, columns, "transfer")
    slices = slices[slices["kind"] == "transfer"]
    by_patient = slices.groupby(["target_style", "patient"])[["wasserstein_content_hu", REACHED]].mean()
    means = by_patient.groupby("target_style").mean().set_axis(["before", "after"], axis="columns")
    return means.assign(fall=1 - means["after"] / means["before"])


def _out_of_style(table2: pd.DataFrame | None) -> pd.DataFrame | Judgement:
    """The rows of all out-of-style scans, by arm; a judgement where there are none."""
    if table2 is None:
        return _untested("no segmentation was measured")
    gains = [f"{score}_gain{end}" for score in SCORES for end in ("", "_low", "_high")]
    table = _require(table2, ("domain", "arm", *SCORES, *gains), "Table 2")
    rows = table[table["domain"].str.startswith(OUT_OF_STYLE)].set_index("arm")
    return _untested("no test scan is out of style") if rows.empty else rows


def _at_one_weight(table1: pd.DataFrame | None) -> str:
    """What Table 1 says at its one style weight; empty without it."""
    if table1 is None:
        return ""
    table = _require(table1, ("check", "model", KEPT, REACHED), "Table 1")
    rows = table[table["check"] == "X to Y"].set_index("model")
    if not {"ours", "adain"} <= set(rows.index):
        return ""
    ours, adain = rows.loc["ours"], rows.loc["adain"]
    return (
        f"Table 1, one style weight: gradient SSIM {ours[KEPT]:.3f} (ours) and {adain[KEPT]:.3f} (MSE) at style "
        f"distances of {ours[REACHED]:.1f} and {adain[REACHED]:.1f} HU."
    )


def _interval(row: pd.Series, measure: str, digits: str) -> str:
    low, high = row.get(f"{measure}_low", np.nan), row.get(f"{measure}_high", np.nan)
    return "" if pd.isna(low) or pd.isna(high) else f" [{low:{digits}}, {high:{digits}}]"


def _short(score: str) -> str:
    return MEASURES[score].heading.split(",")[0]


def _order(ratio: float, less: str = "faster", more: str = "slower") -> str:
    """`ratio` (> 1: ours takes less) as words that do not change from run to run."""
    word, factor = (less, ratio) if ratio > 1 else (more, 1 / ratio)
    reached = next((limit for limit in FASTER_THAN if factor > limit), 1)
    return f"{word} than" if reached == 1 else f"more than {reached} times {word} than"


def _with_warm_up(costs: pd.DataFrame) -> pd.Series:
    """What ours costs with its decoder's warm-up: the sum of both trainings, the larger memory."""
    ours = costs.loc["ours"].copy()
    if "warm_up" in costs.index:
        ours["training_seconds"] += costs.loc["warm_up", "training_seconds"]
        if "peak_memory_mb" in costs:
            ours["peak_memory_mb"] = max(ours["peak_memory_mb"], costs.loc["warm_up", "peak_memory_mb"])
    return ours
