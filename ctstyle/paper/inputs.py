"""From a run's files to what tables and figures are made of."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ctstyle.paper.captions import RunFacts
from ctstyle.paper.drawing import Look
from ctstyle.paper.measures import PaperInputError
from ctstyle.study.settings import build


def read_frames(paths: Iterable[Path | str], *, separator: str = "\t") -> list[pd.DataFrame]:
    """The TSV tables of a run; an empty text cell stays an empty text, an empty number becomes NaN."""
    frames = []
    for path in paths:
        frame = pd.read_csv(path, sep=separator)
        text = frame.select_dtypes(include=["object", "string"]).columns
        frames.append(frame.astype(dict.fromkeys(text, object)).fillna(dict.fromkeys(text, "")))
    return frames


def in_sequence(history: pd.DataFrame) -> pd.DataFrame:
    """A history whose stages follow each other, with its steps counted through; others as they are."""
    if "stage" not in history:
        return history
    return history.drop(columns="stage").assign(step=range(1, len(history) + 1))


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


def look(slices: Mapping[str, Any]) -> Look:
    """How all figures show slices, from the config section `slices`."""
    return Look(window_hu=tuple(slices["window_hu"]), orientation=slices["orientation"])


def run_facts(
    facts: Mapping[str, Any], intervals: Mapping[str, Any], *, weights: Path | str, trunk: Path | str
) -> RunFacts:
    """The facts of a run, with the true names that stand in the JSON files beside the encoder's and LPIPS' weights."""
    names = {"weights_name": _true_name(weights), "lpips_trunk": _true_name(trunk)}
    return build(RunFacts, {**facts, **names, "intervals": dict(intervals)})


def _true_name(path: Path | str) -> str:
    return json.loads(Path(path).read_text())["true_name"]
