"""All scans of a run: the configured cohorts as one list, known before anything is made or fetched."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ctstyle.cohorts import lidc0001, sheet, spine_mets, totalsegmentator, verse
from ctstyle.cohorts.phantom import settings as phantom
from ctstyle.errors import CTStyleError
from ctstyle.study.settings import build

COHORTS = {
    "phantom": (phantom, phantom.PhantomSettings),
    "lidc0001": (lidc0001, None),
    "spine_mets": (spine_mets, spine_mets.SpineMetsSettings),
    "verse": (verse, verse.VerseSettings),
    "totalsegmentator": (totalsegmentator, totalsegmentator.TotalSegmentatorSettings),
    "sheet": (sheet, None),
}
"""The module of each cohort, which lists its `scans`, and its settings; a cohort without any has the config's value."""


class NoScans(CTStyleError):
    """The cohorts of a config hold no scan, or one name twice."""


def list_scans(config: Mapping[str, Any], folder: str, root: Path) -> pd.DataFrame:
    """The scans of all cohorts in `config["cohorts"]`, one row per scan with the columns of `sheet.Scan`.

    `folder` is where cohorts lie (`results/cohorts`); made and fetched scans are named below it although they may not
    exist yet. `root` is the checkout, where the tables of public cohorts lie. Raises NoScans, BadSheet for the
    user's own sheet and UnusableList for the table of a public cohort.
    """
    scans: list[sheet.Scan] = []
    for cohort in config["cohorts"]:
        module, settings = COHORTS[cohort]
        chosen = build(settings, config[cohort]) if settings else config.get(cohort)
        scans += module.scans(chosen, f"{folder}/{cohort}", root)
    twice = pd.Series([scan.scan for scan in scans]).value_counts()
    if not scans or twice.iloc[0] > 1:
        raise NoScans(
            "every scan needs a name of its own" if scans else "the cohorts hold no scan",
            where="cohorts",
            found=twice.index[0] if scans else config["cohorts"],
            expected="one row per scan",
            fix="Rename it in the sheet.",
        )
    return sheet.sheet_frame(scans)
