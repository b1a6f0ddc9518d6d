"""The claims of the paper, A to H, as a table with this run's verdicts (`ctstyle.paper.verdicts`)."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ctstyle.paper.inputs import read_frames
from ctstyle.paper.printed import claimed_gain, printed_table2
from ctstyle.paper.verdicts import (
    CRITERIA,
    ClaimInputs,
    augmentation_helps,
    contextual_keeps_content,
    every_style_is_reached,
    faster_than_rivals,
    gain_over_rivals,
    layers_do_not_matter,
    order_of_styles,
    vgg19_is_best,
)
from ctstyle.paper.write import Notes, TextTable


def make_claims(inputs: Any, _: Mapping[str, Any]) -> tuple[TextTable, Notes]:
    """The claims with their verdicts from the tables of a run."""
    names = ("table1", "table2", "table3", "sweep", "costs", "layers")
    tables = dict(zip(names, read_frames([inputs[name] for name in names], separator=",")))
    return claims(ClaimInputs(**tables, transfer=pd.concat(read_frames(inputs.transfer), ignore_index=True)))


def claims(inputs: ClaimInputs) -> tuple[TextTable, Notes]:
    """Claims A to H with their verdicts: columns `id, claim, verdict, evidence, where`; the notes hold the criteria.

    Raises PaperInputError where a frame lacks a column that it is judged by.
    """
    printed = printed_table2()[0].frame.iloc[1]
    pa, miou = printed["pa_gain"], printed["miou_gain"]
    against = f"{pa:+.2f} PA and {miou:+.2f} MIoU against the plain U-Net"
    rows = [
        ("A", "The contextual loss keeps content better than MSE.", contextual_keeps_content, "Weight sweep; Table 1"),
        ("B", "Some grey scales are learnt better than others.", order_of_styles, "Transfer metrics"),
        ("C", "Augmentation raises PA and MIoU out of style.", augmentation_helps, "Table 2"),
        ("D", "VGG19 is the best of the encoders.", vgg19_is_best, "Table 3"),
        ("E", "Several styles are learnt from single targets.", every_style_is_reached, "Transfer metrics; Figure 6"),
        (
            "F",
            f"The gain is {claimed_gain()} against U-Nets augmented by rival methods, and {against}.",
            gain_over_rivals,
            "Table 2",
        ),
        ("G", "The method is faster than optimisation and than GANs.", faster_than_rivals, "Costs"),
        ("H", "The choice of layers does not change what is generated.", layers_do_not_matter, "Layer lists"),
    ]
    judged = [(name, claim, judge(inputs), where) for name, claim, judge, where in rows]
    columns = ("id", "claim", "verdict", "evidence", "where")
    frame = pd.DataFrame(
        [(name, claim, found.verdict, found.evidence, where) for name, claim, found, where in judged],
        columns=list(columns),
    )
    table = TextTable(
        frame=frame,
        headings=dict(zip(columns, ("", "Claim", "Verdict", "Evidence", "Where"))),
        shares=dict(zip(columns, (0.02, 0.2, 0.1, 0.48, 0.12))),
    )
    notes = Notes(
        "Claims of the paper and what this run says about them",
        (
            "The claims are in our words. The verdicts follow from the tables of this run by the criteria below; they "
            "hold for its data, its sizes and its trainings, not for the paper's private data.",
            *CRITERIA,
            "A claim of two parts is at best mixed where one part was not measured.",
        ),
    )
    return table, notes
