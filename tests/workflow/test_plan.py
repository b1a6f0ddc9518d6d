"""What Snakemake plans: every configuration, and one clear error for every fault that is known in advance."""

import re

import pytest

CONFIGS = ["config/config.yaml", "config/paper.yaml", "tests/config/tiny.yaml"]
EVERY_RULE = {
    "make_patient",
    "scan_patient",
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
    "predict_test",
    "score_segmentation",
    "score_transfer",
    "make_table1",
    "make_table2",
    "draw_figure4",
    "draw_figure5",
    "draw_figure6",
    "draw_figure7",
    "train_contextual",
    "train_compared",
    "score_compared",
    "optimise_gatys",
    "train_classifier",
    "score_cis",
    "make_table3",
    "make_sweep",
    "draw_encoders",
    "draw_layer_choice",
    "draw_architecture",
    "make_claims",
    "print_errata",
    "make_costs",
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


def test_the_workflow_runs_without_the_real_scan(workflow):
    planned = workflow.planned("--config", "cohorts=[phantom]")
    assert "fetch_lidc0001" not in planned
    assert "make_table2" in planned


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
    assert dry.count("rule train_transfer:") == 2 and dry.count("rule generate_augmentation:") == 1
    assert dry.count("rule export_augmented:") == 1


def test_exports_are_planned_where_they_are_asked_for(workflow, tmp_path):
    assert "export_augmented" not in workflow.planned("--config", "cohorts=[phantom]")
    own = tmp_path / "own.yaml"
    own.write_text("cohorts: [phantom]\nexports: {formats: [nnunet, monai], arms: [ours, noise]}\n")
    assert workflow.planned("--configfile", own) >= EVERY_RULE - {"fetch_lidc0001"} | {"export_augmented"}
    alone = workflow.run("--dry-run", "export", "--configfile", own).stdout
    assert alone.count("rule export_augmented:") == 4 and "rule train_transfer:" in alone
    assert "rule train_unet:" not in alone and "rule make_table1:" not in alone
    for archive in ("nnunet/ours", "nnunet/noise", "monai/ours", "monai/noise"):
        assert f"output: results/exports/{archive}-seed0.zip" in alone


def test_an_export_that_nothing_asks_for_says_so(workflow):
    done = workflow.run("--dry-run", "export", "--config", "cohorts=[phantom]")
    assert done.returncode != 0 and "exports: nothing is asked for. Set `exports: formats`" in done.stdout


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
        ("slices: {size_px: 272}", "272 x 272 px: a cascade that doubles cannot reach this size"),
        ("cohorts: [spine_mets]\nspine_mets: {patients: ['1']}", "spine_mets: patients: unknown patients.*'1'"),
        (
            "cohorts: [verse]\nverse: {pinned: none.tsv}",
            "none.tsv: the pinned list of scans cannot.*list_verse",
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
