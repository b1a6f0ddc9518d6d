"""The public name of every file and folder in records, manifest, lineage and seal (docs/provenance.md).

`results/<path>` is a file of the run, wherever its results lie, and `code:<path>` one of the checkout. All else is
private: its name is `source:` and what the sheet, the config or the rule calls it, never the name of a folder or file.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ctstyle.errors import CTStyleError

RESULTS = "results"
"""What stands in every name for the folder of results, whatever it is called."""
RECORDS, SOURCES = "provenance/records", "provenance/sources.json"
SUMS, SIGNATURE = "provenance/SHA256SUMS", "provenance/SHA256SUMS.sig"
ROOT, PAGE = "provenance/root.json", "provenance/root.html"
PRODUCTS = "provenance/products.json"
"""What the run is for, so that a file taken away with its record is missed."""
UNAUDITED = ("logs", "benchmarks")
"""Folders of the results whose files differ from run to run."""
LONGEST_NAME = 1000
_PART, _CODE_PART = "[A-Za-z0-9_][A-Za-z0-9_.+-]{0,254}", r"\w[\w.+,=@ -]*"
_NAME = re.compile(f"({RESULTS}/|source:){_PART}(/{_PART})*|code:{_CODE_PART}(/{_CODE_PART})*|git:HEAD")
CODE_PARTS = ("ctstyle", "scripts", "rules", "report", "envs", "config", "tests", "Snakefile")
"""What of a checkout is code and config."""
USER_PATHS = {"sheet", "wheels.folder", "encoders.file.path", "stylize.output", "address"}
"""Params, and keys of config sections in params, that hold a path of the user's (the whole config is without them);
beside them any `address` and `pinned` of a cohort's section."""
SCAN = {"scan", "cohort", "series", "mask"}
"""Keys of a row of the sheet."""


class NotNamed(CTStyleError):
    """A file that has no public name: neither of the run nor of the checkout, and nobody said what it is."""


def inside(name: str) -> bool:
    """Whether a name lies under the results."""
    return name.startswith(f"{RESULTS}/")


def named(path: str) -> str:
    """The name of a file given relative to the results."""
    return f"{RESULTS}/{path}"


def within(name: str) -> str:
    """The path, relative to the results, of a name under them."""
    return name.removeprefix(f"{RESULTS}/")


def is_safe(name: str) -> bool:
    """Whether a name has the form of one: `results/`, `source:` or `code:` and a relative path, or `git:HEAD`.

    Parts of a path begin with a letter, a digit or `_`: none is hidden, empty or `..`, and no name is an option. Files
    of the checkout may be called in any language.
    """
    return len(name) <= LONGEST_NAME and bool(_NAME.fullmatch(name))


@dataclass(frozen=True)
class Names:
    """The names of one job's files.

    `results` is the run's results folder (None for a job without a record), `root` the checkout. Relative paths are
    relative to `working_folder`. `private` are the names of other files by absolute path.
    """

    results: Path | None
    root: Path
    working_folder: Path
    private: Mapping[Path, str] = field(default_factory=dict)

    def of(self, path: Path | str) -> str:
        """The name of a file. Raises NotNamed."""
        name = self.of_run(path) or self.private.get(self.place(path)) or self._of_code(path)
        if name is None:
            raise NotNamed(
                "a file without a public name",
                where=Path(path).name,
                expected="a file of the results or the checkout, a scan of the sheet, or an input of the rule",
                fix="Declare it as an input of the rule.",
            )
        return name

    def of_run(self, path: Path | str) -> str | None:
        """The name of a file in the results; None elsewhere."""
        place = self.place(path)
        if self.results is None or not place.is_relative_to(self.place(self.results)):
            return None
        return (Path(RESULTS) / place.relative_to(self.place(self.results))).as_posix()

    def of_scan(self, row: Mapping[str, str]) -> dict[str, str]:
        """The names of a scan's series and mask, by their paths in its row of the sheet; empty paths have none."""
        own = f"source:{row['cohort']}/{row['scan']}"
        named = {row["mask"]: f"{own}/mask", row["series"]: own}
        return {path: self.of_run(path) or name for path, name in named.items() if path}

    def told(self, value: Any, key: str = "") -> Any:
        """Params or config as a record tells them (JSON types): every path by its name, all else as it is.

        `key` is where the value stands (`encoders.file.path`).
        """
        if isinstance(value, Mapping):
            scan = self.of_scan(value) if value.keys() >= SCAN else {}
            rows = {one: scan.get(value[one], "") for one in ("series", "mask") if scan}
            inner = {one: self.told(part, f"{key}.{one}" if key else one) for one, part in value.items()}
            # keys of `configs` are paths
            return {self.private.get(Path(one), one): part for one, part in (inner | rows).items()}
        if isinstance(value, list):
            return [self.told(one, key) for one in value]
        return self._told_text(value, key) if isinstance(value, str) else value

    def _told_text(self, text: str, key: str) -> str:
        # an address and a path with a pathvar (<results>/stylized) name nobody
        asked = (key in USER_PATHS or key.endswith((".address", ".pinned"))) and not ("://" in text or "<" in text)
        elsewhere = text.startswith(("/", "../"))
        if (text and asked) or elsewhere or (self.results is not None and text.startswith(f"{self.results}/")):
            name = f"source:{key.replace('.', '/')}"
            return self.of_run(text) or (None if asked else self._of_code(text)) or name
        return text

    def _of_code(self, path: Path | str) -> str | None:
        place, root = self.place(path), self.place(self.root)
        inside = place.relative_to(root) if place.is_relative_to(root) else Path()
        return f"code:{inside.as_posix()}" if inside.parts[:1] and inside.parts[0] in CODE_PARTS else None

    def place(self, path: Path | str) -> Path:
        """The path from the root; links stay, since results may be a link to a larger disk."""
        return Path(os.path.normpath(Path(self.working_folder).absolute() / path))


def names_of_job(
    rule: str,
    params: Mapping[str, Any],
    inputs: Mapping[str, Sequence[Path | str]],
    *,
    results: Path | str | None,
    root: Path | str,
    working_folder: Path | str,
) -> Names:
    """The names of all files that a job of `rule` reads: this is the one place where private files get theirs.

    Scans are called as in the sheet, paths of the config by their keys, config files outside the checkout by their
    order, and any other input by the rule and its key. `params` and `inputs` are those of the rule.
    """
    names = Names(None if results is None else Path(results), Path(root), Path(working_folder))
    private: dict[Any, str] = {}
    for key, paths in inputs.items():
        for number, path in enumerate(paths, start=1):
            private[path] = f"source:{rule}/{key}" + (f"-{number}" if len(paths) > 1 else "")
    private |= {Path(params[key]): f"source:{key}" for key in USER_PATHS & params.keys() if params[key]}
    for row in (params.get("scan"), *params.get("scans", [])):
        private |= names.of_scan(row) if isinstance(row, Mapping) else {}
    for order, path in enumerate(params.get("configs", {})):
        private[names.root / path] = f"source:config/{order}" if Path(path).is_absolute() else f"code:{path}"
    return replace(names, private={names.place(path): name for path, name in private.items()})
