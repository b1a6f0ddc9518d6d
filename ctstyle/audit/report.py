"""What an audit found, as lines for people and as JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from ctstyle.audit.finding import BROKEN, UNVERIFIED, WARNING, Finding, lines_of, printable


@dataclass(frozen=True, kw_only=True)
class Audit:
    """All findings, what was looked at (files, records, bytes), the root digest, the seconds, and lineages by file."""

    findings: Sequence[Finding]
    files: int
    records: int
    bytes_read: int
    root: str | None
    seconds: float
    lineage: Mapping[str, Sequence[str]]

    @property
    def sound(self) -> bool:
        """Whether nothing is broken; warnings and what could not be looked at leave an audit sound."""
        return not self.of(BROKEN)

    def of(self, severity: str) -> list[Finding]:
        """The findings of one severity."""
        return [finding for finding in self.findings if finding.severity == severity]


def as_text(audit: Audit) -> str:
    """One printable line per finding, the worst last but for the summary, so that a terminal shows them."""
    lines = [printable(line) for tree in audit.lineage.values() for line in tree]
    lines += lines_of(audit.findings, (UNVERIFIED, WARNING, BROKEN))
    speed = audit.bytes_read / 1e6 / max(audit.seconds, 1e-3)
    counts = ", ".join(f"{len(audit.of(severity))} {severity}" for severity in (BROKEN, WARNING, UNVERIFIED))
    lines.append(
        f"{audit.files} files, {audit.records} records, root {audit.root or 'none'}, {audit.seconds:.1f} s, "
        f"{speed:.0f} MB/s; {counts}: {'SOUND' if audit.sound else 'BROKEN'}"
    )
    return "\n".join(lines)


def as_json(audit: Audit) -> str:
    """Everything, with the verdict first."""
    told = {
        "verdict": "sound" if audit.sound else "broken",
        "counts": {
            "files": audit.files,
            "records": audit.records,
            **{severity: len(audit.of(severity)) for severity in (BROKEN, WARNING, UNVERIFIED)},
        },
        "root": audit.root,
        "bytes": audit.bytes_read,
        "seconds": round(audit.seconds, 3),
        "findings": [asdict(finding) for finding in audit.findings],
        "lineage": dict(audit.lineage),
    }
    return json.dumps(told, indent=1)
