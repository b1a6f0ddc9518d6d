"""Ways to store the same pixels: transfer syntaxes, bits, signs, odd headers; against SimpleITK, GDCM or a formula."""

import re

import gdcm
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from ctstyle.ct import series
from ctstyle.ct.read import read_volume
from ctstyle.ct.words import UnsupportedPixels
from ctstyle.errors import CTStyleError
from tests.dicom_series import ct_series, random_hu, set_pixels, write


def one_file(dataset, path, **how):
    dataset.save_as(path, enforce_file_format=True, **how)
    return path


def in_syntax(dataset, syntax):
    """The tags of a slice as a data set of its own, which pydicom writes in another transfer syntax."""
    other = pydicom.Dataset(dict(dataset.items()))
    other.file_meta, other.preamble = dataset.file_meta, b"\0" * 128
    other.file_meta.TransferSyntaxUID = syntax
    return other


def respell(path, spelling):
    """Write RescaleIntercept into a file as it is spelled here; pydicom would tidy it up."""
    value = spelling.encode() + b" " * (len(spelling) % 2)
    element = b"\x28\x00\x52\x10DS" + bytes([len(value), 0]) + value
    data, count = re.subn(rb"\x28\x00\x52\x10DS..-1024[.0]* *", lambda _: element, path.read_bytes())
    assert count == 1
    path.write_bytes(data)


def by_simpleitk(path):
    """SimpleITK's reading of one file, with what lies below -1024 as air."""
    return np.maximum(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), -1024)


def by_gdcm(path):
    """The stored values as GDCM reads them, int64."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    image = reader.GetImage()
    kind = np.int16 if image.GetPixelFormat().GetPixelRepresentation() else np.uint16
    data = np.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), kind)
    return data.reshape(image.GetDimension(1), image.GetDimension(0)).astype(np.int64)


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_big_endian_and_deflated_files_equal_simpleitk(tmp_path, syntax):
    hu = random_hu(shape=(1, 12, 10))
    dataset = ct_series(hu)[0]
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = dataset.pixel_array.astype(">i2").tobytes()
    path = one_file(in_syntax(dataset, syntax), tmp_path / "ct.dcm")
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.hu, by_simpleitk(path))
    np.testing.assert_array_equal(volume.hu, hu)


@pytest.mark.parametrize("implicit", [True, False])
def test_files_without_preamble_equal_simpleitk(tmp_path, implicit):
    dataset = ct_series(random_hu(shape=(1, 12, 10)))[0]
    whole = one_file(dataset, tmp_path / "whole.dcm")
    dataset.preamble = None
    del dataset.file_meta
    path = tmp_path / "bare" / "IM1"
    path.parent.mkdir()
    dataset.save_as(path, implicit_vr=implicit, little_endian=True)
    assert path.read_bytes()[:2] == b"\x08\x00"
    np.testing.assert_array_equal(read_volume(path).hu, by_simpleitk(whole))


def stored_12_bit(seed, signed, shape=(16, 12)):
    """Values that fill 12 bits, of either sign."""
    low = -2048 if signed else 0
    return np.random.default_rng(seed).integers(low, low + 4096, shape).astype(np.int16 if signed else np.uint16)


def put_12_bit(dataset, stored, junk):
    """Store 12 of 16 bits and fill the four highest with `junk`."""
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.PixelData = ((stored.view(np.uint16) & 0x0FFF) | (junk.astype(np.uint16) << 12)).tobytes()
    dataset.RescaleIntercept = 0 if stored.dtype.kind == "i" else -1024


@given(seed=st.integers(0, 20), signed=st.booleans(), compressed=st.booleans())
def test_junk_in_the_unused_high_bits_means_nothing(tmp_path_factory, seed, signed, compressed):
    folder = tmp_path_factory.mktemp("bits")
    dataset = ct_series(random_hu(shape=(1, 16, 12)))[0]
    stored = stored_12_bit(seed, signed)
    put_12_bit(dataset, stored, np.random.default_rng(seed + 100).integers(0, 16, stored.shape))
    if compressed:
        dataset.compress(RLELossless, encoding_plugin="pylibjpeg")
    path = one_file(dataset, folder / "ct.dcm")
    expected = np.maximum(stored.astype(int) + int(dataset.RescaleIntercept), -1024)
    np.testing.assert_array_equal(read_volume(path).hu[0], expected)
    if not compressed:  # GDCM leaves the junk in RLE
        np.testing.assert_array_equal(by_gdcm(path), stored)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("signed", [True, False])
def test_compressed_12_of_16_bits_equal_gdcm(tmp_path, syntax, signed):
    stored = stored_12_bit(1, signed, (32, 32))
    dataset = ct_series(random_hu(shape=(1, 32, 32)))[0]
    set_pixels(dataset, stored)
    dataset.BitsStored, dataset.HighBit, dataset.RescaleIntercept = 12, 11, 0
    dataset.compress(syntax, encoding_plugin="pyjpegls" if syntax == JPEGLSLossless else "pylibjpeg")
    path = one_file(dataset, tmp_path / "ct.dcm")
    hu = read_volume(path).hu[0]
    np.testing.assert_array_equal(hu, np.maximum(stored.astype(int), -1024))
    if not (signed and syntax == JPEGLSLossless):  # GDCM takes JPEG-LS for unsigned
        np.testing.assert_array_equal(hu, np.maximum(by_gdcm(path), -1024))


@pytest.mark.parametrize("signed", [True, False])
def test_8_bits_equal_simpleitk(tmp_path, signed):
    dataset = ct_series(random_hu(shape=(1, 16, 16)))[0]
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.Rows, dataset.Columns, dataset.PixelRepresentation = 16, 16, int(signed)
    dataset.PixelData, dataset.RescaleSlope = stored.tobytes(), 4
    path = one_file(dataset, tmp_path / "ct.dcm")
    np.testing.assert_array_equal(read_volume(path).hu, by_simpleitk(path))


def test_8_bit_words_of_big_endian_files_are_swapped(tmp_path):
    """PS3.5, 8.1.1 and 7.3: two 8-bit pixels make one OW word, which big endian turns round."""
    stored = np.arange(64, dtype=np.uint8).reshape(8, 8)
    dataset = ct_series(random_hu(shape=(1, 8, 8)))[0]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = stored.view(np.uint16).byteswap().tobytes()
    dataset["PixelData"].VR = "OW"
    path = one_file(in_syntax(dataset, ExplicitVRBigEndian), tmp_path / "ct.dcm")
    np.testing.assert_array_equal(read_volume(path).hu[0] + 1024, pydicom.dcmread(path).pixel_array)
    np.testing.assert_array_equal(read_volume(path).hu[0] + 1024, stored)


def test_monochrome1_keeps_the_values_that_gdcm_reads(tmp_path):
    dataset = ct_series(random_hu(shape=(1, 12, 10)))[0]
    dataset.PhotometricInterpretation = "MONOCHROME1"
    path = one_file(dataset, tmp_path / "ct.dcm")
    np.testing.assert_array_equal(read_volume(path).hu[0], by_gdcm(path) - 1024)


def test_a_slope_that_is_no_whole_number_rounds_to_the_nearest(tmp_path):
    stored = np.arange(-2000, 3000, dtype=np.int16).reshape(50, 100)
    dataset = ct_series(random_hu(shape=(1, 50, 100)))[0]
    set_pixels(dataset, stored)
    dataset.RescaleSlope, dataset.RescaleIntercept = "0.6180339", "-12.345"
    path = one_file(dataset, tmp_path / "ct.dcm")
    hu = read_volume(path).hu[0]
    np.testing.assert_array_equal(hu, np.maximum(np.rint(stored * 0.6180339 - 12.345), -1024))
    assert abs(hu - by_simpleitk(path)[0]).max() <= 0.5


@pytest.mark.parametrize("signed", [True, False])
def test_values_beyond_16_bits_are_clipped_and_do_not_wrap(tmp_path, signed):
    stored = np.linspace(-32768 if signed else 0, 32767 if signed else 65535, 64).reshape(8, 8)
    dataset = ct_series(random_hu(shape=(1, 8, 8)))[0]
    set_pixels(dataset, stored.astype(np.int16 if signed else np.uint16))
    dataset.RescaleSlope = 2
    path = one_file(dataset, tmp_path / "ct.dcm")
    np.testing.assert_array_equal(read_volume(path).hu, np.clip(by_simpleitk(path), -1024, 32767))


def test_a_padding_value_outside_the_bits_in_use_is_air(tmp_path):
    stored = stored_12_bit(2, False)
    dataset = ct_series(random_hu(shape=(1, 16, 12)))[0]
    put_12_bit(dataset, stored, np.zeros(stored.shape, int))
    words = np.frombuffer(dataset.PixelData, np.uint16).copy()
    words[:5] = 63536  # -2000, of which 12 bits would be 1072 HU: bone
    dataset.PixelData = words.tobytes()
    dataset.add_new("PixelPaddingValue", "US", 63536)
    hu = read_volume(one_file(dataset, tmp_path / "ct.dcm")).hu[0]
    assert (hu.ravel()[:5] == -1024).all()
    np.testing.assert_array_equal(hu.ravel()[5:], stored.ravel()[5:].astype(int) - 1024)


@pytest.mark.parametrize(
    "spelling", ["-01.024000E+03", " -1024 ", "-1024.", "-1.024e3", "-0001024.0000000", "-1024\0", "-10.24E+2"]
)
def test_odd_spellings_of_numbers(tmp_path, spelling):
    hu = random_hu(shape=(2, 6, 6))
    folder = write(ct_series(hu), tmp_path)
    for path in folder.iterdir():
        respell(path, spelling)
    np.testing.assert_array_equal(read_volume(folder).hu, hu)


@pytest.mark.parametrize("spelling", ["1,5", "abc", "nan", "inf", "1e999", "--1", "1\\2", "0x10", "1_0 "])
def test_words_that_are_no_number_are_refused(tmp_path, spelling):
    path = one_file(ct_series(random_hu(shape=(1, 6, 6)))[0], tmp_path / "ct.dcm")
    respell(path, spelling)
    with pytest.raises(series.MissingTag, match=r"RescaleIntercept \(0028,1052\)"):
        read_volume(path)


def test_private_tags_and_broken_texts_do_no_harm(tmp_path):
    hu = random_hu()

    def scribble(k, dataset):
        block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", bytes(range(256)) * 40)
        block.add_new(0x11, "UN", b"\xff\xfe\x00\xe0" * 5)
        dataset.add_new(0x00091001, "LO", "no creator")
        dataset.KVP, dataset.Exposure = None, None
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.add_new("StationName", "SH", "caf\xe9")

    folder = write(ct_series(hu), tmp_path, scribble)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace("caf\xe9".encode(), b"ca\xff\xff\xff"))
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.acquisition["kvp"] is None


def test_a_header_longer_than_the_first_read_is_read_on(tmp_path):
    hu = random_hu()

    def swell(k, dataset):
        block = dataset.private_block(0x0029, "LONG", create=True)
        # looks like PixelData, and is none
        block.add_new(0x10, "OB", b"\xe0\x7f\x10\x00OW\0\0\x10\0\0\0" * (20_000 * k))

    np.testing.assert_array_equal(read_volume(write(ct_series(hu), tmp_path, swell)).hu, hu)


BITS = {
    "32 bits": ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, UnsupportedPixels, "BitsAllocated"),
    "12 packed": ({"BitsAllocated": 12, "BitsStored": 12, "HighBit": 11}, UnsupportedPixels, "BitsAllocated"),
    "more stored than allocated": ({"BitsStored": 17}, series.MissingTag, "BitsStored (0028,0101)"),
    "high bits in use": ({"BitsStored": 12, "HighBit": 15}, UnsupportedPixels, "HighBit (0028,0102)"),
    "palette": (
        {"PhotometricInterpretation": "PALETTE COLOR"},
        UnsupportedPixels,
        "PhotometricInterpretation (0028,0004)",
    ),
    "half signed": ({"PixelRepresentation": 2}, series.MissingTag, "PixelRepresentation (0028,0103)"),
}


@pytest.mark.parametrize("fault", BITS)
def test_bits_that_no_ct_has_are_refused(tmp_path, fault):
    tags, error, words = BITS[fault]
    dataset = ct_series(random_hu(shape=(1, 6, 6)))[0]
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    with pytest.raises(CTStyleError) as caught:
        read_volume(one_file(dataset, tmp_path / "ct.dcm"))
    assert type(caught.value) is error and words in str(caught.value) and caught.value.fix


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.100", "1.2.3.4"])  # MPEG2, and none at all
def test_unknown_transfer_syntaxes_are_named(tmp_path, syntax):
    path = one_file(ct_series(random_hu(shape=(1, 6, 6)))[0], tmp_path / "ct.dcm")
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax.endswith(".100"):
        dataset.PixelData = encapsulate([dataset.PixelData])
    dataset.save_as(path, implicit_vr=False, little_endian=True)
    with pytest.raises(UnsupportedPixels, match=r"TransferSyntaxUID \(0002,0010\)"):
        read_volume(path)
