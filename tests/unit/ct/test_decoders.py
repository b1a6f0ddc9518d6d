"""The decoders of JPEG 2000 and JPEG lossless against those of pydicom (OpenJPEG of pylibjpeg, GDCM), sound and not."""

import imagecodecs
import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import get_decoder

from ctstyle.ct import lossless
from ctstyle.ct.codestream import fault
from ctstyle.ct.decoders import decode
from ctstyle.ct.header import DAMAGE
from tests.dicom_series import ct_slice
from tests.mutants import mutate

SHAPE = (48, 40)


def image(bits, signed):
    """A soft spot with noise that fills `bits`."""
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    part = 0.8 * np.exp(-3 * (x**2 + y**2)) + 0.2 * np.random.default_rng(bits).random(SHAPE)
    values = (part * ((1 << bits) - 1)).astype(np.int64) - ((1 << (bits - 1)) if signed else 0)
    return values.astype(np.int16 if signed else np.uint16)


def layout(bits_stored, signed):
    return {
        "rows": SHAPE[0],
        "columns": SHAPE[1],
        "bits_allocated": 16,
        "bits_stored": bits_stored,
        "pixel_representation": int(signed),
    }


def by_pydicom(frame, syntax, plugin, options):
    found = get_decoder(syntax).iter_array(
        encapsulate([frame]),
        raw=True,
        decoding_plugin=plugin,
        number_of_frames=1,
        photometric_interpretation="MONOCHROME2",
        samples_per_pixel=1,
        pixel_keyword="PixelData",
        **options,
    )
    return next(found)[0]


def jpeg_2000(stored, bits, syntax, **how):
    dataset = ct_slice(stored, (0, 0, 0))
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.compress(syntax, encoding_plugin="pylibjpeg", generate_instance_uid=False, **how)
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


def jpeg_lossless(stored, bits, predictor=1):
    kind = np.uint8 if bits <= 8 else np.uint16
    return imagecodecs.jpeg8_encode(stored.astype(kind), lossless=True, predictor=predictor, bitspersample=bits)


def meant(words, bits, signed):
    """The lowest bits of words, as `pixels.Scale` takes them and as GDCM gives them."""
    unused = 16 - bits
    return words.astype(np.uint16).view(np.int16 if signed else np.uint16) << unused >> unused


@pytest.mark.parametrize("as_signed", [False, True])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 9, 12, 13, 16])
def test_jpeg_2000_equals_pydicom(bits, signed, as_signed):
    """Also where frame and header do not agree on the sign."""
    stored = image(bits, signed)
    frame = jpeg_2000(stored, bits, uid.JPEG2000Lossless)
    words = decode(frame, uid.JPEG2000Lossless, layout(bits, as_signed))
    expected = by_pydicom(frame, uid.JPEG2000Lossless, "pylibjpeg", layout(bits, as_signed))
    np.testing.assert_array_equal(words, expected)
    if signed == as_signed:
        np.testing.assert_array_equal(words, stored)


@pytest.mark.parametrize("signed", [False, True])
def test_lossy_jpeg_2000_equals_pydicom(signed):
    frame = jpeg_2000(image(12, signed), 12, uid.JPEG2000, j2k_cr=[8])
    words = decode(frame, uid.JPEG2000, layout(12, signed))
    np.testing.assert_array_equal(words, by_pydicom(frame, uid.JPEG2000, "pylibjpeg", layout(12, signed)))
    assert (words != image(12, signed)).any()


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("stored_bits", [8, 12, 16])
@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_jpeg_lossless_equals_gdcm(bits, predictor, stored_bits, signed):
    frame = jpeg_lossless(image(bits, False), bits, predictor)
    words = decode(frame, uid.JPEGLossless, layout(stored_bits, signed))
    expected = by_pydicom(frame, uid.JPEGLossless, "gdcm", layout(stored_bits, signed))
    np.testing.assert_array_equal(meant(words, stored_bits, signed), expected)


def test_only_the_usual_jpeg_lossless_is_trusted_to_libjpeg_turbo():
    assert lossless.decode(jpeg_lossless(image(12, False), 12)) is not None
    assert lossless.decode(jpeg_lossless(image(12, False), 12, predictor=4)) is None


@pytest.mark.parametrize("differences", [(0, 0x8000), (0xFFFF, 0), (1, 0)])
def test_jpeg_lossless_of_the_largest_differences(differences):
    stored = np.resize(np.array(differences, np.uint16), SHAPE)
    frame = jpeg_lossless(stored, 16)
    np.testing.assert_array_equal(decode(frame, uid.JPEGLosslessSV1, layout(16, False)), stored)
    assert lossless.decode(frame) is not None


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
def test_jpeg_lossless_that_is_cut_off_is_an_error(cut, end):
    """libjpeg-turbo would fill the rest with grey and say nothing, and GDCM too where somebody has put an end on it."""
    frame = jpeg_lossless(image(16, False), 16)
    start = frame.index(b"\xff\xda") + 10
    frame = frame[: start + int(cut * (len(frame) - start - 2))].rstrip(b"\xff") + end
    assert imagecodecs.jpeg8_decode(frame).shape == SHAPE
    with pytest.raises(ValueError if end else (RuntimeError, *DAMAGE)):
        decode(frame, uid.JPEGLosslessSV1, layout(16, False))


def outcome(read, *arguments):
    try:
        return read(*arguments)
    except (RuntimeError, *DAMAGE):
        return None


@pytest.mark.parametrize(
    ("syntax", "plugin"), [(uid.JPEG2000Lossless, "pylibjpeg"), (uid.JPEGLosslessSV1, "gdcm")], ids=["j2k", "lossless"]
)
def test_damaged_frames_are_no_more_than_pydicom_reads(syntax, plugin):
    """What is read of a damaged frame is what pydicom reads, and what pydicom refuses is refused."""
    stored, options = image(12, False), layout(12, False)
    sound = jpeg_2000(stored, 12, syntax) if plugin == "pylibjpeg" else jpeg_lossless(stored, 12)
    read = 0
    for number in range(400):
        frame = mutate(sound, (), np.random.default_rng(number))
        if len(frame) < 16 or fault(frame, syntax, *SHAPE, 2):
            continue
        words = outcome(decode, frame, syntax, options)
        if words is None:
            continue
        expected = outcome(by_pydicom, frame, syntax, plugin, options)
        assert expected is not None, number
        np.testing.assert_array_equal(meant(words, 12, False), expected)
        read += 1
    assert read > 40
