"""What Snakemake plans: every configuration, and one clear error for every fault that is known in advance."""

import re

import pytest
import yaml

from tests import flow
from tests.runs import CONFIGS

EVERY_RULE = {
    "measure_beams",
    "simulate_scan",
    "fetch_lidc0001",
    "cut_scan",
    "gather_slices",
    "find_styles",
    "prepare_weights",
    "train_domain_encoder",
    "describe_layers",
    "warm_up_decoder",
    "train_transfer",
    "bundle_generator",
    "stylise_test",
    "generate_augmentation",
    "make_control",
    "train_unet",
    "score_transfer",
    *(f"draw_figure figure{number}" for number in range(1, 10)),
    *(f"make_table {name}" for name in ("table1", "table2", "table3", "sweep", "claims", "errata", "costs")),
    "draw_figure layer_choice",
    "train_compared",
    "optimise_gatys",
    "train_classifier",
    "write_answer",
    "print_environment",
    "print_paper",
    "write_viewer",
    "list_sources",
    "trace_table",
    "write_crate",
    "seal",
}


@pytest.mark.parametrize("config", CONFIGS)
def test_every_configuration_plans_every_rule(workflow, root, config):
    assert workflow.planned("--configfile", root / config) >= EVERY_RULE


def test_cyclegan_is_trained_only_where_it_is_a_model_or_an_arm(workflow, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("cohorts: [phantom]\n")
    assert "model=cyclegan" not in workflow.run("--dry-run", "--configfile", own).stdout
    own.write_text("cohorts: [phantom]\ntransfer: {models: [ours, cyclegan]}\n")
    as_model = workflow.run("--dry-run", "--configfile", own).stdout
    assert as_model.count("model=cyclegan, seed=0") == 3 and "augmented/cyclegan" not in as_model
    own.write_text("cohorts: [phantom]\nsegment: {arms: [plain, cyclegan, oracle]}\n")
    as_arm = workflow.run("--dry-run", "--configfile", own).stdout
    assert as_arm.count("model=cyclegan, seed=0") == 1 and "metrics/transfer/cyclegan" not in as_arm
    assert "results/augmented/cyclegan/seed0.hu.npy" in as_arm and "results/segmentation/cyclegan/seed0" in as_arm


def test_the_workflow_runs_without_the_real_scan(workflow):
    planned = workflow.planned("--config", "cohorts=[phantom]")
    assert "fetch_lidc0001" not in planned
    assert "make_table table2" in planned


def test_a_sagittal_run_plans_the_same_rules(workflow):
    assert workflow.planned("--config", "slices={orientation: sagittal}") >= EVERY_RULE


def test_more_seeds_of_unets_train_no_more_generators(workflow, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text(
        "cohorts: [phantom]\nsegment: {arms: [plain, ours], seeds: [0, 5, 7]}\nexports: {formats: [nnunet]}\n"
    )
    dry = workflow.run("--dry-run", "--configfile", own).stdout
    jobs = re.split(r"^(?:local)?rule ", dry, flags=re.MULTILINE)
    trained = [block for block in jobs if block.startswith("train_unet:")]
    of_ours = [block for block in trained if "wildcards: arm=ours" in block]
    assert len(trained) == 3 + 3 + 1 and len(of_ours) == 3, dry  # the oracle of the generators' seed judges them
    assert all("augmented/ours/seed0.hu.npy" in block for block in of_ours)
    assert dry.count("rule train_transfer:") == 3 and dry.count("rule generate_augmentation:") == 1
    assert dry.count("rule export_augmented:") == 1


def test_exports_are_planned_where_they_are_asked_for(workflow, tmp_path):
    assert "export_augmented" not in workflow.planned("--config", "cohorts=[phantom]")
    own = tmp_path / "own.yaml"
    own.write_text("cohorts: [phantom]\nexports: {formats: [nnunet, monai], arms: [ours, noise]}\n")
    assert workflow.planned("--configfile", own) >= EVERY_RULE - {"fetch_lidc0001", "cut_scan"} | {"export_augmented"}
    alone = workflow.run("--dry-run", "export", "--configfile", own).stdout
    assert alone.count("rule export_augmented:") == 4 and "rule train_transfer:" in alone
    assert "rule train_unet:" not in alone and "rule make_table:" not in alone
    for archive in ("nnunet/ours", "nnunet/noise", "monai/ours", "monai/noise"):
        assert f"output: results/exports/{archive}-seed0.zip" in alone


ABLATIONS = {
    "slices": [0.5, 1],
    "targets": [2, 3],
    "alpha": [0.5, 1],
    "style_weight": [10, 50],
    "bandwidth": [0.25, 0.5],
    "content_target": ["x", "adain"],
    "tap_depth": [4, 8, "deep"],
    "points": ["body", "everywhere"],
}


def _ablated(workflow, path, **values):
    """The outputs of the jobs that the ablations need, by the name of their file."""
    path.write_text(yaml.safe_dump({"cohorts": ["phantom"], "ablations": values}))
    wanted = ["tables/ablations.csv", *(f"figures/ablation_{question}.png" for question in values)]
    wanted = [f"results/paper/{name}" for name in wanted]
    done = workflow.run("--dry-run", *wanted, "--configfile", path)
    assert done.returncode == 0, done.stdout
    made = re.findall(r"results/ablations/[^,\s]+", " ".join(re.findall(r"output: .*", done.stdout)))
    made += re.findall(r"results/paper/figures/ablation_\w+\.png", done.stdout)
    return set(made), done.stdout


def test_all_ablations_share_what_they_can_and_a_value_adds_its_own_jobs_alone(workflow, tmp_path):
    made, plan = _ablated(workflow, tmp_path / "eight.yaml", **ABLATIONS)
    # base and nine other points, seven of them with a generator of their own; the plain U-Net
    jobs = {rule: plan.count(f"rule {rule}:") for rule in ("warm_up_ablated", "train_ablated", "measure_ablation")}
    assert jobs == {"warm_up_ablated": 2, "train_ablated": 7, "measure_ablation": 11}
    assert {f"results/paper/figures/ablation_{question}.png" for question in ABLATIONS} <= made
    assert "rule train_transfer:" not in plan and "rule train_unet:" not in plan
    longer = ABLATIONS | {"bandwidth": [0.25, 0.5, 1], "alpha": [0.25, 0.5, 1]}
    more, _ = _ablated(workflow, tmp_path / "more.yaml", **longer)
    added = {path.rpartition("/")[0] for path in more - made}
    assert made < more and added == {f"results/ablations/ours/{point}/seed0" for point in ("bandwidth-1", "alpha-0.25")}
    assert "results/ablations/ours/alpha-0.25/seed0/generator.safetensors" not in more


@pytest.mark.parametrize("config", ["config/study.yaml", "tests/config/tiny.yaml"])
def test_the_study_and_the_tiny_run_have_ablations(workflow, root, config):
    rules = {"warm_up_ablated", "train_ablated", "measure_ablation", "make_table ablations"}
    assert workflow.planned("--configfile", root / config) >= rules


def test_no_ablation_is_planned_where_none_is_asked_for(workflow):
    assert not workflow.planned("--config", "cohorts=[phantom]") & {"make_table ablations", "measure_ablation"}


def test_an_export_that_nothing_asks_for_says_so(workflow):
    done = workflow.run("--dry-run", "export", "--config", "cohorts=[phantom]")
    assert done.returncode != 0 and "exports: nothing is asked for (expected `exports: formats`" in done.stdout


@pytest.mark.parametrize(
    "change, message",
    [
        ("slice: {size_px: 64}", "unknown key `slice`.*Did you mean `slices`"),
        ("transfer: {training: {style_weigth: 1}}", "transfer: training: unknown key `style_weigth`.*`style_weight`"),
        ("transfer: {training: {style_weight: -1}}", "style_weight: .*found -1, expected at least 0"),
        ("styles: {k: 0}", "styles: k: .*found 0, expected at least 1"),
        ("cohorts: []", "cohorts: .*expected at least 1 entries"),
        (
            "cohorts: [mars]",
            "cohorts: 0: .*found 'mars', expected one of phantom, lidc0001, spine_mets, verse, totalsegm",
        ),
        ("cohorts: [sheet]", "the cohort `sheet` needs a table of scans.*Set `sheet:"),
        ("encoders: {main: {name: vgg91}}", "encoders: main: name: .*found 'vgg91', expected one of vgg19"),
        ("segment: {arms: [oracle]}", "segment: arms"),
        ("seeds: [3]\nsegment: {seeds: [0, 3]}", r"segment: seeds.*begins with \[3\] .*`segment: {seeds: null}`"),
        ("paper: {margin_points: 0}", "paper: margin_points: .*found 0"),
        ("exports: {formats: [nifti]}", "exports: formats: 0: .*found 'nifti', expected one of nnunet, monai, dicom"),
        ("comparison: {encoders: [resnet18]}", "comparison: encoders: 0: .*found 'resnet18', expected one of vgg19"),
        ("transfer: {training: {content_taps: []}}", "transfer: training: content_taps: .*at least 1 entries"),
        ("encoders: {main: {name: resnet50, weights: hed}}", "resnet50 with hed.*`weights: domain`"),
        ("ablations: {targets: [4]}", "more target styles than there are.*found 4.*at most 3"),
        ("ablations: {tap_depth: [2]}", "ablations: tap_depth: 0: .*found 2, expected one of 4, 8, 16, deep"),
        ("slices: {size_px: 272}", "272 x 272 px: a cascade that doubles cannot reach this size"),
        ("cohorts: [spine_mets]\nspine_mets: {patients: ['1']}", "spine_mets: patients: unknown patients.*'1'"),
        (
            "cohorts: [verse]\nverse: {pinned: none.tsv}",
            "none.tsv: the pinned list of scans cannot.*cohorts/verse",
        ),
        ("verse: {sets: [verse21]}", "verse: sets: 0: .*found 'verse21', expected one of verse19training"),
        ("encoders: {main: {weights: file}}", "weights of a file are asked for, and none is named"),
        ("encoders: {main: {weights: file}, file: {path: no.pth, sha256: ab}}", "no such weights file.*no.pth"),
        ("encoders: {main: {weights: file}, file: {path: README.md, sha256: ab}}", "the weights file is another one"),
    ],
)
def test_a_fault_in_the_config_is_one_message_before_any_job(workflow, root, tmp_path, change, message):
    own = tmp_path / "own.yaml"
    own.write_text(change.replace("README.md", str(root / "README.md")))
    done = workflow.run("--dry-run", "--configfile", own)
    assert done.returncode != 0
    text = " ".join(done.stdout.split())
    assert re.search(message, text), done.stdout
    assert "Traceback" not in done.stdout


def test_the_picture_of_the_flow_is_that_of_the_rules():
    assert flow.picture() in flow.PAGE.read_text(), "run `make config`"
