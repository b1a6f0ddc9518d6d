"""The paper's own Tables 1 and 2 (Xu, Li, Shin 2020), kept apart from what a run measures."""

import pandas as pd

from ctstyle.paper.tables import Table

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
