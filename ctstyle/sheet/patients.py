"""Pseudonyms: who is the same patient, and the names `p001`, `p001-s1` that stand in the sheet."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

from ctstyle.sheet import names
from ctstyle.sheet.scans import CTScan


def name_scans(scans: Sequence[CTScan]) -> list[tuple[str, str]]:
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


def by_folder(scans: Sequence[CTScan]) -> list[CTScan]:
    """Volume files without BIDS' subject: one patient per folder, or per file where a folder holds several subjects."""
    loose = [scan for scan in scans if scan.told_by == "name"]
    told = []
    for scan in scans:
        beside = {tuple(names.own_words(names.stem(other.path))) for other in loose if other.home == scan.home}
        if scan in loose and len(beside) == 1:
            scan = dataclasses.replace(scan, patient=f"name {scan.home}")
        told.append(scan)
    return told


def doubts(scans: Sequence[CTScan]) -> list[str]:
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
