"""Public collections in the workflow: listed, pinned, planned and fetched, from a server on this machine."""

import io
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk

from ctstyle.ct.mask import read_mask
from ctstyle.ct.read import read_volume
from tests.bucket_server import Bucket, served

OWN = """
cohorts: [verse, totalsegmentator]
verse: {{sets: [verse19training], address: "{address}/public", pinned: "{folder}/verse.tsv"}}
totalsegmentator: {{address: "{address}/records/1/files/small.zip?download=1", pinned: "{folder}/totalsegmentator.tsv"}}
"""


def zipped(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """One archive of each collection, with scans of noise; digests of it do not go into the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def nifti(values):
        path = tmp_path / "volume.nii.gz"
        sitk.WriteImage(sitk.GetImageFromArray(values), str(path), useCompression=True)
        return path.read_bytes()

    hu = np.random.default_rng(0).integers(-1000, 1000, (4, 6, 8)).astype(np.int16)
    mask = np.zeros(hu.shape, np.uint8)
    mask[1, 2:4] = 1
    verse = {}
    for subject in ("sub-verse004", "sub-verse005"):
        verse[f"top/rawdata/{subject}/{subject}_ct.nii.gz"] = nifti(hu)
        verse[f"top/derivatives/{subject}/{subject}_seg-vert_msk.nii.gz"] = nifti(mask * 20)
    subject = {"s0011/ct.nii.gz": nifti(hu), "s0011/segmentations/vertebrae_L1.nii.gz": nifti(mask)}
    objects = {"public/dataset-verse19training.zip": zipped(verse), "records/1/files/small.zip": zipped(subject)}
    with served(Bucket(objects)) as bucket:
        yield bucket


def test_collections_are_listed_pinned_planned_and_fetched(workflow, server, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text(OWN.format(address=server.address, folder=tmp_path))
    config = ("--configfile", own)
    unknown = workflow.run("--dry-run", *config)
    assert unknown.returncode != 0 and "results/cohorts/verse.tsv --config cohorts='[phantom]'" in " ".join(
        unknown.stdout.split()
    )

    listing = ("results/cohorts/verse.tsv", "results/cohorts/totalsegmentator.tsv", "--config", "cohorts=[phantom]")
    done = workflow.run(*listing, *config)
    assert done.returncode == 0, done.stdout[-3000:]
    for name in ("verse", "totalsegmentator"):
        (tmp_path / f"{name}.tsv").write_text((tmp_path / "results" / "cohorts" / f"{name}.tsv").read_text())

    assert workflow.planned(*config) >= {"fetch_volumes", "cut_scan", "print_paper"}
    chosen = [f"results/cohorts/{case}/ct.nii.gz" for case in ("verse/verse005", "totalsegmentator/s0011")]
    done = workflow.run(*chosen, *config)
    assert done.returncode == 0, done.stdout[-3000:]
    volume = read_volume(tmp_path / chosen[0])
    for case, label_map in (("verse/verse005", "verse"), ("totalsegmentator/s0011", "totalsegmentator")):
        folder = tmp_path / "results" / "cohorts" / case
        # L1, whatever it is called there
        assert set(np.unique(read_mask(folder / "labels.nii.gz", volume, label_map))) == {0, 31}
        assert "CC BY" in (folder / "LICENCE.txt").read_text()
    log = (tmp_path / "results" / "logs" / "fetch_volumes" / "verse" / "verse005.log").read_text()
    assert "CC BY-SA 4.0" in log and "10.1016/j.media.2021.102166" in log
    assert not (tmp_path / "results" / "cohorts" / "verse" / "verse004").exists()
    assert "nothing" in workflow.run("--dry-run", *chosen, *config).stdout.lower()
