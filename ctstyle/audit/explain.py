"""The lineage of a file as a tree: which job made it, from what, down to the files that no job made."""

from ctstyle.audit.evidence import Evidence
from ctstyle.audit.finding import short
from ctstyle.audit.records import Record

DEEPEST = 60
"""Steps of indentation; a chain of records may be as long as somebody likes."""


def explain(evidence: Evidence, target: str) -> list[str]:
    """The lines of the tree of one file. Each job is told once, where it is met first; digests have 12 digits."""
    lines, told = [target], set()
    waiting = [(1, target, evidence.subjects.get(target))]
    while waiting:
        depth, name, digest = waiting.pop()
        indent = "  " * min(depth, DEEPEST)
        record = evidence.producers.get(name)
        if record is None:
            kind = "source" if name in evidence.sources else "unexplained"
            lines.append(f"{indent}{kind} {name} {short(digest)}")
            continue
        seen = record.path in told
        lines.append(f"{indent}{record.title} {short(record.fingerprint)}{' (above)' if seen else ''}: {name}")
        if not seen:
            told.add(record.path)
            waiting.extend((depth + 1, read, sha256) for read, sha256 in reversed(_inputs(evidence, record)))
    return lines


def _inputs(evidence: Evidence, record: Record) -> list[tuple[str, str]]:
    """What a job read, one file for each job that made some of it."""
    inputs = {}
    for read in record.inputs:
        producer = evidence.producers.get(read.name)
        inputs.setdefault(read.name if producer is None else producer.path, (read.name, read.sha256))
    return list(inputs.values())
