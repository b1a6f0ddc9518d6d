"""Forgeries by somebody who may write every file: each kind is found, with the anchor where one is needed."""

import json

import pytest
from a_run import EXTRA_ROWS, FIGURE, PRODUCTS, SLICES, SOURCES, TABLE, TEST_ROWS, TYPST, SmallRun

from ctstyle.audit.__main__ import main

RECORD = "results/provenance/records/make_table2.json"


@pytest.fixture
def run(tmp_path):
    """A sound run."""
    return SmallRun(tmp_path / "run")


@pytest.fixture
def broken(run, capsys):
    """What the audit finds broken, as (check, file), of all results or of some files."""

    def broken(*paths, root=None):
        """Run the command and read what it printed."""
        asked = [str(run.folder / path) for path in paths or ["results"]]
        status = main([*asked, "--json", "--checkout", str(run.checkout), *(["--root", root] if root else [])])
        told = json.loads(capsys.readouterr().out)
        found = {(one["check"], one["file"]) for one in told["findings"] if one["severity"] == "broken"}
        assert status == bool(found)
        return found

    return broken


def edit_record(run, edit, path=RECORD):
    """Change a record by `edit(build definition)`, as a forger would, and seal everything anew."""
    place = run.folder / path
    record = json.loads(place.read_text())
    edit(record["predicate"]["buildDefinition"])
    place.write_text(json.dumps(record))
    run.seal()


def _params(build):
    build["externalParameters"]["params"]["steps"] = 300


def _other_params(build):
    build["externalParameters"]["params"] = {}


def _not_a_number(build):
    build["externalParameters"]["params"]["steps"] = float("nan")


def _no_inputs(build):
    build["resolvedDependencies"] = [one for one in build["resolvedDependencies"] if "input" not in one["name"]]


def _other_input(build):
    build["resolvedDependencies"][0]["uri"] = TABLE.replace("table2", "table3")


def _no_code(build):
    build["resolvedDependencies"] = [one for one in build["resolvedDependencies"] if "code" not in one["name"]]


def _other_code(build):
    next(one for one in build["resolvedDependencies"] if "code" in one["name"])["digest"]["sha256"] = "0" * 64


def _code_twice(build):
    build["resolvedDependencies"] += [one for one in build["resolvedDependencies"] if "code" in one["name"]]


def _code_as_a_file(build):
    one = next(one for one in build["resolvedDependencies"] if "code" in one["name"])
    build["externalParameters"]["params"]["files"] = {one["uri"].removeprefix("code:"): one["digest"]["sha256"]}


@pytest.mark.parametrize(
    "edit",
    [
        _params,
        _other_params,
        _not_a_number,
        _no_inputs,
        _other_input,
        _no_code,
        _other_code,
        _code_twice,
        _code_as_a_file,
    ],
)
def test_a_record_of_other_work_than_its_fingerprint_is_found_although_all_is_sealed_anew(run, broken, edit):
    assert broken() == set() == broken(TABLE)
    edit_record(run, edit)
    # NaN is no JSON, and so no record at all
    check = "records" if edit is _not_a_number else "fingerprint"
    assert (check, RECORD) in broken() and (check, RECORD) in broken(TABLE)


def forge(run, name, text, *, read=(), rule="make_table2"):
    """Write a file and a record that fits it in every respect."""
    inputs = [TEST_ROWS, EXTRA_ROWS, *read]
    return run.job(rule, {}, {name: text}, inputs).relative_to(run.folder).as_posix()


@pytest.mark.parametrize("read", [[], ["results/provenance/root.json"], ["results/provenance/SHA256SUMS"]])
def test_an_edited_table_with_its_record_is_found_whatever_the_record_says_it_read(run, broken, read):
    root = run.seal()
    forge(run, TABLE, "arm,miou\nours,0.99\n", read=read)
    assert {("seal", TABLE), ("seal", RECORD)} <= broken(TABLE, root=root) & broken(TABLE) & broken(root=root)
    run.seal()
    assert ("seal", "results/provenance/SHA256SUMS") in broken(TABLE, root=root)


@pytest.mark.parametrize("rule", ["make_table2_corrected", "print_paper", "seal"])
def test_an_added_table_with_a_forged_record_is_found(run, broken, rule):
    root, added = run.seal(), TABLE.replace(".csv", "_corrected.csv")
    forge(run, added, "arm,miou\nours,0.99\n", read=["results/provenance/root.json"], rule=rule)
    assert ("seal", added) in broken() & broken(added) & broken(added, root=root) & broken(root=root)


def test_a_record_alone_that_was_edited_is_found_also_with_one_table(run, broken):
    root, path = run.seal(), run.folder / RECORD
    record = json.loads(path.read_text())
    record["predicate"]["buildDefinition"]["internalParameters"]["cpu"] = "another"
    path.write_text(json.dumps(record))
    assert broken() == broken(TABLE) == broken(TABLE, root=root) == {("seal", RECORD)}


def test_an_edited_manifest_is_found_also_with_one_table(run, broken):
    root, path = run.seal(), run.folder / SOURCES
    path.write_text(path.read_text().replace("1" * 64, "2" * 64))
    assert ("seal", SOURCES) in broken(TABLE, root=root) & broken(TABLE) & broken()


def take_away(run, name, rule):
    """Delete a file with its record."""
    (run.folder / name).unlink()
    run.record_path(rule, {}).unlink()


def test_a_product_that_was_taken_away_with_its_record_is_missed(run, broken):
    root = run.seal()
    take_away(run, FIGURE, "draw_figure4")
    assert ("seal", FIGURE) in broken()
    run.seal()
    assert ("seal", FIGURE) in broken()  # sealed anew, and the list of products still names it
    run.write(PRODUCTS, json.dumps({"products": [TABLE]}))
    run.seal()
    assert broken(root=root) == {("seal", "results/provenance/SHA256SUMS")}


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"products": 3}', None])
def test_a_seal_without_its_list_of_products_is_found(run, broken, text):
    run.write(PRODUCTS, text or "")
    run.seal()
    if text is None:
        (run.folder / PRODUCTS).unlink()
    assert ("seal", PRODUCTS) in broken()


@pytest.mark.parametrize(
    ("old", "new"),
    [('root = "', 'root = "0'), ("#let root", "#let other"), ("#let a = 1", '#let root = "0"'), ("#let", " #let")],
)
def test_a_paper_that_prints_another_root_is_found(run, broken, old, new):
    text = (run.folder / TYPST).read_text().replace(old, new)
    paper = {TYPST: text, "results/paper/paper.pdf": "another PDF"}
    run.job("print_paper", {}, paper, [TABLE, "results/provenance/root.json"])
    assert broken() == broken(TYPST) == broken("results/paper/paper.pdf") == {("seal", TYPST)}


def test_only_the_paper_may_be_made_after_the_seal(run, broken):
    for rule, name in (("cut_scan", SLICES), ("print_paper", TABLE)):
        run.job(rule, {}, {name: "other"}, ["results/provenance/root.json"])
        assert ("seal", name) in broken(name)
