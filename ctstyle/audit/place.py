"""Where the names in records lie on this disk, wherever the results were copied to."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

RECORDS, SOURCES = "provenance/records", "provenance/sources.json"
SUMS, SIGNATURE = "provenance/SHA256SUMS", "provenance/SHA256SUMS.sig"
ROOT, PAGE = "provenance/root.json", "provenance/root.html"
DEEPEST_PREFIX = 6


@dataclass(frozen=True, kw_only=True)
class Place:
    """The folder `results`, the `prefix` that stands for it in the records, and the `checkout` of the code.

    `checkout_asked` tells a checkout that the user named from the one this package lies in.
    """

    results: Path
    prefix: str
    checkout: Path
    checkout_asked: bool = False

    @property
    def working(self) -> Path:
        """The folder Snakemake ran in, which names outside the results are relative to."""
        parts = PurePosixPath(self.prefix).parts
        matches = self.results.parts[-len(parts) :] == parts
        return self.results.parents[len(parts) - 1] if matches else self.results.parent

    def inside(self, name: str) -> bool:
        """Whether a name lies under the results."""
        return name.startswith(self.prefix + "/")

    def named(self, path: str) -> str:
        """The name of a file given relative to the results."""
        return f"{self.prefix}/{path}"

    def name_of(self, path: Path) -> str:
        """The name of a file under the results."""
        relative = path.relative_to(self.results).as_posix()
        return self.prefix if relative == "." else self.named(relative)

    def locate(self, name: str) -> Path | None:
        """The path of a name; None for names of a private scheme, whose place no record tells."""
        if name.startswith("code:"):
            return self.checkout / name.removeprefix("code:")
        if has_scheme(name):
            return None
        return self.results / name[len(self.prefix) + 1 :] if self.inside(name) else self.working / name


def has_scheme(name: str) -> bool:
    """Whether a name is one of a scheme (`source:`, `code:`, `git:`) and no path."""
    return ":" in name.split("/")[0]


def is_safe(name: str) -> bool:
    """Whether a name stays where it belongs: not empty, relative, `/` as separator and no `..`."""
    path = name.partition(":")[2] if has_scheme(name) else name
    return bool(path) and not path.startswith("/") and "\\" not in path and ".." not in path.split("/")


def find_prefix(results: Path, names: Iterable[str]) -> str:
    """What stands for the folder `results` in recorded names: the beginning with which most of them exist there."""
    hits: Counter[str] = Counter()
    for name in names:
        parts = name.split("/")
        for depth in range(1, min(len(parts), DEEPEST_PREFIX + 1)):
            if results.joinpath(*parts[depth:]).exists():
                hits["/".join(parts[:depth])] += 1
    return hits.most_common(1)[0][0] if hits else results.name
