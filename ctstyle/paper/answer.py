"""Is it worth it? Which arm to use on this cohort, by stated criteria, from Table 2, the tests and the costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from ctstyle.measures.columns import SILVER_LABELS
from ctstyle.measures.domains import IN_STYLE, OUT_OF_STYLE
from ctstyle.measures.significance import INFERIOR, NON_INFERIOR, WITHHELD
from ctstyle.study.arms import ARM_LABELS, ARMS, is_cheap

Outcome = Literal["use", "cheap", "none", "harm", "withheld"]

CRITERIA = (
    "Candidates are the arms that a user could have: no oracle, no styles lent by test scans.",
    "An arm helps where the interval of its gain in foreground IoU out of style lies above 0.",
    "An arm that is shown to be inferior in style (the whole interval below the margin) is not recommended.",
    "Cheap arms need no trained generator. Where one helps, an arm with a generator is recommended over it only if the "
    "interval of its paired lead over the best cheap arm lies above 0.",
    "Where intervals are withheld nothing is recommended.",
    "Seconds are those of the generator's training job in this run (table of costs); a warm-up that models share, "
    "making the slices, and the U-Net, which every arm trains alike, come on top.",
)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One arm that could be recommended.

    `gain` over the plain U-Net out of style with `low` and `high`, in points of foreground IoU; `in_style` is the
    verdict on harm; `lead` (value, low, high) over the best cheap arm, NaN where the arm is that one or there is none.
    """

    arm: str
    cheap: bool
    gain: float
    low: float
    high: float
    in_style: str = NON_INFERIOR
    lead: tuple[float, float, float] = (np.nan, np.nan, np.nan)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do: `use` an arm with a generator, use a `cheap` one, `none` helps, all that help do `harm`, `withheld`.

    `arm` is empty where nothing is recommended; `runner_up` is the best arm with a generator where a cheap one is
    preferred; `excluded` are arms that help out of style and are inferior in style.
    """

    outcome: Outcome
    arm: str = ""
    runner_up: str = ""
    excluded: tuple[str, ...] = ()


def decide(candidates: Sequence[Candidate]) -> Decision:
    """The recommendation by CRITERIA; ties in the gain go to the arm that comes first."""
    known = [one for one in candidates if np.isfinite(one.low)]
    if not known:
        return Decision(outcome="withheld")
    helping = [one for one in known if one.low > 0]
    if not helping:
        return Decision(outcome="none")
    excluded = tuple(one.arm for one in helping if one.in_style == INFERIOR)
    safe = [one for one in helping if one.in_style != INFERIOR]
    if not safe:
        return Decision(outcome="harm", excluded=excluded)
    cheap = max((one for one in safe if one.cheap), key=lambda one: one.gain, default=None)
    costly = max((one for one in safe if not one.cheap), key=lambda one: one.gain, default=None)
    if cheap is None or (costly is not None and costly.lead[1] > 0):
        return Decision(outcome="use", arm=costly.arm if costly else "", excluded=excluded)
    runner_up = costly.arm if costly else ""
    return Decision(outcome="cheap", arm=cheap.arm, runner_up=runner_up, excluded=excluded)


def read_candidates(tests: pd.DataFrame) -> list[Candidate]:
    """The candidates in the table of tests (`tests.csv`, empty texts as such)."""
    outside = tests[tests["kind"] == OUT_OF_STYLE]
    gains = outside[outside["against"] == "plain"]
    harms = tests[tests["kind"] == IN_STYLE].set_index("arm")["verdict"]
    cheap = best_cheap(tests)
    leads = outside[outside["against"] == cheap].set_index("arm") if cheap else outside[:0].set_index("arm")
    ends = ["difference", "difference_low", "difference_high"]
    found = []
    for row in gains.itertuples():
        lead = tuple(leads.loc[row.arm, ends]) if row.arm in leads.index else (np.nan,) * 3
        found.append(
            Candidate(
                arm=row.arm,
                cheap=is_cheap(row.arm),
                gain=row.difference,
                low=row.difference_low,
                high=row.difference_high,
                in_style=harms.get(row.arm, WITHHELD),
                lead=lead,
            )
        )
    return found


def best_cheap(tests: pd.DataFrame) -> str:
    """The best cheap arm, the one without a generator that others are held against; empty without one."""
    against = tests.loc[tests["kind"] == OUT_OF_STYLE, "against"].unique()
    return next((arm for arm in against if arm != "plain" and is_cheap(arm)), "")


def training_seconds(costs: pd.DataFrame, arm: str) -> float:
    """Seconds that the generator of an arm trained for in this run; 0 without one, NaN where they were not measured."""
    if is_cheap(arm):
        return 0.0
    rows = costs[(costs["run"] == "main models") & (costs["model"] == ARMS[arm].maker)]
    return float(rows["training_seconds"].iloc[0]) if len(rows) else np.nan


def answer(
    table2: pd.DataFrame,
    tests: pd.DataFrame,
    costs: pd.DataFrame,
    *,
    margin_points: float,
    facts: Mapping[str, object],
) -> str:
    """The page `answer.md`: recommendation, arms, sim-to-real, what the evidence is worth, criteria.

    The frames are those of the CSV files, empty texts as such; `facts` is the rules' `run_facts`.
    """
    # a column without any text is read as numbers
    table2 = table2.assign(withheld=table2["withheld"].fillna(""))
    tests = tests.assign(reason=tests["reason"].fillna(""))
    candidates = read_candidates(tests)
    lines = ["# Is it worth it?", "", recommendation(decide(candidates), candidates, tests, costs, margin_points), ""]
    lines += ["## The arms", "", *(f"- {_arm(one, costs)}" for one in candidates), ""]
    if real := sim_to_real(table2, best_cheap(tests)):
        lines += ["## From simulation to reality", "", *(f"- {sentence}" for sentence in real), ""]
    lines += ["## What this is worth", "", *(f"- {sentence}" for sentence in worth(table2, facts)), ""]
    lines += ["## How it was decided", "", *(f"- {sentence}" for sentence in CRITERIA)]
    return (
        "\n".join([*lines, f"- The margin in style is {margin_points:g} points of foreground IoU (our choice)."]) + "\n"
    )


def recommendation(
    made: Decision, candidates: Sequence[Candidate], tests: pd.DataFrame, costs: pd.DataFrame, margin_points: float
) -> str:
    """The decision as a paragraph with effect, interval, cost and cost in style."""
    by_arm = {one.arm: one for one in candidates}
    said = []
    if made.outcome == "withheld":
        outside = tests[(tests["kind"] == OUT_OF_STYLE) & (tests["against"] == "plain")]
        reasons = "; ".join(dict.fromkeys(outside["reason"])) or "no arm was compared out of style"
        best = max(candidates, key=lambda one: one.gain, default=None)
        said.append(f"Withheld: this run cannot say which arm to use ({reasons}).")
        if best:
            said.append(
                f"The largest mean gain out of style has {_name(best.arm)}: {_points(best.gain)}, without an interval."
            )
    elif made.outcome == "none":
        said.append(
            "No arm beats the plain U-Net here: no gain out of style has an interval above 0. Use the plain U-Net."
        )
    elif made.outcome == "harm":
        said.append(
            f"No arm can be recommended: what helps out of style ({_names(made.excluded)}) loses more than "
            f"{margin_points:g} points in style. Use the plain U-Net where scans are in style."
        )
    else:
        chosen = by_arm[made.arm]
        gain = f"{_points(chosen.gain)}{_ends(chosen.low, chosen.high)} of foreground IoU out of style"
        said.append(
            f"Use {_name(made.arm)}: {gain} over the plain U-Net, {_cost(made.arm, costs)}, in style "
            f"{chosen.in_style} (margin {margin_points:g} points)."
        )
        if made.outcome == "cheap":
            said.insert(0, f"No arm with a trained generator beats {_name(made.arm)} here.")
            if made.runner_up:
                other = by_arm[made.runner_up]
                lead = (
                    f"its lead is {_points(other.lead[0])}{_ends(*other.lead[1:])}"
                    if np.isfinite(other.lead[0])
                    else (f"its gain is {_points(other.gain)}{_ends(other.low, other.high)}")
                )
                said.append(f"The best of those is {_name(made.runner_up)}: {lead}, {_cost(made.runner_up, costs)}.")
        elif np.isfinite(chosen.lead[0]):
            word = "leads" if chosen.lead[1] > 0 else "is not shown to lead"
            said.append(
                f"It {word} the best cheap arm, {_name(best_cheap(tests))}: "
                f"{_points(chosen.lead[0])}{_ends(*chosen.lead[1:])}."
            )
        if made.excluded:
            said.append(f"Left out for harm in style: {_names(made.excluded)}.")
    return " ".join(said)


def sim_to_real(table2: pd.DataFrame, rival: str) -> list[str]:
    """What each real cohort says: whether an arm closes the gap between the simulated scans in style and the real ones.

    The gap is the plain U-Net's score in style minus its score on the cohort. It is narrowed where the interval of an
    arm's gain lies above 0, widened where below, else not shown; without an interval the difference is printed alone.
    """
    plain = table2[table2["arm"] == "plain"].set_index("domain")
    inside = [domain for domain in plain.index if domain.startswith("In style")]
    said = []
    for domain in [name for name in plain.index if name.startswith("Real scan")]:
        rows = table2[table2["domain"] == domain].set_index("arm")
        first = rows.iloc[0]
        patients = f"{first['patients']} patient{'' if first['patients'] == 1 else 's'}, {first['slices']} slices"
        start = f"{domain} ({patients}): plain U-Net {_minus(rows.loc['plain', 'foreground_iou'], '.1f')} %"
        gap = plain.loc[inside[0], "foreground_iou"] - rows.loc["plain", "foreground_iou"] if inside else np.nan
        if np.isfinite(gap):
            start += f", {_minus(gap, '.1f')} points below its score in style"
        shown = [arm for arm in ("ours", "transductive", rival, "oracle") if arm in rows.index and arm != "plain"]
        said.append(f"{start}. {'; '.join(_closes(arm, rows.loc[arm]) for arm in dict.fromkeys(shown))}.")
        if first["withheld"]:
            said.append(f"Intervals withheld: {first['withheld']}. So nothing is shown for {domain.split(': ')[-1]}.")
    return said


def worth(table2: pd.DataFrame, facts: Mapping[str, Any]) -> list[str]:
    """What stands behind the answer, and what it cannot say."""
    outside = table2[table2["domain"].str.startswith("Out of style")]
    size = outside if len(outside) else table2
    first = size.iloc[0]
    said = [
        f"Test patients out of style: {first['patients']}, {first['slices']} slices; seeds of U-Nets: "
        f"{first['seeds']}; seeds of generators: {facts['seeds']}.",
        "Every score is a development score: styles, guard, losses and U-Net were set while scores of the same "
        "patients were seen. The intervals do not hold this, nor that the best arm was picked among several.",
    ]
    if "phantom" in facts["cohorts"]:
        said.append("Patients of the cohort phantom are simulated, and how far their styles lie apart was our choice.")
    for cohort in facts["cohorts"]:
        if cohort in SILVER_LABELS:
            said.append(f"Labels of {cohort} are silver: {SILVER_LABELS[cohort]}.")
    return said


def _arm(one: Candidate, costs: pd.DataFrame) -> str:
    lead = f"; over the best cheap arm {_points(one.lead[0])}{_ends(*one.lead[1:])}" if np.isfinite(one.lead[0]) else ""
    gain = f"{_points(one.gain)}{_ends(one.low, one.high)} out of style"
    return f"{_name(one.arm)}: {gain}{lead}; in style {one.in_style}; {_cost(one.arm, costs)}."


def _closes(arm: str, row: pd.Series) -> str:
    low, high = row["foreground_iou_gain_low"], row["foreground_iou_gain_high"]
    change = f"{_name(arm)} {_points(row['foreground_iou_gain'])}{_ends(low, high)}"
    if np.isnan(low):
        return change
    return f"{change}: the gap is " + ("narrowed" if low > 0 else "widened" if high < 0 else "not shown to change")


def _cost(arm: str, costs: pd.DataFrame) -> str:
    seconds = training_seconds(costs, arm)
    if np.isnan(seconds):
        return "training of its generator not measured"
    return f"{seconds:.0f} s of training its generator" if seconds else "no generator to train"


def _name(arm: str) -> str:
    return ARM_LABELS.get(arm, arm)


def _names(arms: Sequence[str]) -> str:
    return ", ".join(map(_name, arms))


def _points(value: float) -> str:
    return f"{_minus(value, '+.1f')} points"


def _ends(low: float, high: float) -> str:
    return "" if np.isnan(low) or np.isnan(high) else f" [{_minus(low, '+.1f')}, {_minus(high, '+.1f')}]"


def _minus(value: float, form: str) -> str:
    return f"{value:{form}}".replace("-", "−")
