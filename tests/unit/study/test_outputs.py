"""The registry of figures and tables: what a run plans, and which code each output depends on."""

import inspect

import pytest

from ctstyle.provenance.code import code_dependencies, load
from ctstyle.study import outputs
from ctstyle.study.config import checked

CONFIG = {
    "seeds": [3, 5],
    "segment": {"arms": ["plain", "ours", "noise", "oracle"], "seeds": [3, 5, 7]},
    "transfer": {"models": ["ours", "gatys"]},
    "ablations": {"alpha": [0.5, 1]},
}


@pytest.fixture(scope="module")
def config():
    return checked(CONFIG)


def test_every_place_is_a_function_of_inputs_and_settings():
    for output in (*outputs.FIGURES, *outputs.TABLES):
        assert len(inspect.signature(load(output.place)).parameters) == 2, output.name


def test_a_run_plans_its_arms_and_questions(config):
    figures, tables = outputs.plan(outputs.FIGURES, config), outputs.plan(outputs.TABLES, config)
    assert {f"figure{number}" for number in range(1, 10)} < set(figures)
    assert {name for name in figures if "_" in name and name[0] == "a"} == {
        "augmented_ours-seed3",
        "augmented_noise-seed3",
        "ablation_alpha",
    }
    assert figures["augmented_noise-seed3"]["labels"] == {"augmentation": "noise"}
    assert figures["augmented_noise-seed3"]["inputs"]["hu"] == "<augmented>/noise/seed3.hu.npy"
    assert figures["ablation_alpha"]["settings"]["question"] == "alpha"
    assert figures["ablation_alpha"]["labels"] == {"file": "ablation: Alpha"}
    assert "ablations" in tables
    assert "ablations" not in outputs.plan(outputs.TABLES, checked({**CONFIG, "ablations": {}}))


def test_paths_follow_the_order_of_their_axes(config):
    planned = outputs.plan(outputs.TABLES, config)
    transfer = planned["table1"]["inputs"]["transfer"]
    assert transfer[:2] == [f"<metrics>/transfer/ours-seed{seed}.tsv" for seed in (3, 5)] and len(transfer) == 4
    assert len(planned["table2"]["inputs"]["segmentation"]) == 4 * 3
    assert planned["costs"]["inputs"]["trainings"] == ["<transfer>/ours/seed3/cost.json"]
    assert len(planned["costs"]["settings"]["compared"]) == len(planned["costs"]["inputs"]["compared"])


def test_the_code_of_one_output_is_not_the_code_of_another(root):
    def code(name):
        """The modules behind an output."""
        kind, registry = ("draw_figure", outputs.FIGURES) if "figure" in name else ("make_table", outputs.TABLES)
        (place,) = [output.place for output in registry if output.name == name]
        return {one for one, _ in code_dependencies(root / "scripts" / f"{kind}.py", root, place)}

    own = "code:ctstyle/paper/transfers.py"
    assert own in code("figure5") and own not in code("figure7") and own not in code("table1")
    assert "code:ctstyle/study/outputs.py" not in code("figure5") | code("table1")
    assert "code:ctstyle/paper/drawing.py" in code("figure7") and "code:ctstyle/paper/drawing.py" not in code("table1")
