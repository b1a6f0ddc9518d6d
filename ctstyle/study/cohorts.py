"""The cohorts as data: what each is, and the module that lists and fetches its scans."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cohort:
    """A source of CT: `meaning` for the config, and `module`, the dotted place of its code.

    `volumes`: a collection whose scans are fetched one by one as NIfTI, after a rule has listed them.
    """

    meaning: str
    module: str
    volumes: bool = False


COHORTS = {
    "phantom": Cohort("virtual patients behind a virtual scanner, made here", "ctstyle.cohorts.phantom.settings"),
    "lidc0001": Cohort("one real CT out of the Python package index", "ctstyle.cohorts.lidc0001"),
    "spine_mets": Cohort("55 real CT with masks, 20 GB", "ctstyle.cohorts.spine_mets"),
    "verse": Cohort("up to 374 real CT, fetched one by one (docs/own-data.md)", "ctstyle.cohorts.verse", volumes=True),
    "totalsegmentator": Cohort(
        "102 or 1228 real CT, fetched one by one (docs/own-data.md)", "ctstyle.cohorts.totalsegmentator", volumes=True
    ),
    "sheet": Cohort("your own scans", "ctstyle.cohorts.sheet"),
}

COLLECTIONS = {
    name: {"list": f"{cohort.module}:list_scans", "fetch": f"{cohort.module}:fetch"}
    for name, cohort in COHORTS.items()
    if cohort.volumes
}
"""The functions that list and fetch the scans of a collection, by place."""
