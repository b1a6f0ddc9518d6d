"""All scans of a run: the configured cohorts as one list, known before anything is made or fetched."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ctstyle.cohorts import lidc0001, sheet, spine_mets, totalsegmentator, verse
from ctstyle.cohorts.phantom import settings as phantom
from ctstyle.errors import CTStyleError
from ctstyle.study.settings import build


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
        if cohort == "phantom":
            scans += phantom.scans(build(phantom.PhantomSettings, config["phantom"]), f"{folder}/phantom")
        elif cohort == "lidc0001":
            scans += lidc0001.scans(f"{folder}/lidc0001")
        elif cohort == "spine_mets":
            asked = build(spine_mets.SpineMetsSettings, config["spine_mets"])
            scans += spine_mets.scans(asked, f"{folder}/spine_mets", root)
        elif cohort == "verse":
            scans += verse.scans(build(verse.VerseSettings, config["verse"]), f"{folder}/verse", root)
        elif cohort == "totalsegmentator":
            chosen = build(totalsegmentator.TotalSegmentatorSettings, config["totalsegmentator"])
            scans += totalsegmentator.scans(chosen, f"{folder}/totalsegmentator", root)
        else:
            scans += _own_scans(config["sheet"])
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


def _own_scans(path: str | None) -> list[sheet.Scan]:
    if not path:
        raise NoScans(
            "the cohort `sheet` needs a table of scans",
            where="sheet",
            found=path,
            expected="the path of a TSV",
            fix="Set `sheet: config/my_scans.tsv`; the columns stand in docs/own-data.md.",
        )
    # an empty name would be no part of a file name, and no cohort to group by
    return [scan if scan.cohort else dataclasses.replace(scan, cohort="sheet") for scan in sheet.read_sheet(path)]
