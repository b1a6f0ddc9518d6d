"""Plain headers are found as pydicom finds them, and their values are pydicom's; everything else is left to it."""

import io
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_partial

from ctstyle.ct.elements import END_OF_HEADER, plain_header, tag_of, value
from ctstyle.ct.header import DAMAGE
from tests.dicom_series import ct_series, random_hu
from tests.mutants import KINDS, mutant, original

PLAIN = ("raw", "implicit", "display", "rle", "jpeg 2000", "jpeg-ls", "jpeg lossless", "jpeg")
DICOM = [number for number, (name, _) in enumerate(KINDS.values()) if name.endswith(".dcm")]


def by_pydicom(data):
    stream = io.BytesIO(data)
    header = read_partial(stream, stop_when=lambda tag, vr, length: int(tag) >= END_OF_HEADER, force=True)
    return header, stream.tell()


def raw(dataset):
    """The elements as they were read, without those that pydicom has converted already."""
    found = {tag: dataset.get_item(tag, keep_deferred=True) for tag in list(dataset.keys())}
    return {tag: element for tag, element in found.items() if isinstance(element, RawDataElement)}


def assert_same(data):
    """Whether the header is plain; if so, it equals pydicom's."""
    found = plain_header(data)
    if found is None:
        return False
    header, place = found
    expected, expected_place = by_pydicom(data)
    assert place == expected_place
    assert header.original_encoding == expected.original_encoding
    assert header.original_character_set == expected.original_character_set
    for one, other in ((header, expected), (header.file_meta, expected.file_meta)):
        assert list(one.keys()) == list(other.keys())
        assert raw(one).items() >= raw(other).items()
    return True


@pytest.mark.parametrize("kind", PLAIN)
def test_ordinary_files_are_plain(kind):
    assert assert_same(original(kind))


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_implicit.dcm"])
def test_headers_of_scanners_are_plain(name):
    data = Path(get_testdata_file(name)).read_bytes()
    assert assert_same(data)
    header, expected = plain_header(data)[0], by_pydicom(data)[0]
    for keyword in filter(None, map(pydicom.datadict.keyword_for_tag, expected.keys())):
        assert value(header, keyword) == expected[keyword].value, keyword


@pytest.mark.parametrize("kind", ["big endian", "deflated"])
def test_other_syntaxes_are_left_to_pydicom(kind):
    assert plain_header(original(kind)) is None


def test_damaged_headers_are_the_same_or_left_to_pydicom():
    plain = 0
    for number in range(3000):
        if number % len(KINDS) not in DICOM:
            continue
        data = mutant(number)[2]
        try:
            found = plain_header(data)
        except DAMAGE:
            continue
        plain += found is not None and assert_same(data)
    assert plain > 500


def test_a_value_that_is_missing_is_none():
    dataset = ct_series(random_hu(shape=(1, 8, 8)))[0]
    assert value(dataset, "StationName") is None
    assert value(dataset, "KVP") == 120 and tag_of("KVP") is tag_of("KVP")


def test_equal_bytes_in_other_character_sets_are_other_values():
    def read(character_set):
        dataset = ct_series(random_hu(shape=(1, 8, 8)))[0]
        dataset.SpecificCharacterSet = character_set
        dataset.StationName = "?!?!"
        stream = io.BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        return value(plain_header(stream.getvalue().replace(b"?!?!", b"\xc3\xa9\xc3\xa9"))[0], "StationName")

    assert read("ISO_IR 192") == "\u00e9\u00e9"
    assert read("ISO_IR 100") == "\u00c3\u00a9\u00c3\u00a9"
