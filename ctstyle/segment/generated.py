"""The labelled slices of an arm as they lie on disk; needs no torch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

COLUMNS = [
    "index",
    "content_scan",
    "content_index",
    "style_scan",
    "style_index",
    "target_style",
    "model",
    "seed",
    "accepted",
    "reason",
]


@dataclass(frozen=True)
class Generated:
    """A labelled archive: accepted slices `hu` int16 and `labels` uint8 `[n, H, W]`, and `rows` (`COLUMNS`).

    `rows` has a row for every slice that was painted; `index` is its place in the arrays, -1 for a refused one, whose
    `reason` is one of `guard.REASONS`.
    """

    hu: np.ndarray
    labels: np.ndarray
    rows: pd.DataFrame

    def save(self, hu_path: Path, labels_path: Path, rows_path: Path) -> None:
        """Write `seed{seed}.hu.npy`, `.labels.npy` and `.tsv` of an arm."""
        np.save(hu_path, self.hu, allow_pickle=False)
        np.save(labels_path, self.labels, allow_pickle=False)
        self.rows.to_csv(rows_path, sep="\t", index=False, lineterminator="\n")

    @classmethod
    def load(cls, hu_path: Path, labels_path: Path, rows_path: Path) -> "Generated":
        """The archive that `save` wrote, its arrays memory-mapped."""
        rows = pd.read_csv(rows_path, sep="\t", keep_default_na=False, dtype={"content_scan": str, "style_scan": str})
        hu, labels = (np.load(path, mmap_mode="r", allow_pickle=False) for path in (hu_path, labels_path))
        return cls(hu=hu, labels=labels, rows=rows)
