"""Which mask goes with which CT: by reference for DICOM, by name, place and grid for label files."""

import numpy as np
import pytest

from ctstyle.ct.anatomy import VERTEBRA_IDS
from ctstyle.ct.mask import read_mask
from ctstyle.ct.read import read_volume
from ctstyle.sheet.__main__ import make_sheet
from tests.archives import labels, pack, rtstruct, save, seg, series, uid, volume
from tests.dicom_series import random_hu


@pytest.fixture
def archive(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paired(archive):
    """(series, mask, mask_uid, label_map) of each row, the reasons by place, and the warnings."""
    sheet = make_sheet([archive])
    reasons = {one.path.removeprefix(f"{archive}/"): one.reason for one in sheet.left_out}
    return [(row.series, row.mask, row.mask_uid, row.label_map) for row in sheet.rows], reasons, sheet.warnings


def test_a_segmentation_goes_with_the_series_it_refers_to_wherever_it_lies(archive):
    one, two = series("a"), series("b")
    save([*one, *two], archive / "ct")
    save([seg(two, ["L1 vertebra", "L2 vertebra"])], archive / "elsewhere")
    rows, reasons, _ = paired(archive)
    assert not reasons
    assert sorted(rows) == sorted([("ct", "", "", ""), ("ct", "elsewhere/000.dcm", "", "totalsegmentator")])
    row = next(row for row in make_sheet([archive]).rows if row.mask)
    assert row.series_uid == uid("series", "b")
    found = read_volume(row.series, series_uid=row.series_uid)
    assert set(np.unique(read_mask(row.mask, found, row.label_map))) == {VERTEBRA_IDS["L1"]}


def test_without_a_known_series_images_and_coordinate_system_decide(archive):
    slices, other = series("a"), series("b", FrameOfReferenceUID=uid("frame", "a"))
    save(slices, archive / "a")
    save(other, archive / "b")
    mask = seg(slices, ["L1"])
    mask.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"
    save([mask], archive / "mask")
    assert paired(archive)[0] == [("a", "mask/000.dcm", "", "totalsegmentator"), ("b", "", "", "")]
    mask.FrameOfReferenceUID = "1.2.4"
    save([mask], archive / "mask")
    assert paired(archive)[1] == {"mask/000.dcm": "SEG of no CT series in the sheet"}


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"PatientID": "other"}, "names another patient"),
        ({"FrameOfReferenceUID": "1.2.4"}, "another coordinate system"),
    ],
)
def test_a_mask_the_reader_would_refuse_is_left_out(archive, tags, reason):
    slices = series("a")
    save([*slices, seg(slices, ["L1"], **tags)], archive / "a")
    rows, reasons, _ = paired(archive)
    assert rows == [("a", "", "", "")] and reason in reasons["a/005.dcm"]


def test_the_mask_with_most_named_vertebrae_is_taken_and_the_others_are_named(archive):
    slices = series("a")
    few, many = seg(slices, ["L1", "Liver"]), seg(slices, ["L1", "L2", "L3"], number=1)
    pack([*slices, few, many, seg(slices, ["Liver"], number=2)], archive / "a.zip")
    rows, reasons, warnings = paired(archive)
    assert rows == [("a.zip", "a.zip", many.SOPInstanceUID, "totalsegmentator")]
    assert reasons["a.zip!a/007"] == "a mask without a vertebra among its names"
    assert f"2 masks belong to it; taken {archive}/a.zip ({many.SOPInstanceUID}) with 3" in warnings[0]
    assert f"not {archive}/a.zip ({few.SOPInstanceUID})" in warnings[0] and "mask_uid" in warnings[0]


def test_one_mask_in_a_zip_needs_no_uid(archive):
    slices = series("a")
    pack([*slices, seg(slices, ["L1"])], archive / "a.zip")
    assert paired(archive)[0] == [("a.zip", "a.zip", "", "totalsegmentator")]


def test_a_structure_set_goes_with_its_series(archive):
    slices = series("a")
    save([*slices, rtstruct(slices, ["BODY", "Vertebra L4", "T12"])], archive / "a")
    save(series("b"), archive / "b")
    assert paired(archive)[0] == [("a", "a/005.dcm", "", "totalsegmentator"), ("b", "", "", "")]


def test_a_mask_that_says_spine_only_marks_vertebrae_without_level(archive):
    slices = series("a")
    save([*slices, seg(slices, ["Spine"])], archive / "a")
    rows, _, warnings = paired(archive)
    assert rows[0][3] == "vertebrae" and "names no level" in warnings[0]


CT, MASK = "ct.nii.gz", "mask.nii.gz"
PAIRS = {
    "beside": (f"p1/{CT}", f"p1/{MASK}"),
    "below": (f"p1/{CT}", f"p1/segmentations/all_{MASK}"),
    "folders side by side": ("imagesTr/spine_001.nii.gz", "labelsTr/spine_001.nii.gz"),
    "nnU-Net": ("imagesTr/case_01_0000.nii.gz", "labelsTr/case_01.nii.gz"),
    "VerSe": (
        "rawdata/sub-verse004/sub-verse004_ct.nii.gz",
        "derivatives/sub-verse004/sub-verse004_seg-vert_msk.nii.gz",
    ),
    "one subject": ("sub-01/ses-1/sub-01_ct.nii.gz", "derivatives/x/sub-01_desc-man_dseg.nii.gz"),
    "prefix": ("flat/case01_ct.nrrd", "flat/case01_seg.nrrd"),
    "MHA": ("images/12.mha", "masks/12.mha"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_label_files_go_with_the_ct_of_their_name_and_place(archive, name):
    ct, mask = PAIRS[name]
    volume(archive / ct, random_hu())
    volume(archive / mask, labels(20, 21, 22))
    # neighbours on the very same grid, with a mask of their own
    for path, values in ((ct, random_hu(1)), (mask, labels(20, 21, 22, 23))):
        other = path.replace("p1", "p2").replace("01", "02").replace("004", "005").replace("12", "13")
        volume(archive / other, values)
    rows, reasons, _ = paired(archive)
    assert not reasons and rows[0] == (ct, mask, "", "verse")
    assert len(rows) == 2 and rows[1][0] != ct and rows[1][1] not in ("", mask)


def test_a_label_file_goes_with_a_dicom_series(archive):
    slices = series("a")
    save(slices, archive / "p1" / "dicom")
    first = slices[0].ImagePositionPatient
    volume(archive / "p1" / "vertebrae.nii.gz", labels(30, 31), (1.5, 1.5, 2.5), tuple(first))
    assert paired(archive)[0] == [("p1/dicom", "p1/vertebrae.nii.gz", "", "totalsegmentator")]


def test_a_label_file_of_another_place_or_part_is_not_taken(archive):
    volume(archive / "p1" / CT, random_hu())
    volume(archive / "p1" / "a_mask.nii.gz", labels(20, 21, 22), origin=(0, 0, 6))
    volume(archive / "p1" / "b_mask.nii.gz", labels(20, 21, 22)[1:])
    rows, reasons, _ = paired(archive)
    assert rows == [(f"p1/{CT}", "", "", "")]
    assert set(reasons.values()) == {"a label file without a CT that it covers"}


def test_a_label_file_is_not_taken_for_another_subject_or_between_patients(archive):
    volume(archive / "sub-01" / CT, random_hu())
    volume(archive / "sub-02" / MASK, labels(20, 21, 22))
    rows, reasons, _ = paired(archive)
    assert rows[0][1] == "" and reasons == {f"sub-02/{MASK}": "a label file without a CT beside it or with its subject"}
    volume(archive / "sub-03" / CT, random_hu())
    volume(archive / MASK, labels(20, 21, 22))
    assert not any(row[1] for row in paired(archive)[0])


def test_one_file_for_each_vertebra_is_no_mask(archive):
    volume(archive / "s1" / CT, random_hu())
    for name in ("vertebrae_L1", "vertebrae_L2", "aorta"):
        volume(archive / "s1" / "segmentations" / f"{name}.nii.gz", labels(1))
    rows, reasons, _ = paired(archive)
    assert rows == [(f"s1/{CT}", "", "", "")]
    assert "3 files, one for each structure (2 vertebrae)" in reasons["s1/segmentations"]
    assert "Merge them" in reasons["s1/segmentations"]


@pytest.mark.parametrize(
    ("values", "name", "label_map", "doubt"),
    [
        ((20, 21, 22), "mask", "verse", ""),
        ((20, 21, 22, 25, 28), "mask", "verse", ""),
        ((1, 2, 3, 4, 5), "mask", "verse", "taken as VerSe's, from C1 on"),
        ((22,), "sub-1_seg-vert_msk", "verse", ""),
        ((27, 28, 29), "mask", "totalsegmentator", ""),
        ((25,), "mask", "totalsegmentator", ""),
        ((1, 5, 31, 32, 117), "mask", "totalsegmentator", ""),
        ((1,), "mask", "vertebrae", "name no level"),
        ((1, 2), "mask", "vertebrae", "name no level"),
        ((255,), "mask", "vertebrae", "name no level"),
    ],
)
def test_the_values_tell_the_label_map(archive, values, name, label_map, doubt):
    volume(archive / CT, random_hu())
    volume(archive / f"{name}.nii.gz", labels(*values))
    rows, _, warnings = paired(archive)
    assert rows == [(CT, f"{name}.nii.gz", "", label_map)]
    assert any(doubt in warning for warning in warnings) if doubt else not any("label" in line for line in warnings)


@pytest.mark.parametrize("name", ["liver_seg", "subreg_seg", "spine_liver_seg"])
def test_a_mask_that_says_something_else_is_not_taken(archive, name):
    volume(archive / CT, random_hu())
    volume(archive / f"{name}.nii.gz", labels(1, 2))
    rows, reasons, _ = paired(archive)
    assert rows[0][1] == "" and "speaks of something else" in reasons[f"{name}.nii.gz"]


def test_labels_are_told_by_their_values_not_by_name_or_type(archive):
    volume(archive / "p1" / "label_ct.nii.gz", random_hu())
    volume(archive / "p1" / "vertebrae.nii.gz", labels(20, 21, 22, dtype=np.float64))
    rows, reasons, _ = paired(archive)
    assert rows == [("p1/label_ct.nii.gz", "p1/vertebrae.nii.gz", "", "verse")] and not reasons


def test_volumes_that_are_neither_are_told(archive):
    rng = np.random.default_rng(0)
    volume(archive / "mr.nii.gz", rng.integers(0, 900, (5, 12, 10)).astype(np.int16))
    volume(archive / "probability.nii.gz", rng.random((5, 12, 10)))
    volume(archive / "shown.nii.gz", np.arange(600).reshape(5, 12, 10).astype(np.uint8))
    (archive / "cut.nii.gz").write_bytes((archive / "mr.nii.gz").read_bytes()[:300])
    rows, reasons, warnings = paired(archive)
    assert [row[0] for row in rows] == ["shown.nii.gz"] and "shown.nii.gz: looks like a display export" in warnings[0]
    assert "no Hounsfield units (found 0 to 8" in reasons["mr.nii.gz"]
    assert "probability map" in reasons["probability.nii.gz"] and "cannot be read" in reasons["cut.nii.gz"]
