"""The errata of the paper (method.md, 2).

What follows from printed numbers is computed from `printed`; only what the paper says in words is said again here, in
words of our own.
"""

import pandas as pd

from ctstyle.paper.printed import printed_table1, printed_table2
from ctstyle.paper.text_table import TextTable
from ctstyle.paper.write import Notes
from ctstyle.study.encoders import COMPARED

CLAIMED_GAIN = (2.0, 4.0)
"""What the paper calls its gain in segmentation accuracy, in percent, first to last value of its range."""

COLUMNS = ("number", "place", "printed", "wrong", "done")


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
