"""Python values as Typst: escaped text in the prose, strings and arrays in the calls of tables and figures."""

import re
from collections.abc import Iterable
from typing import Any

from ctstyle.paper.document.numbers import REFERENCES
from ctstyle.paper.document.printed_table import PrintedTable

_SPECIAL = re.compile(r"([\\#$*_`<>@\[\]~/])|(?<=-)(-)")


class Typst(str):
    """Text that is Typst already and must not be escaped."""


def escape(value: Any) -> str:
    """A value of a placeholder as Typst markup: numbers as one writes them, text with its special characters escaped.

    Lists are joined by commas. What is of type `Typst` stays as it is.
    """
    if isinstance(value, Typst):
        return value
    if isinstance(value, list | tuple):
        return ", ".join(map(escape, value))
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", shown(value))


def shown(value: Any) -> str:
    """A plain value as it is printed: 10.0 is 10, 1e-05 is 1e-5, a negative number has a real minus."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    text = re.sub(r"e([-+])0*(\d)", r"e\1\2", text)
    return f"−{text[1:]}" if text.startswith("-") else text


def table_call(table: PrintedTable) -> Typst:
    """The call of the layout's `paper-table`; groups of rows get a heading in place of their first column."""
    # an arrow stays on the line of its last word
    header = [re.sub(" ([↑↓])$", "\N{NO-BREAK SPACE}\\1", name) for name in table.header]
    groups = table.groups()
    grouped = any(name for name, _ in groups)
    rows = []
    for name, members in groups:
        if grouped:
            rows.append(_array([_array([_string(name), "false"])]))
        rows += [_array(_array([_string(cell.text), str(cell.best).lower()]) for cell in row) for row in members]
    lines = [
        f"  number: {_string(table.number)},",
        f"  title: {_string(table.title)},",
        f"  header: {_array(map(_string, header[1:] if grouped else header))},",
        "  rows: (",
        *(f"    {row}," for row in rows),
        "  ),",
        f"  notes: {_array(map(_string, table.notes))},",
    ]
    return Typst("\n".join(["#paper-table(", *lines, ")"]) + "\n")


def figure_call(name: str, number: str, caption: str, *, floats: bool = True) -> Typst:
    """The call of the layout's `paper-figure`; `caption` is Typst already. Without `floats` it stands where it is."""
    place = "" if floats else ", placement: none"
    path = _string(f"figures/{name}.png")
    return Typst(f"#paper-figure({path}, {_string(number)}{place})[\n{caption.strip()}\n]\n")


def page(markdown: str) -> Typst:
    """A page of our own writer (a title, headings of level 2, paragraphs, lists) as Typst without its title."""
    lines = []
    for line in markdown.splitlines():
        if line.startswith("# "):
            continue
        mark = next((mark for mark in ("## ", "- ") if line.startswith(mark)), "")
        lines.append({"## ": "== ", "- ": "- ", "": ""}[mark] + escape(line.removeprefix(mark)))
    return Typst("\n".join(lines).strip())


def bibliography_call(bibtex: str) -> Typst:
    """The list of references, its BibTeX inside the source, between the marks that `numbers.prose` knows."""
    return Typst(f"{REFERENCES[0]}\n#bibliography(bytes(```bib\n{bibtex}```.text))\n{REFERENCES[1]}\n")


def _array(items: Iterable[str]) -> str:
    return f"({''.join(f'{item}, ' for item in items).rstrip()})"


def _string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
