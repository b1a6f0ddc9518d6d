"""Tables of sentences (claims, errata) as CSV, Markdown and LaTeX."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ctstyle.paper.measures import PaperInputError
from ctstyle.paper.write import Notes, full_title, latex, with_lineage, write_forms


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """A table of sentences: `frame` of strings, and for each column its printed heading and its share of the width.

    The shares are of LaTeX's line and leave room for the gaps: their sum is at most 0.95. Raises PaperInputError where
    headings, shares and columns do not fit together.
    """

    frame: pd.DataFrame
    headings: Mapping[str, str]
    shares: Mapping[str, float]

    def __post_init__(self):
        columns = list(self.frame.columns)
        if list(self.headings) != columns or list(self.shares) != columns or sum(self.shares.values()) > 0.95:
            raise PaperInputError(
                "headings and widths do not fit the columns",
                where="a table of sentences",
                found=f"headings {list(self.headings)}, shares {dict(self.shares)}",
                expected=f"one of each for {columns}, shares of at most 0.95 in all",
            )


def write_text_table(table: TextTable, stem: Path, notes: Notes, *, lineage: str = "") -> tuple[Path, ...]:
    """Write `<stem>.csv`, `.md` and `.tex`, each whole or not there, and return their paths."""
    notes = with_lineage(notes, lineage)
    return write_forms(
        {".csv": text_csv(table), ".md": text_markdown(table, notes), ".tex": text_latex(table, notes)}, stem
    )


def text_csv(table: TextTable) -> str:
    """All columns under their own names."""
    return table.frame.to_csv(index=False, lineterminator="\n")


def text_markdown(table: TextTable, notes: Notes) -> str:
    """A pipe table under its title, the notes as a list below."""
    rows = [list(table.headings.values()), ["---"] * len(table.headings), *table.frame.to_numpy().tolist()]
    lines = [f"**{full_title(notes)}**", ""]
    lines += ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    if notes.sentences:
        lines += ["", *(f"- {sentence}" for sentence in notes.sentences)]
    return "\n".join(lines) + "\n"


def text_latex(table: TextTable, notes: Notes) -> str:
    """One `table` environment with booktabs rules; cells are paragraphs of fixed width, set ragged."""
    columns = "".join(rf">{{\raggedright\arraybackslash}}p{{{share:g}\linewidth}}" for share in table.shares.values())
    rows = [" & ".join(latex(cell) for cell in row) + r" \\" for row in table.frame.to_numpy().tolist()]
    lines = [
        r"% needs \usepackage{booktabs} and \usepackage{array}",
        r"\begin{table}",
        r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{latex(notes.title)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(latex(heading) for heading in table.headings.values()) + r" \\",
        r"\midrule",
        "\n\\addlinespace\n".join(rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\smallskip\raggedright",
        *(latex(sentence) + r"\par" for sentence in notes.sentences),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
