"""Tables as CSV, Markdown and LaTeX: the same bytes for the same numbers, each file whole or not there."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import pandas as pd

from ctstyle.measures.columns import MEASURES, Measure, PaperInputError
from ctstyle.provenance.lineage import short
from ctstyle.provenance.record import write_whole

ABSENT = "–"


ARROWS = {"lower": "↓", "higher": "↑", None: ""}


LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "−": "$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≥": r"$\geq$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "<": r"$<$",
    ">": r"$>$",
}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A frame and how it is printed.

    `frame` has one row per cell group: label columns, counts, and measures of `measures.MEASURES`, each with
    `<measure>_low` and `<measure>_high` where it has an interval. `row` and `group` name the columns that name a row
    and the rows it competes with, `printed` the measures that are printed (the CSV has all), `no_contest` rows that
    are references and never marked best, `contest` whether any row is, `void` measures that mean nothing here and
    are printed in parentheses, `measures_as_rows` whether the printed table is turned, `digits` numbers of printed
    digits in place of the measures' own.
    """

    frame: pd.DataFrame
    row: str
    group: str
    printed: tuple[str, ...]
    counts: tuple[str, ...] = ()
    no_contest: tuple[str, ...] = ()
    contest: bool = True
    void: tuple[str, ...] = ()
    measures_as_rows: bool = False
    digits: Mapping[str, int] = field(default_factory=dict)


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


@dataclass(frozen=True)
class Notes:
    """What stands with a table: its title (the caption), sentences under it, and its number ("Table 1")."""

    title: str
    sentences: tuple[str, ...] = ()
    number: str = ""


@dataclass(frozen=True)
class Cell:
    """One printed cell; `best` is set where no other row of the group is better."""

    text: str
    best: bool = False


def write_table(table: Table | TextTable, stem: Path, notes: Notes, *, lineage: str = "") -> None:
    """Write `<stem>.csv`, `.md` and `.tex`, each whole or not there.

    The CSV holds every column with six digits after the point; Markdown and LaTeX (booktabs, one `table` environment)
    hold the printed measures with interval and direction, the best row of each group in bold, and the notes, with the
    first digits of `lineage`, the fingerprint of the job (docs/provenance.md).
    """
    if lineage:
        notes = replace(notes, sentences=(*notes.sentences, f"Lineage {short(lineage)}."))
    if isinstance(table, TextTable):
        forms = {"csv": to_csv(table), "md": text_markdown(table, notes), "tex": text_latex(table, notes)}
    else:
        forms = {"csv": to_csv(table), "md": to_markdown(table, notes), "tex": to_latex(table, notes)}
    for suffix, text in forms.items():
        write_whole(Path(f"{stem}.{suffix}"), text)


def full_title(notes: Notes) -> str:
    """The title with the table's number before it."""
    return f"{notes.number}. {notes.title}" if notes.number else notes.title


def to_csv(table: Table | TextTable) -> str:
    """All columns, unit and direction in `measures.MEASURES`; floats with six digits, empty where not measured."""
    return table.frame.to_csv(index=False, float_format="%.6f", lineterminator="\n")


def to_markdown(table: Table, notes: Notes) -> str:
    """A pipe table under its title, the notes as a list below."""
    header, groups = printed_cells(table)
    body = [row for _, rows in groups for row in rows]
    lines = [f"**{full_title(notes)}**", "", _pipe(header), _pipe(["---"] * len(header))]
    lines += [_pipe([f"**{cell.text}**" if cell.best else cell.text for cell in row]) for row in body]
    lines += ["", *(f"- {sentence}" for sentence in (*notes.sentences, _legend(table)))]
    return "\n".join(lines) + "\n"


def to_latex(table: Table, notes: Notes) -> str:
    r"""One `table` environment with booktabs rules; groups are set apart by `\midrule` and a heading of their own."""
    header, groups = printed_cells(table)
    heading_column = 0 if not table.measures_as_rows else None
    shown = [name for i, name in enumerate(header) if i != heading_column]
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{latex(notes.title)}}}",
    ]
    lines += [rf"\begin{{tabular}}{{l{'r' * (len(shown) - 1)}}}", r"\toprule", _latex_row(shown)]
    for name, rows in groups:
        lines.append(r"\midrule")
        if heading_column is not None:
            lines.append(rf"\multicolumn{{{len(shown)}}}{{l}}{{\textit{{{latex(name)}}}}} \\")
        for row in rows:
            cells = [cell for i, cell in enumerate(row) if i != heading_column]
            lines.append(_latex_row([cell.text for cell in cells], [cell.best for cell in cells]))
    lines += [r"\bottomrule", r"\end{tabular}", r"\par\smallskip\raggedright"]
    lines += [latex(sentence) + r"\par" for sentence in (*notes.sentences, _legend(table))]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


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


def latex(text: str) -> str:
    """`text` with every character escaped that LaTeX would read as a command or not know."""
    return "".join(LATEX.get(character, character) for character in text)


def printed_cells(table: Table) -> tuple[list[str], list[tuple[str, list[list[Cell]]]]]:
    """The header and the groups of rows as they are printed, turned where the table asks for measures as rows."""
    unknown = [name for name in table.printed if name not in MEASURES or name not in table.frame]
    if unknown:
        raise PaperInputError(
            "a printed measure is not in the table",
            where="write_table",
            found=list(table.frame.columns),
            expected=unknown,
        )
    best = {name: _best(table, name) for name in table.printed}
    columns = {name: [_cell(table, i, name, best[name][i]) for i in range(len(table.frame))]
               for name in table.printed}  # fmt: skip
    counts = {name: [Cell(str(value)) for value in table.frame[name]] for name in table.counts}
    if table.measures_as_rows:
        names = [f"{row[table.row]}, {row[table.group]}" for _, row in table.frame.iterrows()]
        rows = [[Cell(_heading(MEASURES[name])), *cells] for name, cells in columns.items()]
        rows += [[Cell(_words(name)), *cells] for name, cells in counts.items()]
        return ["Measure", *names], [("", rows)]
    header = [
        table.group.capitalize(),
        table.row.capitalize(),
        *map(_words, counts),
    ]
    header += [_heading(MEASURES[name]) for name in table.printed]
    rows = []
    for i, (_, row) in enumerate(table.frame.iterrows()):
        cells = [Cell(str(row[table.group])), Cell(str(row[table.row]))]
        rows.append(cells + [of[i] for of in counts.values()] + [of[i] for of in columns.values()])
    return header, [(name, list(members)) for name, members in groupby(rows, key=lambda row: row[0].text)]


def _words(column: str) -> str:
    """A column's name as a heading; abbreviations keep their capitals."""
    text = column.replace("_", " ")
    return text[:1].upper() + text[1:]


def _digits(table: Table, measure: str) -> int:
    return table.digits.get(measure, MEASURES[measure].digits)


def _heading(measure: Measure) -> str:
    return f"{measure.heading} {ARROWS[measure.better]}".strip()


def _best(table: Table, measure: str) -> list[bool]:
    """Which rows no competitor of their group beats, compared as printed; all False where direction is open."""
    spec, frame = MEASURES[measure], table.frame
    if spec.better is None or not table.contest or measure in table.void:
        return [False] * len(frame)
    contest = frame[measure].where(~frame[table.row].isin(table.no_contest)).round(_digits(table, measure))
    grouped = contest.groupby(frame[table.group], sort=False)
    winner = grouped.transform("min" if spec.better == "lower" else "max")
    rivals = grouped.transform("count")
    return ((contest == winner) & (rivals > 1)).tolist()


def _cell(table: Table, i: int, measure: str, best: bool) -> Cell:
    """`0.412 [0.398, 0.431]`; without an interval the value alone, a dash where nothing was measured."""
    spec, row = MEASURES[measure], table.frame.iloc[i]
    if pd.isna(row[measure]):
        return Cell(ABSENT)
    number = f"{{:{'+' if spec.signed else ''}.{_digits(table, measure)}f}}"
    text = _minus(number.format(row[measure]))
    low, high = row.get(f"{measure}_low"), row.get(f"{measure}_high")
    if low is not None and not pd.isna(low):
        text += f" [{_minus(number.format(low))}, {_minus(number.format(high))}]"
    return Cell(f"({text})" if measure in table.void else text, best)


def _minus(number: str) -> str:
    return number.replace("-", "−")


def _legend(table: Table) -> str:
    with_interval = any(f"{name}_low" in table.frame for name in table.printed)
    parts = ["↓ lower is better, ↑ higher is better" + (", bold: best of its group" if table.contest else "")]
    if table.no_contest:
        parts[0] += f" ({', '.join(table.no_contest)} not in the contest)"
    if with_interval:
        parts.append("brackets: interval over seeds and patients, withheld where the notes say so")
    if table.void:
        parts.append("in parentheses: void, because the classifier is near chance")
    parts.append(f"{ABSENT}: not measured or not defined")
    return "; ".join(parts) + "."


def _pipe(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _latex_row(cells: list[str], best: list[bool] | None = None) -> str:
    marked = [rf"\textbf{{{latex(cell)}}}" if best and best[i] else latex(cell) for i, cell in enumerate(cells)]
    return " & ".join(marked) + r" \\"
