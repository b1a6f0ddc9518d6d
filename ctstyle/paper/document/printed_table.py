"""Reads back the Markdown that `write.write_table` makes, so that the PDF prints the same cells as the tables."""

import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from ctstyle.errors import CTStyleError
from ctstyle.paper.write import Cell

NUMBER = re.compile(r"^(Table \w+)\. ")
SEPARATOR = re.compile(r"^\|(\s*:?-+:?\s*\|)+$")


class PaperError(CTStyleError):
    """The paper cannot be printed: a table, figure, key or caption is missing or of another kind."""


@dataclass(frozen=True, kw_only=True)
class PrintedTable:
    """A table as it is printed: its number ("Table 2", or empty), title, header, rows of cells and notes."""

    number: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def column(self, heading: str) -> int:
        """The place of the column whose heading begins with `heading`; raises PaperError where there is none."""
        for i, name in enumerate(self.header):
            if name.startswith(heading):
                return i
        raise PaperError(
            "the table has no such column",
            where=self.number or self.title,
            found=", ".join(self.header),
            expected=heading,
            fix="Make the table again: it comes from another version.",
        )

    def groups(self) -> list[tuple[str, list[tuple[Cell, ...]]]]:
        """Rows in groups by their first cell, without it, where that names runs of rows; else one nameless group."""
        first = [row[0].text for row in self.rows]
        runs = [name for name, _ in groupby(first)]
        if len(runs) == len(first) or len(set(runs)) < len(runs):
            return [("", list(self.rows))]
        grouped = groupby(self.rows, key=lambda row: row[0].text)
        return [(name, [row[1:] for row in rows]) for name, rows in grouped]


def read_printed_table(stem: Path | str) -> PrintedTable:
    """The table in `<stem>.md`. Raises PaperError where the file is missing or not of `write.to_markdown`'s form."""
    path = Path(stem).with_name(Path(stem).name + ".md")
    if not path.is_file():
        raise PaperError(
            "a table of the paper is missing",
            where=path,
            found="no file",
            expected="a table written by ctstyle.paper.write",
            fix="Run the rule that makes it first.",
        )
    lines = path.read_text(encoding="utf-8").splitlines()
    pipes = [line for line in lines if line.startswith("|")]
    title = lines[0].strip() if lines else ""
    if len(pipes) < 3 or not SEPARATOR.match(pipes[1]) or not re.fullmatch(r"\*\*.+\*\*", title):
        raise PaperError(
            "not a table of our own writer",
            where=path,
            found=title[:60] or "an empty file",
            expected="a title in bold, then a pipe table with at least one row, then notes as a list",
            fix="Write it with ctstyle.paper.write.write_table.",
        )
    title = title.strip("*")
    number = NUMBER.match(title)
    header = tuple(cell.text for cell in _cells(pipes[0]))
    rows = tuple(_cells(line) for line in pipes[2:])
    uneven = [row for row in rows if len(row) != len(header)]
    if uneven:
        raise PaperError("a row with a wrong number of cells", where=path, found=uneven[0], expected=len(header))
    return PrintedTable(
        number=number[1] if number else "",
        title=title[number.end() :] if number else title,
        header=header,
        rows=rows,
        notes=tuple(line[2:] for line in lines if line.startswith("- ")),
    )


def _cells(line: str) -> tuple[Cell, ...]:
    texts = [part.strip().replace(r"\|", "|") for part in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
    bold = [re.fullmatch(r"\*\*(.+)\*\*", text) for text in texts]
    return tuple(Cell(mark[1], best=True) if mark else Cell(text) for text, mark in zip(texts, bold))
