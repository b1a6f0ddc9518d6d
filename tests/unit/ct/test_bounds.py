"""Numbers that no CT has are refused by name in every format, and `on_bad_scan: skip` skips such a scan."""

import os
import struct
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from ctstyle.apply.planes import Planes
from ctstyle.cohorts.sheet import Scan
from ctstyle.ct.files import SourceMissing, TruncatedFile
from ctstyle.ct.limits import OutOfBounds, Unreadable, reads_files
from ctstyle.ct.mask import read_mask
from ctstyle.ct.read import read_volume
from ctstyle.ct.series import MissingTag
from ctstyle.errors import CTStyleError
from ctstyle.sheet.__main__ import make_sheet
from ctstyle.slices.archive import Archive, ScanFiles
from ctstyle.slices.cut import cut, slice_scan
from ctstyle.study.data import SliceSettings
from tests.dicom_series import ct_series, enhanced, random_hu, segmentation, write
from tests.mutants import original
from tests.unit.ct.test_fuzz_masks import VOLUME

NAN, INF = float("nan"), float("inf")
VOXELS = np.arange(-500, 500, 1000 / 64, "<i2").tobytes()


def nifti(*, pixdim=(1.0, 1.0, 1.0), slope=(1.0, 0.0), sform=(1, 0, 0, 5, 0, 1, 0, 6, 0, 0, 1, 7), qform=None):
    """A NIfTI-1 file of 4 x 4 x 4 voxels; `qform` has three numbers of the quaternion and the offset (nifti1.h)."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, 4, 4, 4, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 4, 16)
    struct.pack_into("<5f", header, 76, 1, *pixdim, 1)
    struct.pack_into("<3f", header, 108, 352, *slope)
    struct.pack_into("<2h", header, 252, qform is not None, sform is not None)
    struct.pack_into("<18f", header, 256, *(qform or [0] * 6), *(sform or [0] * 12))
    header[344:348] = b"n+1\0"
    return bytes(header) + VOXELS


def nrrd(**fields):
    said = {
        "space": "left-posterior-superior",
        "space_directions": "(1,0,0) (0,1,0) (0,0,1)",
        "space_origin": "(0,0,0)",
    }
    lines = [f"{key.replace('_', ' ')}: {value}\n" for key, value in (said | fields).items() if value]
    start = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\nencoding: raw\nendian: little\n"
    return f"{start}{''.join(lines)}\n".encode() + VOXELS


def metaimage(*, TransformMatrix="1 0 0 0 1 0 0 0 1", Offset="0 0 0", ElementSpacing="1 1 1"):
    return (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
        f"TransformMatrix = {TransformMatrix}\nOffset = {Offset}\nElementSpacing = {ElementSpacing}\nDimSize = 4 4 4\n"
        "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    ).encode() + VOXELS


FILES = {
    "spacing 1000": ("a.nii", nifti(pixdim=(1, 1000, 1)), "pixdim"),
    "spacing 1e9": ("a.nii", nifti(pixdim=(1, 1e9, 1)), "pixdim"),
    "spacing 0": ("a.nii", nifti(pixdim=(0, 1, 1)), "pixdim"),
    "spacing -1": ("a.nii", nifti(pixdim=(1, 1, -1)), "pixdim"),
    "spacing NaN": ("a.nii", nifti(pixdim=(1, 1, NAN)), "pixdim"),
    "spacing of specimens": ("a.nii", nifti(pixdim=(0.01, 0.01, 0.01)), "pixdim"),
    "two wide steps": ("a.nii", nifti(pixdim=(1, 20, 20)), "pixdim"),
    "NaN offset": ("a.nii", nifti(sform=(1, 0, 0, NAN, 0, 1, 0, 6, 0, 0, 1, 7)), "srow"),
    "NaN direction": ("a.nii", nifti(sform=(NAN, 0, 0, 5, 0, 1, 0, 6, 0, 0, 1, 7)), "srow"),
    "far": ("a.nii", nifti(sform=(1, 0, 0, 1e30, 0, 1, 0, 6, 0, 0, 1, 7)), "srow"),
    "NaN quaternion": ("a.nii", nifti(sform=None, qform=(NAN, 0, 0, 1, 2, 3)), "quatern"),
    "NaN quaternion offset": ("a.nii", nifti(sform=None, qform=(0, 0, 0, 1, 2, INF)), "qoffset"),
    "slope 1e30": ("a.nii", nifti(slope=(1e30, 0)), "scl_slope"),
    "slope infinite": ("a.nii", nifti(slope=(INF, 0)), "scl_slope"),
    "intercept NaN": ("a.nii", nifti(slope=(1, NAN)), "scl_inter"),
    "intercept 1e30": ("a.nii", nifti(slope=(1, 1e30)), "scl_inter"),
    "nrrd far": ("a.nrrd", nrrd(space_origin="(1e30,0,0)"), "space ?origin"),
    "nrrd NaN": ("a.nrrd", nrrd(space_origin="(nan,0,0)"), "space ?origin"),
    "nrrd huge": ("a.nrrd", nrrd(space_directions="(1e300,0,0) (0,1,0) (0,0,1)"), "space ?directions"),
    "nrrd none": ("a.nrrd", nrrd(space_directions="none (0,1,0) (0,0,1)"), "space ?directions"),
    "nrrd zero": ("a.nrrd", nrrd(space_directions="(0,0,0) (0,1,0) (0,0,1)"), "spacings or space directions"),
    "nrrd skewed": ("a.nrrd", nrrd(space_directions="(1,0.5,0) (0,1,0) (0,0,1)"), "space directions"),
    "nrrd singular": ("a.nrrd", nrrd(space_directions="(1,0,0) (1,0,0) (0,0,1)"), "space directions"),
    "nrrd spacings": ("a.nrrd", nrrd(space="", space_directions="", space_origin="", spacings="nan 1 1"), "spacings"),
    "mha NaN": ("a.mha", metaimage(ElementSpacing="nan 1 1"), "elementspacing"),
    "mha text": ("a.mha", metaimage(ElementSpacing="abc 1 1"), "elementspacing"),
    "mha wide": ("a.mha", metaimage(ElementSpacing="1 1 1000"), "elementspacing"),
    "mha negative": ("a.mha", metaimage(ElementSpacing="1 1 -1"), "elementspacing"),
    "mha far": ("a.mha", metaimage(Offset="0 1e30 0"), "offset"),
    "mha offset NaN": ("a.mha", metaimage(Offset="0 nan 0"), "offset"),
    "mha skewed": ("a.mha", metaimage(TransformMatrix="1 0.5 0 0 1 0 0 0 1"), "TransformMatrix"),
    "mha zero": ("a.mha", metaimage(TransformMatrix="0 0 0 0 0 0 0 0 0"), "TransformMatrix"),
}


@pytest.mark.parametrize("kind", FILES)
def test_volume_files(tmp_path, kind):
    name, data, field = FILES[kind]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(OutOfBounds, match=rf"{name}: [^(]*{field}.* \(found .*, expected .*\)\. \w+"):
        read_volume(tmp_path / name)
    with pytest.raises(OutOfBounds):
        read_mask(tmp_path / name, VOLUME, "vertebrae")
    assert not make_sheet([tmp_path]).rows


@pytest.mark.parametrize(("name", "data"), [("a.nii", nifti()), ("a.nrrd", nrrd()), ("a.mha", metaimage())])
def test_the_same_files_without_the_fault(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert read_volume(tmp_path / name).hu.min() == -500
    assert len(make_sheet([tmp_path]).rows) == 1


def test_nifti_without_a_slope(tmp_path):
    """0 means none (nifti1.h), and so does NaN to nibabel and niftilib."""
    for slope in ((0, 0), (NAN, NAN)):
        (tmp_path / "a.nii").write_bytes(nifti(slope=slope))
        assert read_volume(tmp_path / "a.nii").hu.min() == -500


@pytest.mark.parametrize("value", [1e30, INF])
def test_voxels_beyond_every_scale(tmp_path, value):
    values = np.full((4, 4, 4), -1000, np.float32)
    values[0, 0, :2] = NAN, 30_000  # padding, and metal in an extended scale
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "a.nrrd"))
    assert read_volume(tmp_path / "a.nrrd").hu[0, 0, :2].tolist() == [-1024, 30_000]
    values[1, 1, 1] = value
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "a.nrrd"))
    with pytest.raises(OutOfBounds, match=r"Hounsfield scale \(found .*, expected at most 131072 HU"):
        read_volume(tmp_path / "a.nrrd")


TAGS = {
    "spacing 1000": ({"PixelSpacing": [1000, 1000]}, "PixelSpacing"),
    "spacing 1e9": ({"PixelSpacing": [1e9, 1e9]}, "PixelSpacing"),
    "spacing 1e-9": ({"PixelSpacing": [1e-9, 1e-9]}, "PixelSpacing"),
    "extent": ({"PixelSpacing": [10, 10]}, "PixelSpacing"),
    "far": ({"ImagePositionPatient": ["1e30", 0, 0]}, "ImagePositionPatient"),
    "slope 1e30": ({"RescaleSlope": "1e30"}, "RescaleSlope"),
    "slope -1e30": ({"RescaleSlope": "-1e30"}, "RescaleSlope"),
    "slope 1e-30": ({"RescaleSlope": "1e-30"}, "RescaleSlope"),
    "intercept": ({"RescaleIntercept": "-1e30"}, "RescaleIntercept"),
}


@pytest.mark.parametrize("kind", TAGS)
@pytest.mark.parametrize("form", ["slices", "enhanced"])
def test_dicom(tmp_path, kind, form):
    tags, keyword = TAGS[kind]
    slices = ct_series(random_hu(shape=(5, 200, 200) if kind == "extent" else (5, 12, 10)))
    for dataset in slices:
        for name, value in tags.items():
            setattr(dataset, name, value)
    write([enhanced(slices)] if form == "enhanced" else slices, tmp_path)
    with pytest.raises(OutOfBounds, match=rf"dcm(, frame 1)?: [^(]*{keyword} \(\d\d.*\(found .*, expected .*\)\. \w+"):
        read_volume(tmp_path)
    assert not make_sheet([tmp_path]).rows


@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope"])
def test_dicom_without_a_finite_number(tmp_path, keyword):
    folder = write(ct_series(random_hu()), tmp_path)
    for path in folder.iterdir():
        data = path.read_bytes()
        tag = {"P": b"\x28\x00\x30\x00", "I": b"\x20\x00\x32\x00", "O": b"\x20\x00\x37\x00", "S": b"\x28\x00\x53\x10"}
        place = (
            data.index(tag[{"ImageOrientationPatient": "O", "RescaleSlope": "S"}.get(keyword, keyword[0])] + b"DS") + 8
        )
        path.write_bytes(data[:place] + b"NaN"[: data[place - 2]].ljust(1) + data[place + min(3, data[place - 2]) :])
    with pytest.raises(MissingTag, match=keyword):
        read_volume(folder)


def test_a_slope_that_drives_values_out_of_every_scale(tmp_path):
    """A slope of 10 (extended scale) is sound; with all 16 bits in use its values are no HU any more."""

    def change(k, dataset):
        dataset.RescaleSlope, dataset.RescaleIntercept = 10, -10_240

    folder = write(ct_series((random_hu() + 1024).clip(0, 4095) - 1024), tmp_path / "sound", change)
    assert read_volume(folder).hu.max() > 15_000
    folder = write(ct_series(np.full((5, 12, 10), 31_000, np.int16)), tmp_path / "absurd", change)
    with pytest.raises(OutOfBounds, match="beyond every Hounsfield scale"):
        read_volume(folder)


@pytest.mark.parametrize("spacing", [[1000, 1000], [1e-9, 1e-9]])
def test_segmentations(tmp_path, spacing):
    mask = np.ones((12, 10), bool)
    made = segmentation([(1, (-10.0, -20.0, 30 + 2.5 * k), mask) for k in range(5)], {1: "L1"})
    made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = spacing
    made.save_as(tmp_path / "seg.dcm")
    with pytest.raises(OutOfBounds, match=r"PixelSpacing \(0028,0030\)"):
        read_mask(tmp_path / "seg.dcm", VOLUME, "vertebrae")


def test_a_bad_scan_is_skipped_with_its_reason(tmp_path):
    for kind in ("spacing 1e9", "slope 1e30", "NaN offset"):
        name, data, field = FILES[kind]
        (tmp_path / name).write_bytes(data)
        scan = Scan(scan="s", patient="p", series=str(tmp_path / name), cohort="c")
        files = ScanFiles.beside(tmp_path / "s.hu.npy")
        slice_scan(scan, SliceSettings(), files, on_bad_scan="skip")
        assert Archive.open([files.hu]).scans["s"]["status"] == "skipped"
        with pytest.raises(CTStyleError, match=field):
            slice_scan(scan, SliceSettings(), files, on_bad_scan="fail")


def test_slices_larger_than_memory_are_refused_before_they_are_made():
    volume = replace(VOLUME, hu=np.full((5, 12, 10), 40, np.int16))
    with pytest.raises(OutOfBounds, match=r"spacing_mm, size_px: resampled slices larger"):
        cut(volume, None, SliceSettings(size_px=1 << 20))
    with pytest.raises(OutOfBounds, match="resampled slices larger"):
        Planes.of(volume, SliceSettings(spacing_mm=1e-3))


# the boundary


def test_pipes_and_devices_are_no_scans(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.nii")
    (tmp_path / "a.mhd").write_bytes(metaimage().partition(b"LOCAL")[0] + b"pipe\n")
    for source in ("pipe", "pipe.nii", "/dev/zero"):
        with pytest.raises(SourceMissing):
            read_volume(tmp_path / source)
    with pytest.raises(TruncatedFile, match="file that holds its voxels"):
        read_volume(tmp_path / "a.mhd")


@pytest.mark.parametrize("header", [b"NDims = -1", b"NDims = 100", b"NDims = 3\nName = " + b"x" * 300])
def test_headers_for_which_metaio_has_no_room(tmp_path, header):
    """The process died of them (found by the fuzz)."""
    (tmp_path / "a.mha").write_bytes(metaimage().replace(b"NDims = 3", header))
    with pytest.raises(OutOfBounds, match="NDims, Name"):
        read_volume(tmp_path / "a.mha")


def test_a_format_is_read_by_its_own_reader_alone(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(original("raw"))
    with pytest.raises(TruncatedFile, match="expected NIfTI"):
        read_volume(tmp_path / "a.nrrd")


def test_a_detached_file_that_cannot_hold_its_volume(tmp_path):
    (tmp_path / "a.mhd").write_bytes(
        metaimage().partition(b"LOCAL")[0].replace(b"DimSize = 4 4 4", b"DimSize = 800 800 800") + b"a.raw\n"
    )
    (tmp_path / "a.raw").write_bytes(VOXELS)
    with pytest.raises(CTStyleError, match="a volume that its file cannot hold"):
        read_volume(tmp_path / "a.mhd")


def test_what_a_library_says_of_a_file_has_a_name_and_what_we_do_wrong_has_not(tmp_path):
    @reads_files
    def by_library(source):
        return np.load(source)

    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00\x76\x00{'descr': nonsense")
    with pytest.raises(Unreadable, match=r"a\.npy: the file cannot be read \(found \w+Error"):
        by_library(tmp_path / "a.npy")
    with pytest.raises(Unreadable, match="No such file"):
        by_library(tmp_path / "missing.npy")
    (tmp_path / "ct.dcm").write_bytes(original("display"))
    with pytest.raises(TypeError):
        read_volume(tmp_path / "ct.dcm", grey_values="as_display", window_hu=5)
