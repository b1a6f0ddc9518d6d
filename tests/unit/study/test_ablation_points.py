"""Which chains the ablations ask for, and that each differs from the base in what its question names alone."""

import copy
import dataclasses

import pytest
import yaml

from ctstyle.errors import CTStyleError
from ctstyle.study.ablations import BASE, QUESTIONS, plan
from ctstyle.study.analysis import AugmentSettings
from ctstyle.study.networks import TransferSettings
from ctstyle.study.settings import build

CHANGED = {
    "slices": {"augment.per_content"},
    "targets": {"augment.targets"},
    "style_weight": {"training.style_weight"},
    "bandwidth": {"training.bandwidth"},
    "content_target": {"training.content_target"},
    "alpha": {"augment.alpha"},
}
VALUES = {
    "slices": [0.25, 1, 2],
    "targets": [3, 1, 2],
    "style_weight": [100, 10, 1],
    "bandwidth": [0.1, 0.5],
    "content_target": ["x", "adain"],
    "tap_depth": ["deep", 8, 4],
    "points": ["body", "loss_everywhere", "statistics_everywhere", "everywhere"],
    "alpha": [0.5, 1],
}


@pytest.fixture(scope="module")
def config(root):
    return yaml.safe_load((root / "config" / "config.yaml").read_text())


def asked(config, **values):
    changed = copy.deepcopy(config)
    changed["ablations"].update(values)
    return plan(changed)


def differences(one, other):
    """The names of the settings in which two points differ, out of the library's own dataclasses."""
    found = {name for name in ("stride", "layers") if getattr(one, name) != getattr(other, name)}
    for section, cls in (("training", TransferSettings), ("augment", AugmentSettings)):
        a, b = (dataclasses.asdict(build(cls, getattr(point, section))) for point in (one, other))
        found |= {f"{section}.{key}" for key in a if a[key] != b[key]}
    return found


def test_the_questions_are_the_keys_of_the_config(config):
    scale = {"size_px", "warm_up_steps", "steps", "segment_steps"}
    assert set(config["ablations"]) == set(QUESTIONS) | scale == set(VALUES) | scale
    nothing = plan(config)
    assert nothing.questions == [] and nothing.asked == [] and list(nothing.points) == [BASE]


@pytest.mark.parametrize("question", CHANGED)
def test_a_value_changes_what_its_question_names_and_nothing_else(config, question):
    made = asked(config, **{question: VALUES[question]})
    base = made.points[BASE]
    others = [point for name, point in made.points.items() if name != BASE]
    assert len(others) == len(VALUES[question]) - 1
    for point in others:
        assert differences(point, base) == CHANGED[question]
    key = next(iter(CHANGED[question])).split(".")
    found = [getattr(made.points[name], key[0])[key[1]] for name in made.frame["point"]]
    assert found == ([1, 2, None] if question == "targets" else made.frame["value"].tolist())


def test_tap_depth_moves_the_adain_tap_or_the_content_taps(config):
    made = asked(config, tap_depth=VALUES["tap_depth"])
    assert made.frame["value"].tolist() == [4, 8, "deep"]
    assert made.frame["point"].tolist() == [BASE, "tap_depth-8", "tap_depth-deep"]
    base, eight, deep = (made.points[name] for name in made.frame["point"])
    assert differences(eight, base) == {"stride"} and (base.stride, eight.stride) == (4, 8)
    assert differences(deep, base) == {"layers"} and deep.layers == "deep"


def test_points_are_two_settings_in_all_combinations(config):
    made = asked(config, points=VALUES["points"])
    found = [(made.points[p].training["statistics"], made.points[p].training["points"]) for p in made.frame["point"]]
    assert found == [("body", "body"), ("body", "slice"), ("slice", "body"), ("slice", "slice")]
    assert all(differences(made.points[p], made.points[BASE]) <= {"training.statistics", "training.points"}
               for p in made.points)  # fmt: skip


def test_the_runs_own_value_is_one_chain_for_all_questions(config):
    made = asked(config, **VALUES)
    own = made.frame[made.frame["point"] == BASE]
    assert own["question"].tolist() == list(QUESTIONS)
    assert len(made.asked) == len(made.frame) - len(QUESTIONS) + 1 == len(made.points)
    other = copy.deepcopy(config)
    other["transfer"]["training"]["bandwidth"] = 0.1
    moved = asked(other, bandwidth=[0.1, 0.5]).frame
    assert moved["point"].tolist() == [BASE, "bandwidth-0.5"]


def test_only_what_changes_the_training_has_a_generator_of_its_own(config):
    made = asked(config, **VALUES)
    shared = {name.split("-")[0] for name, point in made.points.items() if point.generator == BASE}
    assert shared == {BASE, "slices", "targets", "alpha"}
    assert all(point.generator in (BASE, name) for name, point in made.points.items())


def test_the_scale_is_the_ablations_and_all_else_the_runs(config):
    made = asked(config, size_px=48, warm_up_steps=7, steps=5, segment_steps=3)
    assert made.points[BASE].training == {**config["transfer"]["training"], "steps": 5}
    assert made.warm_up == {**config["transfer"]["warm_up"], "steps": 7}
    assert made.segment == {**config["segment"]["training"], "steps": 3}
    assert made.points[BASE].augment == config["augment"]
    assert made.scale == {"size_px": 48, "warm_up_steps": 7, "steps": 5, "segment_steps": 3}


def test_more_targets_than_styles_are_refused(config):
    with pytest.raises(CTStyleError, match=r"ablations: targets.*found 4.*at most 3"):
        asked(config, targets=[4])
