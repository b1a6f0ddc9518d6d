"""Texts of tags that may be written down: real scanners pass unchanged, names and dates do not."""

import csv

import pytest

from ctstyle.ct.acquisition import LONGEST, acquisition, known_text, known_uid, modality_name
from ctstyle.ct.index import index
from ctstyle.ct.series import slices_of
from tests.dicom_series import ct_series, random_hu, write

TEXTS = {"manufacturer": "Manufacturer", "model": "ManufacturerModelName", "kernel": "ConvolutionKernel"}
SCANNERS = {
    "manufacturer": (
        "ctstyle virtual scanner",
        "GE MEDICAL SYSTEMS",
        "Siemens Healthineers",
        "Philips",
        "CANON_MEC",
        "UIH",
    ),
    "model": ("parallel beam", "SOMATOM Confidence", "LightSpeed RT16", "Biograph40_mCT 4R", "iCT 256", "uCT 960+"),
    "kernel": ("soft", "sharp", "STANDARD", "BONEPLUS", "Br38f", "FC07", "59 .10.AB50", "YA", "B", "B_SOFT_B", "3"),
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in SCANNERS.items() for value in values])
def test_scanners_of_all_makers_pass_unchanged(key, value):
    assert known_text(value, LONGEST[TEXTS[key]]) == value


def test_the_real_scanners_of_the_shared_data_pass_unchanged(shared_data):
    with (shared_data / "tcga_single_slices" / "index.tsv").open(newline="") as stream:
        rows = [dict(row) for row in csv.DictReader(stream, delimiter="\t")]
    with (shared_data / "spine_mets_ct_seg_idc.csv").open(newline="") as stream:
        rows += [{"manufacturer": row["Manufacturer"], "model": row["model"]} for row in csv.DictReader(stream)]
    assert len(rows) > 70
    for row in rows:
        for key in TEXTS.keys() & row.keys():
            assert known_text(row[key], LONGEST[TEXTS[key]]) == row[key]


NAMES = ("PHIQ0042X", "DOE^JOHN", "DOE^JOHN 19700101", "JOHNDOE", "John Doe", "Doe", "JD Doe", "J O H N", "D OE", "Li")
NAMES += ("19700101", "01.01.1970", "1970-01-01", "19.07.70", "MRN 4711123", "B70f DOE", "SIEMENS of Dr Who", "4711.23")
NAMES += ("STANDARD " * 9, "B70f\\DOE", "B70f\nDOE", "Müller", "SOFT19700101")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("keyword", LONGEST)
def test_names_and_dates_do_not_pass(name, keyword, tmp_path, caplog):
    assert known_text(name, LONGEST[keyword]) == ""

    def name_it(k, dataset):
        dataset[keyword].value = ["ORIGINAL", "PRIMARY", name] if keyword == "ImageType" else name

    if keyword == "Modality" or "\\" in name or "ü" in name:
        return
    with index(write(ct_series(random_hu()[:2]), tmp_path, name_it)) as found:
        told = acquisition(slices_of(found.series()))
    key = {**{value: key for key, value in TEXTS.items()}, "ImageType": "image_type"}[keyword]
    assert told.pop(key) is None and None not in (told["kvp"], told["modality"], told["slice_thickness_mm"])
    said = [record.message for record in caplog.records if record.name.startswith("ctstyle")]
    assert len(said) == 1 and keyword in said[0] and name not in said[0]


def test_uids_and_modalities():
    assert known_uid(" 1.2.840.10008.1 ") == "1.2.840.10008.1"
    assert [known_uid(value) for value in (None, "", "1.2.DOE", "DOE^JOHN", "1" * 65)] == [""] * 5
    assert [modality_name(one) for one in ("MR", "", "DOE")] == [
        "DICOM MR",
        "DICOM without Modality",
        "DICOM of an unknown Modality",
    ]
