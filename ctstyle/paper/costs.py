"""What the run cost on the machine it ran on."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctstyle.paper.measures import ENCODER_LABELS, MODEL_LABELS, in_order, loss_label
from ctstyle.paper.tables import Table

WARM_UP = "warm_up"
"""What the decoder's warm-up is called in the column `model`."""


def costs(
    models: Mapping[str, Mapping[str, Path]],
    compared: Iterable[tuple[Mapping[str, str], Path]],
    warm_up: Path | str | None = None,
) -> Table:
    """What trainings and outputs cost on this machine; the one table whose numbers differ from run to run.

    `models[name]` holds the paths of its cost files, `training` (absent for an optimisation without training) and
    `output`; `compared` the wildcards and the cost file of each training of the comparison; `warm_up` the cost file of
    the decoder's warm-up, which ours and AdaIN synthesis share.
    """
    rows = []
    if warm_up is not None:
        rows.append(_of_training("main models", WARM_UP, "Decoder warm-up (ours, AdaIN)", warm_up))
    for name in in_order(set(models), MODEL_LABELS):
        spent = {part: json.loads(Path(path).read_text()) for part, path in models[name].items()}
        training, output = spent.get("training", {}), spent["output"]
        rows.append(
            {
                "run": "main models",
                "model": name,
                "training": MODEL_LABELS.get(name, name),
                "steps": training.get("steps", np.nan),
                "seconds_per_step": training.get("seconds_per_step", np.nan),
                "training_seconds": training.get("seconds", np.nan),
                "seconds_per_slice": output["seconds_per_slice"],
                "peak_memory_mb": max(part["peak_memory_mb"] for part in spent.values()),
            }
        )
    for wildcards, path in compared:
        encoder = ENCODER_LABELS.get(wildcards["encoder"], wildcards["encoder"])
        label = f"{encoder}, {loss_label(wildcards['model'], wildcards['smoothing'])}"
        rows.append(_of_training("comparison", f"{wildcards['encoder']}-{wildcards['model']}", label, path))
    printed = ("seconds_per_step", "training_seconds", "seconds_per_slice", "peak_memory_mb")
    return Table(frame=pd.DataFrame(rows), row="training", group="run", printed=printed, contest=False)


def _of_training(run: str, model: str, label: str, path: Path | str) -> dict[str, Any]:
    """The row of a training whose outputs are not timed."""
    spent = json.loads(Path(path).read_text())
    return {
        "run": run,
        "model": model,
        "training": label,
        "steps": spent["steps"],
        "seconds_per_step": spent["seconds_per_step"],
        "training_seconds": spent["seconds"],
        "seconds_per_slice": np.nan,
        "peak_memory_mb": spent["peak_memory_mb"],
    }
