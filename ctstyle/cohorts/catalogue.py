"""All scans of a run: the configured cohorts as one list, known before anything is made or fetched."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from ctstyle.cohorts import sheet
from ctstyle.errors import CTStyleError
from ctstyle.study.cohorts import COHORTS
from ctstyle.study.config import Config
from ctstyle.study.settings import build, keys_of, section_of


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
        scans += _module(cohort).scans(_chosen(config, cohort), f"{folder}/{cohort}", root)
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


def pinned_row(config: Mapping[str, Any], cohort: str, case: str, root: Path) -> dict[str, str]:
    """The row of a public cohort's table that pins one case. Raises UnusableList."""
    module = _module(cohort)
    table = module.pinned(_chosen(config, cohort), root)
    return table.set_index(module.COLLECTION.case, drop=False).loc[case].to_dict()


def _module(cohort: str) -> Any:
    return import_module(COHORTS[cohort].module)


def _chosen(config: Mapping[str, Any], cohort: str) -> Any:
    """The settings of a cohort, or the config's value where it has no section."""
    field = keys_of(Config).get(cohort)
    kind = None if field is None else section_of(field.annotation)
    return build(kind, config[cohort], cohort) if kind else config.get(cohort)
