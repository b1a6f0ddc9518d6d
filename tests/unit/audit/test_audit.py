"""The audit on a small run: it passes as it is, and each kind of tampering is named."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from a_run import (
    CONFIG,
    EXTRA_ROWS,
    FIGURE,
    GENERATED,
    GENERATOR,
    SERIES,
    SLICES,
    SPLIT,
    SPLIT_NAME,
    TABLE,
    TEST_ROWS,
    SmallRun,
    dicom_bytes,
    zip_series,
)

from ctstyle.audit.__main__ import main

LENT_ROWS = "results/augmented/transductive/seed0.tsv"
LENT_TESTED = "results/segmentation/transductive/seed0/predictions.tsv"


@pytest.fixture
def run(tmp_path):
    """A sound run."""
    return SmallRun(tmp_path / "run")


@pytest.fixture
def ask(run, capsys):
    """The audit's exit status and what it printed, as JSON, of `paths` (default: all results)."""

    def ask(*paths, **options):
        """Run the command and read what it printed."""
        more = [part for key, value in options.items() for part in (f"--{key.replace('_', '-')}", str(value))]
        asked = [str(run.folder / path) for path in paths or ["results"]]
        status = main([*asked, "--json", "--explain", "--checkout", str(run.checkout), *more])
        return status, json.loads(capsys.readouterr().out)

    return ask


def broken(told):
    """The broken ones as (check, file, what)."""
    return [(one["check"], one["file"], one["what"]) for one in told["findings"] if one["severity"] == "broken"]


def of(told, check):
    """The broken findings of one check, by file."""
    return {file: what for one, file, what in broken(told) if one == check}


def test_a_sound_run_passes_and_a_private_source_is_told_as_not_verified(run, ask):
    status, told = ask()
    assert (status, told["verdict"], broken(told)) == (0, "sound", [])
    assert told["counts"]["records"] == 9 and told["root"] == run.seal()
    assert {one["file"]: one["severity"] for one in told["findings"]} == {
        "source:mine/b": "not verified",
        "results/report.html": "not verified",
        "results/transfer/ours/seed0/.train-0.state": "warning",
    }


def test_a_file_is_audited_with_what_it_was_made_from_and_nothing_else(run, ask):
    run.write(FIGURE, "another picture")
    assert ask(TABLE)[0] == 0 and ask(FIGURE)[0] == 1
    status, told = ask("results/paper")
    assert status == 1 and list(of(told, "bytes")) == [FIGURE]
    assert ask("results/provenance/records/draw_figure4.json")[0] == 1


def test_an_edited_cell_is_named_with_both_digests(run, ask):
    run.write(TABLE, "arm,miou\nours,0.97\n")
    status, told = ask(TABLE)
    assert status == 1 and [(check, file) for check, file, _ in broken(told)] == [("bytes", TABLE)]
    (fault,) = (one for one in told["findings"] if one["severity"] == "broken")
    assert fault["found"] == run.digest(TABLE)[:12] and "make_table2" in fault["what"] and fault["fix"]


def test_a_missing_file_and_swapped_weights_are_named(run, ask):
    (run.folder / FIGURE).unlink()
    run.write(GENERATOR, "weights 2")
    _, told = ask()
    assert set(of(told, "bytes")) == {FIGURE, GENERATOR} and "missing" in of(told, "bytes")[FIGURE]
    assert ask(SPLIT_NAME)[0] == 0


def test_a_table_edited_with_its_record_breaks_the_seal_and_a_new_seal_breaks_the_anchor(run, ask):
    root = run.seal()
    assert ask(root=root)[0] == 0
    run.job("make_table2", {}, {TABLE: "arm,miou\nours,0.97\n"}, [TEST_ROWS, EXTRA_ROWS])
    status, told = ask(TABLE)
    assert status == 1 and set(of(told, "seal")) == {TABLE, "results/provenance/records/make_table2.json"}
    run.seal()
    assert ask()[0] == 0
    status, told = ask(TABLE, root=root)
    assert status == 1 and list(of(told, "seal")) == ["results/provenance/SHA256SUMS"]


def test_a_damaged_or_missing_seal_is_found(run, ask):
    sums = run.results / "provenance/SHA256SUMS"
    sums.write_text(sums.read_text() + "no digest\n" + "0" * 64 + "  ../../etc/passwd\n")
    _, told = ask()
    assert {what for _, _, what in broken(told)} >= {"it is not the digest of SHA256SUMS"}
    assert sum("is damaged" in what for _, _, what in broken(told)) == 2
    sums.unlink()
    assert ask()[0] == 1 and ask(TABLE)[0] == 0
    run.write("results/provenance/SHA256SUMS", "")
    run.write("results/provenance/root.json", "[]")
    _, told = ask()
    assert (
        "does not list it" in of(told, "seal")[TABLE] and "no root" in of(told, "seal")["results/provenance/root.json"]
    )


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs OpenSSH")
def test_a_signature_holds_only_for_what_was_signed(run, ask):
    key, sums = run.folder / "key", run.results / "provenance/SHA256SUMS"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "us", "-f", str(key)], check=True)
    signers = run.write("signers", "us " + key.with_suffix(".pub").read_text())
    assert list(of(ask(allowed_signers=signers)[1], "signature"))
    sign = ["ssh-keygen", "-Y", "sign", "-q", "-n", "ctstyle", "-f", str(key), str(sums)]
    subprocess.run(sign, check=True, capture_output=True)
    assert ask(allowed_signers=signers)[0] == 0 and ask()[0] == 0
    run.job("make_table2", {}, {TABLE: "arm,miou\nours,0.97\n"}, [TEST_ROWS, EXTRA_ROWS])
    run.seal()
    assert [check for check, _, _ in broken(ask(allowed_signers=signers)[1])] == ["signature"]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"pixels": bytes(31) + b"\1"}, "pixels changed in 1 of 2"), ({"description": "hip"}, "only tags changed")],
)
def test_a_changed_series_tells_pixels_from_tags(run, ask, change, words):
    zip_series(run.folder / SERIES, {**run.images, "ct/2.dcm": dicom_bytes(**{"pixels": bytes(32), **change})})
    status, told = ask(TABLE)
    assert status == 1 and words in of(told, "sources")[SERIES] and "ct/2.dcm" in of(told, "sources")[SERIES]


def test_a_series_with_a_missing_or_damaged_image_is_described(run, ask):
    zip_series(run.folder / SERIES, {"ct/1.dcm": run.images["ct/1.dcm"][:-3]})
    told = of(ask()[1], "sources")[SERIES]
    assert "pixels changed in 1" in told and "missing in 1 of 2 images (ct/2.dcm)" in told
    run.write(SERIES, "no zip")
    assert SERIES in of(ask()[1], "sources")


def test_pixels_are_not_compared_without_pydicom_and_in_a_deflated_file(run, ask, monkeypatch):
    def changed(description):
        """What the audit says of a series with another text in one image."""
        image = dicom_bytes(pixels=bytes(32), description=description)
        zip_series(run.folder / SERIES, {**run.images, "ct/2.dcm": image})
        return of(ask()[1], "sources")[SERIES]

    assert "pixels not compared (a deflated file" in changed("1.2.840.10008.1.2.1.99")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert "pixels not compared (needs pydicom) in 1 of 2" in changed("hip")


def test_a_retrained_generator_makes_the_old_table_stale(run, ask):
    run.job("train_transfer", {"model": "ours", "seed": "0"}, {GENERATOR: "weights 2"}, [SLICES, SPLIT_NAME])
    run.seal()
    status, told = ask(TABLE)
    assert status == 1 and set(of(told, "dependencies")) == {TEST_ROWS, EXTRA_ROWS}
    assert f"older version of {GENERATOR}" in of(told, "dependencies")[TEST_ROWS]
    assert ask(GENERATOR)[0] == 0


def test_a_file_added_by_hand_is_found(run, ask):
    run.write("results/metrics/extra.tsv", "better")
    status, told = ask()
    assert status == 1 and list(of(told, "completeness")) == ["results/metrics/extra.tsv"]
    assert ask(TABLE)[0] == 0 and ask("results/metrics/extra.tsv")[0] == 1


def test_a_nested_run_is_not_part_of_the_outer_one(run, ask):
    SmallRun(run.results / "tiny")
    shutil.move(run.results / "tiny/results", run.results / "tiny2")
    shutil.rmtree(run.results / "tiny")
    assert ask()[0] == 0


def test_a_file_of_two_records_is_found(run, ask):
    shutil.copy(run.record_path("draw_figure4", {}), run.record_path("draw_figure4", {}).with_name("b.json"))
    assert "claimed by 2 records" in of(ask()[1], "completeness")[FIGURE]


def test_a_test_patient_in_training_is_found(run, ask):
    run.job("find_styles", {}, {SPLIT_NAME: SPLIT.replace("c\tp2\tmine\ts1\ttest", "c\tp2\tmine\ts1\ttrain")}, [SLICES])
    _, told = ask()
    assert list(of(told, "separation")) == [TEST_ROWS] and "content" in of(told, "separation")[TEST_ROWS]
    run.job("find_styles", {}, {SPLIT_NAME: SPLIT.replace("b\tp1\tmine\ts2\ttrain", "b\tp1\tmine\ts2\ttest")}, [SLICES])
    told = of(ask()[1], "separation")
    assert (
        "patient p1 is on two sides" in told[SPLIT_NAME] and "style" in told[EXTRA_ROWS] and "style" in told[TEST_ROWS]
    )
    run.job("find_styles", {}, {SPLIT_NAME: "scan\tside\na\n"}, [SLICES])
    assert "patient" in of(ask()[1], "separation")[SPLIT_NAME]


def test_test_content_in_augmentation_is_found_in_the_table_itself(run, ask):
    run.job("generate", {"seed": "0"}, {EXTRA_ROWS: GENERATED + "0\tc\tb\t\n"}, [GENERATOR, SPLIT_NAME])
    assert "not on the train side" in of(ask(TABLE)[1], "separation")[EXTRA_ROWS]


@pytest.mark.parametrize("table, content, side", [("painted", "c", "train"), ("structure", "a", "test")])
def test_slices_of_the_ablations_have_their_sides_too(run, ask, table, content, side):
    path = f"results/ablations/ours/base/seed0/{table}.tsv"
    run.job(
        "measure", {"seed": "0"}, {path: f"index\tcontent_scan\tstyle_scan\tkind\n0\t{content}\tb\t\n"}, [SPLIT_NAME]
    )
    assert f"not on the {side} side" in of(ask(path)[1], "separation")[path]


def transductive(run, *, lent: str, scored: str, scan: str = "c") -> None:
    """Jobs of a transductive arm: which slice of the test scan c lends its style, and at which mm c is scored."""
    run.job("cut_scan", {"scan": "c"}, {"results/slices/c.tsv": "index\tposition_mm\n0\t0\n1\t40\n"}, [SERIES])
    rows = f"index\tcontent_scan\tstyle_scan\tstyle_index\n0\ta\t{scan}\t{lent}\n"
    run.job("generate", {"arm": "transductive", "seed": "0"}, {LENT_ROWS: rows}, [GENERATOR, SPLIT_NAME])
    rows = f"scan\tposition_mm\tregion\nc\t1\tgap\nc\t{scored}\tscored\nb\t0\tscored\n"
    run.job("train_unet", {}, {LENT_TESTED: rows}, [LENT_ROWS, SPLIT_NAME])
    run.seal()


def test_the_transductive_arm_is_an_exception_that_keeps_its_distance(run, ask):
    transductive(run, lent="0", scored="31.5")
    status, told = ask()
    assert status == 0 and [one for one in told["findings"] if one["check"] == "separation"] == []
    # the lent slices alone cannot tell what is scored
    (finding,) = [one for one in ask(LENT_ROWS)[1]["findings"] if one["check"] == "separation"]
    assert finding["severity"] == "not verified"


@pytest.mark.parametrize(
    ("lent", "scored", "said"),
    [("1", "31.5", "8.5 mm"), ("0", "29.9", "29.9 mm"), ("0", "", "no positions"), ("2", "31", "does not have")],
)
def test_a_transductive_arm_that_is_scored_near_what_it_saw_is_found(run, ask, lent, scored, said):
    transductive(run, lent=lent, scored=scored)
    found = [one for one in ask()[1]["findings"] if one["check"] == "separation" and one["severity"] == "broken"]
    assert any(said in one["what"] + one["found"] for one in found)


def test_only_the_transductive_arm_may_see_test_scans_and_only_their_grey_scale(run, ask):
    rows = "index\tcontent_scan\tstyle_scan\tstyle_index\n0\tc\tc\t0\n"
    run.job("generate", {"arm": "transductive", "seed": "0"}, {LENT_ROWS: rows}, [GENERATOR, SPLIT_NAME])
    run.job("generate", {"seed": "0"}, {EXTRA_ROWS: rows}, [GENERATOR, SPLIT_NAME])
    told = [(one["file"], one["what"].split()[0]) for one in ask()[1]["findings"] if one["check"] == "separation"]
    assert (LENT_ROWS, "content") in told and (EXTRA_ROWS, "style") in told and (LENT_ROWS, "style") not in told


def test_a_deleted_record_leaves_a_gap(run, ask):
    run.record_path("train_transfer", {"model": "ours", "seed": "0"}).unlink()
    _, told = ask()
    assert "no record and no source" in of(told, "dependencies")[GENERATOR]
    assert GENERATOR in of(told, "completeness")
    assert "results/provenance/records/train_transfer/ours-0.json" in of(told, "seal")
    assert GENERATOR in of(ask(TABLE)[1], "dependencies")


def test_edited_code_and_an_edited_config_are_found(run, ask):
    run.write("checkout/ctstyle/run/fit.py", "steps = 4\n")
    run.write("checkout/config/config.yaml", "seeds: [1]\n")
    _, told = ask(TABLE)
    assert "edited after" in of(told, "code")["code:ctstyle/run/fit.py"]
    assert of(told, "config") == {CONFIG: "edited after the run"}


def test_another_version_of_a_package_is_a_warning(run, ask):
    run.job("draw_figure4", {}, {FIGURE: "a picture"}, [SPLIT_NAME], torch="2.1")
    run.seal()
    status, told = ask()
    (warning,) = (one for one in told["findings"] if one["check"] == "environment")
    assert (status, warning["file"]) == (0, "package torch") and "2.1: draw_figure4" in warning["found"]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[" * 100_000,
        "[]",
        '{"cells": []}',
        '{"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://example.org/sbom"}',
    ],
)
def test_a_damaged_or_foreign_record_is_a_finding(run, ask, text):
    run.write("results/provenance/records/make_table2.json", text)
    status, told = ask()
    assert status == 1 and "results/provenance/records/make_table2.json" in of(told, "records")
    assert TABLE in of(told, "completeness")


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "results/../../x", "results//etc/x", "data/a", "code:/etc/passwd", ""]
)
def test_a_record_that_names_files_elsewhere_is_not_followed(run, ask, name):
    path = run.record_path("make_table2", {})
    record = json.loads(path.read_text())
    record["subject"][0]["name"] = name
    path.write_text(json.dumps(record))
    assert "is no results/, code: or source: name" in next(iter(of(ask()[1], "records").values()))


def test_records_of_an_older_ctstyle_are_told_once_with_the_way_out(run, ask):
    for path in (run.results / "provenance/records").rglob("*.json"):
        path.write_text(path.read_text().replace("ctstyle/job/v2", "ctstyle/job/v1"))
    told = [one for one in ask()[1]["findings"] if one["check"] == "records"]
    assert len(told) == 1 and "9 records are of an older ctstyle" in told[0]["what"]
    assert "run the workflow again" in told[0]["fix"]


def test_a_manifest_that_is_none_is_a_finding(run, ask):
    run.write("results/provenance/sources.json", '{"files": [{"name": "source:x"}]}')
    assert "sha256 of source:x is missing" in of(ask()[1], "sources")["results/provenance/sources.json"]


def test_results_copied_elsewhere_still_pass(run, capsys):
    copy = run.copy_to(run.folder / "elsewhere/renamed")
    shutil.rmtree(run.results)
    assert main([str(copy), "--checkout", str(run.checkout)]) == 0
    said = capsys.readouterr().out
    assert "not verified: sources: source:mine/b: private or not here" in said and said.rstrip().endswith("SOUND")
    assert main([str(copy / "paper/tables/table2.csv")]) == 1  # the code of this checkout is another one
    (copy / "paper/tables/table2.csv").write_text("edited")
    assert main([str(copy), "--checkout", str(run.checkout)]) == 1


def test_what_cannot_be_audited_exits_2_with_one_line(run, capsys, tmp_path):
    outside = tmp_path / "outside.csv"
    outside.write_text("1")
    (tmp_path / "empty/provenance/records").mkdir(parents=True)
    for arguments in (
        [outside],
        [run.folder / TABLE, outside],
        [outside, "--results", run.results],
        [run.results / "no.csv"],
        [tmp_path / "empty"],
        [run.results / "logs/cut_scan/a.log"],
    ):
        assert main([str(one) for one in arguments]) == 2
        said = capsys.readouterr()
        assert said.out == "" and len(said.err.splitlines()) == 1 and said.err.startswith("ctstyle.audit: ")
    with pytest.raises(SystemExit) as stopped:
        main([str(run.results), "--root", "abc"])
    assert stopped.value.code == 2


def test_explain_tells_each_job_once_down_to_the_sources(run, ask):
    lines = ask(TABLE)[1]["lineage"][TABLE]
    assert lines[0] == TABLE and lines[1].startswith("  make_table2 ")
    told = [line for line in lines if "train_transfer model=ours seed=0" in line]
    assert len(told) == 2 and [("(above)" in line) for line in told] == [False, True]
    assert [line.strip() for line in lines if "source " in line] == [
        f"source {SERIES} {run.digest(SERIES)[:12]}",
        "source source:mine/b " + "1" * 12,
    ]


def test_a_cycle_of_records_does_not_hang(run, ask):
    run.job("cut_scan", {"scan": "a"}, {SLICES: "scan\n"}, [TABLE])
    assert ask(TABLE)[0] == 1


def test_it_runs_with_the_standard_library_alone(run, root):
    code = f"""
import sys, runpy
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {{"numpy", "pandas", "torch", "yaml", "snakemake", "pydicom"}}:
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, {str(root)!r})
sys.argv = ["audit", {str(run.results)!r}, "--checkout", {str(run.checkout)!r}]
runpy.run_module("ctstyle.audit", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-S", "-I", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and "MB/s" in done.stdout.splitlines()[-1]
    outside = {
        line.split()[1].split(".")[0]
        for path in Path(root, "ctstyle/audit").glob("*.py")
        for line in path.read_text().splitlines()
        if line.startswith(("import ", "from "))
    }
    assert outside - {"ctstyle"} <= set(sys.stdlib_module_names)
