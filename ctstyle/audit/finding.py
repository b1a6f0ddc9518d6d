"""What an audit says: one fault, one warning, or one thing that could not be looked at; for people and for programs."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

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


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All findings of an audit or of jobs run again, and the seconds it took."""

    findings: Sequence[Finding]
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether nothing is broken; warnings and what could not be looked at leave an audit sound."""
        return not self.of(BROKEN)

    def of(self, severity: str) -> list[Finding]:
        """The findings of one severity."""
        return [finding for finding in self.findings if finding.severity == severity]

    def counts(self, *severities: str) -> dict[str, int]:
        """How many findings there are of each severity."""
        return {severity: len(self.of(severity)) for severity in severities}

    def lines(self, *severities: str) -> Iterator[str]:
        """The findings as printable lines in the order of the severities, of each check no more than MOST."""
        for severity in severities:
            by_check: dict[str, list[Finding]] = defaultdict(list)
            for finding in self.of(severity):
                by_check[finding.check].append(finding)
            for check, found in by_check.items():
                yield from (finding.line() for finding in found[:MOST])
                if len(found) > MOST:
                    yield f"{severity}: {check}: {len(found) - MOST} more"

    def told(self, verdict: str, counts: Mapping[str, int], **facts: object) -> str:
        """Everything as JSON, with the verdict first."""
        seconds, findings = round(self.seconds, 3), [asdict(finding) for finding in self.findings]
        told: dict[str, Any] = {"verdict": verdict, "counts": dict(counts), "seconds": seconds, **facts}
        return json.dumps(told | {"findings": findings}, indent=1)


@dataclass(frozen=True, kw_only=True)
class Audit(Findings):
    """The findings, what was looked at (files, records, bytes), the root digest, and lineages by file."""

    files: int
    records: int
    bytes_read: int
    root: str | None
    lineage: Mapping[str, Sequence[str]]

    def as_text(self) -> str:
        """One printable line per finding, the worst last but for the summary, so that a terminal shows them."""
        lines = [printable(line) for tree in self.lineage.values() for line in tree]
        lines += self.lines(UNVERIFIED, WARNING, BROKEN)
        speed = self.bytes_read / 1e6 / max(self.seconds, 1e-3)
        counts = ", ".join(f"{n} {severity}" for severity, n in self.counts(BROKEN, WARNING, UNVERIFIED).items())
        lines.append(
            f"{self.files} files, {self.records} records, root {self.root or 'none'}, {self.seconds:.1f} s, "
            f"{speed:.0f} MB/s; {counts}: {'SOUND' if self.sound else 'BROKEN'}"
        )
        return "\n".join(lines)

    def as_json(self) -> str:
        """Everything, with the verdict first."""
        counts = {"files": self.files, "records": self.records, **self.counts(BROKEN, WARNING, UNVERIFIED)}
        facts = {"root": self.root, "bytes": self.bytes_read, "lineage": dict(self.lineage)}
        return self.told("sound" if self.sound else "broken", counts, **facts)


def printable(text: str, *, most: int = LONGEST) -> str:
    """A text on one line for a terminal: at most `most` characters, those that are not seen or act on it escaped.

    Escaped are control characters, line ends, marks that turn the direction of writing, and halves of characters.
    """
    shown = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text[:most])
    return shown if len(text) <= most else f"{shown}... ({len(text) - most} more characters)"


def some(names: Sequence[str], *, most: int = 5) -> str:
    """The first names of a list and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
