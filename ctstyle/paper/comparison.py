"""Tables of the comparison: encoders (Table 3), style weights (claim A), layer lists (claim H), taps; and of costs."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctstyle.encoders.plan import TapLists
from ctstyle.measures.columns import (
    BOUNDS,
    ENCODER_LABELS,
    LOSS_LABELS,
    MODEL_LABELS,
    PaperInputError,
    in_order,
    loss_label,
)
from ctstyle.measures.statistics import mean_over_patients, withheld
from ctstyle.paper.captions import (
    RunFacts,
    cohorts_note,
    interval_note,
    run_facts,
    seeds_note,
    sizes_note,
    withheld_notes,
)
from ctstyle.paper.inputs import by_seed_and_patient, read_frames
from ctstyle.paper.write import Notes, Table
from ctstyle.study.analysis import Intervals
from ctstyle.study.encoders import encoder_spec
from ctstyle.study.settings import build

KEPT_AND_REACHED = ("gradient_ssim", "edge_f1", "wasserstein_generated_hu", "ssim_target", "hu_error_target")
"""Structure kept, style reached, and the two distances to the true target."""


LEVELS = (4, 8, 16)
"""Strides of the deep content taps."""


WARM_UP = "warm_up"
"""What the decoder's warm-up is called in the column `model`."""


@dataclass(frozen=True, kw_only=True)
class ComparedFacts:
    """What captions must say about the trainings of the comparison; `criterion` is that of the content list."""

    weights: str
    size_px: int
    warm_up_steps: int
    steps: int
    criterion: str


def make_table3(inputs: Any, settings: Mapping[str, Any]) -> tuple[Table, Notes]:
    """Table 3 and its notes from the scores of the trainings with each encoder."""
    facts, compared = _facts(inputs, settings)
    table = table3(
        read_frames(inputs.scores),
        encoders=read_encoders(inputs.about, stride=settings["stride"]),
        layers=read_frames(inputs.layers),
        intervals=facts.intervals,
    )
    return table, table3_notes(facts, table, compared)


def make_taps(inputs: Any, settings: Mapping[str, Any]) -> tuple[Table, Notes]:
    """The table of taps and its notes from the layer descriptions."""
    table = taps(read_frames(inputs.layers))
    return table, taps_notes(run_facts(inputs, settings), table)


def make_sweep(inputs: Any, settings: Mapping[str, Any]) -> tuple[Table, Notes]:
    """The table of style weights and its notes."""
    facts, compared = _facts(inputs, settings)
    table = sweep(read_frames(inputs.sweep), facts.intervals)
    return table, sweep_notes(facts, table, compared)


def make_lists(inputs: Any, settings: Mapping[str, Any]) -> tuple[Table, Notes]:
    """The table of layer lists and its notes."""
    facts, compared = _facts(inputs, settings)
    table = lists(read_frames(inputs.lists), facts.encoder, TapLists.load(Path(inputs.taps)), facts.intervals)
    return table, lists_notes(facts, table, compared)


def make_costs(inputs: Any, settings: Mapping[str, Any]) -> tuple[Table, Notes]:
    """The table of costs and its notes from the cost files of trainings and outputs."""
    models = {name: {"output": path} for name, path in zip(settings["models"], inputs.outputs)}
    for name, path in zip(settings["trained"], inputs.trainings):
        models[name]["training"] = path
    table = costs(models, zip(settings["compared"], inputs.compared), inputs.warm_up)
    return table, costs_notes()


def _facts(inputs: Any, settings: Mapping[str, Any]) -> tuple[RunFacts, ComparedFacts]:
    return run_facts(inputs, settings), build(ComparedFacts, settings["compared"])


def by_training(scores: Iterable[pd.DataFrame], names: Iterable[str], intervals: Intervals) -> pd.DataFrame:
    """One row per training: its `names`, and mean and interval over seeds and patients of KEPT_AND_REACHED.

    `scores` are frames of rule train_compared, one per training and seed; the column `withheld` says why there is no
    interval. Raises PaperInputError where no slice was carried into another style.
    """
    slices = pd.concat(scores, ignore_index=True)
    slices = slices[slices["kind"] == "transfer"]
    if slices.empty:
        raise PaperInputError("no generated test slice to tabulate", where="comparison", found=0, expected="at least 1")
    rows = []
    for values, of_training in slices.groupby(list(names), sort=False):
        row = dict(zip(names, values)) | {
            "seeds": of_training["seed"].nunique(),
            "patients": of_training["patient"].nunique(),
            "slices": int(len(of_training) // of_training["seed"].nunique()),
            "wasserstein_content_hu": of_training.groupby("patient")["wasserstein_content_hu"].mean().mean(),
        }
        row["withheld"] = withheld(seeds=row["seeds"], patients=row["patients"])
        for measure, values in by_seed_and_patient(of_training, KEPT_AND_REACHED).items():
            row |= mean_over_patients(values, intervals, bounds=BOUNDS[measure]).cells(measure)
        rows.append(row)
    return pd.DataFrame(rows)


@dataclass(frozen=True, kw_only=True)
class ComparedEncoder:
    """One encoder of the comparison.

    `weights` is their name, as in `layers.tsv`; their `heldout_accuracy` is empty where they were not trained here;
    `parameters` are those up to the deepest tap that a loss reads.
    """

    weights: str
    heldout_accuracy: Mapping[str, float]
    parameters: int
    decoder_parameters: int


def read_encoders(about: Iterable[Path | str], *, stride: int) -> dict[str, ComparedEncoder]:
    """The encoders whose weights have these records, with a decoder at `stride`."""
    # only Table 3 counts networks, and importing torch takes longer than making the other tables
    from ctstyle.encoders.network import parameters_to
    from ctstyle.transfer.decoder import Decoder

    encoders = {}
    for path in about:
        record = json.loads(Path(path).read_text())
        spec = encoder_spec(record["encoder"])
        decoder = Decoder(stride=stride, channels=spec.tap(spec.adain_tap[stride]).channels)
        encoders[spec.name] = ComparedEncoder(
            weights=record["weights"],
            heldout_accuracy=record.get("heldout_accuracy") or {},
            parameters=parameters_to(spec, (*spec.deep_content_taps, *spec.style_taps)),
            decoder_parameters=sum(parameter.numel() for parameter in decoder.parameters()),
        )
    return encoders


def table3(
    scores: Iterable[pd.DataFrame],
    *,
    encoders: Mapping[str, ComparedEncoder],
    layers: Iterable[pd.DataFrame],
    intervals: Intervals,
) -> Table:
    """Table 3: every encoder under both losses; `layers` are the frames of `layers.tsv`."""
    frame = by_training(scores, ("encoder", "model", "smoothing"), intervals)
    order = {name: number for number, name in enumerate(in_order(set(frame["encoder"]), ENCODER_LABELS))}
    frame = frame.assign(order=frame["encoder"].map(order)).sort_values(["model", "smoothing", "order"], kind="stable")
    frame = frame.drop(columns="order").reset_index(drop=True)
    frame.insert(0, "loss", [loss_label(row.model, row.smoothing) for row in frame.itertuples()])
    frame.insert(1, "network", frame["encoder"].map(lambda name: ENCODER_LABELS.get(name, name)))
    for key, column in (("rotation", "rotation_accuracy"), ("level", "level_accuracy")):
        frame[column] = [100 * encoders[name].heldout_accuracy.get(key, np.nan) for name in frame["encoder"]]
    # the main encoder is described twice where its own weights are not those of the comparison
    entropy = pd.concat(layers, ignore_index=True).set_index(["encoder", "weights", "tap"])["entropy"]
    for level, stride in enumerate(LEVELS):
        taps = {name: encoder_spec(name).deep_content_taps[level] for name in encoders}
        of_encoder = {name: float(entropy[name, encoders[name].weights, taps[name]]) for name in encoders}
        frame[f"entropy_{stride}"] = frame["encoder"].map(of_encoder)
    frame["encoder_parameters"] = [encoders[name].parameters / 1e6 for name in frame["encoder"]]
    frame["decoder_parameters"] = [encoders[name].decoder_parameters / 1e6 for name in frame["encoder"]]
    known = ("rotation_accuracy", "entropy_4", "entropy_8", "entropy_16", "encoder_parameters")
    return Table(frame=frame, row="network", group="loss", printed=(*KEPT_AND_REACHED, *known))


def sweep(scores: Iterable[pd.DataFrame], intervals: Intervals) -> Table:
    """Content kept and style reached by both losses at each style weight (claim A at matched style distance)."""
    frame = by_training(scores, ("model", "style_weight"), intervals)
    frame.insert(0, "loss", frame["model"].map(LOSS_LABELS))
    frame = frame.assign(style_weight=frame["style_weight"].astype(float))
    frame = frame.sort_values(["model", "style_weight"], kind="stable").reset_index(drop=True)
    frame.insert(1, "weight", [f"style weight {weight:g}" for weight in frame["style_weight"]])
    return Table(frame=frame, row="weight", group="loss", printed=KEPT_AND_REACHED, contest=False)


def lists(scores: Iterable[pd.DataFrame], encoder: str, selected: TapLists, intervals: Intervals) -> Table:
    """The same training of `encoder` with the registry's and with the `selected` layer lists (claim H)."""
    spec = encoder_spec(encoder)
    registry = TapLists(content_taps=spec.content_taps, style_taps=spec.style_taps)
    frame = by_training(scores, ("layers",), intervals)
    frame.insert(0, "loss", LOSS_LABELS["ours"])
    frame.insert(1, "lists", [f"{layers} lists" for layers in frame["layers"]])
    chosen = [{"registry": registry, "selected": selected}[layers] for layers in frame["layers"]]
    frame["content_taps"] = [", ".join(one.content_taps) for one in chosen]
    frame["style_taps"] = [", ".join(one.style_taps) for one in chosen]
    return Table(
        frame=frame, row="lists", group="loss", printed=KEPT_AND_REACHED, counts=("content_taps", "style_taps")
    )


def taps(layers: Iterable[pd.DataFrame]) -> Table:
    """Every tap of every described encoder: what it keeps of a slice, what it says of the style, its entropy."""
    frame = pd.concat(layers, ignore_index=True)
    names = [ENCODER_LABELS.get(name, name) for name in frame["encoder"]]
    frame.insert(0, "network", [f"{name}, {weights}" for name, weights in zip(names, frame["weights"])])
    return Table(
        frame=frame,
        row="tap",
        group="network",
        counts=("stride", "channels"),
        printed=("content_score", "style_score", "entropy"),
    )


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


def table3_notes(facts: RunFacts, table: Table, compared: ComparedFacts) -> Notes:
    """Title and notes of Table 3."""
    return Notes(
        "Encoders under both content losses",
        (
            cohorts_note(facts),
            _trainings(facts, table, compared),
            f"All encoders: weights `{compared.weights}`, the same slices and budget. Held-out accuracy: turned slices "
            "of validation patients told by a linear head (chance 25 %). Content taps reach stride 16: only there do "
            "ResNet50 and 101, and the three DenseNets, differ in depth.",
            "Entropy of the activations at the content tap of each stride, as a share of its greatest value; low means "
            "few large peaks. Parameters: up to the deepest tap that a loss reads. Seconds per step: table of costs.",
            f"Wasserstein-1 before any transfer: {table.frame['wasserstein_content_hu'].iloc[0]:.1f} HU.",
            f"{sizes_note(table)} {interval_note(facts)}",
            *withheld_notes(table, "loss"),
        ),
        number="Table 3",
    )


def taps_notes(facts: RunFacts, table: Table) -> Notes:
    """Title and notes of the table of taps."""
    return Notes(
        "What every tap keeps of a slice and says of the style",
        (
            cohorts_note(facts),
            "Content score: R² of a linear readout of the pixels from the maps, on patients it has not seen. Style "
            "score: nearest style centroid on channel means and deviations inside the body, leaving one patient out; "
            "1 perfect, 0 chance. Entropy: as in Table 3.",
        ),
        number="Table of taps",
    )


def sweep_notes(facts: RunFacts, table: Table, compared: ComparedFacts) -> Notes:
    """Title and notes of the sweep of the style weight."""
    return Notes(
        "Both losses over the style weight",
        (
            cohorts_note(facts),
            _trainings(facts, table, compared),
            f"Encoder {facts.encoder} with {facts.weights_name}.",
            "The two content losses have different scales, so one style weight does not mean the same for both: "
            "compare them where their style distances meet.",
            f"{sizes_note(table)} {interval_note(facts)}",
            *withheld_notes(table, "loss"),
        ),
        number="Table of style weights",
    )


def lists_notes(facts: RunFacts, table: Table, compared: ComparedFacts) -> Notes:
    """Title and notes of the two layer lists."""
    return Notes(
        "The same training with two layer lists",
        (
            cohorts_note(facts),
            _trainings(facts, table, compared),
            f"Encoder {facts.encoder} with {facts.weights_name}. Selected: at each level the tap with the highest "
            "style score for the style loss; at strides 4 and 8 the tap with the highest "
            f"{compared.criterion} for the content loss.",
            f"{sizes_note(table)} {interval_note(facts)}",
            *withheld_notes(table, "loss"),
        ),
        number="Table of layer lists",
    )


def costs_notes() -> Notes:
    """Title and notes of the table of costs."""
    return Notes(
        "What trainings and outputs cost",
        (
            "Measured on the machine of this run, with its threads and whatever else ran beside; the one table whose "
            "numbers differ from run to run. Seconds per step: the median. Training: the whole job with its start.",
            "Ours and AdaIN synthesis start from the decoder's warm-up, which has a row of its own. The training of "
            "the encoder is not counted.",
            "An optimisation (Gatys) has no training and pays for every slice anew.",
        ),
        number="Table of costs",
    )


def _trainings(facts: RunFacts, table: Table, compared: ComparedFacts) -> str:
    return (
        f"Short trainings: slices of {compared.size_px} px, decoder warm-up {compared.warm_up_steps} steps, then "
        f"{compared.steps} steps each; {seeds_note(table)} One fixed grey window of {facts.window_hu[0]:g} to "
        f"{facts.window_hu[1]:g} HU."
    )
