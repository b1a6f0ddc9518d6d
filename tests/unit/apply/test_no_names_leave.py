"""A stylised series, its mask and what is told of it hold no name of the content: not of its tags, labels or paths."""

import numpy as np
import pytest

from ctstyle.apply.series import Outputs, stylize_series
from ctstyle.cohorts.sources import of_run, write_manifest
from ctstyle.provenance.names import names_of_job
from ctstyle.study.analysis import GuardSettings
from ctstyle.study.data import StylizeSettings
from tests.bundles import random_bundle
from tests.dicom_series import ct_series, segmentation, write
from tests.phi import leaks_in, plant

PATH = "PHIQ9200X_JOHN_1970"


@pytest.fixture
def content(tmp_path):
    """A series and its mask in folders and files that name a patient."""
    rows, columns = np.mgrid[:64, :64]
    hu = np.where(np.hypot(rows - 32, columns - 32) < 26, 40, -1000)
    series = ct_series(np.broadcast_to(hu, (4, 64, 64)).astype(np.int16))
    mask = segmentation([(1, tuple(one.ImagePositionPatient), hu > 0) for one in series], {1: "x"})
    plant(mask, "1")
    mask.SegmentSequence[0].SegmentLabel = "PHIQ9201X"
    mask.FrameOfReferenceUID = series[0].FrameOfReferenceUID
    folder = write(series, tmp_path / PATH / "ct", lambda k, dataset: plant(dataset, "1"))
    mask.save_as(tmp_path / PATH / f"{PATH}.dcm", enforce_file_format=True)
    return folder, tmp_path / PATH / f"{PATH}.dcm"


@pytest.mark.parametrize("series", ["dicom", "ct.nii.gz"])
def test_a_stylised_series_names_nobody(tmp_path, content, series):
    folder, mask = content
    out = tmp_path / "out"
    out.mkdir()
    parts = {"rows": out / "slices.tsv", "about": out / "about.json", "picture": out / "picture.png"}
    stylize_series(
        random_bundle(),
        folder,
        Outputs(series=out / series, mask=out / "mask.nii.gz", **parts),
        style="s2",
        style_series=None,
        mask=mask,
        settings=StylizeSettings(label_map="vertebrae"),
        guard=GuardSettings(),
    )
    assert len(list(out.rglob("*"))) >= 5 and leaks_in(out) == {}


def test_the_manifest_of_sources_names_nobody(tmp_path, content):
    folder, mask = content
    scan = {"scan": "s", "cohort": "sheet", "series": str(folder), "mask": str(mask), "licence": ""}
    names = names_of_job(
        "list_sources", {"scans": [scan]}, {}, results="results", root=tmp_path / "code", working_folder=tmp_path
    )
    entries = of_run([scan], names=names)
    out = tmp_path / "out"
    write_manifest(out / "sources.json", entries)
    assert sum(len(entry["instances"]) for entry in entries) == 5 and leaks_in(out) == {}
