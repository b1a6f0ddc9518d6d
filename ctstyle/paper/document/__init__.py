"""The paper as one PDF: text, tables and figures of a run, set by Typst.

`paper.typ` is the layout, `paper.typ.j2` the text with a placeholder for every number, `references.bib` the literature.
The same inputs give the same bytes: no date, and only fonts that Typst brings along.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import typst
from jinja2 import Environment, StrictUndefined, UndefinedError

from ctstyle.paper.document.context import constants, derived, installed_versions, true_name
from ctstyle.paper.document.markup import Typst, bibliography_call, escape, figure_call, page, table_call
from ctstyle.paper.document.printed_table import PaperError, PrintedTable, read_printed_table

HERE = Path(__file__).parent.parent
LAYOUT, TEXT, LITERATURE = HERE / "paper.typ", HERE / "paper.typ.j2", HERE / "references.bib"

REQUIRED_TABLES = ("table1", "table2", "table1_printed", "table2_printed", "claims", "errata")
"""Without these there is no paper; other tables are printed where they were made."""
REQUIRED_FIGURES = ("figure4", "figure5", "figure6", "figure7")

__all__ = ["PaperError", "PaperParts", "paper_source", "paper_text", "read_parts", "write_paper"]


@dataclass(frozen=True, kw_only=True)
class PaperParts:
    """What the paper is made of.

    `config` is the checked config (sections cohorts, seeds, phantom, slices, styles, split, encoders, transfer,
    augment, segment, paper, and comparison where Figures 8, 9 or the sweep are printed). `facts` is what is known of
    the run: encoder, weights_name and lpips_trunk (true names), warm_up_steps, transfer_steps, segmentation_steps,
    size_px, spacing_mm, window_hu, and versions (name to version) and commit where known. `tables` maps a table's name
    to its stem, `figures` a figure's name to its PNG; a figure `<which>.layers` shows the layers of the weights
    <which>. `answer` is the text of `answer.md` and
    `root_digest` the digest of the run's lineage, both empty where there is none.
    """

    config: Mapping[str, Any]
    facts: Mapping[str, Any]
    tables: Mapping[str, Path]
    figures: Mapping[str, Path] = field(default_factory=dict)
    answer: str = ""
    root_digest: str = ""


def read_parts(
    *,
    tables: Iterable[Path | str],
    figures: Iterable[Path | str],
    weights: Path | str,
    trunk: Path | str,
    config: Mapping[str, Any],
    facts: Mapping[str, Any],
    answer: str = "",
    root_digest: str = "",
) -> PaperParts:
    """The parts from a run's files; a table's or figure's name is its file's name without the last suffix.

    `weights` and `trunk` are the JSON files beside the weights of the encoder and of LPIPS. Versions are those that are
    installed here.
    """
    stems = sorted({Path(path).with_suffix("") for path in tables})
    names = {"weights_name": true_name(weights), "lpips_trunk": true_name(trunk)}
    return PaperParts(
        config=config,
        facts={"versions": installed_versions(), **facts, **names},
        tables={stem.name: stem for stem in stems},
        figures={Path(path).stem: Path(path) for path in figures},
        answer=answer,
        root_digest=root_digest,
    )


def write_paper(parts: PaperParts, output: Path | str, source: Path | str | None = None) -> None:
    """Write the PDF to `output`, and its Typst source to `source` where that is given; each whole or not at all.

    The source names figures as `figures/<name>.png`, so it compiles by hand where it lies beside that folder. Raises
    PaperError for a missing or unknown table or figure, a missing key, and for text that Typst refuses.
    """
    text = paper_source(parts)
    pdf = _compile(text, parts.figures)
    _replace(Path(output), pdf)
    if source is not None:
        _replace(Path(source), text.encode())


def paper_source(parts: PaperParts) -> str:
    """The whole Typst source: the layout, then the text."""
    return LAYOUT.read_text(encoding="utf-8") + "\n" + paper_text(parts)


def paper_text(parts: PaperParts, template: str | None = None) -> str:
    """The text of the paper with every placeholder filled, in Typst; `template` replaces the text source (tests)."""
    tables = _read_tables(parts.tables)
    _check_figures(parts.figures)
    placed: set[str] = set()
    layers = [name for name in parts.figures if name.endswith(".layers")]
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, finalize=escape, keep_trailing_newline=True
    )
    environment.filters["typst"] = Typst
    context = {
        "config": parts.config,
        "facts": {"versions": {}, "commit": "", **parts.facts},
        "tables": tables,
        "figures": parts.figures,
        "root_digest": parts.root_digest,
        "answer": page(parts.answer),
        "constants": constants(),
        "table": _table_placer(tables, placed),
        "table_of": table_call,
        "figure": _figure_placer(parts.figures, placed),
        "layers": layers,
        "appendix": layers or any(name in parts.figures for name in ("style_space", "training")),
        "bibliography": bibliography_call(LITERATURE.read_text(encoding="utf-8")),
        "unplaced_tables": lambda: [name for name in tables if name not in placed],
    }
    try:
        context["derived"] = derived(parts.config, tables)
        text = environment.from_string(template or TEXT.read_text(encoding="utf-8")).render(context)
    except (UndefinedError, KeyError) as error:
        raise PaperError(
            "a value that the text needs is missing",
            where="paper.pdf",
            found=str(error),
            expected="the checked config and the facts of the run",
            fix="Hand the section to write_paper (PaperParts.config or .facts).",
        ) from error
    unknown = sorted(set(parts.figures) - placed)
    if unknown:
        raise PaperError(
            "the paper has no caption for this figure",
            where=parts.figures[unknown[0]],
            found=unknown[0],
            expected="a figure that paper.typ.j2 knows",
            fix="Give it a caption there, or leave it out.",
        )
    return text


def _read_tables(stems: Mapping[str, Path]) -> dict[str, PrintedTable]:
    missing = [name for name in REQUIRED_TABLES if name not in stems]
    if missing:
        raise PaperError(
            f"the paper needs the table {missing[0]}",
            where="paper.pdf",
            found=", ".join(stems) or "no table",
            expected=", ".join(REQUIRED_TABLES),
            fix="Make it and hand its stem to write_paper.",
        )
    return {name: read_printed_table(stem) for name, stem in stems.items()}


def _check_figures(figures: Mapping[str, Path]) -> None:
    for name in REQUIRED_FIGURES:
        if name not in figures:
            raise PaperError(
                f"the paper needs the figure {name}",
                where="paper.pdf",
                found=", ".join(figures) or "no figure",
                expected=", ".join(REQUIRED_FIGURES),
                fix="Draw it and hand its PNG to write_paper.",
            )
    for name, path in figures.items():
        if not Path(path).is_file():
            raise PaperError(
                f"the figure {name} is missing",
                where=path,
                found="no file",
                expected="a PNG",
                fix="Run the rule that draws it first.",
            )


def _table_placer(tables: Mapping[str, PrintedTable], placed: set[str]) -> Callable[..., Typst]:
    def table(name: str, *notes: str) -> Typst:
        """The call that prints a table with `notes` before its own; nothing where an optional table was not made."""
        if name not in tables:
            return Typst("")
        placed.add(name)
        return table_call(replace(tables[name], notes=(*notes, *tables[name].notes)))

    return table


def _figure_placer(figures: Mapping[str, Path], placed: set[str]) -> Callable[..., Typst]:
    def figure(name: str, number: str, caller: Callable[[], str], floats: bool = True) -> Typst:
        """The call that prints a figure under the caption of the block; nothing where it was not drawn."""
        if name not in figures:
            return Typst("")
        placed.add(name)
        return figure_call(name, number, caller(), floats=floats)

    return figure


def _compile(source: str, figures: Mapping[str, Path]) -> bytes:
    """The PDF's bytes. Typst reads images from files below its root only, so they are copied beside the source."""
    with tempfile.TemporaryDirectory() as folder:
        main, images = Path(folder) / "paper.typ", Path(folder) / "figures"
        images.mkdir()
        main.write_text(source, encoding="utf-8")
        for name, path in figures.items():
            shutil.copyfile(path, images / f"{name}.png")
        try:
            return typst.compile(str(main), root=folder, format="pdf", ignore_system_fonts=True)
        except typst.TypstError as error:
            raise PaperError(
                "Typst refuses the paper",
                where="paper.typ",
                found=f"{error.message} {' '.join(error.hints)}".strip(),
                expected="a source that compiles",
                fix="Look for a broken PNG among the figures or a fault in paper.typ.j2.",
            ) from error


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
