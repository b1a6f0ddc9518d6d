"""Errata: numbers that follow from printed ones, and three files that other programs can read."""

import csv
import io
import re
from decimal import Decimal

import pandas as pd
import pytest

from ctstyle.measures.columns import PaperInputError
from ctstyle.paper import printed as module
from ctstyle.paper.printed import claimed_gain, errata, printed_table2
from ctstyle.paper.write import Notes, TextTable, text_latex, text_markdown, to_csv, write_table

NOTES = Notes("A title, 5 %", ("One & two.",), number="Table 9")


def cell(number, column):
    frame = errata()[0].frame.set_index("number")
    return frame.loc[str(number), column]


def small(*rows):
    frame = pd.DataFrame(rows, columns=["a", "b"])
    return TextTable(frame=frame, headings={"a": "A", "b": "B"}, shares={"a": 0.3, "b": 0.5})


def test_the_numbers_are_those_of_the_paper():
    # The values of the paper's Tables 1 and 2, taken from the page and subtracted by hand (exact decimals).
    gains = [Decimal("95.80") - Decimal("77.71"), Decimal("69.81") - Decimal("31.66")]
    for number in (1, 7):
        assert [f"{gain:+}" for gain in gains] == re.findall(r"[+]\d+\.\d+", cell(number, "wrong"))
        assert claimed_gain() == "2 to 4 %" and claimed_gain() in cell(number, "printed")
    assert str(Decimal("77.71") / 2) in cell(2, "wrong")
    assert "77.71" in cell(2, "printed") and "31.66" in cell(2, "printed")
    assert "0.137" in cell(4, "printed") and "0.124" in cell(4, "printed")
    assert "higher CIS is better" in cell(4, "wrong")  # 0.137 of AdaIN lies above 0.124
    assert cell(3, "wrong").startswith("6 are listed")


def test_differences_follow_the_printed_frame(monkeypatch):
    def other():
        """The printed Table 2 with another first row."""
        table, notes = printed_table2()
        table.frame.loc[0, ["pa", "least_miou"]] = [60.0, 30.0]
        table.frame.loc[1, ["pa_gain", "miou_gain"]] = [35.8, 1.5]
        return table, notes

    monkeypatch.setattr(module, "printed_table2", other)
    assert "+35.80 points of PA and +1.50 points of MIoU" in cell(1, "wrong")
    assert "30.000" in cell(2, "wrong") and "60.00" in cell(2, "printed")


def test_all_errata_of_the_method_are_there_once():
    table, _ = errata()
    assert table.frame["number"].tolist() == [str(i) for i in range(1, 8)]
    places = " ".join(table.frame["place"])
    for place in ("Introduction", "Abstract", "Table 2", "Table 1", "Equation 7", "Equation 12", "encoders"):
        assert place in places
    assert table.frame.map(lambda text: isinstance(text, str) and len(text) > 0).all(axis=None)


def test_the_three_files(tmp_path):
    table, notes = errata()
    paths = [tmp_path / "new" / f"errata.{form}" for form in ("csv", "md", "tex")]
    write_table(table, tmp_path / "new" / "errata", notes)
    assert list(csv.DictReader(io.StringIO(paths[0].read_text()))) == table.frame.to_dict("records")
    assert sorted(tmp_path.rglob("*")) == sorted([tmp_path / "new", *paths])  # nothing half written stays
    before = [path.read_bytes() for path in paths]
    write_table(table, tmp_path / "new" / "errata", notes)
    assert before == [path.read_bytes() for path in paths]


def test_markdown_keeps_the_columns_of_cells_with_pipes():
    text = text_markdown(small(("x | y", "z")), NOTES)
    lines = text.splitlines()
    assert lines[0] == "**Table 9. A title, 5 %**" and lines[-1] == "- One & two."
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")] == [3, 3, 3]


def test_latex_escapes_and_has_one_paragraph_column_per_column():
    text = text_latex(small(("x_j & 5 %", "≥ 2"), ("c", "d")), NOTES)
    assert r"x\_j \& 5 \% & $\geq$ 2 \\" in text and r"\caption{A title, 5 \%}" in text and r"One \& two.\par" in text
    assert text.count(r"p{") == 2 and text.count(r"\addlinespace") == 1
    for begin, end in (("{", "}"), (r"\begin{", r"\end{")):
        assert text.count(begin) == text.count(end)


def test_the_errata_hold_no_character_that_latex_does_not_know():
    table, notes = errata()
    assert text_latex(table, notes).isascii()


def test_csv_has_the_columns_names():
    assert to_csv(small(("x", "y, z"))) == 'a,b\nx,"y, z"\n'


@pytest.mark.parametrize(
    "headings, shares",
    [({"a": "A"}, {"a": 0.3, "b": 0.5}), ({"a": "A", "b": "B"}, {"a": 0.6, "b": 0.5})],
)
def test_headings_and_shares_must_fit(headings, shares):
    with pytest.raises(PaperInputError, match="do not fit the columns"):
        TextTable(frame=pd.DataFrame([("x", "y")], columns=["a", "b"]), headings=headings, shares=shares)
