"""The slices of a run with their style and side, as every later rule opens them; light to import."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ctstyle.slices.archive import Archive
from ctstyle.slices.split import LENT_TO, SCORED_FROM, regions

SOURCE = "s1"
"""The style the first U-Net is trained on."""


def open_run(paths: Iterable[Path | str], split: Path | str) -> Archive:
    """All slices of a run with the columns `style` and `side` of its split table, and their `region`.

    `paths` may name all files of the archives; those that end in `.hu.npy` are opened.
    """
    archive = Archive.open(path for path in map(str, paths) if path.endswith(".hu.npy"))
    joined = archive.join(pd.read_csv(split, sep="\t", dtype=str, keep_default_na=False))
    rows = joined.rows.assign(region=regions(joined.rows)).drop(columns=[LENT_TO, SCORED_FROM])
    return replace(joined, rows=rows)


def labelled(archive: Archive) -> Archive:
    """The slices of scans that have a mask, those without a vertebra in them too."""
    foreground = archive.rows.groupby("scan")["foreground_px"].transform("sum")
    return archive.take(np.flatnonzero(foreground > 0))
