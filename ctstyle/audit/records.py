"""Reading what a run wrote about itself: the records of its jobs and the manifest of its sources.

Both may be a stranger's. Whatever of them is printed, compared or given to Snakemake has one of the forms below.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctstyle.audit.finding import Finding
from ctstyle.provenance.digest import MB, read_json
from ctstyle.provenance.names import RECORDS, SOURCES, inside, is_safe, named, within
from ctstyle.provenance.record import BUILD_TYPE, PREDICATE_TYPE, STATEMENT_TYPE

OLD = "https://ctstyle/job/v1"
LARGEST_RECORD, LARGEST_MANIFEST = 16 * MB, 128 * MB
LARGEST_ALL = 256 * MB
"""All records together; those of the quick run have 5 MB."""
MOST_THREADS = 4096

_SHA256, _SHA256_OR_NONE = re.compile(r"[0-9a-f]{64}"), re.compile(r"([0-9a-f]{64})?")
_SHORT = re.compile(r".{0,1000}", re.DOTALL)
_RULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_KEY = re.compile(r"[A-Za-z0-9_]{1,100}")
_WILDCARD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,200}")
_ROLE = re.compile(r"input:[A-Za-z0-9_]{1,100}|git")
_KIND = re.compile(r"[a-z0-9_]{1,40}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}|unknown|\(initial\)")
_DEVICE = re.compile(r"cpu|cuda(:[0-9]{1,3})?")


class BadRecord(ValueError):
    """A record or manifest that does not have the agreed form; the message says what is wrong with it."""


class OldRecord(BadRecord):
    """A record of an older version of this workflow."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """The folder `results`, wherever it was copied to, and the `checkout` of the code.

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
        return self.results / within(name) if inside(name) else None


@dataclass(frozen=True, kw_only=True, slots=True)
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


@dataclass(frozen=True, kw_only=True, slots=True)
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
    records, findings, old, left = [], [], [], LARGEST_ALL
    for path in sorted((results / RECORDS).rglob("*.json")):
        name = named(path.relative_to(results).as_posix())
        try:
            records.append(parse_record(path, _json(path, min(LARGEST_RECORD, left))))
            left -= path.stat().st_size
        except OldRecord:
            old.append(name)
        except BadRecord as error:
            what, expected = f"not a record of this workflow: {error}", f"a statement of build type {BUILD_TYPE}"
            fix = "Run the job again, or take the file out if it belongs elsewhere."
            findings.append(Finding(check="records", file=name, what=what, expected=expected, fix=fix))
    if old:
        what = f"{len(old)} records are of an older ctstyle, whose names this one does not read"
        fix = "Audit with the version of ctstyle that made them, or run the workflow again."
        findings.append(Finding(check="records", file=old[0], what=what, found=OLD, expected=BUILD_TYPE, fix=fix))
    return records, findings


def parse_record(path: Path, statement: Any) -> Record:
    """A record from its JSON. Raises BadRecord, which names the field."""
    _same(statement, "_type", STATEMENT_TYPE)
    _same(statement, "predicateType", PREDICATE_TYPE)
    build = _at(statement, "predicate.buildDefinition", dict)
    if build.get("buildType") == OLD:
        raise OldRecord("of an older ctstyle")
    _same(build, "buildType", BUILD_TYPE)
    inputs: list[Dependency] = []
    code: list[Dependency] = []
    commit, dirty = "", False
    for number, one in enumerate(_at(build, "resolvedDependencies", list)):
        uri = _name(one, "uri", f"dependency {number}")
        if uri == "git:HEAD":
            commit = _text(one, "digest.gitCommit", _COMMIT, uri)
            dirty = _at(one, "annotations.dirty", bool, where=uri, default=False)
            continue
        role = _at(one, "name", str, where=uri)
        # files of the checkout may also be inputs of a rule
        of_code = role == uri and uri.startswith("code:")
        role = role if of_code else _text(one, "name", _ROLE, uri)
        dependency = Dependency(role=role, name=uri, sha256=_text(one, "digest.sha256", _SHA256, uri))
        (code if of_code else inputs).append(dependency)
    subjects, keys = {}, {}
    for number, one in enumerate(_at(statement, "subject", list)):
        name = _name(one, "name", f"subject {number}")
        if name in subjects:
            raise BadRecord(f"the subject {name} stands in it twice")
        subjects[name] = _text(one, "digest.sha256", _SHA256, name)
        keys[name] = _text(one, "annotations.key", _KEY, name)
    if not subjects:
        raise BadRecord("it has no subject")
    byproducts = _at(statement, "predicate.runDetails.byproducts", list, default=[])
    notes = [one for one in byproducts if _at(one, "name", str, where="a byproduct") == "touched"]
    wildcards = _at(build, "externalParameters.wildcards", dict)
    for name in wildcards:
        _form(_RULE, name, "a wildcard")
        _text(wildcards, name, _WILDCARD, "the wildcards")
    return Record(
        path=path,
        rule=_text(build, "externalParameters.rule", _RULE, "the job"),
        wildcards=wildcards,
        params=_at(build, "externalParameters.params", dict),
        subjects=subjects,
        keys=keys,
        inputs=tuple(inputs),
        code=tuple(code),
        commit=commit,
        dirty=dirty,
        fingerprint=_text(statement, "predicate.runDetails.metadata.invocationId", _SHA256, "the job"),
        touched=tuple(_name(one, "uri", "a byproduct") for one in notes),
        environment=_environment(_at(build, "internalParameters", dict)),
    )


def _environment(told: dict[str, Any]) -> dict[str, Any]:
    """Versions and hardware, each of its type; what else stands there is left out."""
    texts = ("python", "cpu", "gpu", "driver")
    found: dict[str, Any] = {key: _text(told, key, _SHORT, "the job") for key in texts if key in told}
    found |= {"packages": _at(told, "packages", dict, default={})}
    if "device" in told:
        found["device"] = _text(told, "device", _DEVICE, "the job")
    if "threads" in told:
        found["threads"] = _at(told, "threads", int)
        if not 0 < found["threads"] <= MOST_THREADS:
            raise BadRecord(f"threads is not between 1 and {MOST_THREADS}")
    for name, version in found["packages"].items():
        if not isinstance(version, str):
            raise BadRecord(f"the version of {name[:100]} is no str")
        _form(_SHORT, name + version, "a package with its version")
    return found


def read_sources(results: Path) -> tuple[list[Source], list[Finding]]:
    """The manifest of the files that no job made, and what is wrong with it."""
    try:
        sources = [_parse_source(one) for one in _at(_json(results / SOURCES, LARGEST_MANIFEST), "files", list)]
        if twice := len(sources) - len({source.name for source in sources}):
            raise BadRecord(f"{twice} files stand in it twice")
        return sources, []
    except BadRecord as error:
        what, fix = f"no manifest of sources: {error}", "Let the workflow write it again."
        return [], [Finding(check="sources", file=named(SOURCES), what=what, fix=fix)]


def _parse_source(one: Any) -> Source:
    name = _name(one, "name", "a file of the manifest")
    instances = [
        Instance(
            member=_text(image, "member", _SHORT, name),
            sha256=_text(image, "sha256", _SHA256, name),
            pixel_sha256=_text(image, "pixel_sha256", _SHA256_OR_NONE, name, default=""),
        )
        for image in _at(one, "instances", list, where=name, default=[])
    ]
    return Source(
        name=name,
        sha256=_text(one, "sha256", _SHA256, name),
        kind=_text(one, "kind", _KIND, name),
        instances=tuple(instances),
        order=_at(one, "order", int, where=name, default=0),
    )


def _json(path: Path, most: int) -> Any:
    try:
        return read_json(path, most=most)
    except (OSError, ValueError) as error:
        raise BadRecord(getattr(error, "strerror", None) or f"{type(error).__name__}: {error}") from None


def _at(mapping: Any, dotted: str, kind: type, *, where: str = "", default: Any = None) -> Any:
    """The value at `a.b.c` of nested dicts. Raises BadRecord where it is missing (and has no default) or no `kind`."""
    value = mapping
    for key in dotted.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if value is None:
        value = default
    if type(value) is not kind:  # true is an int to isinstance
        of = f" of {where}" if where else ""
        raise BadRecord(f"{dotted}{of} is {'missing' if value is None else 'no ' + kind.__name__}")
    return value


def _same(mapping: Any, key: str, expected: str) -> None:
    found = _at(mapping, key, str)
    if found != expected:
        raise BadRecord(f"{key} is {found[:100]!r}, not {expected!r}")


def _text(mapping: Any, dotted: str, form: re.Pattern[str], where: str, *, default: str | None = None) -> str:
    """The text at `dotted`, which has a form. Raises BadRecord."""
    return _form(form, _at(mapping, dotted, str, where=where, default=default), f"{dotted} of {where}")


def _form(form: re.Pattern[str], text: str, what: str) -> str:
    """The text itself. Raises BadRecord where it has not the form of what it stands for."""
    if not form.fullmatch(text):
        raise BadRecord(f"{what[:200]} has not the form of one: {text[:100]!r}")
    return text


def _name(mapping: Any, key: str, where: str) -> str:
    name = _at(mapping, key, str, where=where)
    if not is_safe(name):
        raise BadRecord(f"the name {name[:100]!r} is no results/, code: or source: name")
    return name
