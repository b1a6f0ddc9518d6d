"""The ablations ("What drives it"): which small chains answer which question, as data, without torch.

A chain is a generator, the slices that it makes, a U-Net and its scores. A point is one such chain: it has the settings
of the run at the small scale of the config section `ablations`, and one of them changed.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ctstyle.errors import CTStyleError

BASE = "base"
"""The point whose settings are those of the run; it answers every question that lists the run's own value."""
ARM = "ours"
"""The arm whose chain is taken apart."""
COLUMNS = ["question", "value", "label", "point"]

Sections = dict[str, dict[str, Any]]
"""Config sections that a point may change: `warm_up`, `training`, `transfer` (its `layers`) and `augment`."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One setting that is varied: its `title`, the `axis` of its figure, what its values change, and their labels."""

    title: str
    axis: str
    changes: Callable[[Any], Sections]
    labels: Mapping[Any, str]


def _one(section: str, key: str) -> Callable[[Any], Sections]:
    return lambda value: {section: {key: value}}


def _tap_depth(value: int | str) -> Sections:
    return {"transfer": {"layers": value}} if value == "deep" else {"warm_up": {"stride": value}}


def _points(value: str) -> Sections:
    statistics, points = {
        "body": ("body", "body"),
        "loss_everywhere": ("body", "slice"),
        "statistics_everywhere": ("slice", "body"),
        "everywhere": ("slice", "slice"),
    }[value]
    return {"training": {"statistics": statistics, "points": points}}


QUESTIONS: dict[str, Question] = {
    "slices": Question(
        title="Number of synthetic slices",
        axis="generated slices per content slice and style",
        changes=_one("augment", "per_content"),
        labels={},
    ),
    "targets": Question(
        title="Number of style targets", axis="target styles", changes=_one("augment", "targets"), labels={}
    ),
    "style_weight": Question(
        title="Loss weight", axis="style weight", changes=_one("training", "style_weight"), labels={}
    ),
    "bandwidth": Question(title="Band width", axis="band width h", changes=_one("training", "bandwidth"), labels={}),
    "content_target": Question(
        title="Content target",
        axis="target of the content loss",
        changes=_one("training", "content_target"),
        labels={"x": "X", "adain": "AdaIN"},
    ),
    "tap_depth": Question(
        title="Tap depth",
        axis="AdaIN tap or content taps",
        changes=_tap_depth,
        labels={4: "AdaIN at\nstride 4", 8: "AdaIN at\nstride 8", 16: "AdaIN at\nstride 16", "deep": "content\nto 16"},
    ),
    "points": Question(
        title="Points inside the body or everywhere",
        axis="where points are taken",
        changes=_points,
        labels={
            "body": "body",
            "loss_everywhere": "loss:\nslice",
            "statistics_everywhere": "statistics:\nslice",
            "everywhere": "slice",
        },
    ),
    "alpha": Question(
        title="Alpha", axis="alpha: share of the target's style", changes=_one("augment", "alpha"), labels={}
    ),
}
"""In the order they are printed; the keys are those of the config section."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One chain: the point whose generator it uses, and its settings as the rules of the main chain take them."""

    generator: str
    stride: int
    layers: str
    training: dict[str, Any]
    augment: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All chains of the config section.

    `frame` has a row for each question and value (`COLUMNS`; numbers ascending, then words), `points` the settings of
    each point by name, `warm_up` (but for the stride) and `segment` those that all share, `scale` what is smaller than
    in the run.
    """

    frame: pd.DataFrame
    points: dict[str, Point]
    warm_up: dict[str, Any]
    segment: dict[str, Any]
    scale: dict[str, int]

    @property
    def questions(self) -> list[str]:
        """The questions that are asked."""
        return list(dict.fromkeys(self.frame["question"]))

    @property
    def asked(self) -> list[str]:
        """The points that answer a question, each once."""
        return list(dict.fromkeys(self.frame["point"]))


def plan(config: Mapping[str, Any]) -> Plan:
    """The chains that the checked `config` asks for.

    A value that is the run's own is the point `base`; every other changes what its question names and nothing else. A
    question that leaves the training alone shares the generator of `base`. Raises CTStyleError for more target styles
    than there are.
    """
    small, transfer = config["ablations"], config["transfer"]
    others = config["styles"]["k"] - 1 if isinstance(config["styles"]["k"], int) else None
    base: Sections = {
        "warm_up": {**transfer["warm_up"], "steps": small["warm_up_steps"]},
        "training": {**transfer["training"], "steps": small["steps"]},
        "transfer": {"layers": transfer["layers"]},
        "augment": _all_targets(config["augment"], others),
    }
    rows, points = [], {BASE: _point(base, BASE)}
    for question, about in QUESTIONS.items():
        for value in sorted(small[question], key=_number_first):
            if question == "targets" and others is not None and value > others:
                raise CTStyleError(
                    "more target styles than there are",
                    where="ablations: targets",
                    found=value,
                    expected=f"at most {others}, one less than `styles: k`",
                )
            changed = copy.deepcopy(base)
            for section, keys in about.changes(value).items():
                changed[section].update(keys)
            changed["augment"] = _all_targets(changed["augment"], others)
            shown = value if isinstance(value, str) else f"{value:g}"
            name = BASE if changed == base else f"{question}-{shown}"
            trained = any(changed[section] != base[section] for section in ("warm_up", "training", "transfer"))
            points[name] = _point(changed, name if trained else BASE)
            rows.append((question, value, about.labels.get(value, shown), name))
    return Plan(
        frame=pd.DataFrame(rows, columns=COLUMNS),
        points=points,
        warm_up=base["warm_up"],
        segment={**config["segment"]["training"], "steps": small["segment_steps"]},
        scale={key: value for key, value in small.items() if key not in QUESTIONS},
    )


def _number_first(value: float | str) -> tuple[bool, float]:
    """Sorts numbers, and leaves words behind them in their order."""
    return (True, 0.0) if isinstance(value, str) else (False, value)


def _point(sections: Sections, generator: str) -> Point:
    return Point(
        generator=generator,
        stride=sections["warm_up"]["stride"],
        layers=sections["transfer"]["layers"],
        training=sections["training"],
        augment=sections["augment"],
    )


def _all_targets(augment: Mapping[str, Any], others: int | None) -> dict[str, Any]:
    """The section with all styles named in one way: none less than all is None."""
    return {**augment, "targets": None if augment["targets"] == others else augment["targets"]}
