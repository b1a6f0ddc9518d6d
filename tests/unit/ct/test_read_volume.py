"""The reader against SimpleITK, against the values that were written, and against every fault the design lists."""

import zipfile

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from ctstyle.ct import files, pixels, series
from ctstyle.ct import index as sources
from ctstyle.ct.read import read_volume
from ctstyle.ct.volume_file import NotThreeDimensional
from ctstyle.ct.words import UnsupportedPixels
from ctstyle.errors import CTStyleError
from tests.dicom_series import NAME, SAGITTAL, ct_series, ct_slice, random_hu, set_pixels, write
from tests.mutants import recode


def by_simpleitk(folder):
    """The reference: SimpleITK's series reader on the same files, sorted by their positions."""
    files = sorted(folder.iterdir(), key=lambda path: pydicom.dcmread(path).ImagePositionPatient[2])
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in files])
    return reader.Execute()


@pytest.mark.parametrize(
    "name", ["siemens_br38f_t11_t12/dicom", "ge_3slice_dicomseg/dicom", "siemens_kernel_pair/B70f"]
)
def test_real_series_equal_simpleitk_voxel_for_voxel(shared_data, name):
    volume, reference = read_volume(shared_data / name), by_simpleitk(shared_data / name)
    expected = np.maximum(sitk.GetArrayFromImage(reference), -1024)  # below -1024 is padding, which becomes air
    np.testing.assert_array_equal(volume.hu, expected)
    np.testing.assert_allclose(volume.origin_mm, reference.GetOrigin())
    np.testing.assert_allclose(volume.spacing_mm, reference.GetSpacing())
    np.testing.assert_allclose(volume.direction.ravel(), reference.GetDirection())


@pytest.mark.parametrize("folder", ["tcga_single_slices", "ny_sbu_sagittal"])
def test_real_single_slices_of_many_scanners_equal_simpleitk(shared_data, folder):
    files = sorted((shared_data / folder).glob("*.dcm"))
    assert files
    for file in files:
        volume, reference = read_volume(file), sitk.ReadImage(str(file))
        expected = np.maximum(sitk.GetArrayFromImage(reference), -1024)
        assert abs(volume.hu - expected).max() <= 0.5, file  # intercepts like -1023.9998 are rounded
        np.testing.assert_allclose(volume.origin_mm, reference.GetOrigin(), atol=1e-3)
        np.testing.assert_allclose(volume.direction[:, :2], np.reshape(reference.GetDirection(), (3, 3))[:, :2])


@given(order=st.permutations(range(5)), seed=st.integers(0, 3))
def test_the_order_of_files_and_instance_numbers_plays_no_part(tmp_path_factory, order, seed):
    folder, hu = tmp_path_factory.mktemp("series"), random_hu(seed)
    slices = ct_series(hu)
    for name, k in enumerate(order):
        slices[k].InstanceNumber = 1
        slices[k].save_as(folder / f"{name}.dcm", enforce_file_format=True)
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.origin_mm == (-10, -20, 30) and volume.spacing_mm == (1.5, 1.5, 2.5)
    assert volume.sop_instance_uids == tuple(dataset.SOPInstanceUID for dataset in slices)


@given(
    slope=st.sampled_from([1.0, 0.5, 2.0, 0.2347]),
    intercept=st.sampled_from([-1024.0, 0.0, -1023.9998]),
    signed=st.booleans(),
    seed=st.integers(0, 5),
)
def test_rescale_round_trip_per_slice(tmp_path_factory, slope, intercept, signed, seed):
    folder = tmp_path_factory.mktemp("series")
    hu = random_hu(seed, (3, 6, 7)).astype(float)
    slices = ct_series(hu)
    for k, dataset in enumerate(slices):
        scale = slope * (k + 1)  # PET-CT stations write another slope into every slice
        stored = np.rint((hu[k] - intercept) / scale)
        signed = signed or stored.min() < 0
        set_pixels(dataset, stored.astype(np.int16 if signed else np.uint16))
        dataset.RescaleSlope, dataset.RescaleIntercept = scale, intercept
    volume = read_volume(write(slices, folder))
    assert volume.hu.dtype == np.int16
    half_steps = slope * np.array([1, 2, 3])[:, None, None] / 2 + 0.5
    assert (abs(volume.hu - hu) <= half_steps + 1e-6).all()


def test_zip_and_folder_give_the_same_volume_and_other_files_are_counted(tmp_path, caplog):
    hu = random_hu()
    folder = write(ct_series(hu), tmp_path / "series" / "deep")
    (tmp_path / "series" / "notes.txt").write_text("not DICOM")
    with zipfile.ZipFile(tmp_path / "series.zip", "w") as archive:
        for path in (tmp_path / "series").rglob("*.*"):
            archive.write(path, path.relative_to(tmp_path))
    with caplog.at_level("INFO"):
        volumes = [read_volume(tmp_path / "series"), read_volume(tmp_path / "series.zip"), read_volume(folder)]
    for volume in volumes:
        np.testing.assert_array_equal(volume.hu, hu)
    assert caplog.text.count("passed over 1 not DICOM") == 2


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1])
@pytest.mark.parametrize("signed", [True, False])
def test_lossless_compression_changes_nothing(tmp_path, syntax, signed):
    hu = random_hu(shape=(2, 64, 64))
    slices = ct_series(hu)
    for dataset in slices:
        stored = dataset.pixel_array - (1024 if signed else 0)
        dataset.RescaleIntercept = 0 if signed else -1024
        set_pixels(dataset, stored.astype(np.int16 if signed else np.uint16))
        if syntax != JPEGLosslessSV1:
            dataset.compress(syntax, encoding_plugin="pyjpegls" if syntax == JPEGLSLossless else "pylibjpeg")
    folder = write(slices, tmp_path)
    for path in folder.iterdir():
        if syntax == JPEGLosslessSV1:
            recode(path, JPEGLosslessSV1)  # pydicom has no encoder for it
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(read_volume(folder).hu, hu)


def test_padding_becomes_air_also_where_its_sign_was_lost(tmp_path):
    hu = random_hu()

    def pad(k, dataset):
        stored = dataset.pixel_array.copy()
        stored[0, :3] = (-2000, -1990, -1500)
        set_pixels(dataset, stored)
        dataset.add_new("PixelPaddingValue", "US", 63536)  # -2000 as GE writes it
        dataset.add_new("PixelPaddingRangeLimit", "US", 63546)  # -1990

    volume = read_volume(write(ct_series(hu), tmp_path, pad))
    expected = hu.copy()
    expected[:, 0, :3] = -1024  # the third is no padding by its tag, but -2524 HU
    np.testing.assert_array_equal(volume.hu, expected)


def test_a_padding_value_within_the_range_of_tissue_is_still_padding(tmp_path):
    hu = np.full((2, 4, 4), 40, np.int16)
    hu[:, 0] = 976  # stored 2000

    def pad(k, dataset):
        dataset.add_new("PixelPaddingValue", "SS", 2000)

    volume = read_volume(write(ct_series(hu), tmp_path, pad))
    assert (volume.hu[:, 0] == -1024).all() and (volume.hu[:, 1:] == 40).all()


def test_sagittal_acquisition_has_its_normal_to_the_right(tmp_path):
    hu = random_hu()
    slices = []
    for k, plane in enumerate(hu):
        dataset = ct_slice((plane + 1024).astype(np.int16), (5.0 - 3 * k, -20, 100))
        dataset.ImageOrientationPatient = list(SAGITTAL)
        slices.append(dataset)
    volume = read_volume(write(slices, tmp_path))
    np.testing.assert_array_equal(volume.hu, hu)  # the cross product of "back" and "down" points to -x
    np.testing.assert_array_equal(volume.direction, [[0, 0, -1], [1, 0, 0], [0, -1, 0]])


def test_scouts_and_other_modalities_are_passed_over(tmp_path):
    hu = random_hu()
    folder = write(ct_series(hu), tmp_path)
    scout = ct_series(hu[:1], origin=(0, 0, 500))[0]
    scout.ImageType, scout.SeriesInstanceUID = ["ORIGINAL", "PRIMARY", "LOCALIZER"], ""
    scout.save_as(folder / "scout.dcm", enforce_file_format=True)
    other = ct_series(hu[:1])[0]
    other.Modality, other.SeriesInstanceUID = "MR", "1.2.3"
    other.save_as(folder / "mr.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(read_volume(folder).hu, hu)


def test_one_of_several_series_in_a_folder_can_be_named(tmp_path):
    mine, other = random_hu(), random_hu(seed=1)

    def second(k, dataset):
        dataset.SeriesInstanceUID = "1.2.3.4"

    write(ct_series(mine), tmp_path / "series")
    write(ct_series(other), tmp_path / "series" / "deeper", second)
    uid = ct_series(mine)[0].SeriesInstanceUID
    np.testing.assert_array_equal(read_volume(tmp_path / "series", series_uid="1.2.3.4").hu, other)
    np.testing.assert_array_equal(read_volume(tmp_path / "series", series_uid=uid).hu, mine)
    with pytest.raises(sources.MixedSeries, match="series_uid"):
        read_volume(tmp_path / "series")
    with pytest.raises(sources.NoCT, match=r"1\.2\.9: no CT image of this series"):
        read_volume(tmp_path / "series", series_uid="1.2.9")


def test_empty_uids_do_not_break_the_series_apart(tmp_path):
    def blank(k, dataset):
        dataset.SeriesInstanceUID = dataset.SOPInstanceUID = dataset.SOPClassUID = ""

    hu = random_hu()
    volume = read_volume(write(ct_series(hu), tmp_path, blank))
    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.sop_instance_uids == ("",) * 5


def test_acquisition_names_the_scanner_and_nobody_else(tmp_path):
    volume = read_volume(write(ct_series(random_hu()), tmp_path))
    assert volume.acquisition == {
        "manufacturer": "SIEMENS",
        "model": "Sensation 64",
        "kvp": 120.0,
        "kernel": "Br38f/3",
        "exposure_mas": 200.0,
        "contrast": False,
        "slice_thickness_mm": 2.5,
        "image_type": "ORIGINAL\\PRIMARY\\AXIAL",
        "modality": "CT",
    }
    assert NAME not in repr(volume) and "ID-4711" not in repr(volume)


def test_exposure_is_that_of_one_rotation(tmp_path):
    def tube(k, dataset):
        dataset.XRayTubeCurrent, dataset.ExposureTime, dataset.Exposure = 400, 570, 4684  # as in LIDC-IDRI-0001

    assert read_volume(write(ct_series(random_hu()), tmp_path, tube)).acquisition["exposure_mas"] == 228.0


# display exports


def display(k, dataset):
    """Burn a window into a slice, as a workstation does."""
    dataset.ImageType, dataset.RescaleType = ["DERIVED", "SECONDARY"], "US"
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.WindowCenter, dataset.WindowWidth = 40, 400
    grey = np.rint(np.clip((dataset.pixel_array - 1024.0 + 160) / 400, 0, 1) * 255)
    set_pixels(dataset, grey.astype(np.int16))


def test_display_exports_are_refused_with_the_key_that_accepts_them(tmp_path):
    folder = write(ct_series(random_hu()), tmp_path, display)
    with pytest.raises(pixels.DisplayExport, match=r"RescaleType \(0028,1054\).*slices: grey_values") as caught:
        read_volume(folder)
    assert ".dcm" in str(caught.value.where)


@pytest.mark.parametrize("inverted", [False, True])
def test_display_exports_are_laid_linearly_onto_the_window(tmp_path, inverted):
    hu = random_hu()

    def export(k, dataset):
        display(k, dataset)
        if inverted:
            set_pixels(dataset, (255 - dataset.pixel_array).astype(np.int16))
            dataset.PhotometricInterpretation = "MONOCHROME1"

    folder = write(ct_series(hu), tmp_path, export)
    volume = read_volume(folder, grey_values="as_display", window_hu=(-250, 750))
    assert volume.grey_values == "display"
    shown = np.clip((hu + 160) / 400, 0, 1)
    assert abs(volume.hu - (-250 + shown * 1000)).max() <= 1000 / 255 / 2 + 0.5


def test_derived_hounsfield_images_are_no_display_exports(tmp_path):
    def reformat(k, dataset):
        dataset.ImageType = ["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"]
        dataset.RescaleIntercept, dataset.RescaleType = 0, "Houndsfield Unit"
        set_pixels(dataset, (dataset.pixel_array - 1024).astype(np.int16))

    hu = random_hu()
    volume = read_volume(write(ct_series(hu), tmp_path, reformat))
    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.grey_values == "hounsfield"


def test_as_display_still_refuses_missing_rescale_tags(tmp_path):
    def strip(k, dataset):
        display(k, dataset)
        del dataset.RescaleSlope, dataset.RescaleIntercept

    folder = write(ct_series(random_hu()), tmp_path, strip)
    with pytest.raises(pixels.MissingRescale, match=r"RescaleSlope \(0028,1053\)"):
        read_volume(folder, grey_values="as_display")


# text in the pixels


def test_burnt_in_text_is_refused_with_the_key_that_accepts_it(tmp_path):
    hu = random_hu()
    folder = write(ct_series(hu), tmp_path, put("BurnedInAnnotation", "YES"))
    with pytest.raises(pixels.BurnedIn, match=r"BurnedInAnnotation \(0028,0301\) \(found YES in 1 of 5 .*burned_in"):
        read_volume(folder)
    volume = read_volume(folder, burned_in="accept")
    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.burned_in == "yes"
    with pytest.raises(CTStyleError, match="slices: burned_in"):
        read_volume(folder, burned_in="maybe")


@pytest.mark.parametrize(("only", "said"), [(None, "no"), (2, "not said")])
def test_no_burnt_in_text_is_said_only_where_every_slice_says_so(tmp_path, only, said):
    assert read_volume(write(ct_series(random_hu()), tmp_path, put("BurnedInAnnotation", "NO", only))).burned_in == said


# faults: each has its own error, which names file, tag, found, expected and the way out


def delete(keyword):
    return lambda k, dataset: delattr(dataset, keyword) if k == 2 else None


def put(keyword, value, only=2):
    return lambda k, dataset: setattr(dataset, keyword, value) if only is None or k == only else None


def moved(dz=0.0, dy_per_slice=0.0):
    def move(k, dataset):
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y + k * dy_per_slice, z + (dz if k == 2 else 0)]

    return move


FAULTS = {
    "missing intercept": (delete("RescaleIntercept"), pixels.MissingRescale, "RescaleIntercept (0028,1052)"),
    "empty slope": (put("RescaleSlope", None), pixels.MissingRescale, "RescaleSlope (0028,1053)"),
    "slope 0": (put("RescaleSlope", 0), series.MissingTag, "other than 0"),
    "other unit": (put("RescaleType", "Z_EFF"), pixels.NotHounsfield, "RescaleType (0028,1054)"),
    "no position": (delete("ImagePositionPatient"), series.MissingTag, "ImagePositionPatient (0020,0032)"),
    "no orientation": (delete("ImageOrientationPatient"), series.MissingTag, "ImageOrientationPatient"),
    "no pixel spacing": (delete("PixelSpacing"), series.MissingTag, "PixelSpacing (0028,0030)"),
    "pixel spacing 0": (put("PixelSpacing", [0, 0], None), series.MissingTag, "above 0"),
    "skewed axes": (
        put("ImageOrientationPatient", [1, 0, 0, 0.5, 0.866, 0], None),
        series.MissingTag,
        "orthogonal",
    ),
    "two orientations": (put("ImageOrientationPatient", list(SAGITTAL)), series.MixedOrientation, "found [0.0, 1.0"),
    "two spacings": (put("PixelSpacing", [1.6, 1.5]), series.MixedOrientation, "PixelSpacing (0028,0030)"),
    "duplicate": (moved(dz=2.5), series.DuplicatedSlices, "1 slice lies where another one does"),
    "unequal": (moved(dz=0.6), series.UnequalSpacing, "3.100 mm"),
    "gantry tilt": (moved(dy_per_slice=0.8), series.GantryTilt, "17.7 degrees"),
    "multi-frame": (put("NumberOfFrames", 2), series.MultiFrame, "NumberOfFrames (0028,0008)"),
    "colour": (put("SamplesPerPixel", 3), UnsupportedPixels, "SamplesPerPixel (0028,0002)"),
    "two series": (put("SeriesInstanceUID", "1.2.3"), sources.MixedSeries, "1.2.3: 1 files"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_its_own_error(tmp_path, fault):
    change, error, words = FAULTS[fault]
    with pytest.raises(CTStyleError) as caught:
        read_volume(write(ct_series(random_hu()), tmp_path, change))
    assert type(caught.value) is error
    assert words in str(caught.value)
    assert caught.value.where and caught.value.found is not None and caught.value.expected and caught.value.fix
    assert str(tmp_path) in str(caught.value)
    assert "ID-4711" not in str(caught.value) and NAME not in str(caught.value)


def test_a_gap_says_how_many_slices_are_missing_and_where(tmp_path):
    slices = ct_series(random_hu(shape=(8, 4, 4)))
    with pytest.raises(series.MissingSlices, match=r"about 2 slices are missing.*found 7\.500 mm.*expected 2\.500"):
        read_volume(write(slices[:3] + slices[5:], tmp_path))


def test_positions_rounded_to_hundredths_still_count_as_equally_spaced(tmp_path):
    hu = random_hu(shape=(7, 4, 4))
    slices = ct_series(hu, step_mm=2.0 / 3)
    for dataset in slices:
        dataset.ImagePositionPatient = [round(float(value), 2) for value in dataset.ImagePositionPatient]
    assert read_volume(write(slices, tmp_path)).spacing_mm[2] == pytest.approx(2 / 3, abs=0.002)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_a_truncated_file_is_named(tmp_path, share):
    folder = write(ct_series(random_hu(shape=(5, 32, 32))), tmp_path)
    victim = folder / "010.dcm"
    victim.write_bytes(victim.read_bytes()[: int(victim.stat().st_size * share)])
    with pytest.raises(files.TruncatedFile, match=r"010\.dcm"):
        read_volume(folder)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_a_file_named_dcm_that_is_none_is_not_passed_over(tmp_path, content):
    folder = write(ct_series(random_hu()), tmp_path)
    (folder / "extra.dcm").write_bytes(content)
    with pytest.raises(files.TruncatedFile, match=r"extra\.dcm"):
        read_volume(folder)


def test_missing_empty_and_foreign_sources(tmp_path):
    with pytest.raises(files.SourceMissing, match="no such file or folder"):
        read_volume(tmp_path / "nowhere")
    with pytest.raises(files.SourceMissing, match="no such file"):
        read_volume(tmp_path / "nowhere.nii.gz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(files.SourceMissing, match="no file in it"):
        read_volume(tmp_path / "empty")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("hello")
    with pytest.raises(sources.NoCT, match="1 not DICOM"):
        read_volume(tmp_path / "notes")
    write(ct_series(random_hu()), tmp_path / "mr", put("Modality", "MR", None))
    with pytest.raises(sources.NoCT, match="5 DICOM MR"):
        read_volume(tmp_path / "mr")


@pytest.mark.parametrize("name", ["../evil.dcm", "/etc/evil.dcm", "a\\..\\..\\evil.dcm"])
def test_archives_that_point_out_of_themselves_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "series.zip", "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(files.UnsafeArchive, match="points out"):
        read_volume(tmp_path / "series.zip")


def test_a_damaged_zip_is_named(tmp_path):
    folder = write(ct_series(random_hu()), tmp_path / "series")
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.write(folder / "003.dcm", "003.dcm")
    data = bytearray((tmp_path / "s.zip").read_bytes())
    data[200:400] = bytes(200)
    (tmp_path / "s.zip").write_bytes(data)
    with pytest.raises((files.UnsafeArchive, files.TruncatedFile), match="003"):
        read_volume(tmp_path / "s.zip")


# volume files


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_volume_files_keep_values_and_geometry(tmp_path, suffix):
    volume = read_volume(write(ct_series(random_hu()), tmp_path / "series"))
    path = tmp_path / f"ct{suffix}"
    sitk.WriteImage(volume.to_sitk(), str(path))
    again = read_volume(path)
    np.testing.assert_array_equal(again.hu, volume.hu)
    np.testing.assert_allclose(again.origin_mm, volume.origin_mm, atol=1e-4)
    np.testing.assert_allclose(again.direction, volume.direction, atol=1e-6)


def test_a_real_nifti_is_hounsfield(shared_data):
    volume = read_volume(shared_data / "lumbar_3mm_nifti" / "example_ct.nii.gz")
    assert volume.hu.shape == (112, 101, 122) and volume.hu.min() == -1024 and volume.grey_values == "hounsfield"


def test_volume_files_that_are_no_hounsfield_are_refused(tmp_path):
    grey = np.arange(4 * 4 * 4).reshape(4, 4, 4)
    for name, values in (("display", grey * 4), ("unit", grey / 64), ("shifted", grey + 1000)):
        sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / f"{name}.nrrd"))
    with pytest.raises(pixels.DisplayExport, match="grey_values"):
        read_volume(tmp_path / "display.nrrd")
    shown = read_volume(tmp_path / "display.nrrd", grey_values="as_display", window_hu=(-100, 410))
    np.testing.assert_array_equal(shown.hu, -100 + grey * 8)
    for name in ("unit", "shifted"):
        with pytest.raises(pixels.NotHounsfield, match="below 0"):
            read_volume(tmp_path / f"{name}.nrrd", grey_values="as_display")


def test_volume_files_of_other_dimensions_are_refused(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 4), np.int16)), str(tmp_path / "flat.mha"))
    with pytest.raises(NotThreeDimensional, match="2 dimensions"):
        read_volume(tmp_path / "flat.mha")
    (tmp_path / "torn.nii.gz").write_bytes(b"\x1f\x8bxxxx")
    with pytest.raises(files.TruncatedFile, match=r"torn\.nii\.gz"):
        read_volume(tmp_path / "torn.nii.gz")
