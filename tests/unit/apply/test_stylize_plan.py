"""What the config asks of stylize: found on the disk before anything runs, or refused with the key and the way out."""

import pytest

from ctstyle.apply.plan import NoSuchInput, NotAsked, asked
from ctstyle.errors import CTStyleError
from ctstyle.transfer.about import NotABundle, UnknownStyle
from tests.bundles import random_bundle


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a scan of DICOM, volumes and a run's results."""
    folder = tmp_path_factory.mktemp("asked")
    (folder / "results" / "transfer" / "ours").mkdir(parents=True)
    for seed in (10, 2):
        random_bundle().save(folder / "results" / "transfer" / "ours" / f"seed{seed}.bundle.safetensors")
    for name in ("dicom", "other"):
        (folder / name).mkdir()
    for name in ("ct.nii.gz", "ct.mhd", "mask.nrrd"):
        (folder / name).touch()
    return folder


@pytest.fixture
def config(place, monkeypatch):
    monkeypatch.chdir(place)

    def make(stylize=None, **keys):
        basic = {"content": "dicom", "style": "s2", "model": "results", "mask": None, "stylize": stylize or {}}
        return basic | keys

    return make


def test_paths_are_made_absolute_and_a_run_gives_its_first_bundle(place, config):
    found = asked(config(mask="mask.nrrd"))
    assert found.content == str(place / "dicom") and found.mask == str(place / "mask.nrrd")
    assert found.model == str(place / "results" / "transfer" / "ours" / "seed2.bundle.safetensors")
    assert (found.style, found.style_series, found.suffix) == ("s2", "", "")
    assert asked(dict.fromkeys(("content", "style", "model", "mask")) | {"stylize": {}}) is None


def test_a_style_is_a_name_first_and_a_scan_else(place, config):
    assert asked(config(style="sharp")).style == "s2"
    found = asked(config(style="other"))
    assert (found.style, found.style_series) == ("", str(place / "other"))


@pytest.mark.parametrize(
    ("content", "form", "suffix"),
    [
        ("dicom", "same", ""),
        ("dicom", "nifti", ".nii.gz"),
        ("ct.nii.gz", "same", ".nii.gz"),
        ("ct.nii.gz", "dicom", ""),
        ("ct.mhd", "same", ".mha"),
        ("ct.mhd", "nifti", ".nii.gz"),
    ],
)
def test_the_format_is_that_of_the_content_or_the_asked_one(config, content, form, suffix):
    assert asked(config({"format": form}, content=content)).suffix == suffix


@pytest.mark.parametrize(
    ("keys", "kind", "message"),
    [
        ({"style": None, "model": None}, NotAsked, "found no style, no model.*snakemake stylize --config content="),
        ({"content": None}, NotAsked, "found no content"),
        ({"content": "gone"}, NoSuchInput, "content: no such file or folder.*found gone"),
        ({"mask": "gone.nii"}, NoSuchInput, "mask: no such file or folder"),
        ({"model": "gone"}, NoSuchInput, "model: no such file or folder"),
        ({"model": "dicom"}, NotABundle, r"model: no generator bundle in this folder.*seed\*\.bundle\.safetensors"),
        ({"model": "ct.mhd"}, NotABundle, "this file holds no generator bundle"),
        ({"style": "s7"}, UnknownStyle, r"no such style.*expected s1 \(standard\).*or a folder or file with a CT"),
        ({"stylize": {"label_map": "mine"}}, CTStyleError, "stylize: label_map: .*found mine"),
    ],
)
def test_a_fault_is_named_with_its_key(config, keys, kind, message):
    with pytest.raises(kind, match=message):
        asked(config(**keys))
