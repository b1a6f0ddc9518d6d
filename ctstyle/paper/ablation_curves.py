"""The figures of the ablations: scores and structure over the values of one setting, every seed shown."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ctstyle.paper.ablations import PLAIN, of_question
from ctstyle.paper.drawing import OKABE_ITO, STYLE_MARKERS, Look, Sheet, drawing, require_some, save_figure
from ctstyle.study.ablations import BASE, QUESTIONS

PANELS = {
    "iou_out_of_style": "IoU out of style, %",
    "foreground_iou_gain": "Gain in IoU, points",
    "gradient_ssim": "Gradient SSIM (G, X)",
    "hu_error_target": "Error to target, HU",
}
LEAST_SPAN = {"iou_out_of_style": 5.0, "foreground_iou_gain": 5.0, "gradient_ssim": 0.05, "hu_error_target": 10.0}
"""No panel spans less, or differences without meaning would fill it."""
SEED_COLOUR, MEAN_COLOUR, BAND_COLOUR = OKABE_ITO["blue"], OKABE_ITO["black"], "0.92"


def ablation_curves(chains: pd.DataFrame, asked: pd.DataFrame, question: str, look: Look) -> Figure:
    """One question in four panels (`PANELS`): each seed a mark, their mean a line (a bar where values are words).

    `chains` is that of `ablations.by_seed`, `asked` the frame of `transfer.ablations.Plan`. The dashed line is the
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


def save_curves(
    chains: pd.DataFrame, asked: pd.DataFrame, look: Look, pngs: Sequence[Path], pdfs: Sequence[Path], *, lineage: str
) -> None:
    """Draw and write the figure of each question that is asked, in the order of `asked` and of the paths."""
    for question, png, pdf in zip(dict.fromkeys(asked["question"]), pngs, pdfs, strict=True):
        save_figure(ablation_curves(chains, asked, question, look), Path(png), Path(pdf), lineage=lineage)


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
