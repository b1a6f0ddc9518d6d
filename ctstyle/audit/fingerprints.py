"""Is a record of the work that its fingerprint stands for: rule, wildcards, params, code and inputs?"""

from collections.abc import Iterator

from ctstyle.audit.evidence import Evidence
from ctstyle.audit.finding import WARNING, Finding, short
from ctstyle.audit.records import Record
from ctstyle.provenance.fingerprint import fingerprint, listing_digest

FIX = "Run the job again; without a run since, somebody edited the record."


def check_fingerprints(evidence: Evidence) -> Iterator[Finding]:
    """The fingerprint of every record, and the digest over its code, computed anew; and inputs that did not rest."""
    for record in evidence.records:
        about = {"check": "fingerprint", "file": evidence.place.name_of(record.path), "fix": FIX}
        inputs = [(one.role.removeprefix("input:"), one.name, one.sha256) for one in record.inputs]
        try:
            work = fingerprint(record.rule, record.wildcards, record.params, inputs)
        except (ValueError, RecursionError):  # NaN, or lists in lists in lists
            work = None
        if work != record.fingerprint:
            what = "rule, wildcards, params or inputs are not those of its fingerprint"
            yield Finding(what=what, found=short(work), expected=short(record.fingerprint), **about)
        yield from _check_code(record, about)
        for name in record.touched:
            what = f"somebody touched it while {record.title} ran; it held the same before and after"
            yield Finding(check="inputs", file=name, what=what, severity=WARNING)


def _check_code(record: Record, about: dict[str, str]) -> Iterator[Finding]:
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
