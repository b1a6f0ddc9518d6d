"""Reading keeps to the threads a job was given, and says the same with any number of them."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from ctstyle.ct import pixels, read
from ctstyle.ct.limits import LARGEST_HU, AbsurdSize, OutOfBounds
from ctstyle.ct.pixels import Scale, hounsfield_table
from tests.dicom_series import ct_series, random_hu, write


@pytest.mark.parametrize(("said", "expected"), [("", 3), ("1", 1), ("8", 3), ("0", 1), ("many", 3)])
def test_threads_follow_the_job_and_the_processors(monkeypatch, said, expected):
    monkeypatch.setattr(read.os, "sched_getaffinity", lambda pid: {0, 5, 7}, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert read.reading_threads() == expected


@pytest.mark.parametrize("number", [1, 4])
def test_files_are_read_by_as_many_threads(tmp_path, monkeypatch, number):
    hu, seen = random_hu(shape=(12, 8, 8)), set()
    meet = threading.Barrier(number)

    def seen_from(file, out, read_words=read.read_words):
        if threading.get_ident() not in seen:
            seen.add(threading.get_ident())
            meet.wait(timeout=30)
        read_words(file, out)

    monkeypatch.setattr(read, "read_words", seen_from)
    monkeypatch.setattr(read, "reading_threads", lambda: number)
    np.testing.assert_array_equal(read.read_volume(write(ct_series(hu), tmp_path)).hu, hu)
    assert len(seen) == number


@pytest.mark.parametrize("number", [1, 2, 4])
def test_the_error_is_that_of_the_first_damaged_slice(tmp_path, monkeypatch, number):
    monkeypatch.setattr(read, "reading_threads", lambda: number)

    def damage(k, dataset):
        if k in (3, 4, 9):
            dataset.PixelData = encapsulate([b"\xff\x4f\xff\x51"])
            dataset["PixelData"].is_undefined_length = True
            dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless

    folder = write(ct_series(random_hu(shape=(12, 8, 8))), tmp_path, damage)
    for _ in range(5):
        with pytest.raises(AbsurdSize, match=r"024\.dcm"):  # that of k = 3
            read.read_volume(folder)


@given(
    bits=st.integers(1, 16),
    signed=st.booleans(),
    slope=st.sampled_from([1.0, 1.0, 1.0, 2.0, 0.5]),
    intercept=st.sampled_from([0.0, -1024.0, -1000.0, -8192.0, 32767.0, -32768.0, -70000.0, 70000.0, 0.5]),
    padding=st.sampled_from([None, None, (63536, 63536), (0, 0), (32768, 32768), (0, 70)]),
)
def test_words_become_what_the_table_says(bits, signed, slope, intercept, padding):
    """All 65,536 of them, unless one stands for more than any CT holds."""
    scale = Scale(bits, signed, slope, intercept, padding)
    words = np.arange(1 << 16, dtype=np.uint16)
    try:
        pixels.to_hounsfield(words, scale)
    except OutOfBounds:
        assert slope * (1 << 16) + intercept > LARGEST_HU
        return
    np.testing.assert_array_equal(words.view(np.int16), hounsfield_table(scale))
