"""The ablations: a table of what each point scores and how far its seeds lie apart, and a figure for each question."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ctstyle.measures.columns import PaperInputError
from ctstyle.measures.domains import IN_STYLE, OUT_OF_STYLE
from ctstyle.measures.segmentation import pooled_scores
from ctstyle.paper.captions import RunFacts, cohorts_note, run_facts
from ctstyle.paper.drawing import OKABE_ITO, STYLE_MARKERS, Look, Sheet, drawing, look_of, require_some
from ctstyle.paper.inputs import read_frames
from ctstyle.paper.write import Notes, Table
from ctstyle.study.ablations import ARM, BASE, QUESTIONS
from ctstyle.study.settings import build

PLAIN = "plain"


CHAIN = ["arm", "point", "seed"]
"""What tells two chains apart."""


STRUCTURE = ("gradient_ssim", "hu_error_target", "wasserstein_generated_hu")
"""Structure kept, distance to the true target, style reached."""


MEASURED = ("iou_out_of_style", "foreground_iou_gain", "iou_in_style", *STRUCTURE)


REFERENCE = "Reference"


DOMAINS = (OUT_OF_STYLE, IN_STYLE)


PANELS = {
    "iou_out_of_style": "IoU out of style, %",
    "foreground_iou_gain": "Gain in IoU, points",
    "gradient_ssim": "Gradient SSIM (G, X)",
    "hu_error_target": "Error to target, HU",
}


LEAST_SPAN = {"iou_out_of_style": 5.0, "foreground_iou_gain": 5.0, "gradient_ssim": 0.05, "hu_error_target": 10.0}
"""No panel spans less, or differences without meaning would fill it."""


SEED_COLOUR, MEAN_COLOUR, BAND_COLOUR = OKABE_ITO["blue"], OKABE_ITO["black"], "0.92"


@dataclass(frozen=True, kw_only=True)
class AblationFacts:
    """The scale of the ablations, from their config section."""

    size_px: int
    warm_up_steps: int
    steps: int
    segment_steps: int


def make_ablations(inputs: Any, settings: Mapping[str, Any]) -> tuple[Table, Notes]:
    """The table of ablations and its notes from the scores of a run's small chains."""
    made = table(_chains(inputs), pd.DataFrame(settings["asked"]))
    return made, ablations_notes(run_facts(inputs, settings), made, build(AblationFacts, settings["small"]))


def draw_question(inputs: Any, settings: Mapping[str, Any]) -> Figure:
    """The figure of one question from the scores of a run's small chains."""
    asked = pd.DataFrame(settings["asked"])
    return ablation_curves(_chains(inputs), asked, settings["question"], look_of(settings["slices"]))


def _chains(inputs: Any) -> pd.DataFrame:
    return by_seed(*(read_frames(paths) for paths in (inputs.segmentation, inputs.structure, inputs.painted)))


def by_seed(
    segmentation: Iterable[pd.DataFrame], structure: Iterable[pd.DataFrame], painted: Iterable[pd.DataFrame]
) -> pd.DataFrame:
    """One row per chain (`CHAIN`): `MEASURED`, test `patients`, and how many slices were `painted` and `accepted`.

    The frames are those of rule measure_ablation. Foreground IoU in percent from pixel counts pooled over the scans of
    a domain, the gain in points over the plain U-Net of the same seed; the structure measures are means over slices
    within a patient, then over patients. Where no test scan is of a domain its scores are NaN, and `patients` are those
    tested out of style. Raises PaperInputError without a plain U-Net.
    """
    counts = pd.concat(segmentation, ignore_index=True)
    scores = pooled_scores(counts, [*CHAIN, "domain"]).pivot(index=CHAIN, columns="domain", values="foreground_iou")
    if PLAIN not in scores.index.get_level_values("arm"):
        raise PaperInputError(
            "the ablations need the plain U-Net",
            where="ablations",
            found=f"arms {sorted(set(counts['arm']))}",
            expected="plain among the arms",
        )
    frame = pd.DataFrame({f"iou_{domain}": 100 * scores.get(domain, np.nan) for domain in DOMAINS}, index=scores.index)
    plain = frame["iou_out_of_style"].xs((PLAIN, BASE), level=("arm", "point"))
    frame["foreground_iou_gain"] = (
        frame["iou_out_of_style"] - plain.loc[frame.index.get_level_values("seed")].to_numpy()
    )
    tested = counts[counts["domain"] == OUT_OF_STYLE].groupby(CHAIN)["patient"].nunique()
    frame["patients"] = tested.reindex(frame.index, fill_value=0)
    of_patients = pd.concat(structure, ignore_index=True).groupby([*CHAIN, "patient"])[list(STRUCTURE)].mean()
    frame = frame.join(of_patients.groupby(CHAIN).mean())
    rows = pd.concat(painted, ignore_index=True)
    accepted = rows["accepted"].astype(float).groupby([rows[name] for name in CHAIN])
    made = pd.DataFrame({"painted": accepted.size(), "accepted": accepted.sum()}).astype(float)
    return frame.join(made).fillna({"painted": 0.0, "accepted": 0.0}).reset_index()


def of_question(chains: pd.DataFrame, asked: pd.DataFrame, question: str) -> pd.DataFrame:
    """The chains of one question, in the order of its values: those of `by_seed` with `label` and `place` (0, 1, ..).

    `asked` is the frame of `study.ablations.Plan`.
    """
    values = asked[asked["question"] == question].reset_index(drop=True)
    values = values.assign(place=values.index)[["point", "value", "label", "place"]]
    return values.merge(chains[chains["arm"] == ARM], on="point", how="left").sort_values(["place", "seed"])


def table(chains: pd.DataFrame, asked: pd.DataFrame) -> Table:
    """The table of all points: the plain U-Net, then each question's values; means over seeds, gains of each seed.

    `chains` is `by_seed`, `asked` the frame of `study.ablations.Plan`. There is no interval and no best row: the
    scale is small, and what seeds show among themselves stands beside each mean.
    """
    if asked.empty:
        raise PaperInputError("no question is asked", where="ablations", found="no value", expected="at least one")
    rows = [_row(REFERENCE, "no augmentation", chains[chains["arm"] == PLAIN])]
    for question in dict.fromkeys(asked["question"]):
        for (_, label), of_value in of_question(chains, asked, question).groupby(["place", "label"], sort=True):
            own = " (as the run)" if (of_value["point"] == BASE).all() else ""
            rows.append(_row(QUESTIONS[question].title, label.replace("\n", " ") + own, of_value))
    return Table(
        frame=pd.DataFrame(rows),
        row="value",
        group="question",
        printed=("iou_out_of_style", "foreground_iou_gain", "iou_in_style", "gradient_ssim", "hu_error_target"),
        counts=("accepted", "painted", "gain_of_each_seed"),
        contest=False,
    )


def ablations_notes(facts: RunFacts, table: Table, small: AblationFacts) -> Notes:
    """Title and notes of the table of ablations."""
    patients = sorted(set(table.frame["patients"]))
    empty = () if any(patients) else ("No test scan of this run is out of style: scores and gains there are withheld.",)
    return Notes(
        "What drives it: one setting changed at a time",
        (
            cohorts_note(facts),
            f"Small chains: slices of {small.size_px} px, decoder warm-up {small.warm_up_steps} steps, "
            f"{small.steps} steps of style transfer, {small.segment_steps} steps for every U-Net; encoder "
            f"{facts.encoder} with {facts.weights_name}. All else is as in the run.",
            "Means over seeds, and the gain of each seed over the U-Net without augmentation of the same seed; test "
            f"patients: {', '.join(map(str, patients))}. There is no interval: differences as large as those between "
            "seeds say nothing, and nothing is claimed beyond this scale.",
            "Accepted: slices that passed the guard, of those painted. Where it accepts none the U-Net is the one "
            "without augmentation. Settings of slices, target styles and alpha share one generator. HU error without "
            "augmentation: that of slices left as they are.",
            *empty,
        ),
        number="Table of ablations",
    )


def ablation_curves(chains: pd.DataFrame, asked: pd.DataFrame, question: str, look: Look) -> Figure:
    """One question in four panels (`PANELS`): each seed a mark, their mean a line (a bar where values are words).

    `chains` is that of `ablations.by_seed`, `asked` the frame of `study.ablations.Plan`. The dashed line is the
    plain U-Net, and slices that no network touched; the band is the run's own value. Values stand at equal distances.
    A panel without a number says so.
    Raises PaperInputError for a question without values.
    """
    about, of_values = QUESTIONS[question], of_question(chains, asked, question)
    require_some(about.title, of_values, "value")
    plain = chains[chains["arm"] == PLAIN]
    width = look.width_mm / len(PANELS)
    with drawing():
        sheet = Sheet(look, 63)
        for number, (measure, title) in enumerate(PANELS.items()):
            axes = sheet.axes(9 + number * width, 8, width - 11, 36)
            _panel(axes, of_values, measure)
            if measure == "foreground_iou_gain":
                axes.axhline(0, color=MEAN_COLOUR, linewidth=0.6, linestyle="--")
            elif measure != "gradient_ssim":
                axes.axhline(plain[measure].mean(), color=MEAN_COLOUR, linewidth=0.6, linestyle="--")
            low, high = axes.get_ylim()
            aside = max(0.0, (LEAST_SPAN[measure] - (high - low)) / 2)
            axes.set_ylim(low - aside, high + aside)
            axes.set_title(title, loc="left", pad=3, weight="bold")
        sheet.text(look.width_mm / 2, 52, about.axis, ha="center", fontsize=7)
        handles, labels = _legend(of_values)
        sheet.figure.legend(handles, labels, loc="lower center", ncols=len(handles), handlelength=2.2)
    return sheet.figure


def _row(question: str, value: str, chains: pd.DataFrame) -> dict[str, object]:
    plain = (chains["arm"] == PLAIN).all()
    means = chains[list(MEASURED)].mean().to_dict()
    return {
        "question": question,
        "value": value,
        "seeds": chains["seed"].nunique(),
        "patients": int(chains["patients"].max()),
        "painted": round(chains["painted"].mean()),
        "accepted": round(chains["accepted"].mean()),
        "gain_of_each_seed": "" if plain else _gains(chains["foreground_iou_gain"].tolist()),
        **(means | ({"foreground_iou_gain": np.nan, "gradient_ssim": np.nan} if plain else {})),
    }


def _gains(values: Sequence[float]) -> str:
    if np.isnan(values).all():
        return ""
    return ", ".join(f"{value:+.1f}".replace("-", "−") for value in values)


def _panel(axes: Axes, chains: pd.DataFrame, measure: str) -> None:
    """Marks, means and ticks of one panel."""
    values = chains.drop_duplicates("place")
    numbers = not values["value"].map(lambda value: isinstance(value, str)).any()
    for place in values.loc[values["point"] == BASE, "place"]:
        axes.axvspan(place - 0.3, place + 0.3, color=BAND_COLOUR, linewidth=0, zorder=0)
    seeds = chains["seed"].nunique()
    for seed_number, (_, of_seed) in enumerate(chains.groupby("seed")):
        aside = 0 if numbers else 0.12 * (seed_number - (seeds - 1) / 2)
        how = {"color": SEED_COLOUR, "marker": _marker(seed_number), "markersize": 3}
        line = "-" if numbers else ""
        axes.plot(of_seed["place"] + aside, of_seed[measure], linestyle=line, linewidth=0.4, alpha=0.6, mew=0, **how)
    mean = chains.groupby("place")[measure].mean()
    if numbers:
        axes.plot(mean.index, mean, color=MEAN_COLOUR, linewidth=1.2)
    else:
        axes.hlines(mean, mean.index - 0.2, mean.index + 0.2, color=MEAN_COLOUR, linewidth=1.2)
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_xticks(values["place"], values["label"], fontsize=5.5)
    axes.margins(y=0.15)
    if chains[measure].isna().all():
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no test scan tells", transform=axes.transAxes, ha="center", va="center", fontsize=6)


def _legend(chains: pd.DataFrame) -> tuple[list, list[str]]:
    """What marks, lines and the band stand for."""
    handles = {
        f"seed {seed}": Line2D([], [], color=SEED_COLOUR, marker=_marker(number), markersize=3, linestyle="", mew=0)
        for number, seed in enumerate(sorted(chains["seed"].unique()))
    }
    handles["mean of the seeds"] = Line2D([], [], color=MEAN_COLOUR, linewidth=1.2)
    handles["no augmentation, no transfer"] = Line2D([], [], color=MEAN_COLOUR, linewidth=0.6, linestyle="--")
    if (chains["point"] == BASE).any():
        handles["the run's own value"] = Patch(color=BAND_COLOUR, linewidth=0)
    return list(handles.values()), list(handles)


def _marker(number: int) -> str:
    return STYLE_MARKERS[number % len(STYLE_MARKERS)]
