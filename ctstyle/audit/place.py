"""Where the names in records lie on this disk, wherever the results were copied to."""

from dataclasses import dataclass
from pathlib import Path

RESULTS = "results/"
"""What stands in every name for the folder of results, whatever it is called."""
RECORDS, SOURCES = "provenance/records", "provenance/sources.json"
SUMS, SIGNATURE = "provenance/SHA256SUMS", "provenance/SHA256SUMS.sig"
ROOT, PAGE = "provenance/root.json", "provenance/root.html"
PRODUCTS = "provenance/products.json"
PAPER, TYPST = "paper/paper.pdf", "paper/paper.typ"


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
    """Whether a name is one of the agreed kinds and stays where it belongs: `/` as separator, no `..`, not absolute."""
    kind = next((kind for kind in (RESULTS, "code:", "source:") if name.startswith(kind)), None)
    path = name.removeprefix(kind or "")
    return bool(kind and path) and not path.startswith("/") and "\\" not in path and ".." not in path.split("/")
