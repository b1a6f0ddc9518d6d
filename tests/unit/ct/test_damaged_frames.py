"""Damage on which the decoders themselves crash or never end is refused before they see it (found by the fuzz)."""

import numpy as np
import pytest
import SimpleITK as sitk

from ctstyle.ct.files import TruncatedFile
from ctstyle.ct.limits import AbsurdSize
from ctstyle.ct.read import read_volume
from ctstyle.ct.volume_file import read_image
from tests.mutants import original


@pytest.mark.parametrize(
    ("kind", "sound", "damaged", "said"),
    [
        ("jpeg lossless", b"\xff\xc3\x00\x0b\x10", b"\xff\xc3\x00\x0b\x18", "without a sound header"),  # 24 bits
        ("jpeg lossless", b"\xff\xc4\x00\x1f", b"\x21\xc4\x00\x1f", "without a sound header"),
        ("jpeg-ls", b"\xff\xd9", b"\xff\x00", r"without an end \(EOI\)"),
    ],
)
def test_frames_that_crash_decoders(tmp_path, kind, sound, damaged, said):
    data = original(kind)
    start = data.index(b"\xff\xd8\xff")
    place = data.rindex(sound)
    assert place > start
    (tmp_path / "ct.dcm").write_bytes(data[:place] + damaged + data[place + len(damaged) :])
    with pytest.raises(AbsurdSize, match=said):
        read_volume(tmp_path)


def packed(folder, suffix=".mha"):
    values = np.random.default_rng(0).integers(-1000, 1000, (4, 8, 8)).astype(np.int16)
    path = folder / f"ct{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(values), str(path), True)
    return path, values


@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
def test_packed_metaimage_is_read(tmp_path, suffix):
    path, values = packed(tmp_path, suffix)
    assert np.array_equal(sitk.GetArrayFromImage(read_image(path)), values)


@pytest.mark.parametrize(
    ("size", "said"), [(b"8 8 2", "found more than 256 bytes"), (b"8 8 5", "found 512 bytes, expected 640 bytes")]
)
def test_packed_metaimage_of_another_size(tmp_path, size, said):
    path, _ = packed(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"DimSize = 8 8 4", b"DimSize = " + size))
    with pytest.raises(TruncatedFile, match=said):
        read_image(path)


def test_packed_metaimage_without_its_data_file(tmp_path):
    path, _ = packed(tmp_path, ".mhd")
    (tmp_path / "ct.zraw").unlink()
    with pytest.raises(TruncatedFile):
        read_image(path)


def test_volume_without_voxels(tmp_path):
    path = tmp_path / "ct.mha"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 8, 8), np.int16)), str(path))
    path.write_bytes(path.read_bytes().replace(b"DimSize = 8 8 4", b"DimSize = 8 8 0"))
    with pytest.raises(TruncatedFile, match="without voxels"):
        read_image(path)


@pytest.mark.parametrize("kind", ["jpeg lossless", "jpeg-ls", "jpeg", "jpeg 2000", "rle"])
def test_sound_frames_pass(tmp_path, kind):
    (tmp_path / "ct.dcm").write_bytes(original(kind))
    assert read_volume(tmp_path, grey_values="as_display").hu.size
