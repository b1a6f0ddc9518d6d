"""Places for new files: refused where they meet an input or files that nothing here made, and nothing is touched."""

import json
import os
from pathlib import Path

import pytest

from ctstyle.provenance.digest import sha256_file
from ctstyle.run import places
from ctstyle.run.places import CONTAINS, EQUALS, INSIDE, OUTPUT, PlaceRefused, check_made, check_places, replacing
from tests.runs import tree
from tests.unit.audit.a_run import SmallRun

CONFIG = {
    "sheet": "tables/scans.tsv",
    "wheels": {"folder": None},
    "encoders": {"file": {"path": None}},
    "spine_mets": {"pinned": "config/spine_mets.tsv"},
    "verse": {"pinned": "config/verse.tsv", "address": "https://server.example/verse"},
    "totalsegmentator": {"pinned": "config/totalsegmentator.tsv", "address": "archives/total.zip"},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a user's scans, tables and bundle, and the checkout beside them."""
    for name in ("p1/dicom/0.dcm", "p1/mask.nii.gz", "p1/notes.txt", "p2/ct/0.dcm", "tables/scans.tsv", "my_run.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    for name in ("archives/total.zip", "style/ct/0.dcm", "runs/old/one.bundle", "checkout/ctstyle/run/fit.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to("p1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def check(results="results", output="results/stylized", stylize=False, **pathvars):
    """The check that the Snakefile makes."""
    names = {"content": "p1/dicom", "model": "runs/old/one.bundle", "style": "style/ct", "mask": "p1/mask.nii.gz"}
    pathvars = {"results": results, "cohorts": f"{results}/cohorts"} | pathvars
    check_places(
        {**pathvars, OUTPUT: output},
        CONFIG,
        stylized=names if stylize else {},
        scans=[
            {"scan": "own", "series": "p2/ct", "mask": ""},
            {"scan": "made", "series": f"{pathvars['cohorts']}/phantom/a.zip", "mask": ""},
        ],
        configs=["my_run.yaml"],
        root=Path("checkout"),
    )


@pytest.mark.parametrize(
    ("place", "path", "found"),
    [
        ("p1", "p1", EQUALS),
        ("p1", "p1/dicom", CONTAINS),
        ("p1/dicom/new/deep", "p1", INSIDE),
        ("p1/../p1/new", "p1", INSIDE),
        ("link", "p1", EQUALS),
        ("link/new", "p1", INSIDE),
        ("p1", "link/dicom", CONTAINS),
        ("p1", "link", EQUALS),
        (".", "link", CONTAINS),
        ("new", "new/none", CONTAINS),
        ("p1/new", "p1/dicom", ""),
        ("p", "p1", ""),
    ],
)
def test_a_place_relates_to_an_input_as_their_real_folders_do(folder, place, path, found):
    assert places.relation(place, path) == found


def test_letters_of_another_case_are_the_same_folder_where_the_disk_says_so(folder):
    if not (folder / "P1").exists():  # a disk that tells cases apart: a second name of one file stands for it
        os.link("p1/notes.txt", "P1-notes.txt")
        assert places.relation("P1-notes.txt", "p1/notes.txt") == EQUALS
    else:
        assert places.relation("P1", "p1/dicom") == CONTAINS


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"output": "p1"}, "stylize: output: .* contains the content of stylize"),
        ({"output": "p1/dicom"}, "is the content of stylize"),
        ({"output": "p1/dicom/new"}, "lies inside the content of stylize"),
        ({"output": "link/dicom/../dicom/new"}, "lies inside the content of stylize"),
        ({"output": "style/ct/new"}, "lies inside the style of stylize"),
        ({"output": "style"}, "contains the style of stylize"),
        ({"output": "runs/old"}, "contains the model of stylize"),
        ({"output": "p2"}, "contains the series of scan own"),
        ({"output": "tables"}, "contains the sheet"),
        ({"output": "results"}, "is the folder of results"),
        ({"output": "."}, "contains"),
        ({"output": "checkout/ctstyle/new"}, "lies inside the workflow's code"),
        ({"output": "p1/notes.txt"}, "stylize: output: not a folder"),
        ({"results": "p2"}, "pathvars: results: .* contains the series of scan own"),
        ({"results": "p2/ct"}, "is the series of scan own"),
        ({"results": "p2/ct/results"}, "lies inside the series of scan own"),
        ({"results": "p1/dicom/results"}, "lies inside the content of stylize"),
        ({"results": "tables"}, "contains the sheet"),
        ({"results": "archives"}, "contains the archive of totalsegmentator"),
        ({"results": "checkout"}, "contains the pinned table of spine_mets"),
        ({"results": "."}, "contains"),
        ({"results": "/"}, "contains"),
        ({"results": "home"}, "is your home"),
        ({"results": "runs"}, r"holds files that no run has made \(found old, expected a new or empty folder"),
        ({"results": "my_run.yaml"}, "is a config file"),
        ({"cohorts": "p2"}, "pathvars: cohorts: .* contains the series of scan own"),
        ({"slices": "runs"}, "pathvars: slices: .* holds files that no run has made"),
    ],
)
def test_a_place_that_meets_an_input_or_foreign_files_is_refused(folder, chosen, message):
    before = tree(folder)
    with pytest.raises(PlaceRefused, match=message) as refused:
        check(**chosen, stylize=True)
    assert str(folder) not in str(refused.value) and "Name a" in str(refused.value)
    assert tree(folder) == before


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"results": "results/mine"},
        {"results": "p1/results"},
        {"output": "p1/new"},
        {"output": "runs/new"},
        {"results": "big/results", "cohorts": "big/cohorts"},
    ],
)
def test_a_new_place_beside_the_inputs_is_taken(folder, chosen):
    before = tree(folder)
    check(**chosen, stylize=True)
    assert tree(folder) == before


def test_the_cache_is_refused_inside_a_scan_and_taken_beside_it(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "p2/ct"))
    with pytest.raises(PlaceRefused, match=r"XDG_CACHE_HOME: .* lies inside the series of scan own"):
        check()
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    check()


def test_a_marked_folder_is_known_again_and_runs_within_are_none_of_its_files(folder):
    chosen = {"results": "results", "cohorts": "big/cohorts"}
    places.mark_run({**chosen, OUTPUT: "results/stylized"})
    for name in ("results/half.npy", "big/cohorts/half.zip"):
        (folder / name).write_text("from a killed run")
    check(**chosen)
    # a run in results/mine came first
    (folder / "other/mine/provenance/records").mkdir(parents=True)
    check(results="other")
    (folder / "other/notes.txt").touch()
    with pytest.raises(PlaceRefused, match=r"found notes\.txt"):
        check(results="other")


@pytest.fixture
def out(folder, tmp_path_factory):
    """An earlier series in a folder of the user's, with its record."""
    names = ("dicom/ct/0.dcm", "about.json")
    run = SmallRun(tmp_path_factory.mktemp("run"))
    record = run.job("stylize", {}, {f"results/{name}": f"made {name}" for name in names}, [])
    for path, name in ((record, places.OF_STYLIZE), *((run.results / name, name) for name in names)):
        (folder / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        path.rename(folder / "out" / name)
    return folder / "out"


def foreign_file(out):
    """A file of the user's among ours."""
    (out / "dicom/ct/mine.dcm").write_text("the user's")


def changed_file(out):
    """A file of ours that the user worked on."""
    (out / "about.json").write_text("with the user's notes")


def missing_file(out):
    """A file that is gone."""
    (out / "dicom/ct/0.dcm").unlink()


def linked_folder(out):
    """A link to the user's own files."""
    (out / "dicom/mine").symlink_to(out.parent / "p1")


def run_of_its_own(out):
    """A run's folder within."""
    (out / "mine/provenance/records").mkdir(parents=True)


def damaged_record(out):
    """A record that is none."""
    (out / places.OF_STYLIZE).write_text('{"_type": 1}')


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (foreign_file, "dicom/ct/mine.dcm"),
        (changed_file, "about.json"),
        (missing_file, "dicom/ct/0.dcm"),
        (linked_folder, "dicom/mine"),
        (run_of_its_own, "found mine"),
        (damaged_record, "record"),
    ],
)
def test_an_earlier_series_that_is_not_as_it_was_made_is_listed_and_left(folder, out, change, named):
    change(out)
    before = tree(folder)
    with pytest.raises(PlaceRefused, match=named), replacing(out):
        pytest.fail("the body ran")
    assert tree(folder) == before


def test_a_new_series_replaces_the_earlier_one_whole(folder, out):
    others = {name: digest for name, digest in tree(folder).items() if not name.startswith("out/")}
    with replacing(out) as (new, put_in):
        (new / "ct.nii.gz").write_text("new")
        assert (out / "dicom/ct/0.dcm").exists()
        assert put_in() == [out / "ct.nii.gz"]
    assert set(tree(out)) == {"ct.nii.gz"} and not (out / "dicom").exists()
    assert {name: digest for name, digest in tree(folder).items() if not name.startswith("out/")} == others


@pytest.mark.parametrize("late", [False, True])
def test_after_an_error_the_earlier_series_lies_there_as_it_was(folder, out, late):
    before = tree(folder)
    with pytest.raises(RuntimeError), replacing(out) as (new, put_in):
        (new / "dicom/ct").mkdir(parents=True)
        (new / "dicom/ct/0.dcm").write_text("half")
        if late:
            put_in()
        raise RuntimeError("the record could not be written")
    assert tree(folder) == before


def test_a_file_that_comes_while_the_job_runs_is_kept(folder):
    out = folder / "out"
    with pytest.raises(PlaceRefused, match=r"about\.json"), replacing(out) as (new, put_in):
        (new / "about.json").write_text("ours")
        (out / "about.json").write_text("the user's")
        put_in()
    assert (out / "about.json").read_text() == "the user's" and set(tree(out)) == {"about.json"}


def test_what_a_killed_job_left_is_made_anew(folder, out):
    (out / places.UNFINISHED / "new").mkdir(parents=True)
    (out / places.UNFINISHED / "new/half.dcm").touch()
    assert {path.name for path in check_made(out)} == {"0.dcm", "about.json", "stylize.json"}
    with replacing(out) as (new, _):
        assert not list(new.iterdir())


def test_a_record_that_names_other_folders_makes_nothing_ours(folder, out):
    path = out / places.OF_STYLIZE
    told = json.loads(path.read_text())
    digest = {"sha256": sha256_file(folder / "p1/notes.txt")}
    for name in ("p1/notes.txt", "results/../p1/notes.txt", str(folder / "p1/notes.txt")):
        subject = {"name": name, "digest": digest, "annotations": {"key": "x", "size": 1}}
        path.write_text(json.dumps({**told, "subject": [*told["subject"], subject]}))
        before = tree(folder)
        with pytest.raises(PlaceRefused, match="record"), replacing(out):
            pytest.fail("the body ran")
        assert tree(folder) == before
