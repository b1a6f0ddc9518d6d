"""What names of files and folders say: the subject, whether a file is a mask, and of what. Pseudonyms of patients."""

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ctstyle.ct.anatomy import SPINE

if TYPE_CHECKING:
    from ctstyle.sheet.scans import CTScan

MASK = {
    *("mask", "masks", "msk", "seg", "segs", "dseg", "segmentation", "segmentations", "annotation", "annotations"),
    *("label", "labels", "labelstr", "labelsts", "labelmap", "labelmaps", "gt"),
}
PLAIN = {
    *("ct", "cts", "scan", "scans", "series", "hu", "volume", "volumes", "vol", "data", "anat", "raw", "rawdata"),
    *("image", "images", "imagestr", "imagests", "img", "imgs"),
    *("dicom", "dicoms", "dcm", "nifti", "nii", "nrrd", "zip"),
    *("orig", "original", "derivatives", "total", "totalsegmentator", "ml", "manual", "ground", "truth"),
    *("all", "full", "final", "pred", "prediction", "desc", "man", "auto", "space", "res", "acq", "rec", "run"),
}
"""Words that say neither who nor what; with those of masks they are passed over when subjects are compared."""


def stem(path: Path) -> str:
    """A file's name without the suffixes of volume files."""
    return re.sub(r"(\.nii)?\.[A-Za-z0-9]+$", "", path.name)


def words(text: str) -> list[str]:
    """Lower-case words and numbers: "sub-verse004_T11" is sub, verse, 004, t, 11."""
    return re.findall(r"[a-z]+|\d+", text.lower())


def own_words(*parts: str) -> list[str]:
    """The words that tell one subject from another; nnU-Net's channel number 0000 is none."""
    found = [word for part in parts for word in words(re.sub(r"_0000$", "", part))]
    return [word for word in found if word not in PLAIN | MASK | SPINE]


def subject(path: Path) -> str:
    """BIDS' subject, `sub-...`, from the name or the nearest folder of a path that has one; else empty."""
    for part in reversed(path.parts):
        found = re.search(r"(?:^|_)(sub-[A-Za-z0-9]+)", part)
        if found:
            return found[1]
    return ""


def is_mask(path: Path) -> bool:
    """Whether the name, or that of its folder, says mask, labels or vertebrae."""
    return bool({*words(stem(path)), *words(path.parent.name)} & (MASK | SPINE))


def of_vertebrae(path: Path, known: list[str], *, alone: bool) -> bool:
    """Whether a mask's name speaks of vertebrae, or of nothing but what is `known` (the words of its CT).

    With `alone` it must speak of nothing else beside: in "liver_spine_seg" not every label is a vertebra.
    """
    spine = bool(SPINE & set(words(stem(path))))
    foreign = [word for word in own_words(stem(path)) if word.isalpha() and word not in known]
    return not foreign or (spine and not alone)


def is_verse(path: Path) -> bool:
    """VerSe's own names: `sub-verse004_seg-vert_msk.nii.gz`."""
    return "seg-vert" in path.name.lower()


def name_scans(scans: "Sequence[CTScan]") -> list[tuple[str, str]]:
    """(scan, patient) for each scan, numbered by the order given, which is that of the paths."""
    patients: dict[str, int] = {}
    seen: Counter = Counter()
    named = []
    for scan in scans:
        number = patients.setdefault(scan.patient, len(patients) + 1)
        seen[number] += 1
        patient = f"p{number:03d}"
        named.append((f"{patient}-s{seen[number]}", patient))
    return named


def by_folder(scans: "Sequence[CTScan]") -> "list[CTScan]":
    """Volume files without BIDS' subject: one patient per folder, or per file where a folder holds several subjects."""
    loose = [scan for scan in scans if scan.told_by == "name"]
    told = []
    for scan in scans:
        beside = {tuple(own_words(stem(other.path))) for other in loose if other.home == scan.home}
        if scan in loose and len(beside) == 1:
            scan = dataclasses.replace(scan, patient=f"name {scan.home}")
        told.append(scan)
    return told


def doubts(scans: "Sequence[CTScan]") -> list[str]:
    """What the user must look at, since training and test are split by patient."""
    told = Counter(scan.told_by for scan in scans)
    found = []
    if told["study"]:
        found.append(f"{told['study']} scans have no PatientID: each study counts as a patient of its own")
    if told["path"] + told["name"]:
        found.append(
            f"{told['path'] + told['name']} scans say nothing of their patient: told apart by folder or file name"
        )
    ids = {scan.patient for scan in scans if scan.told_by == "id"}
    studies = {scan.study for scan in scans if scan.told_by == "id"}
    if len(ids) == 1 and len(studies) > 1:
        found.append(f"{len(studies)} studies have one and the same PatientID: perhaps it was blanked")
    if told["id"] + told["study"] and told["subject"] + told["name"]:
        found.append("volume files and DICOM series: whether they show the same patients cannot be told")
    return [f"{text}; check the column patient, the split depends on it" for text in found]
