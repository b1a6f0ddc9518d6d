"""The digest of the code a script runs: itself and every module of this package that it imports, directly or not.

Snakemake does not notice an edited module behind an unchanged script; with this digest as a param it does. A script
that runs a function by its place ("module:function") imports that module late; the digest takes the place beside it.
"""

import functools
import importlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ctstyle.errors import CTStyleError
from ctstyle.provenance.digest import listing_digest, sha256_file

PACKAGE = "ctstyle"


class UnknownScript(CTStyleError):
    """A rule asks for the code digest of a script that does not exist or imports nothing of the library."""


IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<of>[\w.]+)[ \t]+import[ \t]*(?P<names>\([^)]*\)|[^\n]*)|import[ \t]+(?P<whole>[^\n]+))",
    flags=re.MULTILINE,
)
"""Import statements; parsing the syntax of every module took a third of a second in each job."""


def imported_modules(source: str, package: str = PACKAGE) -> set[str]:
    """The dotted names inside `package` that a Python source imports, at any depth of nesting.

    Lines of a docstring that read like an import count too: a module too many does no harm.
    """
    names: set[str] = set()
    for found in IMPORT.finditer(source):
        if found["whole"]:
            names.update(part.split()[0] for part in found["whole"].partition("#")[0].split(",") if part.strip())
        else:
            told = re.sub(r"#[^\n]*", "", found["names"]).strip("()\\ \t\n")
            names.add(found["of"])
            names.update(f"{found['of']}.{part.split()[0]}" for part in told.split(",") if part.strip())
    return {name for name in names if name.split(".")[0] == package}


@functools.cache
def _imports_of(path: Path) -> frozenset[str]:
    return frozenset(imported_modules(path.read_text()))


def load(place: str) -> Callable[..., Any]:
    """The function at a place ("module:function")."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def modules_of(script: Path, root: Path, place: str = "") -> dict[str, Path]:
    """Every module that `script` and the function at `place` need, by dotted name, found by following the imports."""
    found: dict[str, Path] = {}
    waiting, seen = [*_imports_of(script), *([place.partition(":")[0]] if place else [])], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        path = _file_of(name, root)
        if path is None:
            continue
        found[name] = path
        waiting.extend(_imports_of(path))
        if "." in name:
            waiting.append(name.rpartition(".")[0])
    return found


@functools.cache
def code_digest(script: Path, root: Path, place: str = "") -> str:
    """SHA-256 over the script and its modules, by name and content; where they lie does not matter."""
    listed = code_dependencies(script, root, place)
    return listing_digest((name.removeprefix("code:"), sha256) for name, sha256 in listed)


def code_dependencies(script: Path, root: Path, place: str = "") -> list[tuple[str, str]]:
    """(`code:` name, SHA-256) of a script and of every module that it and the function at `place` import, sorted.

    Raises UnknownScript.
    """
    if not script.is_file():
        raise UnknownScript("no such script", where=script, fix="Name the script as the rule that runs it.")
    modules = modules_of(script, root, place)
    if not modules:
        raise UnknownScript(
            "the script imports nothing of the library", where=script, found="no module", expected=f"import {PACKAGE}"
        )
    return sorted(
        (f"code:{file.relative_to(root).as_posix()}", sha256_file(file)) for file in {script, *modules.values()}
    )


def file_digests(names: Iterable[str], root: Path) -> dict[str, str]:
    """SHA-256 of files that a script reads and no module imports, by their place in the checkout or absolute.

    They are params and no inputs: in a clone at another place the paths of inputs would differ, and all run again.
    """
    return {name: sha256_file(root / name) for name in names}


def workflow_files(root: Path) -> list[str]:
    """The files of the workflow itself, by their place in the checkout."""
    return ["Snakefile", *(f"rules/{path.name}" for path in sorted((root / "rules").glob("*.smk")))]


def within_checkout(paths: Iterable[Path | str], root: Path) -> list[str]:
    """The paths, by their place in the checkout where they lie there; else absolute."""
    real = [Path(path).resolve() for path in paths]
    return [str(path.relative_to(root.resolve()) if path.is_relative_to(root.resolve()) else path) for path in real]


@functools.cache
def _file_of(name: str, root: Path) -> Path | None:
    path = root.joinpath(*name.split("."))
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None
