"""Damaged masks of every kind: labels or a named error, in seconds and within 2 GB, whatever byte is hit."""

import resource
import signal
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from ctstyle.ct.mask import read_mask
from ctstyle.ct.volume import Volume
from ctstyle.errors import CTStyleError
from tests.dicom_series import FRAME_UID, _item, segmentation
from tests.dicom_structures import structure_set
from tests.unit.ct.test_read_mask import slicer_nrrd

LABEL_MAPS = ("totalsegmentator", "vertebrae", "name:*", "id:1-3")
LONGEST_S = 5
MEMORY_BYTES = 2 << 30
ADDRESS_BYTES = 2 << 30
"""More than that is not even reserved: an error in the test, and no harm to the machine."""
ORIGIN = (-10.0, -20.0, 30.0)
VOLUME = Volume(
    hu=np.zeros((5, 12, 10), np.int16),
    origin_mm=ORIGIN,
    spacing_mm=(1.5, 1.5, 2.5),
    direction=np.eye(3),
    frame_of_reference_uid=FRAME_UID,
    patient_id="ID-4711",
)


def seeds(folder: Path) -> dict[str, bytes]:
    """Sound masks by file name; the fuzz begins from them."""
    frames = np.random.default_rng(0).random((5, 12, 10)) < 0.5
    planes = [(1 + k % 3, (-10.0, -20.0, 30 + 2.5 * k), frames[k]) for k in range(5)]
    plain = segmentation(planes, {1: "L1", 2: "T12 vertebra", 3: "third lumbar vertebra"})
    code = _item(CodeValue="66794005", CodingSchemeDesignator="SCT", CodeMeaning="L1 vertebra")
    plain.SegmentSequence[0].SegmentedPropertyTypeCodeSequence = [code]
    plain.SegmentSequence[0].AnatomicRegionSequence = [code]
    plain.save_as(folder / "plain.dcm")
    implicit = pydicom.dcmread(folder / "plain.dcm")
    implicit.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    implicit.save_as(folder / "implicit.dcm")
    compressed = pydicom.dcmread(folder / "plain.dcm")
    compressed.compress(RLELossless, encoding_plugin="pydicom")
    compressed.save_as(folder / "rle.dcm")
    binary = pydicom.dcmread(folder / "plain.dcm")
    binary.SegmentationType, binary.BitsAllocated, binary.BitsStored, binary.HighBit = "BINARY", 1, 1, 0
    binary.PixelData = np.packbits(frames, bitorder="little").tobytes() + b"\0"
    binary.save_as(folder / "binary.dcm")
    label_map = pydicom.dcmread(folder / "plain.dcm")
    label_map.SegmentationType, label_map.PixelData = "LABELMAP", (frames * np.uint8(2)).tobytes()
    label_map.save_as(folder / "labelmap.dcm")
    square = np.array([[0, 0], [9, 0], [9, 9], [0, 9]]) + ORIGIN[:2]
    contours = [np.column_stack([square, np.full(4, 30 + 2.5 * k)]) for k in range(5)]
    structures = structure_set({"L1": contours[:3], "T12": contours[3:], "Body": []})
    structures.RTROIObservationsSequence = [_item(ReferencedROINumber=1, RTROIIdentificationCodeSequence=[code])]
    structures.save_as(folder / "rtstruct.dcm")
    structures.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    structures.save_as(folder / "rtstruct_implicit.dcm")
    names = [(1, "L1"), (2, "T12"), (3, "L3")]
    slicer_nrrd(folder / "slicer.seg.nrrd", (frames * np.uint8(2))[None], names)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def mutant(sound: bytes, rng: np.random.Generator) -> bytes:
    """The file with a few bytes changed, a piece filled, cut out or doubled, numbers changed, or the end cut off."""
    data = bytearray(sound)
    start = int(rng.integers(len(data)))
    end = min(len(data), start + int(rng.integers(1, 60)))
    kind = int(rng.integers(7))
    if kind == 0:
        for place in rng.integers(len(data), size=int(rng.integers(1, 9))):
            data[place] = int(rng.integers(256))
    elif kind == 1:
        data[start:end] = bytes([int(rng.choice([0, 255, 48, 57, 92]))]) * (end - start)
    elif kind == 2:
        del data[start:end]
    elif kind == 3:
        data[start:start] = data[start:end]
    elif kind == 4:
        del data[start:]
    elif kind == 5:
        digits = [place for place in range(start, min(len(data), start + 400)) if 48 <= data[place] <= 57]
        for place in digits[: int(rng.integers(1, 9))]:
            data[place] = int(rng.choice(list(b"0123456789.-eENna\\ ")))
    else:
        other = int(rng.integers(len(data) - (end - start) + 1))
        data[start:end] = data[other : other + end - start]
    return bytes(data)


def too_long(*_):
    raise TimeoutError(f"longer than {LONGEST_S} s")


def peak_bytes():
    """The most memory that this process has ever used."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fuzz(folder: Path, seed: int, mutants: int) -> dict[str, int]:
    """Read `mutants` damaged files; how many were read and how many were refused. Anything else is raised."""
    sound = seeds(folder)
    for name in sound:
        assert read_mask(folder / name, VOLUME, "totalsegmentator").any(), name
    rng = np.random.default_rng(seed)
    names = list(sound)
    outcomes = {"read": 0, "refused": 0}
    before = peak_bytes()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    previous = signal.signal(signal.SIGALRM, too_long)
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_BYTES, hard))
    try:
        for number in range(mutants):
            name = names[number % len(names)]
            path = folder / f"mutant_{name}"
            path.write_bytes(mutant(sound[name], rng))
            label_map = LABEL_MAPS[int(rng.integers(len(LABEL_MAPS)))]
            started = time.perf_counter()
            signal.alarm(LONGEST_S)
            try:
                labels = read_mask(path, VOLUME, label_map)
            except CTStyleError as error:
                assert str(path.parent) in str(error), f"mutant {number}: no file in {error}"
                outcomes["refused"] += 1
            except BaseException as error:
                error.add_note(f"mutant {number} of seed {seed}, {name}, label_map {label_map}")
                raise
            else:
                assert labels.shape == VOLUME.hu.shape and labels.dtype == np.uint8 and labels.any()
                outcomes["read"] += 1
            finally:
                signal.alarm(0)
            assert time.perf_counter() - started < LONGEST_S, f"mutant {number} of seed {seed}, {name}"
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, previous)
    assert peak_bytes() - before < MEMORY_BYTES
    return outcomes


def test_some_damaged_masks(tmp_path):
    outcomes = fuzz(tmp_path, seed=1, mutants=304)
    assert outcomes["read"] > 50 and outcomes["refused"] > 50


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 4, 5])
def test_many_damaged_masks(tmp_path, seed):
    outcomes = fuzz(tmp_path, seed=seed, mutants=1000)
    assert outcomes["read"] > 150 and outcomes["refused"] > 150
