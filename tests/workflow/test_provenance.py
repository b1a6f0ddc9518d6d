"""The audit of a whole tiny run: clean it passes, and whatever is tampered with is found and named."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


def _audit(root, *arguments, bare=True):
    """Exit status and output of the audit, run with the standard library alone (`bare`) or with pydicom at hand."""
    command = [sys.executable, *(["-S"] if bare else []), "-m", "ctstyle.audit", *map(str, arguments)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copy(tiny, tmp_path):
    """The run's results, linked file by file; `_write` breaks the link of what it changes."""
    _, _, results = tiny
    place = tmp_path / "results" / "tiny"
    shutil.copytree(results, place, copy_function=os.link)
    return place


def _write(path, content):
    """Replace a file; bytes or text."""
    path.unlink(missing_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def _edit(path, old, new, count=1):
    text = path.read_text()
    assert old in text, (path, old)
    _write(path, text.replace(old, new, count))


def _one_cell(place):
    table = place / "paper" / "tables" / "table2.csv"
    _write(table, re.sub(r"(\d)\.(\d{6})", r"\1.999999", table.read_text(), count=1))


def _weights(place):
    first, second = (place / "encoders" / "vgg19" / f"{name}.safetensors" for name in ("hed", "domain"))
    _write(first, second.read_bytes())


def _in_zip(place, change):
    """One instance of a phantom scan with its bytes changed by `change`."""
    path = sorted((place / "cohorts" / "phantom").glob("*.zip"))[0]
    with zipfile.ZipFile(path) as old:
        members = [(info, old.read(info)) for info in old.infolist()]
    path.unlink()
    with zipfile.ZipFile(path, "w") as new:
        for number, (info, data) in enumerate(members):
            new.writestr(info, change(data) if number == 0 else data)


def _pixel(place):
    _in_zip(place, lambda data: data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])


def _tag(place):
    _in_zip(place, lambda data: data.replace(b"phantom-p00", b"phantom-p99"))


def _retrained(place):
    generator = place / "transfer" / "ours" / "seed0" / "generator.safetensors"
    record = place / "provenance" / "records" / "train_transfer" / "ours-seed0.json"
    _write(generator, (place / "transfer" / "adain" / "seed0" / "generator.safetensors").read_bytes())
    statement = json.loads(record.read_text())
    other = json.loads((record.parent / "adain-seed0.json").read_text())
    new = next(one for one in other["subject"] if one["name"].endswith("generator.safetensors"))
    for subject in statement["subject"]:
        if subject["name"].endswith("generator.safetensors"):
            subject["digest"] = new["digest"]
    _write(record, json.dumps(statement))


def _figure(place):
    figures = place / "paper" / "figures"
    _write(figures / "figure5.png", (figures / "figure6.png").read_bytes())


def _added(place):
    _write(place / "paper" / "tables" / "table4.csv", "method,gain\nours,99\n")


def _moved(place):
    split = place / "styles" / "split.tsv"
    lines = split.read_text().splitlines()
    row = next(number for number, line in enumerate(lines) if "\ttest\t" in line and "phantom" in line)
    lines[row] = lines[row].replace("\ttest\t", "\ttrain\t")
    _write(split, "\n".join(lines) + "\n")


def _no_record(place):
    (place / "provenance" / "records" / "train_unet" / "ours-seed0.json").unlink()


def _both(place):
    _one_cell(place)
    record = place / "provenance" / "records" / "make_table" / "table2.json"
    table = place / "paper" / "tables" / "table2.csv"
    digest = subprocess.run(["sha256sum", table], capture_output=True, text=True, check=True).stdout.split()[0]
    statement = json.loads(record.read_text())
    for subject in statement["subject"]:
        if subject["name"].endswith("table2.csv"):
            subject["digest"]["sha256"] = digest
            subject["annotations"]["size"] = table.stat().st_size
    _write(record, json.dumps(statement))


TAMPERED = {
    "one cell of a table": (_one_cell, r"table2\.csv"),
    "a table with its record": (_both, r"(?s)seal.*table2|table2.*seal"),
    "swapped weights": (_weights, r"hed\.safetensors"),
    "one pixel": (_pixel, r"phantom-p00-standard\.zip: changed"),
    "a retrained generator under old tables": (_retrained, r"(?i)older|another version|stale"),
    "a replaced figure": (_figure, r"figure5\.png"),
    "a file added by hand": (_added, r"table4\.csv"),
    "a test patient in training": (_moved, r"split\.tsv"),
    "a deleted record": (_no_record, r"unet\.safetensors"),
}


def test_a_clean_run_is_sound_also_elsewhere(root, tiny, copy):
    _, _, results = tiny
    for place in (results, copy):
        status, said = _audit(root, place)
        assert status == 0, said
    status, said = _audit(root, results / "paper" / "tables" / "table2.csv", "--explain")
    assert status == 0 and "make_table" in said and "train_unet" in said and "simulate_scan" in said


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_tampered_with_is_found_and_named(root, copy, what):
    tamper, message = TAMPERED[what]
    tamper(copy)
    status, said = _audit(root, copy)
    assert status == 1 and re.search(message, said), said


@pytest.mark.parametrize(("tamper", "told"), [(_tag, "only tags changed"), (_pixel, "pixels changed")])
def test_a_tag_is_told_apart_from_a_pixel_where_pydicom_is_at_hand(root, copy, tamper, told):
    tamper(copy)
    assert "pixels not compared (needs pydicom)" in _audit(root, copy)[1]
    status, said = _audit(root, copy, bare=False)
    assert status == 1 and told in said, said


def test_code_and_config_edited_after_the_run_are_named(root, tiny, tmp_path):
    _, _, results = tiny
    checkout = tmp_path / "checkout"
    for part in ("ctstyle", "scripts", "rules", "report", "envs", "config", "tests/config"):
        shutil.copytree(root / part, checkout / part)
    shutil.copy(root / "Snakefile", checkout / "Snakefile")
    status, said = _audit(root, results, "--checkout", checkout)
    assert status == 0, said
    with (checkout / "ctstyle" / "transfer" / "losses.py").open("a") as stream:
        stream.write("# edited\n")
    with (checkout / "config" / "config.yaml").open("a") as stream:
        stream.write("# edited\n")
    status, said = _audit(root, results, "--checkout", checkout)
    assert status == 1 and "losses.py" in said and "config.yaml" in said


def test_sha256sum_agrees_and_no_private_word_is_in_a_record(tiny):
    workflow, _, results = tiny
    sums = results / "provenance" / "SHA256SUMS"
    done = subprocess.run(["sha256sum", "--quiet", "-c", sums], cwd=results, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    text = "".join(path.read_text() for path in (results / "provenance").rglob("*.json"))
    for word in (str(workflow.folder), f"{Path.home()}/", os.uname().nodename):
        assert not re.search(rf"(?<!\w){re.escape(word)}", text), word


def test_the_root_is_printed_in_the_paper_and_the_lineage_in_tables_and_figures(tiny):
    _, _, results = tiny
    root = json.loads((results / "provenance" / "root.json").read_text())["root"]
    assert root[:12] in (results / "paper" / "paper.typ").read_text()
    record = json.loads((results / "provenance" / "records" / "make_table" / "table2.json").read_text())
    lineage = record["predicate"]["runDetails"]["metadata"]["invocationId"]
    assert f"Lineage {lineage[:12]}." in (results / "paper" / "tables" / "table2.md").read_text()
    figure = json.loads((results / "provenance" / "records" / "draw_figure" / "figure5.json").read_text())
    drawn = figure["predicate"]["runDetails"]["metadata"]["invocationId"].encode()
    assert drawn in (results / "paper" / "figures" / "figure5.png").read_bytes()
    assert drawn in (results / "paper" / "figures" / "figure5.pdf").read_bytes()
    traced = json.loads((results / "paper" / "tables" / "table2.lineage.json").read_text())
    assert traced["lineage"] == lineage and any(row["from"] for row in traced["rows"])
