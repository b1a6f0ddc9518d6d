"""The slices of a run with their style and side, as every later rule opens them; light to import."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ctstyle.slices.archive import Archive

SOURCE = "s1"
"""The style the first U-Net is trained on."""


def open_run(paths: Iterable[Path | str], split: Path | str) -> Archive:
    """All slices of a run with the columns `style` and `side` of its split table.

    `paths` may name all files of the archives; those that end in `.hu.npy` are opened.
    """
    archive = Archive.open(path for path in map(str, paths) if path.endswith(".hu.npy"))
    return archive.join(pd.read_csv(split, sep="\t", dtype=str, keep_default_na=False))
