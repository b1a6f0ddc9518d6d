"""Frames of JPEG 2000 and JPEG lossless come back as they were stored, and cut ones are errors."""

import imagecodecs
import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import generate_frames

from ctstyle.ct.files import DAMAGE
from ctstyle.ct.words import decode
from tests.dicom_series import ct_slice

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


def jpeg_2000(stored, bits, syntax, **how):
    dataset = ct_slice(stored, (0, 0, 0))
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.compress(syntax, encoding_plugin="pylibjpeg", generate_instance_uid=False, **how)
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


def jpeg_lossless(stored, bits, predictor=1):
    kind = np.uint8 if bits <= 8 else np.uint16
    return imagecodecs.jpeg8_encode(stored.astype(kind), lossless=True, predictor=predictor, bitspersample=bits)


def meant(words, bits, signed):
    """The lowest bits of words, as `pixels.Scale` takes them."""
    unused = 16 - bits
    return words.astype(np.uint16).view(np.int16 if signed else np.uint16) << unused >> unused


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 9, 12, 13, 16])
def test_jpeg_2000(bits, signed):
    stored = image(bits, signed)
    frame = jpeg_2000(stored, bits, uid.JPEG2000Lossless)
    np.testing.assert_array_equal(decode(frame, uid.JPEG2000Lossless, layout(bits, signed)), stored)
    # where frame and header do not agree on the sign, the header is right
    other = decode(frame, uid.JPEG2000Lossless, layout(bits, not signed))
    np.testing.assert_array_equal(meant(other, bits, signed), stored)


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("bits", [2, 8, 9, 12, 13, 16])
def test_jpeg_lossless(bits, predictor):
    stored = image(bits, False)
    words = decode(jpeg_lossless(stored, bits, predictor), uid.JPEGLossless, layout(bits, False))
    np.testing.assert_array_equal(meant(words, bits, False), stored)


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.999])
def test_jpeg_lossless_that_is_cut_off_is_an_error(cut, end):
    frame = jpeg_lossless(image(16, False), 16)
    start = frame.index(b"\xff\xda") + 10
    whole = len(frame) - start - 2
    with pytest.raises(DAMAGE):
        decode(frame[: start + int(cut * whole)].rstrip(b"\xff") + end, uid.JPEGLosslessSV1, layout(16, False))
