"""All scans of a run: the configured cohorts as one list, known before anything is made or fetched."""

import re
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
        scans += _module(cohort).scans(chosen(config, cohort), f"{folder}/{cohort}", root)
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


def pinned(config: Mapping[str, Any], root: Path) -> dict[str, dict[str, dict[str, str]]]:
    """The rows of the tables that pin the configured public cohorts, by cohort and case. Raises UnusableList."""
    tables = {
        cohort: (module.COLLECTION.case, module.pinned(chosen(config, cohort), root))
        for cohort in config["cohorts"]
        if hasattr(module := _module(cohort), "COLLECTION")
    }
    return {cohort: table.set_index(case, drop=False).to_dict("index") for cohort, (case, table) in tables.items()}


def files(scans: pd.DataFrame) -> dict[str, dict[str, str]]:
    """By scan: its `series`, and its `mask` where that is a file of its own."""
    return {
        row["scan"]: {
            "series": row["series"],
            **({"mask": row["mask"]} if row["mask"] not in ("", row["series"]) else {}),
        }
        for row in scans.to_dict("records")
    }


def sources(scans: pd.DataFrame) -> list[str]:
    """The files of all scans, each once."""
    return list(dict.fromkeys(path for column in ("series", "mask") for path in scans[column] if path))


def cut_apart(scans: pd.DataFrame) -> str:
    """A pattern for the scans that are not cut where they are made; the others are simulated."""
    return "|".join(re.escape(scan) for scan in scans.query("cohort != 'phantom'")["scan"]) or "(?!)"


def chosen(config: Mapping[str, Any], cohort: str) -> Any:
    """The settings of a cohort from its section of the config, or the config's value where it has no section."""
    field = keys_of(Config).get(cohort)
    kind = None if field is None else section_of(field.annotation)
    return build(kind, config[cohort], cohort) if kind else config.get(cohort)


def _module(cohort: str) -> Any:
    return import_module(COHORTS[cohort].module)
