"""Where the names in records lie on this disk, wherever the results were copied to."""

import re
from dataclasses import dataclass
from pathlib import Path

RESULTS = "results/"
"""What stands in every name for the folder of results, whatever it is called."""
RECORDS, SOURCES = "provenance/records", "provenance/sources.json"
SUMS, SIGNATURE = "provenance/SHA256SUMS", "provenance/SHA256SUMS.sig"
ROOT, PAGE = "provenance/root.json", "provenance/root.html"
PRODUCTS = "provenance/products.json"
PAPER, TYPST = "paper/paper.pdf", "paper/paper.typ"
LONGEST_NAME = 1000
_PART, _CODE_PART = "[A-Za-z0-9_][A-Za-z0-9_.+-]{0,254}", r"\w[\w.+,=@ -]*"
_NAME = re.compile(f"(results/|source:){_PART}(/{_PART})*|code:{_CODE_PART}(/{_CODE_PART})*|git:HEAD")


@dataclass(frozen=True, kw_only=True)
class Place:
    """The folder `results`, and the `checkout` of the code.

    `checkout_asked` tells a checkout that the user named from the one this package lies in.
    """

    results: Path
    checkout: Path
    checkout_asked: bool = False

    def name_of(self, path: Path) -> str:
        """The name of a file under the results."""
        return named(path.relative_to(self.results).as_posix())

    def locate(self, name: str) -> Path | None:
        """The path of a name; None for a private file (`source:`), whose place no record tells."""
        if name.startswith("code:"):
            return self.checkout / name.removeprefix("code:")
        return self.results / name.removeprefix(RESULTS) if inside(name) else None


def inside(name: str) -> bool:
    """Whether a name lies under the results."""
    return name.startswith(RESULTS)


def named(path: str) -> str:
    """The name of a file given relative to the results."""
    return RESULTS + path


def is_safe(name: str) -> bool:
    """Whether a name has the form of one: `results/`, `source:` or `code:` and a relative path, or `git:HEAD`.

    Parts of a path begin with a letter, a digit or `_`: none is hidden, empty or `..`, and no name is an option. Files
    of the checkout may be called in any language.
    """
    return len(name) <= LONGEST_NAME and bool(_NAME.fullmatch(name))
