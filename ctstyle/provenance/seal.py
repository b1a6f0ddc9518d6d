"""The seal of a run: the digest of every file in one list, the digest of the list, and a signature of it."""

import json
import os
import subprocess
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ctstyle.errors import CTStyleError
from ctstyle.provenance.digest import DigestCache, digests, sha256_file
from ctstyle.provenance.lineage import load_records, upstream
from ctstyle.provenance.names import RESULTS
from ctstyle.provenance.record import environment, timestamp, write_record, write_whole

SUMS, ROOT, SIGNATURE, PAGE = "SHA256SUMS", "root.json", "SHA256SUMS.sig", "root.html"
PRODUCTS = "products.json"
"""What the run is for, so that a file taken away with its record is missed. It is sealed too."""
NAMESPACE = "ctstyle"
"""What a signature is for, so that one made for another purpose does not pass (`ssh-keygen -n`)."""
PASSED_OVER = ("logs", "benchmarks")
"""Folders of the results whose files differ from run to run."""


class CannotSeal(CTStyleError):
    """A file that cannot stand in the list of digests."""


class NotSigned(CTStyleError):
    """ssh-keygen could not sign, or is not there."""


class BadSignature(CTStyleError):
    """The signature does not fit the list of digests or the signer."""


def sealed_names(records: Mapping[str, Mapping[str, Any]], manifest: Mapping[str, Any]) -> list[str]:
    """All files to seal, by their paths in the results, sorted: every record, and what records and manifest name there.

    `records` are the statements by their own public name. Logs, benchmarks and the seal itself are left out.
    """
    names = {*records, *(entry["name"] for entry in manifest["files"])}
    for record in records.values():
        names.update(subject["name"] for subject in record["subject"])
        names.update(one["uri"] for one in record["predicate"]["buildDefinition"]["resolvedDependencies"])
    paths = {name.removeprefix(f"{RESULTS}/") for name in names if name.startswith(f"{RESULTS}/")}
    own = {f"provenance/{name}" for name in (SUMS, ROOT, SIGNATURE, PAGE)}
    return sorted(path for path in paths - own if path.partition("/")[0] not in PASSED_OVER)


def sums(paths: Iterable[Path | str], cache: DigestCache, results: Path | str) -> str:
    """The digests of files as `sha256sum` prints them, names relative to the folder `results`, sorted.

    Relative paths are relative to `results`. Raises CannotSeal for a folder, for a file outside, and for a name
    with a line break or a backslash (`sha256sum` would escape it), and FileMissing.
    """
    folder = Path(os.path.normpath(Path(results).absolute()))
    files = {Path(os.path.normpath(folder / path)) for path in paths}
    for file in files:
        if not file.is_relative_to(folder) or file.is_dir() or set("\n\r\\") & set(str(file.relative_to(folder))):
            raise CannotSeal(
                "not a file of this run's results",
                where=file,
                expected=f"a file below {folder.name}, without line break or backslash in its name",
                fix="Seal what the records name, with `sealed_names`.",
            )
    found = digests(files, cache)
    listed = sorted((file.relative_to(folder).as_posix(), found[file]) for file in files)
    return "".join(f"{sha256}  {name}\n" for name, sha256 in listed)


def write_seal(
    results: Path | str, *, paths: Iterable[Path | str], cache: DigestCache, commit: str, created: datetime
) -> dict[str, Any]:
    """Write `SHA256SUMS` and `root.json` into `results/provenance`, the latter as a page too, and return it.

    A signature of an older seal goes. `created` carries a time zone. Raises as `sums`.
    """
    folder = Path(results) / "provenance"
    text = sums(paths, cache, results)
    (folder / SIGNATURE).unlink(missing_ok=True)
    write_whole(folder / SUMS, text)
    root = {
        "root": sha256_file(folder / SUMS),
        "files": text.count("\n"),
        "commit": commit,
        "created": timestamp(created),
    }
    write_record(folder / ROOT, root)
    write_whole(folder / PAGE, _page(root))
    return root


def _page(root: Mapping[str, Any]) -> str:
    """The root digest for the report."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Seal of this run</title></head>\n'
        '<body style="font-family:sans-serif;margin:1.5em;max-width:60em"><h1>Seal of this run</h1>\n'
        f"<p>Root digest: <code>{root['root']}</code></p>\n"
        f"<p>SHA-256 of <code>SHA256SUMS</code>, which lists {root['files']} files; commit "
        f"<code>{root['commit']}</code>, {root['created']}. <code>python -m ctstyle.audit results --root DIGEST</code> "
        "checks a copy of the results against it.</p></body></html>\n"
    )


def sign(sums_path: Path | str, key: Path | str) -> Path:
    """Sign `SHA256SUMS` with an SSH key (a private key's file, or a public one whose private half an agent holds).

    Returns the path of the signature, `SHA256SUMS.sig`. Raises NotSigned.
    """
    sums_path = Path(sums_path)
    done = _ssh_keygen(["sign", "-f", str(key), "-n", NAMESPACE], sums_path)
    if done.returncode:
        raise NotSigned(
            "ssh-keygen did not sign",
            where=sums_path.name,
            found=done.stderr.decode(errors="replace").strip(),
            expected="a usable SSH key",
            fix="Name a private key, or a public key that an SSH agent holds.",
        )
    signature = sums_path.with_name(f"{sums_path.name}.sig")
    write_whole(signature, done.stdout.decode("ascii"))
    return signature


def verify_signature(
    sums_path: Path | str, *, allowed_signers: Path | str, identity: str, signature: Path | str | None = None
) -> None:
    """Check that `identity` signed `SHA256SUMS` as it is now; `allowed_signers` is a file as ssh-keygen(1) tells.

    `signature` is by default the file beside it with `.sig`. Raises BadSignature, and NotSigned without ssh-keygen.
    """
    sums_path = Path(sums_path)
    signature = Path(signature) if signature is not None else sums_path.with_name(f"{sums_path.name}.sig")
    options = ["-f", str(allowed_signers), "-I", identity, "-n", NAMESPACE, "-s", str(signature)]
    done = _ssh_keygen(["verify", *options], sums_path)
    if done.returncode:
        raise BadSignature(
            "the signature does not hold",
            where=signature.name,
            found=(done.stderr + done.stdout).decode(errors="replace").strip(),
            expected=f"a signature of {sums_path.name} by {identity}",
            fix="The list of digests was changed after it was signed, or another key signed it.",
        )


def _ssh_keygen(action: list[str], sums_path: Path) -> subprocess.CompletedProcess:
    """Run `ssh-keygen -Y` on the list of digests, given on standard input (so that it asks nothing)."""
    try:
        with sums_path.open("rb") as stream:
            return subprocess.run(["ssh-keygen", "-Y", *action], stdin=stream, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise NotSigned(
            f"no {Path(error.filename).name}",
            where=sums_path.name,
            expected="the sealed list of digests, and OpenSSH 8.1 or newer",
            fix="Seal the run first; install OpenSSH.",
        ) from error


def seal_run(
    results: Path, *, finals: Collection[str], cache: DigestCache, root: Path, created: datetime
) -> dict[str, Any]:
    """Seal the files `finals` (by public name) and all they came from, as the records say, and return the root.

    `finals` are listed in `products.json`.

    Records of jobs that the finals do not come from (left over from another config) are not sealed.
    """
    folder = results / "provenance"
    records = upstream(load_records(folder / "records"), finals)
    names = sealed_names(records, json.loads((folder / "sources.json").read_text()))
    write_record(folder / PRODUCTS, {"products": sorted(finals)})
    commit = environment(root)["commit"]
    return write_seal(results, paths=[*names, f"provenance/{PRODUCTS}"], cache=cache, commit=commit, created=created)
