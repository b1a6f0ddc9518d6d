"""The paper as a PDF: every number has an origin, cells are those of the tables, pages hold, bytes do not change."""

import io
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import typst
from PIL import Image

from ctstyle.cohorts.phantom import LICENCE
from ctstyle.errors import CTStyleError
from ctstyle.paper.document import (
    LAYOUT,
    LITERATURE,
    TEXT,
    PaperParts,
    paper_source,
    paper_text,
    read_parts,
    write_paper,
)
from ctstyle.paper.document.context import constants, derived, installed_versions, scanner_table
from ctstyle.paper.document.markup import escape
from ctstyle.paper.document.numbers import numbers_in, prose, typed_numbers, unexplained_numbers
from ctstyle.paper.document.printed_table import PaperError, read_printed_table
from ctstyle.paper.printed import printed_table1, printed_table2
from ctstyle.paper.write import Notes, Table, printed_cells, write_table
from ctstyle.study.config import checked

WEIGHTS = "VGG16 convolutions of #HED_2 [*edge*] <transplanted> in 13 layers"
TRUNK = "a $trunk$ of @someone"
FACTS = {
    "encoder": "vgg19",
    "weights_name": WEIGHTS,
    "lpips_trunk": TRUNK,
    "warm_up_steps": 1007,
    "transfer_steps": 213,
    "segmentation_steps": 419,
    "size_px": 96,
    "spacing_mm": 2.5,
    "window_hu": [-251, 751],
    "versions": {"torch": "2.15.0"},
    "commit": "",
}
METHODS = {"plain": "U-Net", "ours": "U-Net + ours", "oracle": "Oracle: all styles labelled"}


def _table1():
    rows = [
        {"check": check, "method": method, "seeds": 1, "patients": 6, "lpips_content": value, "edge_f1": 1 - value}
        for check, value in (("X to Y", 0.123), ("X to X", 0.0456))
        for method in ("Ours", "AdaIN synthesis")
    ]
    return Table(
        frame=pd.DataFrame(rows),
        row="method",
        group="check",
        printed=("lpips_content", "edge_f1"),
        counts=("patients",),
        measures_as_rows=True,
    )


def _table2():
    measures = ("pa", "miou", "foreground_iou", "dice", "foreground_iou_gain")
    rng, rows = np.random.default_rng(0), []
    for domain in ("In style (s1)", "Out of style (s2, s3, s4)", *(f"Style s{i}" for i in range(2, 9))):
        for method in METHODS.values():
            row = {"domain": domain, "method": method, "seeds": 1, "patients": 6}
            for name in measures:
                low, value, high = np.sort(rng.uniform(-99, 99, 3))
                row |= {name: value, f"{name}_low": low, f"{name}_high": high}
            if method == "U-Net":
                row["foreground_iou_gain"] = np.nan
            rows.append(row)
    return Table(
        frame=pd.DataFrame(rows), row="method", group="domain", printed=measures, counts=("patients",),
        no_contest=(METHODS["oracle"],),
    )  # fmt: skip


def _words(title, sentence):
    """A table of sentences in the form of our writer's Markdown."""
    lines = [f"**{title}**", "", "| No. | Says | Verdict |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {i} | {sentence} | not shown |" for i in range(1, 8)), "", "- A note."]) + "\n"


@pytest.fixture(scope="module")
def config():
    return checked({})


@pytest.fixture(scope="module")
def parts(tmp_path_factory, config):
    folder = tmp_path_factory.mktemp("paper")
    printed1, notes1 = printed_table1()
    printed2, notes2 = printed_table2()
    write_table(_table1(), folder / "table1", Notes("Content kept", ("A | note.",), number="Table 1"))
    write_table(_table2(), folder / "table2", Notes('Segmentation "here"', ("Of one \\ seed.",), number="Table 2"))
    write_table(printed1, folder / "table1_printed", Notes("As printed", notes1, number="Table 1"))
    write_table(printed2, folder / "table2_printed", Notes("As printed", notes2, number="Table 2"))
    long = r"The gain is 17.3 points over a plain network \| and so on, which nothing in the whole paper shows. " * 2
    (folder / "claims.md").write_text(_words("Claims", long.strip()))
    (folder / "errata.md").write_text(_words("Table 9. Errata", "PA 77.71"))
    sizes = {"figure1": (90, 30), "figure4": (80, 50), "figure5": (70, 50), "figure6": (50, 60), "figure7": (60, 50)}
    sizes |= {"figure9": (40, 90), "training": (50, 60), "hed.layers": (30, 60)}
    for name, (width, height) in sizes.items():
        Image.fromarray(np.full((height, width), 120, np.uint8)).save(folder / f"{name}.png")
    tables = ("table1", "table2", "table1_printed", "table2_printed", "claims", "errata")
    return PaperParts(
        config=config,
        facts=FACTS,
        tables={name: folder / name for name in tables},
        figures={name: folder / f"{name}.png" for name in sizes},
    )


@pytest.fixture(scope="module")
def pages(parts):
    """Every page of the paper as grey values at 72 dpi, one pixel per point."""
    return _pages(parts)


def _pages(parts):
    source, figures = paper_source(parts), parts.figures
    folder = figures["figure4"].parent
    (folder / "figures").mkdir(exist_ok=True)
    for name, path in figures.items():
        (folder / "figures" / f"{name}.png").write_bytes(path.read_bytes())
    (folder / "pages.typ").write_text(source)
    made = typst.compile(str(folder / "pages.typ"), format="png", ppi=72, ignore_system_fonts=True)
    return [np.asarray(Image.open(io.BytesIO(page)).convert("L")) for page in made]


def _unexplained(parts, text):
    tables = {name: read_printed_table(stem) for name, stem in parts.tables.items()}
    cells = [stem.with_suffix(".md").read_text() for stem in parts.tables.values()]
    return unexplained_numbers(text, parts.config, parts.facts, cells, constants(), derived(parts.config, tables))


# Numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("it rose by 18.09 points, from −3 to +4 %", ("18.09", "-3", "+4")),
        ("2-4 % at 1e-5, 96 × 96 px (1000).", ("2", "4", "1e-5", "96", "96", "1000")),
        ("VGG19 reads relu4_1 of LIDC-IDRI-0001, s1, U-Net, Wasserstein-1, F1, lidc0001", ()),
        ("doi 10.1186/s13673-020-00251-9 and Figure 4, Tables 1 and 2, Section 3, Equation 12, erratum 5", ()),
    ],
)
def test_numbers_of_a_sentence(text, numbers):
    assert numbers_in(text) == numbers


def test_prose_leaves_out_comments_formulas_and_references_and_nothing_else():
    text = "// 11\nsays \\[12\\] $13 + \\$ 14$ and 15\n// references\n16\n// end of references\nthen 17"
    assert numbers_in(prose(text)) == ("12", "15", "17")


def test_no_number_is_typed_into_the_text():
    assert typed_numbers(TEXT.read_text()) == ()


@pytest.mark.parametrize("planted", ["a gain of 18.09 points", "by 2-4 %", "{{ facts.encoder }} in 95 % of cases"])
def test_a_typed_number_is_found_in_the_text(planted):
    sentence = "It compared the arms"
    text = TEXT.read_text()
    assert sentence in text
    assert typed_numbers(text.replace(sentence, f"{planted}. {sentence}"))


def test_every_number_of_the_paper_comes_from_a_table_the_config_or_the_facts(parts):
    text = paper_text(parts)
    assert len(numbers_in(prose(text))) > 300
    assert _unexplained(parts, text) == ()


def test_a_planted_number_has_no_origin(parts):
    text = TEXT.read_text().replace("= Limits", "Of 6143 patients.\n\n= Limits")
    assert _unexplained(parts, paper_text(parts, text)) == ("6143",)


def test_numbers_follow_config_and_facts(parts):
    changed = {**parts.config, "transfer": {**parts.config["transfer"]}}
    changed["transfer"]["training"] = {**parts.config["transfer"]["training"], "bandwidth": 0.377}
    text = prose(paper_text(replace(parts, config=changed, facts={**FACTS, "transfer_steps": 5077})))
    assert "0.377" in text and "5077 steps of style transfer" in text and "213 steps" not in text


def test_ablations_have_a_section_where_they_were_made(parts, tmp_path):
    assert "What drives it" not in paper_text(parts)
    write_table(_table2(), tmp_path / "ablations", Notes("One setting at a time"))
    small = {**parts.config["ablations"], "bandwidth": [0.123, 0.456], "segment_steps": 7013}
    made = replace(
        parts,
        config={**parts.config, "ablations": small},
        tables={**parts.tables, "ablations": tmp_path / "ablations"},
        figures={**parts.figures, "ablation_bandwidth": parts.figures["figure4"]},
    )
    text = paper_text(made)
    section = text[text.index("== What drives it") : text.index("== Encoders")]
    assert "ablation_bandwidth" in section and "One setting at a time" in section
    assert "Band width: 0.123, 0.456" in section and "7013 steps for every U-Net" in section
    assert _unexplained(made, text) == ()


def test_cyclegan_is_described_and_cited_only_where_it_takes_part(parts):
    assert "CycleGAN" not in paper_text(parts)
    transfer = parts.config["transfer"]
    cyclegan = {**transfer["cyclegan"], "steps": 4321}
    with_model = {"transfer": {**transfer, "models": ["ours", "cyclegan"], "cyclegan": cyclegan}}
    with_arm = {"transfer": {**transfer, "cyclegan": cyclegan}, "segment": {"arms": ["plain", "cyclegan"]}}
    for changed in (with_model, with_arm):
        section = {key: {**parts.config[key], **value} for key, value in changed.items()}
        other = replace(parts, config={**parts.config, **section})
        text = paper_text(other)
        assert "CycleGAN* @zhu2017" in text and "4321 steps" in text and _unexplained(other, text) == ()
    assert "@inproceedings{zhu2017" in LITERATURE.read_text()


# Tables and captions


@pytest.mark.parametrize("name", ["table1", "table2", "table1_printed", "table2_printed"])
def test_cells_are_those_our_writer_prints(parts, name):
    table = {"table1": _table1(), "table2": _table2()}.get(name)
    table = table or {"table1_printed": printed_table1, "table2_printed": printed_table2}[name]()[0]
    header, groups = printed_cells(table)
    read = read_printed_table(parts.tables[name])
    assert list(read.header) == header and read.number == f"Table {name[5]}"
    assert [list(row) for row in read.rows] == [row for _, rows in groups for row in rows]


def test_groups_are_runs_of_the_first_column(parts):
    table2 = read_printed_table(parts.tables["table2"])
    assert [name for name, _ in table2.groups()][:2] == ["In style (s1)", "Out of style (s2, s3, s4)"]
    assert all(len(rows) == 3 and rows[0][0].text == "U-Net" for _, rows in table2.groups())
    assert [name for name, _ in read_printed_table(parts.tables["errata"]).groups()] == [""]


def test_notes_and_pipes_survive(parts):
    assert read_printed_table(parts.tables["table1"]).notes[0] == "A | note."
    assert "network | and so on" in read_printed_table(parts.tables["claims"]).rows[0][1].text
    errata = read_printed_table(parts.tables["errata"])
    assert (errata.number, errata.title) == ("Table 9", "Errata")


def test_every_cell_and_figure_is_in_the_source(parts):
    source = paper_source(parts)
    for stem in parts.tables.values():
        for row in read_printed_table(stem).rows:
            assert all(cell.text in source for cell in row)
    for name in parts.figures:
        assert source.count(f'"figures/{name}.png"') == 1


def test_captions_of_generated_slices_say_what_was_run(parts):
    text = paper_text(parts)
    for name in ("figure5", "figure6", "figure7"):
        caption = prose(re.search(rf"{name}\.png[^\n]*\[\n(.*?)\n\]\n", text, re.DOTALL)[1])
        for said in ("vgg19", WEIGHTS, "1007 steps", "213 steps", "contextual content loss", "MSE", "seed 0"):
            assert said in caption, (name, said)
        assert "−251 to 751 HU" in caption and "simulated" in caption and "silver" in caption


def test_tables_name_the_losses(parts):
    for name in ("table1", "table2"):
        number = read_printed_table(parts.tables[name]).title.replace('"', '\\"')
        table = paper_text(parts).split(f'title: "{number}"')[1].split("#paper-")[0]
        assert "contextual content loss" in table and "MSE to the AdaIN target" in table


def test_licences_and_cohorts(parts):
    text = prose(paper_text(parts))
    assert "CC BY 3.0" in text and "10.7937/k9/tcia.2015.lo9ql9sx" in text and LICENCE in text
    alone = prose(paper_text(replace(parts, config={**parts.config, "cohorts": ["phantom"]})))
    assert "silver" not in alone and "LIDC" not in alone and "CC BY" not in alone


@pytest.mark.parametrize(
    ("cohort", "words"),
    [("spine_mets", "10.7937/kh36-ds04"), ("verse", "CC BY-SA 4.0"), ("totalsegmentator", "Wasserthal")],
)
def test_public_collections_are_attributed(parts, cohort, words):
    config = {**parts.config, "cohorts": ["phantom", cohort]}
    assert words in prose(paper_text(replace(parts, config=config)))
    assert words not in prose(paper_text(replace(parts, config={**config, "cohorts": ["phantom"]})))


def test_the_abstract_states_the_gains_of_table_2(parts):
    cells = read_printed_table(parts.tables["table2"]).rows
    gain = next(row[-1].text for row in cells if row[0].text.startswith("Out") and row[1].text == "U-Net + ours")
    assert f"U-Net + ours {gain};" in prose(paper_text(parts)).split("= What was rebuilt")[0]


def test_lineage_and_commit_stand_only_where_there_are_any(parts):
    assert "Lineage" not in paper_text(parts) and "Commit" not in paper_text(parts)
    text = paper_text(replace(parts, root_digest="f00d" * 16, facts={**FACTS, "commit": "abc123"}))
    # the audit looks for this line
    assert text.splitlines().count(f'#let root = "{"f00d" * 16}"') == 1 and "Commit abc123" in text
    assert text.count("f00d") == 16 and text.count("#root") == 2


def test_several_seeds_are_not_called_one(parts):
    segment = {**parts.config["segment"], "seeds": None}
    text = prose(paper_text(replace(parts, config={**parts.config, "seeds": [4, 5, 6], "segment": segment})))
    assert "3 seeds (4, 5, 6)." in text and "One seed" not in text
    text = prose(paper_text(parts))
    assert "one seed (0), and U-Nets of 3 seeds (0, 1, 2)." in text and "U-Nets have 3 seeds" in text


def test_the_answer_is_a_section_and_its_numbers_have_an_origin(parts):
    answer = "# Is it worth it?\n\nUse U-Net + ours: +24.0 [−1.0, 2.0].\n\n## The arms\n\n- one_arm, #2\n"
    text = paper_text(replace(parts, answer=answer))
    section = text.split("= Is it worth it?\n")[1].split("= Claims")[0]
    assert r"Use U-Net + ours: +24.0 \[−1.0, 2.0\]." in section and "\n== The arms\n" in section
    assert "\n- one\\_arm, \\#2\n" in section
    assert "Is it worth it" not in paper_text(parts)
    write_paper(replace(parts, answer=answer), parts.figures["figure4"].with_name("answered.pdf"))


def test_every_citation_is_in_the_literature_and_the_reverse():
    cited = set(re.findall(r"@([a-z]+\d*)", TEXT.read_text()))
    assert cited == set(re.findall(r"^@\w+{(\w+),", LITERATURE.read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    ("value", "markup"),
    [(10.0, "10"), (1e-5, "1e-5"), (-250, "−250"), ("a_b#c", r"a\_b\#c"), ([1, 2.5], "1, 2.5"), ("--", r"-\-")],
)
def test_values_become_markup(value, markup):
    assert escape(value) == markup


def test_compared_encoders_are_captioned_with_their_own_budget(parts):
    small = {"encoders": ["vgg19", "resnet50"], "weights": "random", "size_px": 48, "warm_up_steps": 31, "steps": 17}
    config = {**parts.config, "comparison": {**small, "style_weights": [2, 5]}}
    text = prose(paper_text(replace(parts, config=config)))
    caption = text.split("figure9.png")[1].split("\n]\n")[0]
    for said in ("random weights, untrained", "48 px", "31 steps", "17 steps", "contextual content loss", "seed 0"):
        assert said in caption
    assert WEIGHTS not in caption


@pytest.mark.parametrize(("lists", "said"), [("deep", "relu5_2"), ("selected", "selected from the layer")])
def test_content_taps_follow_the_layer_lists(parts, lists, said):
    transfer = {**parts.config["transfer"], "layers": lists}
    text = prose(paper_text(replace(parts, config={**parts.config, "transfer": transfer})))
    assert said in re.search("Content taps: (.*?);", text)[1]


# The PDF


def test_two_prints_are_the_same_bytes_and_the_source_compiles_to_them(parts, tmp_path):
    for name in ("a", "b"):
        write_paper(parts, tmp_path / f"{name}.pdf", tmp_path / f"{name}.typ")
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and pdf == (tmp_path / "b.pdf").read_bytes()
    (tmp_path / "figures").mkdir()
    for name, path in parts.figures.items():
        (tmp_path / "figures" / f"{name}.png").write_bytes(path.read_bytes())
    assert typst.compile(str(tmp_path / "a.typ"), ignore_system_fonts=True) == pdf
    assert not list(tmp_path.glob("*.tmp"))


def test_pages_are_a4_and_none_is_empty(pages):
    assert len(pages) > 6
    for page in pages:
        assert page.shape == (842, 595)
        assert (page[60:770] < 200).sum() > 1000


def _margin(page):
    """The darkest grey value of a page's margins: of 170 mm of width 20 mm, that is 57 points, on both sides."""
    return min(page[:, :55].min(), page[:, -55:].min(), page[-25:].min())


def test_nothing_stands_in_the_margins(pages):
    assert min(map(_margin, pages)) > 250


def test_a_wide_table_stays_on_the_page(parts, tmp_path):
    header = [f"Measure number {i} in its unit" for i in range(11)]
    rows = [[f"Method {i}", *(f"{i}.123 [{i}.101, {i}.145]" for _ in header[1:])] for i in range(5)]
    lines = ["**Table 3. Wide**", ""] + ["| " + " | ".join(row) + " |" for row in (header, ["---"] * 11, *rows)]
    (tmp_path / "table3.md").write_text("\n".join(lines) + "\n")
    pages = _pages(replace(parts, tables={**parts.tables, "table3": tmp_path / "table3"}))
    assert min(map(_margin, pages)) > 250


def test_the_layout_asks_for_fonts_that_typst_brings():
    asked = set(re.findall(r'font: "([^"]+)"', LAYOUT.read_text()))
    assert asked and asked <= set(typst.Fonts(include_system_fonts=False).families())


# Faults


def _without(mapping, name):
    return {key: value for key, value in mapping.items() if key != name}


def _fault(parts, tmp_path):
    """What is said of a paper that cannot be written; nothing of it is left."""
    with pytest.raises(PaperError) as found:
        write_paper(parts, tmp_path / "out" / "paper.pdf", tmp_path / "out" / "paper.typ")
    assert isinstance(found.value, CTStyleError) and found.value.fix
    assert not list(tmp_path.glob("out/*"))
    return str(found.value)


@pytest.mark.parametrize("name", ["table2", "claims", "errata"])
def test_a_table_that_was_not_handed_over_is_named(parts, tmp_path, name):
    assert re.search(f"needs the table {name}", _fault(replace(parts, tables=_without(parts.tables, name)), tmp_path))


def test_a_missing_file_is_named(parts, tmp_path):
    assert re.search(
        r"costs\.md: a table", _fault(replace(parts, tables={**parts.tables, "costs": tmp_path / "costs"}), tmp_path)
    )
    figures = {**parts.figures, "figure5": tmp_path / "gone.png"}
    assert re.search(r"gone\.png: the figure figure5 is missing", _fault(replace(parts, figures=figures), tmp_path))
    assert re.search(
        "needs the figure figure7", _fault(replace(parts, figures=_without(parts.figures, "figure7")), tmp_path)
    )


def test_a_foreign_table_is_refused(parts, tmp_path):
    (tmp_path / "claims.md").write_text("# Claims\n\nnone\n")
    assert re.search(
        "not a table of our own",
        _fault(replace(parts, tables={**parts.tables, "claims": tmp_path / "claims"}), tmp_path),
    )


def test_a_figure_without_caption_is_refused(parts, tmp_path):
    figures = {**parts.figures, "holiday": parts.figures["figure4"]}
    assert re.search("no caption .*holiday", _fault(replace(parts, figures=figures), tmp_path))


def test_a_broken_png_is_refused(parts, tmp_path):
    (tmp_path / "figure4.png").write_bytes(b"\x89PNG nothing")
    figures = {**parts.figures, "figure4": tmp_path / "figure4.png"}
    assert re.search("Typst refuses", _fault(replace(parts, figures=figures), tmp_path))


@pytest.mark.parametrize("key", ["warm_up_steps", "lpips_trunk"])
def test_a_missing_fact_is_named(parts, tmp_path, key):
    assert re.search(key, _fault(replace(parts, facts=_without(FACTS, key)), tmp_path))


def test_a_missing_section_is_named(parts, tmp_path):
    assert re.search("augment", _fault(replace(parts, config=_without(parts.config, "augment")), tmp_path))


def test_a_further_table_is_printed_behind_the_others(parts, tmp_path):
    (tmp_path / "taps.md").write_text(_words("Table 7. All taps", "none"))
    text = paper_text(replace(parts, tables={**parts.tables, "taps": tmp_path / "taps"}))
    assert text.index("= Further tables") < text.index('title: "All taps"') < text.index("= Limits")
    assert "Further tables" not in paper_text(parts)


def test_parts_from_files(parts, tmp_path):
    for name in ("weights", "trunk"):
        (tmp_path / f"{name}.json").write_text(f'{{"true_name": "true {name}"}}')
    stems = parts.tables.values()
    made = read_parts(
        tables=[stem.with_suffix(form) for stem in stems for form in (".csv", ".md")],
        figures=list(map(str, parts.figures.values())),
        weights=tmp_path / "weights.json",
        trunk=tmp_path / "trunk.json",
        config=parts.config,
        facts=_without(_without(FACTS, "weights_name"), "versions"),
    )
    assert made.tables == parts.tables and made.figures == parts.figures
    assert made.facts["weights_name"] == "true weights" and made.facts["lpips_trunk"] == "true trunk"
    assert made.facts["versions"] == installed_versions() and made.facts["versions"]["typst"].startswith("0.")


def test_a_scanner_that_is_left_out_is_in_no_table():
    styles = {"standard": {"kvp": 120, "mas": 110}, "soft_display": None}
    assert [row[0].text for row in scanner_table(styles).rows] == ["standard"]
