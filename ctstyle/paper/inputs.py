"""From a run's files to what tables and figures are made of."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ctstyle.measures.columns import PaperInputError


def read_frames(paths: Iterable[Path | str], *, separator: str = "\t") -> list[pd.DataFrame]:
    """The TSV tables of a run; an empty text cell stays an empty text, an empty number becomes NaN."""
    frames = []
    for path in paths:
        frame = pd.read_csv(path, sep=separator)
        text = frame.select_dtypes(include=["object", "string"]).columns
        frames.append(frame.astype(dict.fromkeys(text, object)).fillna(dict.fromkeys(text, "")))
    return frames


def in_groups(names: Sequence[str], frames: Iterable[pd.DataFrame]) -> dict[str, list[pd.DataFrame]]:
    """Frames in the order of `names` and, within one name, of the seeds: one list of frames per name."""
    frames = list(frames)
    seeds, rest = divmod(len(frames), len(names))
    if rest or not frames:
        raise PaperInputError(
            "not one frame per name and seed",
            where=", ".join(names),
            found=len(frames),
            expected=f"a multiple of {len(names)}",
        )
    return {name: list(frames[i * seeds : (i + 1) * seeds]) for i, name in enumerate(names)}


def read_arrays(names: Sequence[str], paths: Iterable[Path | str]) -> dict[str, np.ndarray]:
    """The arrays in `paths` by the names that they belong to, in one order."""
    return dict(zip(names, map(np.load, paths)))


def fullest_slice(rows: pd.DataFrame) -> int:
    """The label of the row whose slice shows most vertebra; the first of equals."""
    return int(rows["foreground_px"].astype(int).idxmax())


def by_seed_and_patient(slices: pd.DataFrame, measures: Sequence[str]) -> dict[str, np.ndarray]:
    """Means over slices of each measure, float64 `[seeds, patients]`, of rows with `seed` and `patient`."""
    means = slices.groupby(["patient", "seed"], sort=True)[list(measures)].mean()
    return {measure: means[measure].unstack("patient").to_numpy(dtype=np.float64) for measure in measures}
