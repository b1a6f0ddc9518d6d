"""Mean ranks of the arms over patients as a critical-difference diagram (Demsar 2006, figure 1)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ctstyle.measures.domains import OUT_OF_STYLE, Domain, domains
from ctstyle.measures.significance import MEASURE, candidates
from ctstyle.measures.statistics import Ranks, rank
from ctstyle.paper.drawing import Look, Sheet, drawing, look_of
from ctstyle.paper.inputs import read_frames
from ctstyle.study.analysis import Intervals
from ctstyle.study.arms import ARM_LABELS
from ctstyle.study.settings import build

LINE_MM = 4.0


def draw_ranks(inputs: Any, settings: Mapping[str, Any]) -> Figure:
    """The ranks from the segmentation scores of a run."""
    scored = domains(read_frames(inputs.segmentation), "ranks")
    return rank_plot(scored, build(Intervals, settings["intervals"]), look_of(settings["slices"]))


def ranks_of(domain: Domain, intervals: Intervals) -> Ranks:
    """Ranks of the plain U-Net and of all arms that are no reference, by the foreground IoU of each patient."""
    arms = ["plain", *candidates(domain, "plain")]
    scores = np.column_stack([domain.by_patient(arm, MEASURE) for arm in arms])
    return rank(scores[np.isfinite(scores).all(1)], arms, level=1 - intervals.confidence)


def rank_plot(scored: Sequence[Domain], intervals: Intervals, look: Look) -> Figure:
    """Every arm at its mean rank out of style; bars join arms that Nemenyi's critical difference cannot tell apart.

    A figure that says so where no scan is out of style.
    """
    outside = [domain for domain in scored if domain.kind == OUT_OF_STYLE]
    if not outside:
        with drawing():
            sheet = Sheet(look, 10)
            sheet.text(look.width_mm / 2, 3, "No test scan is out of style: there is nothing to rank.", ha="center")
        return sheet.figure
    (domain,) = outside
    ranks = ranks_of(domain, intervals)
    order, k = np.argsort(ranks.mean, kind="stable"), len(ranks.arms)
    left = -(-k // 2)  # the better half has its names on the left
    groups = ranks.groups() if np.isfinite(ranks.critical) else []
    top = 16 + 3 * len(groups)
    with drawing():
        sheet = Sheet(look, top + LINE_MM * max(left, 1) + 2)
        axes = sheet.axes(0, 0, look.width_mm, sheet.height_mm)
        axes.set(xlim=(0, look.width_mm), ylim=(sheet.height_mm, 0))
        axes.axis("off")
        start, end = 55.0, look.width_mm - 55.0

        def place(of: float) -> float:
            """Millimetres from the left of a rank."""
            return start + (end - start) * (of - 1) / max(k - 1, 1)

        axes.plot([start, end], [12, 12], color="black", linewidth=0.6)
        for number in range(1, k + 1):
            axes.plot([place(number)] * 2, [10.8, 12], color="black", linewidth=0.6)
            axes.text(place(number), 10, str(number), ha="center", va="bottom", fontsize=6)
        for place_in_order, arm in enumerate(order):
            better = place_in_order < left
            line = top + LINE_MM * (place_in_order if better else k - 1 - place_in_order)
            x, edge = place(ranks.mean[arm]), start - 3 if better else end + 3
            axes.plot([x, x, edge], [12, line, line], color="black", linewidth=0.5)
            name = ARM_LABELS.get(ranks.arms[arm], ranks.arms[arm])
            text = f"{name}  {ranks.mean[arm]:.2f}" if better else f"{ranks.mean[arm]:.2f}  {name}"
            axes.text(
                edge - 1 if better else edge + 1, line, text, ha="right" if better else "left", va="center", fontsize=6
            )
        ordered = ranks.mean[order]
        for number, (first, last) in enumerate(groups):
            ends = [place(ordered[first]) - 0.8, place(ordered[last]) + 0.8]
            axes.plot(ends, [14.5 + 3 * number] * 2, color="black", linewidth=2, solid_capstyle="butt")
        axes.text(1, 3, _said(ranks, domain), fontsize=6, va="center")
    return sheet.figure


def _said(ranks: Ranks, domain: Domain) -> str:
    patients = f"{ranks.patients} patient{'s' * (ranks.patients != 1)}"
    seeds = "one seed" if domain.seeds == 1 else f"mean of {domain.seeds} seeds"
    about = f"{domain.label}: mean rank over {patients}, 1 is best; {seeds}"
    if not np.isfinite(ranks.critical):
        return f"{about}; no test with fewer than 3 patients or 3 arms"
    return (
        f"{about}\nFriedman p = {ranks.p:.2g}; bars: within the critical difference of {ranks.critical:.2f} (Nemenyi)"
    )
