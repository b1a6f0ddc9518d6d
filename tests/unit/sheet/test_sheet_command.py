"""The sheet of an archive: every layout is found, what the reader refuses is told, and nobody is named."""

import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from ctstyle.cohorts.sheet import read_sheet
from ctstyle.ct.mask import read_mask
from ctstyle.ct.read import read_volume
from ctstyle.sheet.__main__ import main
from tests.archives import labels, pack, rtstruct, save, seg, series, uid, volume
from tests.dicom_series import random_hu
from tests.runs import tree


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """An empty folder `archive` below the current directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "archive").mkdir()
    return tmp_path / "archive"


def sheet_of(archive, capsys, *options):
    """(rows of the sheet, its comments, stderr) as a user gets them, read back by `read_sheet`."""
    assert main([str(archive), "--output", "scans.tsv", "--overwrite", *options]) == 0
    text = (archive.parent / "scans.tsv").read_text()
    comments = [line for line in text.splitlines() if line.startswith("#")]
    return read_sheet(archive.parent / "scans.tsv"), comments, capsys.readouterr().err


def test_every_layout_is_found_and_every_row_can_be_read(archive, capsys):
    save([*series("a"), *series("b")], archive / "flat", suffix="")
    save(series("c"), archive / "patients" / "7" / "study" / "ct")
    pack(series("d"), archive / "zips" / "one.zip")
    pack([*series("e"), *series("f")], archive / "zips" / "two.zip")
    volume(archive / "nifti" / "case1_ct.nii.gz", random_hu())
    volume(archive / "nrrd" / "x.nrrd", random_hu())
    volume(archive / "mha" / "y.mha", random_hu())
    rows, comments, err = sheet_of(archive, capsys)
    assert {(row.series, row.series_uid) for row in rows} == {
        *{("archive/flat", uid("series", name)) for name in "ab"},
        ("archive/patients/7/study/ct", ""),
        ("archive/zips/one.zip", ""),
        *{("archive/zips/two.zip", uid("series", name)) for name in "ef"},
        *{("archive/nifti/case1_ct.nii.gz", ""), ("archive/nrrd/x.nrrd", ""), ("archive/mha/y.mha", "")},
    }
    assert not comments and "33 files: 30 CT, 3 volume file" in err
    for row in rows:
        assert read_volume(row.series, series_uid=row.series_uid).hu.shape == (5, 12, 10)


def test_a_series_in_several_folders_has_their_common_folder(archive, capsys):
    slices = series("a")
    save(slices[:2], archive / "7" / "ct" / "first")
    save(slices[2:], archive / "7" / "ct" / "second")
    rows, _, _ = sheet_of(archive, capsys)
    assert [row.series for row in rows] == ["archive/7/ct"]
    assert read_volume(rows[0].series).hu.shape[0] == 5


def test_one_uid_for_all_series_of_an_export_and_a_copy(archive, capsys):
    save(series("a", SeriesInstanceUID="1.2.3"), archive / "1")
    save(series("b", SeriesInstanceUID="1.2.3"), archive / "2")
    pack(series("b", SeriesInstanceUID="1.2.3"), archive / "copy.zip")
    rows, comments, _ = sheet_of(archive, capsys)
    assert [(row.series, row.series_uid) for row in rows] == [("archive/1", ""), ("archive/2", "")]
    assert comments == ["# left out: archive/copy.zip: a copy of another series (found archive/2)"]


def test_a_single_file_is_named_itself_and_series_without_uid_by_their_folder(archive, capsys):
    save(series("a")[:1], archive / "single")
    save(series("b", SeriesInstanceUID=""), archive / "blank")
    rows, _, err = sheet_of(archive, capsys)
    assert [row.series for row in rows] == ["archive/blank", "archive/single/000.dcm"]
    assert "1 scans have fewer than 5 slices" in err


def test_the_style_hint_and_the_summary_say_scanner_and_kernel(archive, capsys):
    save(series("a", Manufacturer="SIEMENS\t ", ConvolutionKernel="B40f"), archive / "a")
    rows, _, err = sheet_of(archive, capsys)
    assert rows[0].style_hint == "SIEMENS B40f"
    for line in ("SIEMENS, Sensation 64", "B40f", "1  120", "1  2.5", "1  1.5", "1 scans of 1 patients, 0 with a mask"):
        assert line in err


FAULTS = {
    "gap": (lambda slices: slices.pop(2), "about 1 slice is missing"),
    "twin": (lambda slices: setattr(slices[1], "ImagePositionPatient", slices[0].ImagePositionPatient), "lies where"),
    "turned": (lambda slices: setattr(slices[1], "ImageOrientationPatient", [0, 1, 0, 0, 0, -1]), "differs from that"),
    "tilt": (
        lambda slices: [setattr(one, "ImagePositionPatient", [0, 4 * k, 9 * k]) for k, one in enumerate(slices)],
        "gantry tilt",
    ),
    "rescale": (lambda slices: slices[3].pop("RescaleIntercept"), "RescaleIntercept (0028,1052) is missing"),
    "burnt": (lambda slices: setattr(slices[0], "BurnedInAnnotation", "YES"), "text is burnt into the pixels"),
    "colour": (lambda slices: setattr(slices[0], "SamplesPerPixel", 3), "colour, no CT slice"),
    "kind": (lambda slices: setattr(slices[0], "RescaleType", "ED"), "the values are no Hounsfield units"),
    "thickness": (lambda slices: [slices.__delitem__(slice(1, None)), slices[0].pop("SliceThickness")], "SliceThickn"),
    "place": (lambda slices: slices[2].pop("ImagePositionPatient"), "ImagePositionPatient (0020,0032) is missing"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_the_reader_would_refuse_is_left_out_with_its_reason(archive, capsys, name):
    change, words = FAULTS[name]
    slices = series("bad")
    change(slices)
    save(slices, archive / "bad")
    save(series("good"), archive / "good")
    rows, comments, _ = sheet_of(archive, capsys)
    assert [row.series for row in rows] == ["archive/good"]
    assert len(comments) == 1 and comments[0].startswith("# left out: archive/bad") and words in comments[0]


def test_scouts_other_modalities_packed_volumes_and_bad_zips_are_told(archive, capsys):
    save([*series("ct"), *series("scout", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])[:2]], archive / "ct")
    save(series("mr", Modality="MR"), archive / "mr")
    with zipfile.ZipFile(archive / "volume.zip", "w") as packed:
        packed.writestr("ct.nii.gz", b"")
        packed.writestr("inner.zip", b"PK")
    packed = pack(series("locked"), archive / "locked.zip")
    content = bytearray(packed.read_bytes())
    for place in (content.find(b"PK\x03\x04") + 6, content.find(b"PK\x01\x02") + 8):
        content[place] |= 1
    packed.write_bytes(content)
    (archive / "cut.zip").write_bytes(pack(series("cut"), archive / "cut.zip").read_bytes()[:5000])
    rows, comments, err = sheet_of(archive, capsys)
    assert [row.series for row in rows] == ["archive/ct"]
    assert "5 CT, 5 DICOM MR" in err and "2 scout view" in err
    assert comments == [
        "# left out: archive/ct: 2 files: scout view, no CT slices",
        "# left out: archive/cut.zip: a damaged zip",
        "# left out: archive/locked.zip: a zip that is not read: a member is encrypted",
        "# left out: archive/mr: 5 files: DICOM MR, no CT slices",
        "# left out: archive/volume.zip: 1 file: volume in a zip; unpack it, volume files are read on disk only",
        "# left out: archive/volume.zip!inner.zip: a zip in a zip is not opened",
    ]


def test_a_damaged_file_keeps_its_folder_out_as_the_reader_does(archive, capsys):
    save(series("a"), archive / "a")
    cut = (archive / "a" / "000.dcm").read_bytes()[:400]
    (archive / "a" / "099.dcm").write_bytes(cut)
    save(series("b"), archive / "b")
    rows, comments, _ = sheet_of(archive, capsys)
    assert [row.series for row in rows] == ["archive/b"]
    assert (
        "archive/a: 1 damaged file in its place" in comments[0] and "archive/a/099.dcm: the DICOM header" in comments[1]
    )


def test_display_exports_stay_with_a_warning(archive, capsys):
    shown = {"RescaleType": "US", "RescaleIntercept": 0, "ImageType": ["DERIVED", "SECONDARY"]}
    save(series("a", **shown), archive / "a")
    rows, _, err = sheet_of(archive, capsys)
    assert len(rows) == 1 and "archive/a: looks like a display export" in err


def test_check_reads_the_pixels_too(archive, capsys):
    slices = series("a")
    slices[2].PixelData = slices[2].PixelData[:20]
    save(slices, archive / "a")
    save(series("b"), archive / "b")
    assert len(sheet_of(archive, capsys)[0]) == 2
    rows, comments, _ = sheet_of(archive, capsys, "--check")
    assert [row.series for row in rows] == ["archive/b"]
    assert "archive/a: cannot be read: the pixel data is cut off or damaged" in comments[0]


def test_the_numbers_of_patients_follow_the_paths_whatever_the_identifiers(archive, capsys):
    save(series("a", patient="Z"), archive / "1")
    save(series("b", patient="A"), archive / "2")
    save(series("c", patient="Z"), archive / "3")
    first, _, _ = sheet_of(archive, capsys)
    assert [(row.scan, row.patient) for row in first] == [("p001-s1", "p001"), ("p002-s1", "p002"), ("p001-s2", "p001")]
    assert sheet_of(archive, capsys)[0] == first


def test_patients_that_cannot_be_told_apart_are_a_warning(archive, capsys):
    save(series("a", patient="ANON", StudyInstanceUID="1.2.1"), archive / "1")
    save(series("b", patient="ANON", StudyInstanceUID="1.2.2"), archive / "2")
    _, _, err = sheet_of(archive, capsys)
    assert "2 studies have one and the same PatientID" in err
    save(series("b", patient="", StudyInstanceUID="1.2.2"), archive / "2")
    volume(archive / "3" / "ct.nii.gz", random_hu())
    rows, _, err = sheet_of(archive, capsys)
    assert len({row.patient for row in rows}) == 3
    assert "1 scans have no PatientID" in err and "1 scans say nothing of their patient" in err


def test_equal_identifiers_of_two_issuers_are_two_patients(archive, capsys):
    save(series("a", IssuerOfPatientID="one"), archive / "1")
    save(series("b", IssuerOfPatientID="two"), archive / "2")
    assert len({row.patient for row in sheet_of(archive, capsys)[0]}) == 2


def test_a_hash_in_a_path_is_no_comment(archive, capsys):
    save(series("a"), archive / "case #1")
    rows, _, _ = sheet_of(archive, capsys)
    assert rows[0].series == "archive/case #1" and rows[0].style_hint == "SIEMENS Br38f/3"


def test_exit_codes(archive, capsys):
    assert main([str(archive)]) == 1
    assert "no CT that can be used" in capsys.readouterr().err
    for arguments in ([], [str(archive / "nowhere")], [str(archive), "--output", str(archive / "no" / "x.tsv")]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2


PLANTED = {
    **{"PatientName": "PLANTED^NAME", "PatientID": "PLANTEDID", "OtherPatientIDs": "PLANTEDOTHER"},
    **{"InstitutionName": "PLANTEDHOUSE", "InstitutionAddress": "PLANTEDROAD", "StationName": "PLANTEDSTATION"},
    **{"StudyDescription": "PLANTEDSTUDY", "SeriesDescription": "PLANTEDSERIES", "ProtocolName": "PLANTEDPROTOCOL"},
    **{"ReferringPhysicianName": "PLANTED^DOCTOR", "AccessionNumber": "PLANTEDACC", "PatientComments": "PLANTEDWORD"},
    **{
        "PatientBirthDate": "19471123",
        "StudyDate": "20191231",
        "SeriesDate": "20191230",
        "AcquisitionDate": "20191229",
    },
    **{"ContrastBolusAgent": "PLANTEDAGENT", "IssuerOfPatientID": "PLANTEDISSUER", "ImageComments": "PLANTEDIMAGE"},
}
DATES = ("19471123", "20191231", "20191230", "20191229")


@pytest.mark.filterwarnings("ignore:.*planted")
def test_nothing_personal_is_printed(archive, root):
    good, gap, scout = (series(name, **PLANTED) for name in ("good", "gap", "scout"))
    for slices in (good, gap, scout):
        for one in slices:
            one.private_block(0x0019, "PLANTEDMAKER", create=True).add_new(1, "LO", "PLANTEDPRIVATE")
    for one in scout:
        one.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    for one in gap:
        one.RescaleType = "PLANTEDTYPE"
    named = {key: value for key, value in PLANTED.items() if key != "IssuerOfPatientID"}
    masks = [seg(good, ["L1 PLANTEDSEGMENT", "L2"], **named), rtstruct(good, ["L3", "PLANTEDREGION"])]
    stranger = seg(good, ["L4"], number=1, **(named | {"PatientID": "PLANTEDSTRANGER"}))
    save([*good, *masks, stranger], archive / "good")
    save(gap, archive / "gap")
    save(scout, archive / "scout")
    # values against their type, which pydicom quotes in warnings
    odd = {
        "FrameOfReferenceUID": "PLANTEDFRAME",
        "PatientSex": "PLANTEDSEX",
        "BurnedInAnnotation": "planted lower case",
    }
    with pytest.warns(UserWarning, match="PLANTEDFRAME"):
        pack(series("odd", **PLANTED, **odd), archive / "more.zip")
    (archive / "cut.dcm").write_bytes((archive / "good" / "000.dcm").read_bytes()[:700])
    command = [sys.executable, "-m", "ctstyle.sheet", str(archive), "--check"]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=archive.parent, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    printed = done.stdout + done.stderr
    assert "p001-s1" in done.stdout and "another patient" in done.stdout and "no Hounsfield units" in done.stdout
    assert "PLANTED" not in printed.upper() and not any(date in printed for date in DATES)


def test_real_files_all_appear_or_are_explained(shared_data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(shared_data)
    assert main([".", "--output", str(tmp_path / "scans.tsv")]) == 0
    text = (tmp_path / "scans.tsv").read_text()
    rows = {row.series: row for row in read_sheet(tmp_path / "scans.tsv")}
    explained = {line.split(": ")[1] for line in text.splitlines() if line.startswith("#")}
    assert sum(series.startswith("tcga_single_slices/") for series in rows) == 24
    assert sum(series.startswith("ny_sbu_sagittal/") for series in rows) == 8
    masks = {
        "siemens_br38f_t11_t12/dicom": (
            "siemens_br38f_t11_t12/vertebrae_mask_on_dicom_grid.nii.gz",
            "totalsegmentator",
        ),
        "lumbar_3mm_nifti/example_ct.nii.gz": ("lumbar_3mm_nifti/vertebrae_S1-T11.nii.gz", "totalsegmentator"),
        "l3_crop_nifti/sub-ct_label-22_ct.nii.gz": ("l3_crop_nifti/sub-ct_seg-vert_label-22_msk.nii.gz", "verse"),
        "ge_3slice_dicomseg/dicom": ("ge_3slice_dicomseg/spine_seg.nrrd", "vertebrae"),
    }
    assert {name: (row.mask, row.label_map) for name, row in rows.items() if row.mask} == masks
    assert {"siemens_kernel_pair/B40f", "siemens_kernel_pair/B70f", "highdicom_seg/ct_image.dcm"} < set(rows)
    assert rows["siemens_kernel_pair/B40f"].patient == rows["siemens_kernel_pair/B70f"].patient
    assert rows["siemens_kernel_pair/B70f"].style_hint == "SIEMENS B70f"
    for path in shared_data.rglob("*"):
        if path.name.endswith((".nii.gz", ".nrrd")) or path.name.startswith("seg_"):
            name = str(path.relative_to(shared_data))
            assert name in rows or name in explained or any(row.mask == name for row in rows.values()), name
    for name in masks:
        found = read_volume(rows[name].series)
        marked = read_mask(rows[name].mask, found, rows[name].label_map)
        assert marked.shape == found.hu.shape and np.any(marked)


def test_a_label_file_alone_gives_no_sheet(archive, capsys):
    volume(archive / "sub-1_seg-vert_msk.nii.gz", labels(20, 21, 22))
    assert main([str(archive)]) == 1
    assert "left out: archive/sub-1_seg-vert_msk.nii.gz: a label file without a CT" in capsys.readouterr().err


def test_a_sheet_replaces_only_a_sheet_and_only_when_it_is_told_to(archive, tmp_path, capsys):
    save(series("a"), archive)
    output = tmp_path / "scans.tsv"
    linked = tmp_path / "linked.tsv"
    linked.symlink_to(output)
    (tmp_path / "notes.txt").write_text("mine")
    assert main([str(archive), "--output", str(output)]) == 0
    output.write_text(output.read_text().replace("p001", "corrected"))
    before = tree(tmp_path)
    for name, options, message in (
        ("scans.tsv", [], "this sheet is there already"),
        ("notes.txt", ["--overwrite"], "this file is no sheet"),
        ("linked.tsv", ["--overwrite"], "this file is no sheet"),
        (archive / "new.tsv", ["--overwrite"], "lies inside the archive"),
        (tmp_path, ["--overwrite"], "contains the archive"),
    ):
        with pytest.raises(SystemExit) as ended:
            main([str(archive), "--output", str(tmp_path / name), *options])
        assert ended.value.code == 2 and message in capsys.readouterr().err
        assert tree(tmp_path) == before
    assert main([str(archive), "--output", str(output), "--overwrite"]) == 0
    assert "corrected" not in output.read_text()
