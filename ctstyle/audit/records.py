"""Reading what a run wrote about itself: the records of its jobs and the manifest of its sources."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctstyle.audit.finding import Finding
from ctstyle.audit.place import RECORDS, SOURCES, is_safe, named

STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"
BUILD = "https://ctstyle/job/v2"
OLD = "https://ctstyle/job/v1"
_SHA256 = re.compile(r"[0-9a-f]{64}")


class BadRecord(ValueError):
    """A record or manifest that does not have the agreed form; the message says what is wrong with it."""


class OldRecord(BadRecord):
    """A record of an older version of this workflow."""


@dataclass(frozen=True, kw_only=True)
class Dependency:
    """One thing a job read: its role (`input:split`), its name and its SHA-256."""

    role: str
    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Record:
    """One job: what it made (`subjects`, name to SHA-256), what it read, with which code, and where.

    `keys` are the names that its rule gives to the subjects, `touched` the inputs that somebody touched meanwhile.
    """

    path: Path
    rule: str
    wildcards: Mapping[str, str]
    params: Mapping[str, Any]
    subjects: Mapping[str, str]
    keys: Mapping[str, str]
    inputs: tuple[Dependency, ...]
    code: tuple[Dependency, ...]
    commit: str
    dirty: bool
    fingerprint: str
    touched: tuple[str, ...]
    environment: Mapping[str, Any]

    @property
    def title(self) -> str:
        """Rule and wildcards, as people name a job."""
        return " ".join([self.rule, *(f"{name}={value}" for name, value in self.wildcards.items())])


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One DICOM image of a source: its place in the archive and the digests of file and pixels."""

    member: str
    sha256: str
    pixel_sha256: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file that no job made; `order` tells which config file was laid over which."""

    name: str
    sha256: str
    kind: str
    instances: tuple[Instance, ...] = field(default=())
    order: int = 0


def read_records(results: Path) -> tuple[list[Record], list[Finding]]:
    """All records of a results folder, and a finding for each file among them that is none."""
    records, findings, old = [], [], []
    for path in sorted((results / RECORDS).rglob("*.json")):
        try:
            records.append(parse_record(path, _json(path)))
        except OldRecord:
            old.append(path)
        except BadRecord as error:
            findings.append(
                Finding(
                    check="records",
                    file=named(path.relative_to(results).as_posix()),
                    what=f"not a record of this workflow: {error}",
                    expected=f"a statement of build type {BUILD}",
                    fix="Run the job again, or take the file out if it belongs elsewhere.",
                )
            )
    if old:
        finding = Finding(
            check="records",
            file=named(old[0].relative_to(results).as_posix()),
            what=f"{len(old)} records are of an older ctstyle, whose names this one does not read",
            found=OLD,
            expected=BUILD,
            fix="Audit with the version of ctstyle that made them, or run the workflow again.",
        )
        findings.append(finding)
    return records, findings


def parse_record(path: Path, statement: Any) -> Record:
    """A record from its JSON. Raises BadRecord, which names the field."""
    _same(statement, "_type", STATEMENT)
    _same(statement, "predicateType", PREDICATE)
    build = _at(statement, "predicate.buildDefinition", dict)
    if build.get("buildType") == OLD:
        raise OldRecord("of an older ctstyle")
    _same(build, "buildType", BUILD)
    inputs, code, commit, dirty = [], [], "", False
    for number, one in enumerate(_at(build, "resolvedDependencies", list)):
        uri = _at(one, "uri", str, where=f"dependency {number}")
        if uri.startswith("git:"):
            commit = _at(one, "digest.gitCommit", str, where=uri)
            dirty = bool(_at(one, "annotations", dict, default={}).get("dirty", False))
            continue
        dependency = Dependency(role=_at(one, "name", str, where=uri), name=_name(uri), sha256=_sha256(one, uri))
        (code if dependency.role == uri else inputs).append(dependency)
    subjects, keys = {}, {}
    for number, one in enumerate(_at(statement, "subject", list)):
        name = _name(_at(one, "name", str, where=f"subject {number}"))
        if name in subjects:
            raise BadRecord(f"the subject {name} stands in it twice")
        subjects[name] = _sha256(one, name)
        keys[name] = _at(one, "annotations.key", str, where=name, default="")
    if not subjects:
        raise BadRecord("it has no subject")
    return Record(
        path=path,
        rule=_at(build, "externalParameters.rule", str),
        wildcards={key: str(value) for key, value in _at(build, "externalParameters.wildcards", dict).items()},
        params=_at(build, "externalParameters.params", dict),
        subjects=subjects,
        keys=keys,
        inputs=tuple(inputs),
        code=tuple(code),
        commit=commit,
        dirty=dirty,
        fingerprint=_at(statement, "predicate.runDetails.metadata.invocationId", str),
        touched=tuple(
            _name(_at(one, "uri", str, where="a byproduct"))
            for one in _at(statement, "predicate.runDetails.byproducts", list, default=[])
            if _at(one, "name", str, where="a byproduct") == "touched"
        ),
        environment=_at(build, "internalParameters", dict),
    )


def read_sources(results: Path) -> tuple[list[Source], list[Finding]]:
    """The manifest of the files that no job made, and what is wrong with it."""
    path = results / SOURCES
    try:
        return [_parse_source(one) for one in _at(_json(path), "files", list)], []
    except BadRecord as error:
        finding = Finding(
            check="sources",
            file=named(path.relative_to(results).as_posix()),
            what=f"no manifest of sources: {error}",
            fix="Let the workflow write it again.",
        )
        return [], [finding]


def _parse_source(one: Any) -> Source:
    name = _name(_at(one, "name", str, where="a file of the manifest"))
    instances = [
        Instance(
            member=_at(image, "member", str, where=name),
            sha256=_hex(_at(image, "sha256", str, where=name), name),
            pixel_sha256=_at(image, "pixel_sha256", str, where=name, default=""),
        )
        for image in _at(one, "instances", list, where=name, default=[])
    ]
    sha256 = _hex(_at(one, "sha256", str, where=name), name)
    return Source(
        name=name,
        sha256=sha256,
        kind=_at(one, "kind", str, where=name),
        instances=tuple(instances),
        order=_at(one, "order", int, where=name, default=0),
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadRecord(getattr(error, "strerror", None) or f"{type(error).__name__}: {error}") from None


def _at(mapping: Any, dotted: str, kind: type, *, where: str = "", default: Any = None) -> Any:
    """The value at `a.b.c` of nested dicts. Raises BadRecord where it is missing (and has no default) or no `kind`."""
    value = mapping
    for key in dotted.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if value is None:
        value = default
    if not isinstance(value, kind):
        of = f" of {where}" if where else ""
        raise BadRecord(f"{dotted}{of} is {'missing' if value is None else 'no ' + kind.__name__}")
    return value


def _same(mapping: Any, key: str, expected: str) -> None:
    found = _at(mapping, key, str)
    if found != expected:
        raise BadRecord(f"{key} is {found!r}, not {expected!r}")


def _sha256(one: Any, where: str) -> str:
    return _hex(_at(one, "digest.sha256", str, where=where), where)


def _hex(digest: str, where: str) -> str:
    if not _SHA256.fullmatch(digest):
        raise BadRecord(f"the digest of {where} is no SHA-256: {digest!r}")
    return digest


def _name(name: str) -> str:
    if not is_safe(name):
        raise BadRecord(f"the name {name!r} is no results/, code: or source: name")
    return name
