"""Tables of the comparison: encoders (Table 3), style weights (claim A), layer lists (claim H), and all taps."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ctstyle.encoders.network import parameters_to
from ctstyle.encoders.plan import TapLists
from ctstyle.paper.intervals import mean_over_patients, withheld
from ctstyle.paper.measures import BOUNDS, ENCODER_LABELS, LOSS_LABELS, PaperInputError, in_order, loss_label
from ctstyle.paper.tables import Table, by_seed_and_patient, cells
from ctstyle.study.analysis import Intervals
from ctstyle.study.encoders import encoder_spec
from ctstyle.transfer.decoder import Decoder

KEPT_AND_REACHED = ("gradient_ssim", "edge_f1", "wasserstein_generated_hu", "ssim_target", "hu_error_target")
"""Structure kept, style reached, and the two distances to the true target."""
LEVELS = (4, 8, 16)
"""Strides of the deep content taps."""


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
            row |= cells(measure, mean_over_patients(values, intervals, bounds=BOUNDS[measure]))
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
