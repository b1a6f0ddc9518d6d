"""Every file has one public name for every rule, wherever results, checkout and private folders lie."""

import json
from pathlib import Path

import pytest

from ctstyle.provenance.names import Names, NotNamed, names_of_job
from ctstyle.run.job import job
from tests.unit.run.test_job import snakemake_of

ROW = {"scan": "a", "cohort": "mine", "series": "/data/DOE_JOHN_1970/CT", "mask": "/data/DOE_JOHN_1970/seg.dcm"}


@pytest.mark.parametrize(
    ("results", "working", "path", "name"),
    [
        ("results/mine", "/code", "results/mine/slices/a/../b.npy", "results/slices/b.npy"),
        ("/scratch/x", "/code", "/scratch/x/slices/b.npy", "results/slices/b.npy"),
        ("../x", "/run/here", "/run/x/slices/b.npy", "results/slices/b.npy"),
        ("/code/results", "/code", "results/a.npy", "results/a.npy"),
        ("results", "/run", "/code/ctstyle/run/fit.py", "code:ctstyle/run/fit.py"),
        ("results", "/code", "config/config.yaml", "code:config/config.yaml"),
        ("results", "/run", ROW["series"], "source:mine/a"),
        ("results", "/run", ROW["mask"], "source:mine/a/mask"),
        ("results", "/run", "/run/DOE.tsv", "source:sheet"),
        ("results", "/run", "../DOE/a.nii", "source:cut/style-1"),
        ("results", "/run", "DOE/b.nii", "source:cut/style-2"),
        ("results", "/run", "DOE/c.nii", "source:cut/content"),
    ],
)
def test_a_file_is_called_by_what_it_is_and_not_by_where_it_lies(results, working, path, name):
    inputs = {"series": [ROW["series"]], "style": ["../DOE/a.nii", "DOE/b.nii"], "content": ["DOE/c.nii"]}
    params = {"scan": ROW, "sheet": "DOE.tsv"}
    names = names_of_job("cut", params, inputs, results=results, root="/code", working_folder=working)
    assert names.of(path) == name


def test_a_file_that_nobody_named_has_no_name():
    names = Names(Path("results"), Path("/code"), Path("/code"))
    for path in ("/data/DOE.zip", "/code/DOE.zip", "data/DOE.zip", "/code"):
        with pytest.raises(NotNamed):
            names.of(path)


def test_the_same_work_has_the_same_params_whatever_the_results_folder_is_called():
    def told(results, **params):
        row = {**ROW, "series": f"{results}/cohorts/a.zip", "mask": ""}
        params |= {"scans": [row], "stylize": {"output": f"{results}/p1"}, "deep": [{"x": f"{results}/slices/a.tsv"}]}
        return names_of_job("r", params, {}, results=results, root="/code", working_folder="/run").told(params)

    expected = told("results", wheels={"folder": "/a/b"})
    assert expected["scans"][0]["series"] == "results/cohorts/a.zip" and expected["stylize"] == {"output": "results/p1"}
    assert expected["deep"] == [{"x": "results/slices/a.tsv"}]
    for results in ("results/mine", "/scratch/DOE_JOHN"):
        assert told(results, wheels={"folder": "private/wheels"}) == expected


@pytest.mark.parametrize("folder", ["/data", "data", "../data"])
def test_no_folder_or_file_name_of_the_user_is_left_in_params(folder):
    path = f"{folder}/DOE"
    params = {
        "scan": {**ROW, "series": path, "mask": path},
        "scans": [{**ROW, "series": path, "mask": path}],
        "sheet": path,
        "wheels": {"folder": path},
        "encoders": {"file": {"path": path, "sha256": "0"}, "main": {"name": "vgg19"}},
        "verse": {"address": path, "pinned": path, "subjects": ["sub-verse004"]},
        "stylize": {"output": path, "alpha": 0.5},
        "address": path,
        "settings": {"address": path, "pinned": path},
        "model": "ours",
    }
    names = names_of_job("r", params, {}, results="results", root="/code", working_folder="/run")
    told = names.told(params)
    assert "DOE" not in json.dumps(told) and "data" not in json.dumps(told)
    assert told["encoders"]["file"] == {"path": "source:encoders/file/path", "sha256": "0"}
    assert told["sheet"] == "source:sheet" and told["scan"]["mask"] == told["scan"]["series"] == "source:mine/a"
    assert (told["model"], told["stylize"]["alpha"], told["verse"]["subjects"]) == ("ours", 0.5, ["sub-verse004"])
    for text in ("https://example.org/a", "<results>/stylized", ""):
        assert names.told({"verse": {"address": text}}) == {"verse": {"address": text}}


def test_the_record_of_a_job_calls_its_files_by_their_public_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "scratch" / "DOE_JOHN"
    snakemake = snakemake_of(tmp_path, rule="gather_slices")
    snakemake.output = type(snakemake.output)(
        thing=str(place / "tables" / "a.csv"), record=str(place / "provenance" / "records" / "gather_slices.json")
    )
    (place / "tables").mkdir(parents=True)
    with job(snakemake) as run:
        Path(run.output.thing).write_text("a")
        assert run.names.of(run.output.thing) == "results/tables/a.csv"
    text = Path(run.output.record).read_text()
    record = json.loads(text)
    assert record["subject"][0]["name"] == "results/tables/a.csv" and "DOE" not in text and str(tmp_path) not in text
    uris = [one["uri"] for one in record["predicate"]["buildDefinition"]["resolvedDependencies"]]
    assert uris[0] == "source:gather_slices/slices" and {one.split(":")[0] for one in uris[1:]} == {"code", "git"}
