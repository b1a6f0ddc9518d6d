"""Which mask belongs to which CT: DICOM by what it refers to, label files by name, place and geometry."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctstyle.ct.anatomy import SPINE, VERSE_IDS, VERTEBRA_NAMES
from ctstyle.ct.labels import Segment
from ctstyle.sheet import names
from ctstyle.sheet.headers import Entry
from ctstyle.sheet.scans import CTScan, LabelFile, LeftOut

VERSE_RUN = 3
"""So many labels in VerSe's range make a VerSe file; one or two (liver 1, spine 2) are a drawing program's numbers."""


@dataclass(frozen=True, kw_only=True)
class Mask:
    """A mask as the sheet names it; `levels` counts its named vertebrae, `doubt` says what to look at."""

    path: str
    uid: str = ""
    label_map: str
    levels: int
    doubt: str = ""


@dataclass(frozen=True)
class Pairing:
    """The mask of each scan (by its number), what to tell the user, and masks that serve no scan."""

    chosen: dict[int, Mask]
    warnings: list[str]
    left_out: list[LeftOut]


def pair(scans: Sequence[CTScan], entries: Sequence[Entry], labels: Sequence[LabelFile]) -> Pairing:
    """Give each scan the mask with most named vertebrae among those that belong to it.

    `entries` are DICOM-SEG and RTSTRUCT. A mask that belongs to no scan, marks no vertebra or has a better rival is
    left out with its reason.
    """
    candidates: dict[int, list[Mask]] = defaultdict(list)
    unused: dict[str, str] = {}
    packed: dict[Any, int] = defaultdict(int)
    for entry in entries:
        packed[entry.container] += entry.packed
    for entry in entries:
        path = str(entry.container) if entry.packed else entry.path
        uid = str(entry.header["SOPInstanceUID"] or "") if entry.packed and packed[entry.container] > 1 else ""
        mask, owners = _of_segments(path, uid, entry.header["segments"]), _owners(entry, scans)
        _enter(mask, owners, entry.path, candidates, unused)
    for file in labels:
        mask, owners = _of_file(file, scans)
        _enter(mask, owners, str(file.path), candidates, unused)
    chosen: dict[int, Mask] = {}
    warnings: list[str] = []
    for number, masks in sorted(candidates.items()):
        best, *others = sorted(masks, key=lambda mask: (-mask.levels, mask.path, mask.uid))
        chosen[number] = best
        if others:
            named = ", ".join(f"{mask.path}{f' ({mask.uid})' if mask.uid else ''}" for mask in others)
            warnings.append(
                f"{scans[number].path}: {len(masks)} masks belong to it; taken {best.path}"
                f"{f' ({best.uid})' if best.uid else ''} with {best.levels} named vertebrae, not {named}; to choose "
                "another, write it into the columns mask and mask_uid"
            )
        if best.doubt:
            warnings.append(f"{best.path}: {best.doubt}")
    served = {(mask.path, mask.uid) for mask in chosen.values()}
    rivals = {(mask.path, mask.uid) for masks in candidates.values() for mask in masks} - served
    left_out = [LeftOut(path, reason) for path, reason in unused.items()]
    left_out += [
        LeftOut(path, f"a mask{f' ({uid})' if uid else ''}, another was taken") for path, uid in sorted(rivals)
    ]
    return Pairing(chosen, warnings, left_out)


def _enter(mask: Mask | None, owners: list[int] | str, where: str, candidates: dict, unused: dict[str, str]) -> None:
    if isinstance(owners, str):
        unused[where] = owners
    elif mask is None:
        unused[where] = "a mask without a vertebra among its names"
    else:
        for number in owners:
            candidates[number].append(mask)


def _of_segments(path: str, uid: str, segments: Sequence[Segment]) -> Mask | None:
    """A DICOM mask: names and codes decide; one that only says spine everywhere marks vertebrae without a level."""
    levels = {level for segment in segments for level in segment.levels()}
    if levels:
        return Mask(path=path, uid=uid, label_map="totalsegmentator", levels=len(levels))
    if segments and all(set(names.words(" ".join(segment.names))) & SPINE for segment in segments):
        doubt = "names no level; label_map vertebrae takes all it marks as bone of vertebrae"
        return Mask(path=path, uid=uid, label_map="vertebrae", levels=0, doubt=doubt)
    return None


def _owners(entry: Entry, scans: Sequence[CTScan]) -> list[int] | str:
    """The scans a DICOM mask was drawn on, by series, else by coordinate system and images; or why there is none."""
    header = entry.header
    frames = {header["FrameOfReferenceUID"], *header["frames"]} - {None, ""}
    references = set(header["references"]) - {""}
    owners = [number for number, scan in enumerate(scans) if scan.uid in references]
    if not owners:
        owners = [
            number for number, scan in enumerate(scans) if scan.frame in frames and scan.instances & header["instances"]
        ]
    if not owners:
        return f"{header['Modality']} of no CT series in the sheet"
    patient = header["PatientID"]
    same = [number for number in owners if not (patient and scans[number].patient_id not in ("", patient))]
    if not same:
        return "a mask that names another patient than the CT it refers to; PatientID (0010,0020)"
    fitting = [number for number in same if not (frames and scans[number].frame and scans[number].frame not in frames)]
    return fitting or "a mask in another coordinate system than the CT it refers to; FrameOfReferenceUID (0020,0052)"


def _of_file(file: LabelFile, scans: Sequence[CTScan]) -> tuple[Mask | None, list[int] | str]:
    """A label file and its scans, or why it has none: first the name, then the grid, then the place."""
    if not file.values:
        return None, "a label file without a label"
    if not names.is_mask(file.path):
        return None, "a label file whose name does not say mask, seg, label or vertebrae"
    covered = [number for number, scan in enumerate(scans) if scan.grid.is_covered_by(file.grid)]
    owners = _related(file, covered, scans)
    if not owners:
        lies = "beside it or with its subject" if covered else "that it covers"
        return None, f"a label file without a CT {lies}"
    if len({scans[number].patient for number in owners}) > 1:
        return None, "a label file that could belong to scans of several patients"
    known = [word for number in owners for word in names.words(names.stem(scans[number].path))]
    mask = guess(file)
    if not names.of_vertebrae(file.path, known, alone=mask.levels == 0):
        return (
            None,
            "a label file whose name speaks of something else; if it marks vertebrae, write it into the column mask",
        )
    return mask, owners


def _related(file: LabelFile, covered: Sequence[int], scans: Sequence[CTScan]) -> list[int]:
    """The scans a label file belongs to by name: of the same subject, else the only one near it."""
    path = file.path
    same = [number for number in covered if _rest(scans[number].path, path) == _rest(path, scans[number].path)]
    return same or [number for number in covered if _is_near(file, scans[number], scans)]


def _is_near(file: LabelFile, scan: CTScan, scans: Sequence[CTScan]) -> bool:
    """Whether a scan is the only one of the file's subject, or in the folder that both share, on one branch of it."""
    if file.subject and [other for other in scans if other.subject == file.subject] == [scan]:
        return True
    common = Path(os.path.commonpath([scan.home, file.path.parent]))
    inside = [other for other in scans if common == other.home or common in other.home.parents]
    of_scan = names.own_words(*scan.home.relative_to(common).parts)
    of_file = names.own_words(*file.path.parent.relative_to(common).parts)
    return len(inside) == 1 and not (of_scan and of_file)


def _rest(path: Path, other: Path) -> list[str]:
    """The words of a path below what it has in common with another."""
    common = Path(os.path.commonpath([path, other]))
    *folders, _ = path.relative_to(common).parts if path != common else ("",)
    last = names.stem(path) if path != common else ""
    return names.own_words(*folders, last)


def guess(file: LabelFile) -> Mask:
    """The label map of a label file by its values: VerSe's 1..28, TotalSegmentator's 25..50, else without levels."""
    low, high = min(file.values), max(file.values)
    run = len(file.values) >= VERSE_RUN or names.is_verse(file.path)
    if (low >= min(VERTEBRA_NAMES) and high <= max(VERTEBRA_NAMES)) or (
        high > max(VERSE_IDS) and set(file.values) & set(VERTEBRA_NAMES)
    ):
        label_map, known, doubt = "totalsegmentator", {*VERTEBRA_NAMES}, ""
    elif high <= max(VERSE_IDS) and run:
        label_map, known = "verse", {*VERSE_IDS}
        doubt = (
            "" if low > 7 or names.is_verse(file.path) else f"labels {low} to {high} taken as VerSe's, from C{low} on"
        )
    else:
        said = ", ".join(str(value) for value in file.values[:6])
        doubt = f"labels {said} name no level; label_map vertebrae takes all it marks as bone of vertebrae"
        label_map, known = "vertebrae", set()
    levels = len(set(file.values) & known)
    return Mask(path=str(file.path), label_map=label_map, levels=levels, doubt=doubt)
