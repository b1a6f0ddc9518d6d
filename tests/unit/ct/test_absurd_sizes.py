"""Files that claim more than they hold are refused before memory is taken: no test here may take 100 MB."""

import gzip
import io
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from ctstyle.ct import limits
from ctstyle.ct.files import TruncatedFile, UnsafeArchive
from ctstyle.ct.limits import AbsurdSize
from ctstyle.ct.read import read_volume
from tests.dicom_series import ct_series, random_hu, set_pixels, write


@pytest.fixture(autouse=True)
def little_memory():
    """numpy and Python tell tracemalloc what they take, touched or not."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20


def one_slice(path, shape=(16, 16), **tags):
    dataset = ct_series(random_hu(shape=(1, *shape)))[0]
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"Rows": 65535}, r"Rows \(0028,0010\) \(found 65535, expected at most 8192\)"),
        ({"Columns": 10000}, r"Columns \(0028,0011\) \(found 10000, expected at most 8192\)"),
        ({"NumberOfFrames": 2000000000}, r"NumberOfFrames \(0028,0008\) \(found 2000000000, expected at most 65536\)"),
    ],
)
def test_sizes_no_ct_has_are_named_by_their_tag(tmp_path, tags, words):
    with pytest.raises(AbsurdSize, match=words):
        read_volume(one_slice(tmp_path / "ct.dcm", **tags))


def test_a_series_larger_than_any_is_refused(tmp_path):
    def swell(k, dataset):
        dataset.Rows = dataset.Columns = 8192

    folder = write(ct_series(random_hu(shape=(40, 2, 2))), tmp_path, swell)
    with pytest.raises(AbsurdSize, match=r"found 40 x 8192 x 8192 voxels, expected at most 2147483648 \(4 GB"):
        read_volume(folder)


def test_raw_pixels_that_the_file_cannot_hold(tmp_path):
    path = one_slice(tmp_path / "ct.dcm", Rows=8000, Columns=8000, PixelSpacing=[0.1, 0.1])
    with pytest.raises(TruncatedFile, match="expected 128000000 bytes of pixel data"):
        read_volume(path)


def test_compressed_pixels_that_the_file_cannot_hold(tmp_path):
    dataset = ct_series(random_hu(shape=(1, 16, 16)))[0]
    dataset.compress(RLELossless, encoding_plugin="pylibjpeg")
    dataset.Rows = dataset.Columns = 8000
    dataset.PixelSpacing = [0.1, 0.1]
    dataset.save_as(tmp_path / "ct.dcm")
    with pytest.raises(AbsurdSize, match=r"more pixels than the file can hold.*found 1 x 8000 x 8000 pixels"):
        read_volume(tmp_path / "ct.dcm")


def test_an_rle_frame_that_cannot_fill_its_slice(tmp_path):
    dataset = ct_series(random_hu(shape=(1, 16, 16)))[0]
    dataset.compress(RLELossless, encoding_plugin="pylibjpeg")
    dataset.Rows = dataset.Columns = 512
    dataset.save_as(tmp_path / "ct.dcm")
    with pytest.raises(AbsurdSize, match="an RLE segment"):
        read_volume(tmp_path / "ct.dcm")


@pytest.mark.parametrize(("syntax", "plugin"), [(JPEG2000Lossless, "pylibjpeg"), (JPEGLSLossless, "pyjpegls")])
def test_a_compressed_frame_larger_than_its_header_says(tmp_path, syntax, plugin):
    small, large = (ct_series(random_hu(shape=(1, size, size)))[0] for size in (64, 2048))
    set_pixels(large, np.zeros((2048, 2048), np.int16))
    for dataset in (small, large):
        dataset.compress(syntax, encoding_plugin=plugin)
    small.PixelData = large.PixelData
    small.save_as(tmp_path / "ct.dcm")
    with pytest.raises(AbsurdSize, match=r"found a compressed frame of 2048 x 2048 pixels .*expected 64 x 64"):
        read_volume(tmp_path / "ct.dcm")


def test_jpeg_2000_of_countless_tiles(tmp_path):
    dataset = ct_series(random_hu(shape=(1, 512, 512)))[0]
    dataset.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg")
    frame = bytearray(pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1))
    frame[24:32] = struct.pack(">2I", 1, 1)  # XTsiz, YTsiz
    dataset.PixelData = encapsulate([bytes(frame)])
    dataset.save_as(tmp_path / "ct.dcm")
    with pytest.raises(AbsurdSize, match="without a sound header of its own"):
        read_volume(tmp_path / "ct.dcm")


def test_a_length_in_the_header_beyond_the_file(tmp_path):
    path = one_slice(tmp_path / "ct.dcm")
    data = path.read_bytes()
    place = data.index(b"\x08\x00\x70\x00LO")  # Manufacturer, now an unknown value of 3.7 GB
    path.write_bytes(data[:place] + b"\x08\x00\x70\x00UN\0\0" + struct.pack("<I", 0xDDDDDDDD) + data[place + 8 :])
    with pytest.raises(TruncatedFile):
        read_volume(path)


def test_a_deflated_file_that_inflates_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr("ctstyle.ct.files.LARGEST_HEADER_BYTES", 20 << 20)
    path = one_slice(tmp_path / "ct.dcm")
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    data = path.read_bytes()
    start = 144 + struct.unpack("<I", data[140:144])[0]
    pack = zlib.compressobj(wbits=-15)
    inside = zlib.decompress(data[start:], -15) + b"\x01\x77\x10\x00OB\0\0" + struct.pack("<I", 64 << 20)
    bomb = pack.compress(inside) + b"".join(pack.compress(bytes(1 << 20)) for _ in range(64)) + pack.flush()
    path.write_bytes(data[:start] + bomb)
    assert path.stat().st_size < 100_000
    with pytest.raises(AbsurdSize, match=r"found a deflated file of more than"):
        read_volume(path)


# zips


def zip_of(path, data, name="ct.dcm", method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, data)
    return path


def with_claim(path, size):
    """The same zip, whose directory claims this size for its only member."""
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = data.index(signature) + offset
        data[place : place + 4] = struct.pack("<I", size)
    path.write_bytes(data)
    return path


def test_a_member_that_claims_more_than_deflate_can_hold(tmp_path):
    path = with_claim(zip_of(tmp_path / "s.zip", one_slice(tmp_path / "ct.dcm").read_bytes()), 3_000_000_000)
    with pytest.raises(AbsurdSize, match=r"s\.zip!ct\.dcm.*found 3000000000 bytes out of"):
        read_volume(path)


def test_a_large_member_compressed_more_than_a_ct_can_be(tmp_path, monkeypatch):
    monkeypatch.setattr("ctstyle.ct.files.LARGE_MEMBER_BYTES", 1 << 20)
    path = zip_of(tmp_path / "s.zip", one_slice(tmp_path / "ct.dcm").read_bytes() + bytes(2 << 20))
    with pytest.raises(AbsurdSize, match="expected at most 100 times as many"):
        read_volume(path)


def test_a_member_larger_than_any_ct(tmp_path, monkeypatch):
    monkeypatch.setattr("ctstyle.ct.files.LARGEST_MEMBER_BYTES", 1000)
    path = zip_of(tmp_path / "s.zip", one_slice(tmp_path / "ct.dcm").read_bytes(), method=zipfile.ZIP_STORED)
    with pytest.raises(AbsurdSize, match="larger than any CT"):
        read_volume(path)


def test_a_member_that_is_larger_than_it_claims(tmp_path):
    data = one_slice(tmp_path / "ct.dcm", shape=(64, 64)).read_bytes()
    path = with_claim(zip_of(tmp_path / "s.zip", data), len(data) - 4000)
    with pytest.raises((UnsafeArchive, TruncatedFile), match=r"s\.zip!ct\.dcm"):
        read_volume(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_changed_pixel_in_a_zip_is_found_by_its_sum(tmp_path, method):
    path = zip_of(tmp_path / "s.zip", one_slice(tmp_path / "ct.dcm", shape=(64, 64)).read_bytes(), method=method)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises((UnsafeArchive, TruncatedFile), match=r"s\.zip!ct\.dcm"):
        read_volume(path)


# volume files


def nifti_header(shape, kind=4, bits=16):
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, kind, bits)
    struct.pack_into("<4f", header, 76, 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    header[344:348] = b"n+1\0"
    return bytes(header)


HEADERS = {
    "a.nii": nifti_header((32000, 32000, 32000)),
    "a.nii.gz": gzip.compress(nifti_header((32000, 32000, 32000))),
    "a.nrrd": b"NRRD0004\ntype: short\ndimension: 3\nsizes: 99999 99999 99999\nencoding: gzip\nendian: little\n\n",
    "a.mha": b"ObjectType = Image\nNDims = 3\nDimSize = 99999 99999 99999\nElementType = MET_SHORT\n"
    b"CompressedData = True\nElementDataFile = LOCAL\n",
}
BEYOND = {
    "a.nii": nifti_header((800, 800, 800)),
    "a.nii.gz": gzip.compress(nifti_header((800, 800, 800)) + bytes(1000)),
    "a.nrrd": HEADERS["a.nrrd"].replace(b"99999", b"800"),
    "a.mha": HEADERS["a.mha"].replace(b"99999", b"800"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_volume_files_of_absurd_size(tmp_path, name):
    (tmp_path / name).write_bytes(HEADERS[name])
    with pytest.raises(AbsurdSize, match=r"a volume larger than any CT \(found (32000|99999) x"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("name", BEYOND)
def test_volume_files_that_cannot_hold_their_claim(tmp_path, name):
    (tmp_path / name).write_bytes(BEYOND[name])
    with pytest.raises(AbsurdSize, match=r"800 x 800 x 800 voxels, 1024000000 bytes"):
        read_volume(tmp_path / name)


def test_a_small_volume_that_compresses_well_is_read(tmp_path):
    image = sitk.GetImageFromArray(np.full((64, 64, 64), -1000, np.int16))
    sitk.WriteImage(image, str(tmp_path / "flat.nii.gz"), useCompression=True)
    assert (tmp_path / "flat.nii.gz").stat().st_size * 100 < 64**3 * 2
    assert (read_volume(tmp_path / "flat.nii.gz").hu == -1000).all()


def test_the_limits_leave_room_for_real_ct():
    """2,000 slices of 512 x 512 and 1,500 of 1024 x 1024 (whole-body, photon counting) are ordinary."""
    limits.check_voxels((2000, 512, 512), where="")
    limits.check_voxels((1500, 1024, 1024), where="")
    blank = io.BytesIO()
    with zipfile.ZipFile(blank, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("air.dcm", bytes(512 * 512 * 2))
    info = archive.infolist()[0]
    assert info.file_size < limits.LARGEST_RATIO * info.compress_size
