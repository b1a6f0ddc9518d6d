"""What an audit says: one fault, one warning, or one thing that could not be looked at."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

BROKEN, WARNING, UNVERIFIED = "broken", "warning", "not verified"
LONGEST = 400
"""Characters of one part of a finding that are printed."""
MOST = 100
"""Findings of one check and severity that are printed."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`check` that spoke, `file` it speaks of, `what` is wrong, both sides of it and `fix`, the way out.

    `severity` is BROKEN (the results do not hold), WARNING (they hold, but look) or UNVERIFIED (nobody could look).
    """

    check: str
    file: str
    what: str
    found: str = ""
    expected: str = ""
    fix: str = ""
    severity: str = BROKEN

    def line(self) -> str:
        """All of it on one printable line."""
        file, what, found, expected = map(printable, (self.file, self.what, self.found, self.expected))
        sides = [f"{name} {text}" for name, text in (("found", found), ("expected", expected)) if text]
        told = f"{self.severity}: {self.check}: {file}: {what}" + (f" ({', '.join(sides)})" if sides else "")
        return f"{told}. {printable(self.fix)}" if self.fix else told


def lines_of(findings: Iterable[Finding], severities: Sequence[str]) -> Iterator[str]:
    """The findings as lines in the order of the severities, of each check no more than MOST."""
    by_severity: dict[str, dict[str, list[Finding]]] = {severity: {} for severity in severities}
    for finding in findings:
        by_severity[finding.severity].setdefault(finding.check, []).append(finding)
    for severity, by_check in by_severity.items():
        for check, found in by_check.items():
            yield from (finding.line() for finding in found[:MOST])
            if len(found) > MOST:
                yield f"{severity}: {check}: {len(found) - MOST} more"


def printable(text: str, *, most: int = LONGEST) -> str:
    """A text on one line for a terminal: at most `most` characters, those that are not seen or act on it escaped.

    Escaped are control characters, line ends, marks that turn the direction of writing, and halves of characters.
    """
    shown = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text[:most])
    return shown if len(text) <= most else f"{shown}... ({len(text) - most} more characters)"


def short(digest: str | None) -> str:
    """The first 12 digits of a digest, as captions print it."""
    return "nothing" if digest is None else digest[:12]


def some(names: list[str], *, most: int = 5) -> str:
    """The first names of a list and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
