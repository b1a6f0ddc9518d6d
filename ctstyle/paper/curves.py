"""Training curves, the sweep of the style weight and the choice of layers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ctstyle.encoders.plan import TapLists
from ctstyle.measures.columns import ENCODER_LABELS, LOSS_LABELS, MODEL_LABELS, in_order
from ctstyle.paper.comparison import sweep
from ctstyle.paper.drawing import LINES, OKABE_ITO, Look, Sheet, drawing, look_of, require_some
from ctstyle.paper.inputs import in_groups, read_frames
from ctstyle.study.analysis import Intervals
from ctstyle.study.arms import ARM_LABELS
from ctstyle.study.settings import build

History = Sequence[pd.DataFrame]


COLUMNS = 3


MOST_LINES_INSIDE = 3


SCORES = {"validation_iou": "validation IoU"}
"""What a history holds beside losses, from 0 to 1, and its name in a title."""


def draw_training_curves(inputs: Any, settings: Mapping[str, Any]) -> Figure:
    """The training curves from the histories of a run."""
    return training_curves(
        read_frames(inputs.warm_up),
        in_groups(settings["models"], map(in_sequence, read_frames(inputs.transfer))),
        in_groups(settings["arms"], read_frames(inputs.unet)),
        look_of(settings["slices"]),
    )


def draw_sweep(inputs: Any, settings: Mapping[str, Any]) -> Figure:
    """The sweep from the scores of its trainings."""
    table = sweep(read_frames(inputs.sweep), build(Intervals, settings["intervals"]))
    return sweep_curves(table.frame, look_of(settings["slices"]))


def draw_layer_choice(inputs: Any, settings: Mapping[str, Any]) -> Figure:
    """The choice of layers from the descriptions of the encoders."""
    frames = read_frames(inputs.layers)
    names = [f"{ENCODER_LABELS[frame['encoder'][0]]}, {frame['weights'][0]} weights" for frame in frames]
    chosen = {name: TapLists.load(Path(path)) for name, path in zip(names, inputs.taps)}
    return layer_choice(dict(zip(names, frames)), chosen, look_of(settings["slices"]))


def in_sequence(history: pd.DataFrame) -> pd.DataFrame:
    """A history whose stages follow each other, with its steps counted through; others as they are."""
    if "stage" not in history:
        return history
    return history.drop(columns="stage").assign(step=range(1, len(history) + 1))


def training_curves(
    warm_up: History, transfer: Mapping[str, History], unet: Mapping[str, History], look: Look
) -> Figure:
    """Every loss of every training against its step: the decoder's warm-up, the transfer models, the U-Nets.

    Each history is a frame per seed with `step` and one column per loss (`history.tsv`). One panel per loss, thin
    lines the steps, thick lines their running mean; losses that are positive everywhere have a logarithmic scale,
    scores one from 0 to 1. Content losses of different models are different quantities and are not to be compared.
    """
    panels: list[tuple[str, str, dict[str, History], dict[str, str]]] = []
    panels += [("Warm-up", loss, {"decoder": _only(warm_up, loss)}, {}) for loss in _losses(warm_up)]
    for stage, histories, labels in (("Transfer", transfer, MODEL_LABELS), ("U-Net", unet, ARM_LABELS)):
        everything = [frame for history in histories.values() for frame in history]
        for loss in _losses(everything):
            lines = {name: _only(histories[name], loss) for name in in_order(set(histories), labels)}
            panels.append((stage, loss, {name: line for name, line in lines.items() if line}, labels))
    require_some("Training curves", panels, "history with losses")
    width, tall = look.width_mm / COLUMNS, 42.0
    cells = _cells([len(histories) for _, _, histories, _ in panels])
    with drawing():
        sheet = Sheet(look, (cells[-1] // COLUMNS + 1) * (tall + 12))
        for cell, (stage, loss, histories, labels) in zip(cells, panels):
            left, top = 9 + (cell % COLUMNS) * width, 5 + (cell // COLUMNS) * (tall + 12)
            axes = sheet.axes(left, top, width - 13, tall - 2)
            for name, history in histories.items():
                colour, line = LINES.get(name, (OKABE_ITO["black"], "-"))
                for seed, frame in enumerate(history):
                    _curve(axes, frame, colour, line, labels.get(name, name) if seed == 0 else None)
            if loss in SCORES:
                axes.set_ylim(0, 1)
            elif all((frame["loss"] > 0).all() for history in histories.values() for frame in history):
                axes.set_yscale("log")
                axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axes.yaxis.set_minor_formatter(FuncFormatter(_minor_label))
            axes.set(xlabel="step")
            axes.set_title(f"{stage}: {SCORES.get(loss, loss)}", loc="left", pad=3, weight="bold")
            if len(histories) > MOST_LINES_INSIDE:
                axes.legend(loc="center left", bbox_to_anchor=(1.03, 0.5), handlelength=2.2)
            elif len(histories) > 1:
                above = (axes.transAxes + axes.transData.inverted()).transform((0, 1.45))[1]
                axes.set_ylim(top=above)  # room for the legend
                axes.legend(loc="upper right", handlelength=2.2)
    return sheet.figure


def sweep_curves(frame: pd.DataFrame, look: Look) -> Figure:
    """Content kept against style reached, one curve per loss over the style weights (claim A).

    `frame` is that of `comparison.sweep`: `model, style_weight, gradient_ssim, wasserstein_generated_hu` and the ends
    of their intervals. Left is nearer to the style, up keeps more content; at one distance the upper curve is better.
    """
    with drawing():
        sheet = Sheet(look, 82)
        axes = sheet.axes(14, 6, 100, 64)
        for model in in_order(set(frame["model"]), LOSS_LABELS):
            points = frame[frame["model"] == model].sort_values("style_weight")
            colour, line = LINES.get(model, (OKABE_ITO["black"], "-"))
            x, y = points["wasserstein_generated_hu"], points["gradient_ssim"]
            axes.plot(x, y, color=colour, linestyle=line, marker="o", markersize=3, label=LOSS_LABELS.get(model, model))
            spread = [points["gradient_ssim"] - points["gradient_ssim_low"], points["gradient_ssim_high"] - y]
            axes.errorbar(x, y, yerr=spread, fmt="none", ecolor=colour, elinewidth=0.5, alpha=0.6)
            for row in points.itertuples():
                place = (row.wasserstein_generated_hu, row.gradient_ssim)
                axes.annotate(f"{row.style_weight:g}", place, xytext=(3, 3), textcoords="offset points", fontsize=5.5)
        axes.set(xlabel="style distance: Wasserstein-1 of G to Y, HU (lower: style reached)")
        axes.set(ylabel="content kept: gradient SSIM of G and X")
        axes.legend(loc="lower right")
        known = frame["gradient_ssim_low"].notna().any()
        bars = "bars: interval over seeds and patients" if known else "intervals withheld: see the table"
        sheet.text(120, 8, f"numbers: style weight\n{bars}", fontsize=6, linespacing=1.5)
    return sheet.figure


def layer_choice(layers: Mapping[str, pd.DataFrame], chosen: Mapping[str, TapLists], look: Look) -> Figure:
    """What each tap keeps of the slice and says of the style, and which taps the selected lists take.

    `layers[name]` is the frame of `layers.tsv` of one network and its weights, `chosen[name]` its lists.
    """
    require_some("layer choice", list(layers), "described encoder")
    columns, tall = 2, 34.0
    width = look.width_mm / columns
    with drawing():
        sheet = Sheet(look, -(-len(layers) // columns) * (tall + 20) + 6)
        for number, (name, frame) in enumerate(layers.items()):
            axes = sheet.axes(11 + number % columns * width, 10 + number // columns * (tall + 20), width - 14, tall)
            place = np.arange(len(frame))
            for column, colour, taps, label, marker in (
                (
                    "content_score",
                    OKABE_ITO["blue"],
                    chosen[name].content_taps,
                    "content kept (R² of a linear readout)",
                    "o",
                ),
                ("style_score", OKABE_ITO["vermillion"], chosen[name].style_taps, "style separated (0: chance)", "s"),
            ):
                axes.plot(place, frame[column], color=colour, marker=marker, markersize=2, label=label)
                taken = frame["tap"].isin(taps).to_numpy()
                ring = {"markersize": 6, "markerfacecolor": "none", "markeredgecolor": colour}
                picked = f"selected for the {column.split('_')[0]} loss"
                values = frame[column].to_numpy()[taken]
                axes.plot(place[taken], values, linestyle="", marker=marker, label=picked, **ring)
            axes.set_xticks(place, frame["tap"], rotation=60, ha="right", rotation_mode="anchor", fontsize=5)
            axes.set(ylim=(-0.25, 1.05))
            axes.axhline(0, color="0.7", linewidth=0.4)
            axes.set_title(name, loc="left", pad=3, weight="bold")
            if number == 0:
                handles, texts = axes.get_legend_handles_labels()
                sheet.figure.legend(handles, texts, loc="upper center", ncols=4, fontsize=5.5)
    return sheet.figure


def _cells(lines: Sequence[int]) -> list[int]:
    """The grid cell of each panel; a panel with many lines takes two cells of one row, the second for its legend."""
    cells, free = [], 0
    for count in lines:
        wide = count > MOST_LINES_INSIDE
        if wide and free % COLUMNS == COLUMNS - 1:
            free += 1
        cells.append(free)
        free += 2 if wide else 1
    return cells


def _minor_label(value: float, _: int) -> str:
    """Name 2 and 5 within each decade; every minor tick would overlap."""
    leading = f"{value:.0e}"[0]
    return f"{value:g}" if leading in "25" else ""


def _losses(history: History) -> list[str]:
    names: dict[str, None] = {}
    for frame in history:
        names |= {name: None for name in frame.columns if name != "step"}
    return list(names)


def _only(history: History, loss: str) -> list[pd.DataFrame]:
    return [frame[["step", loss]].dropna().set_axis(["step", "loss"], axis=1) for frame in history if loss in frame]


def _curve(axes: Axes, frame: pd.DataFrame, colour: str, line: str, label: str | None) -> None:
    axes.plot(frame["step"], frame["loss"], color=colour, linewidth=0.4, alpha=0.3)
    smooth = frame["loss"].rolling(max(len(frame) // 20, 1), min_periods=1).mean()
    axes.plot(frame["step"], smooth, color=colour, linestyle=line, label=label)
