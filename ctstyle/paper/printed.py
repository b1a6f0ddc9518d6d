"""The paper's own Tables 1 and 2 (Xu, Li, Shin 2020), apart from what a run measures, and its errata (method.md, 2)."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ctstyle.paper.write import Notes, Table, TextTable
from ctstyle.study.encoders import COMPARED

NOT_COMPARABLE = (
    "These are the numbers printed in the paper. Absolute values are not comparable with those of this run, because "
    "the paper's data is private: only the order of the methods and the sign of the gains can be compared."
)


IMPOSSIBLE_ROW = (
    "The first row is impossible for two classes: each class's IoU is at least its correct share of all pixels, so "
    "MIoU >= PA / 2 = {least:.3f}, and {miou:.2f} is printed. Either there were three or more classes, or "
    "'MIoU' is the foreground IoU."
)


TWO_READINGS = (
    "The paper states both directions for both measures, so the ranks are given both ways. No single reading of CIS "
    "makes all its statements true."
)


CLAIMED_GAIN = (2.0, 4.0)
"""What the paper calls its gain in segmentation accuracy, in percent, first to last value of its range."""


COLUMNS = ("number", "place", "printed", "wrong", "done")


def make_table1(_: Any, __: Mapping[str, Any]) -> tuple[Table, Notes]:
    """The printed Table 1 with its notes."""
    table, notes = printed_table1()
    return table, Notes("As printed in the paper", notes, number="Table 1")


def make_table2(_: Any, __: Mapping[str, Any]) -> tuple[Table, Notes]:
    """The printed Table 2 with its notes."""
    table, notes = printed_table2()
    return table, Notes("As printed in the paper", notes, number="Table 2")


def make_errata(_: Any, __: Mapping[str, Any]) -> tuple[TextTable, Notes]:
    """The errata with their notes."""
    return errata()


def printed_table1() -> tuple[Table, tuple[str, ...]]:
    """Table 1 of the paper with the ranks under both readings of each measure, and the notes that belong under it."""
    frame = pd.DataFrame(
        {
            "method": ["Ours", "AdaIN synthesis", "Contextual transformation"],
            "lpips_printed": [0.427, 0.516, 0.457],
            "cis_printed": [0.124, 0.137, 0.214],
        }
    )
    for measure in ("LPIPS", "CIS"):
        values = frame[f"{measure.lower()}_printed"]
        frame[f"{measure}_rank_if_lower_is_better"] = values.rank().astype(int)
        frame[f"{measure}_rank_if_higher_is_better"] = values.rank(ascending=False).astype(int)
    frame.insert(0, "source", "printed in the paper")
    table = Table(
        frame=frame,
        row="method",
        group="source",
        printed=("lpips_printed", "cis_printed"),
        counts=tuple(name for name in frame if "_rank_" in name),
    )
    return table, (NOT_COMPARABLE, TWO_READINGS)


def printed_table2() -> tuple[Table, tuple[str, ...]]:
    """Table 2 of the paper with the least MIoU that two classes allow at the printed PA, and the notes under it."""
    frame = pd.DataFrame(
        {
            "source": "printed in the paper",
            "method": ["U-Net", "U-Net + augmentation"],
            "pa": [77.71, 95.80],
            "miou": [31.66, 69.81],
        }
    )
    frame["least_miou"] = frame["pa"] / 2
    frame["possible_for_two_classes"] = [
        "yes" if is_possible_for_two_classes(row.pa, row.miou) else "no" for row in frame.itertuples()
    ]
    frame["pa_gain"] = frame["pa"] - frame["pa"].iloc[0]
    frame["miou_gain"] = frame["miou"] - frame["miou"].iloc[0]
    frame.loc[0, ["pa_gain", "miou_gain"]] = float("nan")
    table = Table(
        frame=frame,
        row="method",
        group="source",
        printed=("pa", "miou", "least_miou", "pa_gain", "miou_gain"),
        counts=("possible_for_two_classes",),
        digits={"pa": 2, "miou": 2, "pa_gain": 2, "miou_gain": 2},
    )
    first = frame.iloc[0]
    return table, (NOT_COMPARABLE, IMPOSSIBLE_ROW.format(least=first["least_miou"], miou=first["miou"]))


def is_possible_for_two_classes(pa: float, miou: float) -> bool:
    """Whether two classes can have this PA and MIoU (percent): MIoU >= PA / 2.

    With N pixels, IoU_f = tp / (N - tn) >= tp / N and IoU_b = tn / (N - tp) >= tn / N; their sum is at least PA.
    """
    return miou >= pa / 2


def errata() -> tuple[TextTable, Notes]:
    """The errata of Xu, Li, Shin 2020 with what this project does about each, and what stands with them.

    Columns: `number, place, printed` (what the paper says), `wrong` (why it cannot stand, or what is meant), `done`.
    """
    scores = printed_table2()[0].frame
    methods = printed_table1()[0].frame.set_index("method")
    plain, augmented = scores.iloc[0], scores.iloc[1]
    claimed = claimed_gain()
    gains = f"{augmented['pa_gain']:+.2f} points of PA and {augmented['miou_gain']:+.2f} points of MIoU"
    ours, adain = methods.loc["Ours", "cis_printed"], methods.loc["AdaIN synthesis", "cis_printed"]
    rows = [
        (
            "Introduction; Table 2",
            f"A gain of {claimed} in segmentation accuracy over existing style transfer methods.",
            "Table 2 has no row with AdaIN synthesis or contextual transformation, so nothing shows the gain. Against "
            f"the plain U-Net the table gives {gains}.",
            "Table 2 here has a row for every method that was run, and gains with intervals.",
        ),
        (
            "Table 2, first row",
            f"PA {plain['pa']:.2f} with MIoU {plain['miou']:.2f}.",
            f"Two classes allow no MIoU below PA / 2 = {plain['least_miou']:.3f}. There were more than two classes, or "
            "the column is the foreground IoU.",
            "Both MIoU with the background and the foreground IoU are printed, with the number of classes.",
        ),
        (
            "Text on the encoders; conclusion",
            "Five architectures of the extractor.",
            f"{len(COMPARED)} are listed, and the conclusion names four besides VGG19.",
            f"The registry holds all {len(COMPARED)}: {', '.join(COMPARED)}.",
        ),
        (
            "Measures; Table 1",
            "LPIPS: lower is more alike, then higher is better, then lower protects semantics better. CIS: lower is "
            f"poorer style, then lower is better, then AdaIN ({adain:.3f}) beats Ours ({ours:.3f}).",
            f"The directions exclude each other. {_cis_readings(ours=ours, adain=adain)}",
            "The printed Table 1 is ranked both ways; our own columns state one direction each.",
        ),
        (
            "Equation 12",
            "The style loss is called a Gram loss.",
            "The equation compares means and standard deviations of channels; no Gram matrix occurs.",
            "The equation is built, and called the style loss.",
        ),
        (
            "Equation 7, text below it",
            "The normalisation runs over each x_j.",
            "The minimum runs over the targets k, for each generated feature i.",
            "The distance is divided by its minimum over k.",
        ),
        (
            "Abstract",
            f"A gain of {claimed} over the U-Net without augmentation.",
            f"Table 2 gives {gains} for that comparison, and the introduction gives the same {claimed} for another "
            "one (erratum 1).",
            "The gain over the plain U-Net and the gain over each rival method are kept apart (claims C and F).",
        ),
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS[1:]))
    frame.insert(0, "number", [str(i) for i in range(1, len(frame) + 1)])
    table = TextTable(
        frame=frame,
        headings=dict(zip(COLUMNS, ("No.", "Place", "Printed", "Wrong, or meant", "What we do"))),
        shares=dict(zip(COLUMNS, (0.03, 0.11, 0.25, 0.31, 0.22))),
    )
    notes = Notes(
        "Errata of the paper",
        (
            "Printed: what Xu, Li, Shin 2020 (doi 10.1186/s13673-020-00251-9) say, in our words.",
            "Differences and bounds are computed from the printed Tables 1 and 2.",
        ),
    )
    return table, notes


def claimed_gain() -> str:
    """The range that the paper claims, as it is printed here: `2 to 4 %`."""
    return f"{CLAIMED_GAIN[0]:g} to {CLAIMED_GAIN[1]:g} %"


def _cis_readings(*, ours: float, adain: float) -> str:
    """Whether one direction of CIS makes both "AdaIN is better" and "lower is poorer, lower is better" true."""
    better = "higher" if adain > ours else "lower"
    return f"AdaIN beats Ours only where {better} CIS is better, which the second statement on CIS denies."
