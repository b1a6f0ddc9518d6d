"""The checks of records against files, of files against records, and of jobs against each other."""

import contextlib
import hashlib
import io
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ctstyle.audit.evidence import LEFT_OVER, Evidence
from ctstyle.audit.finding import UNVERIFIED, WARNING, Finding, some
from ctstyle.audit.records import Instance, Record, Source
from ctstyle.provenance.digest import MB, listing_digest, pixel_sha256, read_whole
from ctstyle.provenance.lineage import short
from ctstyle.provenance.machine import commit_of
from ctstyle.provenance.names import PAGE, RECORDS, ROOT, SIGNATURE, SOURCES, SUMS, inside, named
from ctstyle.provenance.record import fingerprint

LARGEST_IMAGE, LARGEST_SERIES = 256 * MB, 8192 * MB
DEFLATED = b"1.2.840.10008.1.2.1.99"
EDITED = "Run the job again; without a run since, somebody edited the record."
RUN_AGAIN = "Delete it and run the workflow again, or restore the file."


def check_bytes(evidence: Evidence) -> Iterator[Finding]:
    """Every file is there and holds what its job made."""
    for name, recorded in sorted(evidence.subjects.items()):
        now = evidence.now(name)
        if now.sha256 == recorded:
            continue
        made = f"made by {evidence.producers[name].title}"
        if now.sha256 is None:
            yield Finding(check="bytes", file=name, what=f"{now.problem or 'not a file'}, {made}", fix=RUN_AGAIN)
        else:
            what = f"changed since it was {made}"
            sides = {"found": short(now.sha256), "expected": short(recorded)}
            yield Finding(check="bytes", file=name, what=what, fix=RUN_AGAIN, **sides)


def check_dependencies(evidence: Evidence) -> Iterator[Finding]:
    """What a job read is what another job made last, or a known source."""
    for record in evidence.records:
        for read in record.inputs:
            producer, source = evidence.producers.get(read.name), evidence.sources.get(read.name)
            if producer is None and source is None:
                yield Finding(
                    check="dependencies",
                    file=read.name,
                    what=f"no record and no source explains it, yet {record.title} read it",
                    expected=short(read.sha256),
                    fix="Its record was deleted or never written: run the job that makes it again.",
                )
                continue
            latest = producer.subjects[read.name] if producer is not None else source.sha256 if source else ""
            if latest != read.sha256:
                yield Finding(
                    check="dependencies",
                    file=min(record.subjects),
                    what=f"{record.title} made it from an older version of {read.name}",
                    found=short(read.sha256),
                    expected=short(latest),
                    fix="Run the workflow again: this file is stale.",
                )


def check_sources(evidence: Evidence) -> Iterator[Finding]:
    """Every file that no job made is what it was, as far as it can be reached from here."""
    for source in evidence.sources.values():
        now = evidence.now(source.name)
        if now.sha256 is None and inside(source.name):
            yield Finding(check="sources", file=source.name, what=f"{now.problem}, a source of this run", fix=RUN_AGAIN)
        elif now.sha256 is None:
            what = "private or not here"
            yield Finding(check="sources", file=source.name, what=what, severity=UNVERIFIED)
        elif now.sha256 != source.sha256:
            config = source.kind == "config"
            what = "edited after the run" if config else f"changed since the run{_what_changed(source, evidence)}"
            yield Finding(
                check="config" if config else "sources",
                file=source.name,
                what=what,
                found=short(now.sha256),
                expected=short(source.sha256),
                fix="Run the workflow again with it, or restore the file.",
            )


def check_code(evidence: Evidence) -> Iterator[Finding]:
    """The code that made the results is the code of the checkout."""
    users: dict[tuple[str, str], list[str]] = defaultdict(list)
    for record in evidence.records:
        for code in record.code:
            users[code.name, code.sha256].append(record.rule)
    there = any(evidence.now(name).sha256 is not None for name, _ in users)
    if users and not there and not evidence.place.checkout_asked:
        what = "no checkout is here to compare the code with; name one by --checkout"
        yield Finding(check="code", file="code", what=what, severity=UNVERIFIED)
        return
    for (name, recorded), rules in sorted(users.items()):
        now = evidence.now(name)
        if now.sha256 != recorded:
            ran = some(sorted(set(rules)))
            yield Finding(
                check="code",
                file=name,
                what=f"{'edited' if now.sha256 else now.problem} after {ran} ran",
                found=short(now.sha256),
                expected=short(recorded),
                fix="Check out the commit of the run, or run the workflow again.",
            )


def check_fingerprints(evidence: Evidence) -> Iterator[Finding]:
    """The fingerprint of every record, and the digest over its code, computed anew; and inputs that did not rest."""
    for record in evidence.records:
        about = {"check": "fingerprint", "file": evidence.place.name_of(record.path), "fix": EDITED}
        inputs = [(one.role.removeprefix("input:"), one.name, one.sha256) for one in record.inputs]
        try:
            work = fingerprint(record.rule, record.wildcards, record.params, inputs)
        except (ValueError, RecursionError):  # NaN, or lists in lists in lists
            work = None
        if work != record.fingerprint:
            what = "rule, wildcards, params or inputs are not those of its fingerprint"
            yield Finding(what=what, found=short(work), expected=short(record.fingerprint), **about)
        yield from _listed_code(record, about)
        for name in record.touched:
            what = f"somebody touched it while {record.title} ran; it held the same before and after"
            yield Finding(check="inputs", file=name, what=what, severity=WARNING)


def _listed_code(record: Record, about: dict[str, str]) -> Iterator[Finding]:
    """The listed code is that of the param `code`, with the files of the checkout in the param `files`."""
    files = record.params.get("files", {})
    listed = {one.name.removeprefix("code:"): one.sha256 for one in record.code}
    extra = files.items() if isinstance(files, dict) else ()
    missing = sorted(name for name, sha256 in extra if listed.pop(name, None) != sha256)
    code = listing_digest(listed.items())
    if missing or len(listed) + len(extra) != len(record.code) or code != record.params.get("code"):
        said = record.params.get("code")
        expected = said[:12] if isinstance(said, str) else "a digest"
        what = "the code that it lists is not that of its params"
        yield Finding(what=what, found=short(code), expected=expected, **about)


def check_commit(evidence: Evidence) -> Iterator[Finding]:
    """Warnings: jobs of several commits, of another commit than the checkout's, or of an uncommitted state."""
    commits = {record.commit for record in evidence.records} - {"", "unknown"}
    head = commit_of(evidence.place.checkout)[0]
    if len(commits) > 1:
        what, found = "the jobs ran at different commits", ", ".join(sorted(short(one) for one in commits))
        yield Finding(check="commit", file="git:HEAD", what=what, found=found, severity=WARNING)
    elif commits and head not in {*commits, "unknown"}:
        yield Finding(
            check="commit",
            file="git:HEAD",
            what="the checkout stands at another commit; what counts is the check of the code's files",
            found=short(head),
            expected=short(*commits),
            severity=WARNING,
        )
    dirty = sorted({record.rule for record in evidence.records if record.dirty})
    if dirty:
        what = f"the checkout had uncommitted changes when {some(dirty)} ran"
        yield Finding(check="commit", file="git:HEAD", what=what, severity=WARNING)


def check_completeness(evidence: Evidence) -> Iterator[Finding]:
    """No file without a job, and no file of two jobs. The seal and the records are checked elsewhere."""
    known = {*evidence.producers, *evidence.sources, *map(named, (SUMS, SIGNATURE, ROOT, PAGE, SOURCES))}
    records = named(f"{RECORDS}/")
    for name in evidence.targets:
        if name in known or (name.startswith(records) and name.endswith(".json")):
            continue
        if any(map(LEFT_OVER.fullmatch, name.split("/"))):
            what = "left by a job that was killed; the results do not need it"
            yield Finding(check="completeness", file=name, what=what, severity=WARNING)
        else:
            yield Finding(
                check="completeness",
                file=name,
                what="no record says which job made it",
                fix="Take it out of the results if it was added by hand, else run its job again.",
            )
    claims: dict[str, list[str]] = defaultdict(list)
    for record in evidence.all_records:
        for name in record.subjects:
            claims[name].append(record.title)
    asked = evidence.subjects
    for name, titles in sorted(claims.items()):
        if len(titles) > 1 and name in asked:
            what = f"claimed by {len(titles)} records: {some(sorted(titles))}"
            yield Finding(
                check="completeness", file=name, what=what, fix="Delete the records of jobs that are no more."
            )


def check_environment(evidence: Evidence) -> Iterator[Finding]:
    """Warnings: jobs that ran with other packages, another Python or on another processor."""
    seen: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for record in evidence.records:
        packages = record.environment.get("packages")
        named = {f"package {key}": value for key, value in packages.items()} if isinstance(packages, dict) else {}
        named |= {key: record.environment[key] for key in ("python", "cpu") if key in record.environment}
        for key, value in named.items():
            seen[key][str(value)].add(record.rule)
    for key, values in sorted(seen.items()):
        if len(values) > 1:
            told = "; ".join(f"{value}: {some(sorted(rules), most=3)}" for value, rules in sorted(values.items()))
            what = "differs between jobs"
            yield Finding(check="environment", file=key, what=what, found=told, severity=WARNING)


def dicom_difference(then: Sequence[Instance], path: Path) -> str:
    """In words, how the images of a zip, of a folder, or of one file differ from what they were.

    No more is read than LARGEST_IMAGE of each and LARGEST_SERIES of all. Raises what `_what_changed` catches.
    """
    changes: dict[str, list[str]] = defaultdict(list)
    left = LARGEST_SERIES
    with contextlib.ExitStack() as opened:
        sizes, read = _members(path, opened)
        for image in then:
            size = sizes.get(image.member)
            if size is None:
                change = "missing"
            elif size > min(left, LARGEST_IMAGE):
                change = "too large to be compared"
            else:
                left -= size
                change = _image_change(image, read(image.member))
            changes[change].append(image.member)
    return ", ".join(
        f"{change} in {len(members)} of {len(then)} images ({some(members, most=3)})"
        for change, members in changes.items()
        if change != "same"
    )


def _image_change(then: Instance, data: bytes) -> str:
    if hashlib.sha256(data).hexdigest() == then.sha256:
        return "same"
    if DEFLATED in data:
        return "bytes changed, pixels not compared (a deflated file may unpack to any size)"
    try:
        import pydicom

        pixels = pixel_sha256(pydicom.dcmread(io.BytesIO(data), force=True))
    except ImportError:
        return "bytes changed, pixels not compared (needs pydicom)"
    except Exception as error:  # pydicom raises what it likes on a damaged file
        return f"bytes changed, pixels unreadable ({type(error).__name__})"
    return "only tags changed, the pixels are the same," if pixels == then.pixel_sha256 else "pixels changed"


def _what_changed(source: Source, evidence: Evidence) -> str:
    """What is known of a changed source beyond its digest."""
    if not source.instances:
        return ""
    try:
        difference = dicom_difference(source.instances, evidence.at(source.name))
    except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        return f": the archive cannot be read ({error})"
    return ": " + (difference or "every listed image is the same, the rest is not")


def _members(path: Path, opened: contextlib.ExitStack) -> tuple[dict[str, int], Callable[[str], bytes]]:
    """The files of a zip or of a folder by their names in it, or the one file: their sizes, and how one is read."""
    if path.is_dir() or not zipfile.is_zipfile(path):
        listed = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
        files = {file.relative_to(path).as_posix() if path.is_dir() else file.name: file for file in listed}
        sizes = {name: file.stat().st_size for name, file in files.items()}
        return sizes, lambda name: read_whole(files[name], most=LARGEST_IMAGE)
    archive = opened.enter_context(zipfile.ZipFile(path))
    # other methods may take any memory
    plain = [one for one in archive.infolist() if one.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)]
    return {one.filename: one.file_size for one in plain}, archive.read
