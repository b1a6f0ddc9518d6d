"""The manifest of sources: every file that no job made, and every DICOM instance in it (docs/provenance.md)."""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ctstyle.errors import CTStyleError
from ctstyle.provenance.digest import digests, pixel_sha256
from ctstyle.provenance.names import Names
from ctstyle.provenance.record import write_record

KINDS = ("dicom", "wheel", "weights", "config", "sheet", "nifti")


class BadSource(CTStyleError):
    """A source that cannot stand in the manifest: an unknown kind, no pixels, or one name for two files."""


def source_entry(
    path: Path | str,
    *,
    name: str,
    cohort: str,
    kind: str,
    address: str = "",
    licence: str = "",
) -> dict[str, Any]:
    """The manifest's entry of one file, or of one folder or zip of a series, under its public `name`.

    `size` is in bytes. Of kind "dicom", `instances` lists each CT image and segmentation with the digest of its file
    and that of its pixels alone: a series whose tags were edited keeps its `pixel_sha256`. Members of private files
    (`source:`) are numbered, not named. `series_uid` stands there
    where all CT images (without any: all segmentations) share one. A folder's digest is that of its listing
    (`digest.listing_digest`). Raises BadSource, FileMissing and the errors of `dicom.index`.
    """
    path = Path(path)
    if kind not in KINDS:
        raise BadSource("unknown kind of source", where=name, found=kind, expected=", ".join(KINDS))
    files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
    sha256 = digests([path])[path]
    entry = {
        "name": name,
        "sha256": sha256,
        "size": sum(one.stat().st_size for one in files),
        "kind": kind,
        "cohort": cohort,
    }
    if kind == "dicom":
        series, instances = _instances(path)
        entry |= {"series_uid": series.pop()} if len(series) == 1 else {}
        # folders and files of an archive at the hospital may be named after patients
        private = name.startswith("source:")
        entry["instances"] = [
            one | ({"member": f"{number:05d}"} if private else {}) for number, one in enumerate(instances, start=1)
        ]
    return entry | {key: value for key, value in (("address", address), ("licence", licence)) if value}


def manifest(entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """All entries, sorted by name, each once. Raises BadSource for one name with two digests."""
    by_name: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        known = by_name.setdefault(entry["name"], entry)
        if known["sha256"] != entry["sha256"]:
            raise BadSource(
                "one name for two sources",
                where=entry["name"],
                found=f"SHA-256 {known['sha256'][:12]} and {entry['sha256'][:12]}",
                expected="one file per name",
                fix="Give each scan of the sheet a name of its own.",
            )
    return {"files": [dict(by_name[name]) for name in sorted(by_name)]}


def write_manifest(path: Path | str, entries: Iterable[Mapping[str, Any]]) -> None:
    """Write `manifest(entries)` as canonical JSON, whole or not at all."""
    write_record(path, manifest(entries))


def _instances(path: Path) -> tuple[set[str], list[dict[str, str]]]:
    """The series UIDs and the instances of a folder, a zip or a file, sorted by member."""
    from ctstyle.ct.acquisition import known_uid
    from ctstyle.ct.index import index

    with index(path) as found:
        images = [file for files in found.ct.values() for file in files]
        instances = []
        for file in [*images, *found.segmentations]:
            with file.member.open() as stream:
                data = stream.read()
            # "zip!member", "folder/member", or the file itself
            member = file.name.removeprefix(str(path)).lstrip("!/\\").replace("\\", "/") or path.name
            instances.append({"member": member, **_digests_of(data, member)})
        series = {known_uid(file.header.get("SeriesInstanceUID")) for file in images or found.segmentations}
    return series, sorted(instances, key=lambda instance: instance["member"])


def _digests_of(data: bytes, member: str) -> dict[str, str]:
    """Identity of one DICOM file, with the digest of all of it and of its pixels; nothing is decoded."""
    import pydicom

    from ctstyle.ct.acquisition import known_uid

    dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    pixels = pixel_sha256(dataset)
    if not pixels:
        raise BadSource(
            "a DICOM instance without pixels", where=member, expected="PixelData (7FE0,0010)", fix="Export it again."
        )
    return {
        "sop_instance_uid": known_uid(dataset.get("SOPInstanceUID")),
        "sha256": hashlib.sha256(data).hexdigest(),
        "pixel_sha256": pixels,
    }


def of_run(
    scans: Iterable[Mapping[str, str]],
    *,
    names: Names,
    weights: Iterable[Path | str] = (),
    configs: Mapping[str, str] = MappingProxyType({}),
    sheets: Iterable[Path | str] = (),
) -> list[dict[str, Any]]:
    """The entries of a run: the files of every scan, every weights file that came from elsewhere, every config file.

    `scans` are rows of the sheet (`scan, cohort, series, mask, licence`), `weights` the JSON records beside weights,
    `sheets` the user's tables of scans. `configs` are the digests of the config files as the Snakefile read them, by
    path in the checkout or absolute, in the order they were laid over each other. Raises BadSource for a config file
    that was edited since.
    """
    entries: list[dict[str, Any]] = []
    for scan in scans:
        for series, name in names.of_scan(scan).items():
            about = {"name": name, "cohort": scan["cohort"], "licence": scan["licence"]}
            entries.append(source_entry(series, kind=_kind(Path(series)), **about))
    for path in weights:
        told = json.loads(Path(path).read_text())
        file = Path(path).with_suffix(".safetensors")
        about = {"address": told["source"], "licence": told["licence"]}
        entries.append(source_entry(file, name=names.of(file), cohort="", kind="weights", **about))
    for order, (path, sha256) in enumerate(configs.items()):
        place = names.root / path
        entry = source_entry(place, name=names.of(place), cohort="", kind="config") | {"order": order}
        if entry["sha256"] != sha256:
            raise BadSource(
                "the config file was edited while the workflow ran",
                where=entry["name"],
                found=f"SHA-256 {entry['sha256'][:12]}",
                expected=f"{sha256[:12]}, as it was when the workflow began",
                fix="Run the workflow again; jobs whose settings changed are run anew.",
            )
        entries.append(entry)
    for sheet in sheets:
        entries.append(source_entry(sheet, name=names.of(sheet), cohort="sheet", kind="sheet"))
    return entries


def _kind(path: Path) -> str:
    return "nifti" if path.name.endswith((".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")) else "dicom"
