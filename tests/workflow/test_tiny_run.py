"""The tiny configuration from DICOM to tables and figures, and what is run again after which change."""

import html
import os
import re
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
import yaml

from ctstyle.paper.document.context import constants, derived
from ctstyle.paper.document.numbers import unexplained_numbers
from ctstyle.paper.document.printed_table import read_printed_table
from tests.runs import Workflow

TABLES = ["table1", "table2", "table3", "table1_printed", "table2_printed", "taps", "sweep", "lists"]
TABLES += ["tests", "claims", "errata", "costs", "ablations"]
FIGURES = [f"figure{number}" for number in range(1, 10)] + ["ranks", "style_space", "training", "sweep", "layer_choice"]
FIGURES += ["ablation_bandwidth"]
SEGMENTATION = {"train_unet", "make_table table2", "draw_figure figure7"}
PRINTED = {"print_environment", "print_paper", "list_sources", "trace_table", "write_crate", "seal", "all"}
TRANSFER = {"train_transfer", "stylise_test", "generate_augmentation", "score_transfer", "draw_figure figure5"}
MAKING_SLICES = {"measure_beams", "simulate_scan", "fetch_lidc0001", "cut_scan", "find_styles"}


def _with(tmp_path, root, **changes):
    """Arguments for the tiny config with some keys changed."""
    config = yaml.safe_load((root / "tests" / "config" / "tiny.yaml").read_text())
    for path, value in changes.items():
        section = config
        *above, key = path.split("__")
        for name in above:
            section = section.setdefault(name, {})
        section[key] = value
    changed = tmp_path / "changed.yaml"
    changed.write_text(yaml.safe_dump(config, sort_keys=False))
    return ("--configfile", changed)


def test_every_table_and_figure_is_there_in_every_form(tiny):
    _, _, results = tiny
    for name in TABLES:
        for form in ("csv", "md", "tex"):
            assert (results / "paper" / "tables" / f"{name}.{form}").stat().st_size > 100
    for name in FIGURES:
        assert (results / "paper" / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (results / "paper" / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_table_2_scores_every_arm_in_every_domain_and_on_the_real_scan(tiny):
    _, _, results = tiny
    table = pd.read_csv(results / "paper" / "tables" / "table2.csv")
    arms = {"plain", "mixstyle", "fourier", "ours", "ours_intensity", "transductive", "oracle"}
    assert all(set(rows["arm"]) == arms for _, rows in table.groupby("domain"))
    assert any("lidc0001" in domain for domain in table["domain"])
    assert table["foreground_iou"].between(0, 100).all()


def test_one_patient_and_one_seed_withhold_intervals_tests_and_the_answer(tiny):
    _, _, results = tiny
    folder = results / "paper"
    for name in ("table1", "table2", "table3", "sweep"):
        table = pd.read_csv(folder / "tables" / f"{name}.csv")
        assert table.filter(regex="_(low|high)$").isna().all(axis=None)
        assert (
            "Intervals withheld: 1 patient, 3 are needed; 1 seed, 2 are needed."
            in (folder / "tables" / f"{name}.md").read_text()
        )
    tests = pd.read_csv(folder / "tables" / "tests.csv")
    assert (tests["verdict"] == "withheld").all() and tests["reason"].notna().all() and tests["p"].isna().all()
    answer = (folder / "answer.md").read_text()
    assert "Withheld: this run cannot say" in answer and "lidc0001" in answer and "[" not in answer
    assert "The gains have no intervals" in (folder / "tables" / "claims.md").read_text()
    assert "= Is it worth it?" in (folder / "paper.typ").read_text()


def test_no_patient_is_on_two_sides_and_styles_come_from_training_patients(tiny):
    _, _, results = tiny
    split = pd.read_csv(results / "styles" / "split.tsv", sep="\t").set_index("scan")
    assert (split.groupby("patient")["side"].nunique() == 1).all()
    for path in [*results.glob("augmented/*/seed0.tsv"), *results.glob("transfer/*/seed0/test.tsv")]:
        rows = pd.read_csv(path, sep="\t")
        other = rows[rows["style_scan"] != rows["content_scan"]]
        lent = path.parts[-2] == "transductive"
        assert set(split.loc[other["style_scan"], "side"]) == {"test" if lent else "train"}


def test_the_transductive_arm_is_scored_away_from_the_slices_it_saw(tiny):
    _, _, results = tiny
    made = pd.read_csv(results / "augmented" / "transductive" / "seed0.tsv", sep="\t")
    assert set(made["style_scan"]) == {"lidc0001"} and made["content_scan"].str.startswith("phantom").all()
    positions = pd.read_csv(results / "slices" / "lidc0001.tsv", sep="\t").set_index("index")["position_mm"]
    for arm in ("transductive", "plain"):
        tested = pd.read_csv(results / "segmentation" / arm / "seed0" / "predictions.tsv", sep="\t")
        scored = tested[(tested["scan"] == "lidc0001") & (tested["region"] == "scored")]
        apart = scored["position_mm"].to_numpy()[:, None] - positions[made["style_index"].unique()].to_numpy()
        assert abs(apart).min() >= 30
        counted = pd.read_csv(results / "metrics" / "segmentation" / f"{arm}-seed0.tsv", sep="\t").set_index("scan")
        assert counted.loc["lidc0001", "slices"] == len(scored) < len(positions)


def test_a_second_run_has_nothing_to_do_also_after_touching_everything(tiny, root):
    workflow, arguments, results = tiny
    for path in [*results.rglob("*.npy"), *results.rglob("*.tsv"), *(root / "scripts").glob("*.py")]:
        os.utime(path)
    done = workflow.run(*arguments)
    assert done.returncode == 0 and "Nothing to be done" in done.stdout, done.stdout[-3000:]


def test_the_report_is_one_html_file_with_every_figure_and_caption(report):
    page = report.read_text()
    for name in [*FIGURES, *TABLES]:
        assert f"/{name}." in page, name
    for words in ("silver labels", "nothing is scaled per image", "TotalSegmentator output"):
        assert words in page.replace("\\n", " "), words


def test_a_key_reruns_what_depends_on_it_and_nothing_else(tiny, root, tmp_path):
    workflow, _, _ = tiny
    segment = workflow.planned(*_with(tmp_path, root, segment__training__batch=6))
    assert segment >= SEGMENTATION
    assert not segment & (MAKING_SLICES | {"train_transfer", "warm_up_decoder", "generate_augmentation"})
    transfer = workflow.planned(*_with(tmp_path, root, transfer__training__style_weight=3.0))
    assert transfer >= TRANSFER | SEGMENTATION
    assert not transfer & (MAKING_SLICES | {"warm_up_decoder", "describe_layers", "train_domain_encoder"})
    intervals = workflow.planned(*_with(tmp_path, root, paper__intervals__seed=5))
    tables = {f"make_table {name}" for name in ("table1", "table2", "table3", "tests", "sweep", "lists", "claims")}
    assert intervals == tables | {"draw_figure ranks", "draw_figure sweep", "write_answer", *PRINTED}
    margin = workflow.planned(*_with(tmp_path, root, paper__margin_points=4))
    assert margin == {"make_table tests", "write_answer", *PRINTED}
    exported = workflow.planned(*_with(tmp_path, root, exports__labels="levels"))
    assert exported == {"export_augmented", *PRINTED}


def test_settings_of_a_rival_rerun_that_rival_alone(tiny, root, tmp_path):
    workflow, _, _ = tiny
    changes = {
        "segment__mixstyle": ({"levels": 1}, {"mixstyle"}),
        "segment__intensity": ({"gamma": {"probability": 0.5}}, {"ours_intensity"}),
        "augment__fourier": ({"beta": 0.1}, {"fourier"}),
    }
    for path, (section, arms) in changes.items():
        dry = workflow.run("--dry-run", *_with(tmp_path, root, **{path: section})).stdout
        trained = re.findall(r"^rule train_unet:\n(?:.*\n)*?    wildcards: arm=(\w+)", dry, flags=re.MULTILINE)
        assert set(trained) == arms and len(trained) == 1, path
        made = re.findall(r"^rule (make_control|generate_augmentation|train_transfer):", dry, flags=re.MULTILINE)
        assert made == (["make_control"] if path == "augment__fourier" else []), path


def test_an_arm_taken_out_of_the_config_leaves_the_tables_and_nothing_else_runs(tiny, root, tmp_path):
    workflow, _, results = tiny
    arguments = _with(
        tmp_path, root, segment__arms=["plain", "mixstyle", "ours", "ours_intensity", "transductive", "oracle"]
    )
    printing = {f"make_table {name}" for name in ("table2", "tests", "claims")} | {"write_answer", "write_viewer"}
    printing |= {f"draw_figure {name}" for name in ("figure7", "ranks", "training")}
    assert workflow.planned(*arguments) == printing | PRINTED
    other = Workflow(root, tmp_path / "other")
    shutil.copytree(workflow.folder, other.folder)
    done = other.run("results/tiny/paper/tables/table2.csv", *arguments)
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.findall(r"^(?:local)?rule (\w+):", done.stdout, flags=re.MULTILINE) == ["make_table"]
    table, before = (
        pd.read_csv(folder / "paper" / "tables" / "table2.csv") for folder in (other.folder / "results/tiny", results)
    )
    assert "fourier" in set(before["arm"]) and "fourier" not in set(table["arm"])
    assert table.equals(before[before["arm"] != "fourier"].reset_index(drop=True))


def test_metrics_tell_how_many_slices_an_arm_added(tiny):
    _, _, results = tiny
    added = {
        path.name.removesuffix("-seed0.tsv"): set(pd.read_csv(path, sep="\t")["added_slices"])
        for path in results.glob("metrics/segmentation/*-seed0.tsv")
    }
    accepted = {
        arm: {int(pd.read_csv(results / "augmented" / arm / "seed0.tsv", sep="\t")["accepted"].sum())}
        for arm in ("ours", "fourier", "transductive")
    }
    assert added.items() >= (accepted | {"plain": {0}, "mixstyle": {0}, "ours_intensity": accepted["ours"]}).items()
    assert min(added["fourier"]) >= min(added["ours"]) > 0 and min(added["oracle"]) > 0


def test_another_criterion_reruns_exactly_the_trainings_that_use_its_lists(tiny, root, tmp_path):
    workflow, _, _ = tiny
    arguments = _with(tmp_path, root, encoders__choice={"content_by": "content"})
    planned = workflow.planned(*arguments)
    assert planned >= {"choose_taps", "train_compared", "make_table lists", "draw_figure layer_choice"}
    assert not planned & {"train_transfer", "warm_up_decoder", "describe_layers", "train_unet", "make_table table1"}
    dry = workflow.run("--dry-run", *arguments).stdout
    trained = [block for block in dry.split("\n\n") if "rule train_compared:" in block]
    assert len(trained) == 1 and "layers=selected" in trained[0]


def test_every_method_of_the_paper_made_slices_of_the_same_patients(tiny):
    _, _, results = tiny
    patients = {}
    for model in ("ours", "adain", "contextual", "cyclegan", "gatys"):
        rows = pd.read_csv(results / "transfer" / model / "seed0" / "test.tsv", sep="\t")
        patients[model] = set(rows["patient"])
        hu = np.load(results / "transfer" / model / "seed0" / "test.hu.npy", mmap_mode="r")
        assert len(hu) == len(rows) and rows["index"].tolist() == list(range(len(rows)))
    assert len(set(map(frozenset, patients.values()))) == 1


def test_the_augmented_set_is_exported_for_other_tools_and_sealed(tiny):
    _, _, results = tiny
    sealed = (results / "provenance" / "SHA256SUMS").read_text()
    rows = pd.read_csv(results / "augmented" / "ours" / "seed0.tsv", sep="\t")
    for layout, slices in (("nnunet", "Dataset007_ctstyle_ours_seed0/slices.tsv"), ("dicom", "slices.tsv")):
        path = results / "exports" / layout / "ours-seed0.zip"
        assert f"exports/{layout}/ours-seed0.zip\n" in sealed
        with zipfile.ZipFile(path) as archive, archive.open(slices) as table:
            exported = pd.read_csv(table, sep="\t")
            assert archive.testzip() is None
        assert exported["model"].notna().sum() == rows["accepted"].sum() > 0


def test_every_number_of_the_paper_is_in_a_table_the_config_or_the_environment(tiny):
    _, _, results = tiny
    folder = results / "paper"
    page = html.unescape((folder / "environment.html").read_text())
    config = yaml.safe_load(page[page.index("<pre>") + 5 : page.index("</pre>")])
    stems = sorted(path.with_suffix("") for path in (folder / "tables").glob("*.md"))
    printed = {stem.name: read_printed_table(stem) for stem in stems}
    cells = [stem.with_suffix(".md").read_text() for stem in stems]
    source = (folder / "paper.typ").read_text()
    text = source[source.rindex("#front(") :]
    origins = (config, cells, page, constants(), derived(config, printed), (folder / "answer.md").read_text())
    assert unexplained_numbers(text, *origins) == ()
    assert unexplained_numbers(text + " Of 6143 patients.", *origins) == ("6143",)


def test_the_pdf_has_every_figure_and_no_empty_page(tiny):
    _, _, results = tiny
    pdf = (results / "paper" / "paper.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and pdf.count(b"/Subtype/Image") >= len(FIGURES)
    source = (results / "paper" / "paper.typ").read_text()
    for name in FIGURES:
        assert f"figures/{name}.png" in source, name


def test_an_edited_module_reruns_the_rules_that_use_it(tiny, root, tmp_path):
    workflow, _, _ = tiny
    copy = tmp_path / "copy"
    for part in ("Snakefile", "rules", "scripts", "ctstyle", "config", "profiles", "envs", "report", "tests/config"):
        target = copy / part
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (root / part).is_dir() else shutil.copy)(root / part, target)
    elsewhere = Workflow(copy, workflow.folder)
    arguments = ("--configfile", copy / "tests" / "config" / "tiny.yaml")
    assert elsewhere.planned(*arguments) == set(), "a clone reruns something"
    losses = copy / "ctstyle" / "transfer" / "losses.py"
    losses.write_text(losses.read_text() + "\n# edited\n")
    planned = elsewhere.planned(*arguments)
    assert planned >= {"train_transfer", "make_table table1"} and not planned & MAKING_SLICES


@pytest.mark.slow
def test_one_core_gives_the_bytes_of_two(trained, root, tmp_path):
    workflow, arguments, outputs = trained
    other = Workflow(root, tmp_path)
    done = other.run(*arguments, cores=1)
    assert done.returncode == 0, done.stdout[-3000:]
    for name in outputs:
        assert (other.folder / name).read_bytes() == (workflow.folder / name).read_bytes(), name
