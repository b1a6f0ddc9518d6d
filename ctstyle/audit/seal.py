"""The seal: one digest over all files and records, which a signature or a number in a paper can anchor."""

import re
import shutil
import subprocess
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path

from ctstyle.audit.evidence import Evidence
from ctstyle.audit.finding import LONGEST, MOST, UNVERIFIED, WARNING, Finding
from ctstyle.provenance.digest import MB, read_json, read_whole
from ctstyle.provenance.lineage import short
from ctstyle.provenance.names import (
    PAGE,
    PRODUCTS,
    RECORDS,
    ROOT,
    SIGNATURE,
    SOURCES,
    SUMS,
    inside,
    is_safe,
    named,
)

PAPER, TYPST = "paper/paper.pdf", "paper/paper.typ"
NAMESPACE = "ctstyle"
LARGEST_SUMS, MOST_SUMS = 128 * MB, 2_000_000
LARGEST_PAPER = 16 * MB
UNSEALED = (SUMS, SIGNATURE, ROOT, PAGE, f"{RECORDS}/seal.json", PAPER, TYPST, f"{RECORDS}/print_paper.json")
"""What is made after the seal: the seal itself, and the paper, which prints the root, each with its record."""
_PRINTED = re.compile(r'#let root = "(.*)"')
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
RESEAL = "Let the workflow run to its end, it seals again; without a run since, somebody edited the results."


_broken = partial(Finding, check="seal", fix=RESEAL)


def root_of(evidence: Evidence) -> str | None:
    """The root digest of the results as they lie here, None where they are not sealed."""
    return evidence.now(named(SUMS)).sha256


def check_seal(evidence: Evidence, *, anchor: str | None, allowed_signers: Path | None) -> Iterator[Finding]:
    """The sums, the root over the sums, the anchored root, and the signature.

    `anchor` is the root digest as somebody else wrote it down, `allowed_signers` the public keys a signature may have.
    """
    name, root = named(SUMS), root_of(evidence)
    if root is None:
        demanded = evidence.whole or anchor is not None or allowed_signers is not None
        severity = {} if demanded else {"severity": WARNING}
        fix = "Let the workflow run to its end; the last job seals."
        yield _broken(file=name, what="the results are not sealed", fix=fix, **severity)
        return
    if anchor is not None and anchor != root:
        what, fix = "these are not the results with the given root", "Get the results that the root was published with."
        yield _broken(file=name, what=what, found=short(root), expected=short(anchor), fix=fix)
    sums = yield from _read_sums(evidence, name)
    yield from _check_root(evidence, root, len(sums))
    yield from _check_sums(evidence, sums)
    yield from _check_products(evidence, sums)
    yield from _check_printed(evidence, root)
    yield from _check_signature(evidence, allowed_signers)


def _read_sums(evidence: Evidence, name: str) -> Generator[Finding, None, dict[str, str]]:
    """Finds damaged lines; returns the digests by name."""
    sums: dict[str, str] = {}
    damaged: list[tuple[int, str]] = []
    text = yield from _read(evidence, name, LARGEST_SUMS)
    for number, line in enumerate(text.split("\n", MOST_SUMS), start=1):
        match = _LINE.fullmatch(line)
        sealed = named(match[2]) if match is not None else ""
        if match is not None and is_safe(sealed) and sealed not in sums:
            sums[sealed] = match[1]
        elif line:
            damaged.append((number, line))
    for number, line in damaged[:MOST]:
        yield _broken(file=name, what=f"line {number} is damaged", found=line[:LONGEST])
    if len(damaged) > MOST:
        yield _broken(file=name, what=f"{len(damaged) - MOST} more lines are damaged")
    return sums


def _read(evidence: Evidence, name: str, most: int) -> Generator[Finding, None, str]:
    """Finds what keeps a file from being read; returns its text, nothing of such a file."""
    try:
        return read_whole(evidence.at(name), most=most).decode("utf-8", errors="replace")
    except OSError as error:
        yield _broken(file=name, what=f"cannot be read: {error.strerror}")
        return ""


def _check_root(evidence: Evidence, root: str, files: int) -> Iterator[Finding]:
    name = named(ROOT)
    try:
        written = read_json(evidence.at(name), most=MB)
        said_root, said_files = written["root"], written["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield _broken(file=name, what=f"no root of a seal ({type(error).__name__}: {error})")
        return
    if said_root != root:
        what = "it is not the digest of SHA256SUMS"
        yield _broken(file=name, what=what, found=short(root), expected=str(said_root)[:12])
    if said_files != files:
        what = "SHA256SUMS lists another number of files"
        yield _broken(file=name, what=what, found=str(files), expected=str(said_files))


def _check_sums(evidence: Evidence, sums: dict[str, str]) -> Iterator[Finding]:
    """Every file, record and source in question is sealed with what it holds, whatever any record says of it.

    A file that broke its record is told there.
    """
    subjects = evidence.subjects
    records = {evidence.place.name_of(one.path) for one in evidence.records}
    sources = {name for name in evidence.sources if inside(name)}
    asked = {*subjects, *records, *sources, named(SOURCES), *(sums if evidence.whole else ())}
    for name in sorted(asked - set(map(named, UNSEALED))):
        now, told = evidence.now(name), subjects.get(name)
        if told is not None and now.sha256 != told:
            continue
        if name not in sums:
            yield _broken(file=name, what="it came after the seal, which does not list it")
        elif now.sha256 is None:
            yield _broken(file=name, what=f"sealed, but {now.problem}", expected=short(sums[name]))
        elif now.sha256 != sums[name]:
            what = "the record was changed after the seal" if told is None else "changed after the seal with its record"
            sides = {"found": short(now.sha256), "expected": short(sums[name])}
            yield _broken(file=name, what=what, **sides)


def _check_products(evidence: Evidence, sums: dict[str, str]) -> Iterator[Finding]:
    """Everything that the run is for is there and was made by a job."""
    if not evidence.whole:
        return
    name = named(PRODUCTS)
    try:
        if name not in sums:
            raise ValueError("the seal does not list it")
        products = read_json(evidence.at(name), most=MB)["products"]
        if not all(isinstance(one, str) for one in products):
            raise TypeError("not a list of names")
        missing = sorted(one for one in products if one not in evidence.producers or one not in sums)
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield _broken(file=name, what=f"no list of the products of the run: {error}")
        return
    for one in missing:
        what = "a product of the run, and no record made it, or it is not sealed"
        fix = "Get the results that were published, or let the workflow make it again."
        yield _broken(file=one, what=what, fix=fix)


def _check_printed(evidence: Evidence, root: str) -> Iterator[Finding]:
    """The paper prints the root of this seal."""
    name = named(TYPST)
    if evidence.now(name).sha256 is None or name not in evidence.subjects:
        return
    text = yield from _read(evidence, name, LARGEST_PAPER)
    printed = [found[1] for line in text.splitlines() if (found := _PRINTED.fullmatch(line))]
    if printed != [root]:
        roots = ", ".join(map(short, printed)) or "none"
        fix = "Let the workflow print the paper again."
        what = "the paper prints another root than that of the seal"
        yield _broken(file=name, what=what, found=roots, expected=short(root), fix=fix)


def _check_signature(evidence: Evidence, allowed_signers: Path | None) -> Iterator[Finding]:
    """The signature of SHA256SUMS by one of the allowed signers."""
    name = named(SIGNATURE)
    signature, sums = evidence.at(name), evidence.at(named(SUMS))
    if allowed_signers is None:
        if signature.is_file():
            what = "a signature, but no --allowed-signers to hold it against"
            yield Finding(check="signature", file=name, what=what, severity=UNVERIFIED)
        return
    if not signature.is_file():
        yield Finding(check="signature", file=name, what="missing", fix="Ask for the signed results.")
        return
    if shutil.which("ssh-keygen") is None:
        yield Finding(check="signature", file=name, what="ssh-keygen is not here to verify it", fix="Install OpenSSH.")
        return
    keys = ["-f", str(allowed_signers), "-s", str(signature)]
    who = subprocess.run(["ssh-keygen", "-Y", "find-principals", *keys], capture_output=True, text=True)
    signer = who.stdout.strip().splitlines()[:1]
    if who.returncode == 0 and signer:
        verify = ["ssh-keygen", "-Y", "verify", *keys, "-I", signer[0], "-n", NAMESPACE]
        with sums.open("rb") as stream:
            if subprocess.run(verify, stdin=stream, capture_output=True).returncode == 0:
                return
    what = "no allowed signer signed these SHA256SUMS"
    yield Finding(check="signature", file=name, what=what, fix="Ask the signer; do not trust these results till then.")
