"""The cohorts as data: what each is, its section of the config, and the module that lists and fetches its scans."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from ctstyle.study.settings import OneOf, Unique, key, section

Names = Annotated[tuple[str, ...], Field(min_length=1)]
VERSE_SETS = tuple(f"verse{year}{part}" for year in (19, 20) for part in ("training", "validation", "test"))


@section
class SpineMetsSettings:
    """The cohort spine_mets."""

    patients: Names | None = key(None, 'Patients that take part, such as ["13800", "13843"] (null: all 55)')
    address: Annotated[str, Field(pattern="^https?://")] = key(
        "https://idc-open-data.s3.amazonaws.com", "Address of the bucket", private=True
    )
    pinned: str = key("config/spine_mets.tsv", "Table of patients, series and folders in the bucket", private=True)


@section
class VerseSettings:
    """The cohort verse."""

    sets: Annotated[tuple[Annotated[str, OneOf(VERSE_SETS)], ...], Field(min_length=1), Unique] = key(
        VERSE_SETS, "Archives that are listed and take part; a scan in several is taken from the first"
    )
    subjects: Names | None = key(None, "Subjects such as [sub-verse004, sub-gl003] (null: all of the table)")
    address: Annotated[str, Field(min_length=1)] = key(
        "https://s3.bonescreen.de/public/VerSe-complete",
        "Web address of the archives, or the folder that holds them",
        private=True,
    )
    pinned: str = key("config/verse.tsv", "Table of subjects and scans, listed as above", private=True)


@section
class TotalSegmentatorSettings:
    """The cohort totalsegmentator."""

    subjects: Names | None = key(None, "Subjects such as [s0011, s0058] (null: all of the table)")
    address: Annotated[str, Field(min_length=1)] = key(
        "https://zenodo.org/records/10047263/files/Totalsegmentator_dataset_small_v201.zip?download=1",
        "Web address of the archive, or its place on disk. The full one is "
        "https://zenodo.org/records/10047292/files/Totalsegmentator_dataset_v201.zip?download=1",
        private=True,
    )
    pinned: str = key(
        "config/totalsegmentator.tsv",
        "Table of subjects, listed as above",
        private=True,
    )


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """A source of CT: `meaning` for the config, and `module`, the dotted place of its code.

    `settings` is its section of the config and `about` the section's comment. `volumes`: its scans are fetched one by
    one as NIfTI, after they were listed.
    """

    meaning: str
    module: str
    settings: Any = None
    about: str = ""
    volumes: bool = False


COHORTS = {
    "phantom": Cohort(meaning="virtual patients behind a virtual scanner, made here", module="ctstyle.cohorts.phantom"),
    "lidc0001": Cohort(meaning="one real CT out of the Python package index", module="ctstyle.cohorts.lidc0001"),
    "spine_mets": Cohort(
        meaning="55 real CT with masks, 20 GB",
        module="ctstyle.cohorts.spine_mets",
        settings=SpineMetsSettings,
        about="Spine-Mets-CT-SEG (The Cancer Imaging Archive, CC BY 4.0) from the public bucket of the Imaging Data "
        "Commons",
    ),
    "verse": Cohort(
        meaning="up to 374 real CT, fetched one by one (docs/own-data.md)",
        module="ctstyle.cohorts.verse",
        settings=VerseSettings,
        about="VerSe 2019 and 2020 (CC BY-SA 4.0: what is derived from it is shared under the same licence). "
        "`snakemake results/cohorts/verse.tsv` reads the lists of the archives and writes the table of scans that you "
        "look at and put where `pinned` says",
        volumes=True,
    ),
    "totalsegmentator": Cohort(
        meaning="102 or 1228 real CT, fetched one by one (docs/own-data.md)",
        module="ctstyle.cohorts.totalsegmentator",
        settings=TotalSegmentatorSettings,
        about="TotalSegmentator's training data v2.0.1 (CC BY 4.0). `snakemake results/cohorts/totalsegmentator.tsv` "
        "lists it",
        volumes=True,
    ),
    "sheet": Cohort(meaning="your own scans", module="ctstyle.cohorts.sheet"),
}

COLLECTIONS = {
    name: {"list": f"{cohort.module}:list_scans", "fetch": f"{cohort.module}:fetch"}
    for name, cohort in COHORTS.items()
    if cohort.volumes
}
"""The functions that list and fetch the scans of a collection, by place."""
