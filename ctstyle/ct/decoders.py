"""The decoder of each compressed transfer syntax, fixed so that the same file gives the same words everywhere.

JPEG 2000 and JPEG lossless, the syntaxes of most compressed CT, go to decoders that let other threads run.
"""

from typing import Any

import numpy as np
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder

from ctstyle.ct import lossless
from ctstyle.ct.codestream import JPEG_LOSSLESS, jpeg_2000_samples

PYDICOM_PLUGIN = {
    uid.RLELossless: "pylibjpeg",
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
    uid.JPEGLossless: "gdcm",
    uid.JPEGLosslessSV1: "gdcm",
    uid.JPEGBaseline8Bit: "pylibjpeg",
    uid.JPEGExtended12Bit: "pylibjpeg",
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.HTJ2KLossless: "pylibjpeg",
    uid.HTJ2K: "pylibjpeg",
}
"""The plugin of pydicom that decodes each, where pydicom does."""


def decode(frame: bytes, syntax: uid.UID, layout: dict[str, Any]) -> np.ndarray:
    """The words of a grey frame without a `codestream.fault`, integers `[rows, columns]` of up to 16 bits.

    `layout` are rows, columns, bits_allocated, bits_stored and pixel_representation of the file. Raises what the
    decoders raise on damage: RuntimeError and the errors of `header.DAMAGE`.
    """
    if syntax in (uid.JPEG2000Lossless, uid.JPEG2000):
        return _jpeg_2000(frame, signed=layout["pixel_representation"] == 1)
    if syntax in JPEG_LOSSLESS:
        found = lossless.decode(frame)
        if found is not None:
            return found
        # GDCM knows all kinds of it, and what is damage
    decoder = get_decoder(syntax)
    found = decoder.iter_array(
        encapsulate([frame]),
        raw=True,
        decoding_plugin=PYDICOM_PLUGIN[syntax],
        number_of_frames=1,
        photometric_interpretation="MONOCHROME2",
        samples_per_pixel=1,
        pixel_keyword="PixelData",
        **layout,
    )
    return next(found)[0]


def _jpeg_2000(frame: bytes, *, signed: bool) -> np.ndarray:
    """Samples whose sign the frame and its file do not agree on are taken as the file says (as pydicom does)."""
    import imagecodecs

    samples = imagecodecs.jpeg2k_decode(frame)
    bits, signed_samples = jpeg_2000_samples(frame)
    if signed_samples == signed or samples.dtype.itemsize > 2:
        return samples
    unused = 16 - bits
    return samples.astype(np.int16 if signed else np.uint16) << unused >> unused
