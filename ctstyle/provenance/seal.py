"""The seal of a run: the digest of every file in one list, and the digest of the list (docs/provenance.md)."""

import json
import os
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ctstyle.errors import CTStyleError
from ctstyle.provenance.digest import digests, sha256_file
from ctstyle.provenance.lineage import load_records, upstream
from ctstyle.provenance.names import (
    PAGE,
    PRODUCTS,
    RECORDS,
    ROOT,
    SIGNATURE,
    SOURCES,
    SUMS,
    UNAUDITED,
    inside,
    within,
)
from ctstyle.provenance.record import environment, timestamp, write_record, write_whole


class CannotSeal(CTStyleError):
    """A file that cannot stand in the list of digests."""


def sealed_names(records: Mapping[str, Mapping[str, Any]], manifest: Mapping[str, Any]) -> list[str]:
    """All files to seal, by their paths in the results, sorted: every record, and what records and manifest name there.

    `records` are the statements by their own public name. Logs, benchmarks and the seal itself are left out.
    """
    names = {*records, *(entry["name"] for entry in manifest["files"])}
    for record in records.values():
        names.update(subject["name"] for subject in record["subject"])
        names.update(one["uri"] for one in record["predicate"]["buildDefinition"]["resolvedDependencies"])
    paths = {within(name) for name in names if inside(name)} - {SUMS, ROOT, SIGNATURE, PAGE}
    return sorted(path for path in paths if path.partition("/")[0] not in UNAUDITED)


def sums(paths: Iterable[Path | str], results: Path | str) -> str:
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
    found = digests(files)
    listed = sorted((file.relative_to(folder).as_posix(), found[file]) for file in files)
    return "".join(f"{sha256}  {name}\n" for name, sha256 in listed)


def write_seal(results: Path | str, *, paths: Iterable[Path | str], commit: str, created: datetime) -> dict[str, Any]:
    """Write `SHA256SUMS` and `root.json` into `results/provenance`, the latter as a page too, and return it.

    A signature of an older seal goes. `created` carries a time zone. Raises as `sums`.
    """
    results = Path(results)
    text = sums(paths, results)
    (results / SIGNATURE).unlink(missing_ok=True)
    write_whole(results / SUMS, text)
    root = {
        "root": sha256_file(results / SUMS),
        "files": text.count("\n"),
        "commit": commit,
        "created": timestamp(created),
    }
    write_record(results / ROOT, root)
    write_whole(results / PAGE, _page(root))
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


def seal_run(results: Path, *, finals: Collection[str], root: Path, created: datetime) -> dict[str, Any]:
    """Seal the files `finals` (by public name) and all they came from, as the records say, and return the root.

    `finals` are listed in `products.json`. Records of jobs that the finals do not come from (left over from another
    config) are not sealed.
    """
    records = upstream(load_records(results / RECORDS), finals)
    names = sealed_names(records, json.loads((results / SOURCES).read_text()))
    write_record(results / PRODUCTS, {"products": sorted(finals)})
    return write_seal(results, paths=[*names, PRODUCTS], commit=environment(root)["commit"], created=created)
