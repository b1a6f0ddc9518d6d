"""The small DICOM reader against pydicom."""

import pytest
from a_run import dicom_bytes, expected_pixel_sha256

from ctstyle.audit.dicom import UnreadableDicom, pixel_sha256

EXPLICIT, IMPLICIT, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.5"


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, RLE])
def test_the_digest_of_the_pixels_is_that_of_pydicom(syntax):
    data = dicom_bytes(syntax=syntax)
    assert pixel_sha256(data) == expected_pixel_sha256(data)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, RLE])
def test_it_follows_the_pixels_and_not_the_tags(syntax):
    data = dicom_bytes(syntax=syntax)
    assert pixel_sha256(dicom_bytes(syntax=syntax, description="another")) == pixel_sha256(data)
    assert pixel_sha256(dicom_bytes(syntax=syntax, pixels=bytes(32))) != pixel_sha256(data)


def test_real_images_agree_with_pydicom():
    from pydicom.data import get_testdata_file

    for name in ("CT_small.dcm", "MR_small.dcm", "MR_small_implicit.dcm", "JPEG2000.dcm", "MR_small_RLE.dcm"):
        with open(get_testdata_file(name, download=False), "rb") as stream:  # noqa: PTH123
            data = stream.read()
        assert pixel_sha256(data) == expected_pixel_sha256(data), name


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, RLE])
def test_a_file_cut_short_is_unreadable_wherever_it_ends(syntax):
    data = dicom_bytes(syntax=syntax)
    whole = pixel_sha256(data)
    for end in range(0, len(data), 3):
        try:
            assert pixel_sha256(data[:end]) in (None, whole)
        except UnreadableDicom:
            continue


def test_what_is_no_dicom_is_unreadable():
    with pytest.raises(UnreadableDicom):
        pixel_sha256(b"no image")
