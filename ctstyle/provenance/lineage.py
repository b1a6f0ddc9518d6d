"""From a table back to its sources: which jobs made it, from what, and which files each row comes from."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ctstyle.errors import CTStyleError
from ctstyle.provenance.names import RECORDS, inside, named

LABELS = ("arm", "model", "encoder", "weights", "layers", "smoothing", "style_weight", "seed", "style", "tap")
"""Columns of tables that name what a row is about, as the wildcards do."""


class BrokenLineage(CTStyleError):
    """The records do not lead from a result to its sources."""


def short(digest: str | None) -> str:
    """The first 12 digits of a digest, as captions print it."""
    return "nothing" if digest is None else digest[:12]


def load_records(folder: Path | str) -> dict[str, dict[str, Any]]:
    """All records in the folder of a run's records, by their public names, sorted.

    Raises BrokenLineage for a damaged one.
    """
    records = {}
    for path in sorted(Path(folder).rglob("*.json")):
        place = path.relative_to(folder)
        if any(part.startswith(".") for part in place.parts):
            continue  # a record that another job is writing
        try:
            records[named(f"{RECORDS}/{place.as_posix()}")] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue  # a job is made anew, and Snakemake took its record away since the folder was listed
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise BrokenLineage(
                "a record that is no JSON", where=path, found=error, fix="Delete it and run the workflow again."
            ) from error
    return records


def lineage_of(
    table_name: str, records: Iterable[Mapping[str, Any]], *, rows: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """How a table was made: its digest and fingerprint, all jobs above it, all sources, and the origin of its rows.

    `table_name` is its public name (`results/...`) and `records` the run's statements. `rows` are its label columns,
    one mapping per row; see `row_origins`. Of two records of one file the one with the digest in question counts, and
    of two such the later. Raises BrokenLineage for a file of the results that no record made, or that is another now
    than when it was read (the results are stale).
    """
    makers = _makers(records)
    table = _maker(table_name, None, makers)
    waiting, jobs, sources = [table], {}, {}
    while waiting:
        record = waiting.pop()
        job = _job(record)
        if job["fingerprint"] in jobs:
            continue
        jobs[job["fingerprint"]] = job
        for name, sha256 in _inputs(record):
            if name in makers or inside(name):
                waiting.append(_maker(name, sha256, makers))
            else:
                sources[name, sha256] = {"name": name, "sha256": sha256}
    return {
        "table": table_name,
        "sha256": _subjects(table)[table_name],
        "lineage": _job(table)["fingerprint"],
        "rows": row_origins(rows, candidates(table, makers)),
        "jobs": sorted(jobs.values(), key=lambda job: (job["rule"], sorted(job["wildcards"].items()))),
        "sources": [sources[key] for key in sorted(sources)],
    }


def upstream(records: Mapping[str, Mapping[str, Any]], finals: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """The records, by their names, of the jobs that made `finals` and everything these came from."""
    makers: dict[str, list[str]] = {}
    for name, record in records.items():
        for subject in _subjects(record):
            makers.setdefault(subject, []).append(name)
    waiting, found = list(finals), {}
    while waiting:
        for name in makers.get(waiting.pop(), []):
            if name not in found:
                found[name] = records[name]
                waiting += [uri for uri, _ in _inputs(records[name])]
    return found


def row_origins(
    rows: Sequence[Mapping[str, Any]], metric_files: Mapping[str, Mapping[str, str]]
) -> list[dict[str, Any]]:
    """For each row of labels, the metric files whose wildcards agree with it; for a row without any, none.

    `metric_files` are the wildcards of the job that made each file, by the file's name. A file agrees with a row if
    they share at least one of the names (arm, model, seed, encoder, ...), and all they share are equal; a row without
    a seed comes from all seeds.
    """
    origins = []
    for row in rows:
        labels = {str(key): _label(value) for key, value in row.items()}
        origin = []
        for name, wildcards in metric_files.items():
            shared = labels.keys() & wildcards.keys()
            if shared and all(labels[key] == wildcards[key] for key in shared):
                origin.append(name)
        origins.append({"row": labels, "from": sorted(origin)})
    return origins


def candidates(
    record: Mapping[str, Any], makers: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, dict[str, str]]:
    """The wildcards of the jobs that made a job's inputs, by the input's name; inputs of jobs without any are left out.

    `makers` are the records by the files they made.
    """
    found = {
        name: _job(_maker(name, sha256, makers))["wildcards"] for name, sha256 in _inputs(record) if name in makers
    }
    return {name: wildcards for name, wildcards in found.items() if wildcards}


def _label(value: Any) -> str:
    """A label as a wildcard would write it: 3 for 3.0, as tables read numbers with gaps."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _makers(records: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    makers: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        for name in _subjects(record):
            makers.setdefault(name, []).append(record)
    return makers


def _maker(name: str, sha256: str | None, makers: Mapping[str, Sequence[Mapping[str, Any]]]) -> Mapping[str, Any]:
    """The latest record that made a file, with this digest if one is given."""
    made = makers.get(name, [])
    fitting = [record for record in made if sha256 in (None, _subjects(record)[name])]
    if not fitting:
        told = ", ".join(short(_subjects(record)[name]) for record in made)
        raise BrokenLineage(
            "no record made this file" if not made else "the file was made anew after it was used",
            where=name,
            found=f"SHA-256 {told}" if made else "no record",
            expected=f"SHA-256 {short(sha256)}" if sha256 else "a record that names it",
            fix="Run the workflow again, so that all that depends on it is made anew.",
        )
    return max(fitting, key=lambda record: record["predicate"]["runDetails"]["metadata"]["finishedOn"])


def _subjects(record: Mapping[str, Any]) -> dict[str, str]:
    return {subject["name"]: subject["digest"]["sha256"] for subject in record["subject"]}


def _inputs(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    dependencies = record["predicate"]["buildDefinition"]["resolvedDependencies"]
    return [(one["uri"], one["digest"]["sha256"]) for one in dependencies if one["name"].startswith("input:")]


def _job(record: Mapping[str, Any]) -> dict[str, Any]:
    told = record["predicate"]["buildDefinition"]["externalParameters"]
    invocation = record["predicate"]["runDetails"]["metadata"]["invocationId"]
    return {"rule": told["rule"], "wildcards": dict(told["wildcards"]), "fingerprint": invocation}
