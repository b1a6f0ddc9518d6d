"""How fast CT series are read, and in how much memory, beside SimpleITK and a plain pydicom loop.

    python -m benchmarks.reading [SLICES [ROUNDS [ENCODING ...]]]      default: 200 slices, 5 rounds, all encodings

Writes a made-up series of 512 x 512 slices into a temporary folder (half a megabyte a slice, deleted at the end), once
for each encoding (raw, rle, jpeg2000, jpeg-lossless), and reads it in rounds: every reader once, each in a process of
its own, so that the load of the machine meets all alike. Prints slices per second (min, median, max), the ratio of the
medians to SimpleITK's, and the peak of the memory. ctstyle reads with as many threads as there are processors, up to
four, or as OMP_NUM_THREADS says; SimpleITK's reader of series goes from file to file, with all processors on parts of
one JPEG 2000 frame; the pydicom loop has one.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.side_by_side import spread, table

ENCODINGS = ("raw", "rle", "jpeg2000", "jpeg-lossless")
READERS = {"ctstyle": "ctstyle.ct.read", "pydicom": "pydicom.pixels", "simpleitk": "SimpleITK"}
ROOT = Path(__file__).parents[1]
DIFFERENT_SLICES = 10
"""Encoded once; the others are copies with a position of their own."""


def pixels(number: int) -> np.ndarray:
    """A slice int16 as noisy as CT: a soft disc in air, noise of 20 HU."""
    y, x = np.mgrid[-1:1:512j, -1:1:512j]
    body = np.where(x**2 / 0.8 + y**2 / 0.5 < 1, 40 + 100 * np.sin(9 * x) * np.cos(7 * y), -1000)
    noise = np.random.default_rng(number).normal(0, 20, body.shape)
    return np.rint(np.maximum(body + noise, -1024)).astype(np.int16)


def jpeg_lossless(dataset) -> bytes:
    """The pixels of a slice as a JPEG lossless frame, by GDCM: pydicom has no encoder for it."""
    import gdcm
    import pydicom
    from pydicom.encaps import get_frame

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slice.dcm"
        dataset.save_as(path, enforce_file_format=True)
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        change.Change()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.Write()
        return get_frame(pydicom.dcmread(path).PixelData, 0, number_of_frames=1)


def make(folder: Path, encoding: str, slices: int) -> None:
    """Write the series."""
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, RLELossless

    from tests.dicom_series import ct_slice

    folder.mkdir()
    different = [ct_slice(pixels(number) + np.int16(1024), (0, 0, 0)) for number in range(DIFFERENT_SLICES)]
    for dataset in different:
        if encoding == "jpeg-lossless":
            dataset.PixelData = encapsulate([jpeg_lossless(dataset)])
            dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
            dataset["PixelData"].is_undefined_length = True
        elif encoding != "raw":
            syntax = {"rle": RLELossless, "jpeg2000": JPEG2000Lossless}[encoding]
            dataset.compress(syntax, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    for k in range(slices):
        dataset = different[k % DIFFERENT_SLICES]
        dataset.ImagePositionPatient, dataset.InstanceNumber = [-200, -200, 1.25 * k], k + 1
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.10.1.9.{k + 1}"
        dataset.save_as(folder / f"{k:05d}.dcm", enforce_file_format=True)


def read(reader: str, folder: Path) -> np.ndarray:
    """The Hounsfield units of the series, read by one of `READERS`."""
    if reader == "ctstyle":
        from ctstyle.ct.read import read_volume

        return read_volume(folder).hu
    if reader == "simpleitk":
        import SimpleITK

        series = SimpleITK.ImageSeriesReader()
        series.SetFileNames(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
        return SimpleITK.GetArrayFromImage(series.Execute())
    import pydicom
    from pydicom.pixels import apply_rescale

    datasets = sorted(map(pydicom.dcmread, folder.iterdir()), key=lambda dataset: dataset.ImagePositionPatient[2])
    return np.stack([apply_rescale(dataset.pixel_array, dataset) for dataset in datasets])


def child(reader: str, folder: Path) -> None:
    """Print the seconds, the peak of the memory in MB and the sum of the values of one reading."""
    for module in {"ctstyle": ["ctstyle.ct.read"], "pydicom": ["pydicom.pixels"], "simpleitk": ["SimpleITK"]}[reader]:
        __import__(module)
    start = time.perf_counter()
    hu = read(reader, folder)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(seconds, peak, int(hu.sum(dtype=np.float64)))


def measure(folder: Path, slices: int, rounds: int) -> list[list[str]]:
    """Read one series in rounds; the rows of the table."""
    speeds: dict[str, list[float]] = {reader: [] for reader in READERS}
    peaks: dict[str, float] = dict.fromkeys(READERS, 0.0)
    sums = set()
    for _ in range(rounds):
        for reader in READERS:
            command = [sys.executable, "-m", "benchmarks.reading", "--child", reader, str(folder)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            seconds, peak, total = done.stdout.split()[-3:]
            speeds[reader].append(slices / float(seconds))
            peaks[reader] = max(peaks[reader], float(peak))
            sums.add(total)
    if len(sums) != 1:
        sys.exit(f"the readers do not agree: sums of all values {sums}")
    usual = {reader: statistics.median(speeds[reader]) for reader in READERS}
    return [
        [
            f"{folder.name}, {reader}",
            spread((min(speeds[reader]), usual[reader], max(speeds[reader])), 0),
            f"{usual[reader] / usual['simpleitk']:.2f}",
            f"{peaks[reader]:.0f}",
        ]
        for reader in READERS
    ]


def main(slices: int, rounds: int, encodings: tuple[str, ...]) -> None:
    """Make and measure one encoding after the other, so that the disk holds one."""
    print(f"{slices} slices of 512 x 512, {rounds} rounds in turn, wall time; minimum / median / maximum.\n")
    rows = []
    for encoding in encodings:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder) / encoding, encoding, slices)
            rows += measure(Path(folder) / encoding, slices, rounds)
    print(table(["encoding, reader", "slices/s", "median x SimpleITK's", "peak MB"], rows))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if len(arguments) == 3 and arguments[0] == "--child":
        child(arguments[1], Path(arguments[2]))
    elif all(text.isdigit() for text in arguments[:2]) and set(arguments[2:]) <= set(ENCODINGS):
        numbers = [int(text) for text in arguments[:2]] + [200, 5][len(arguments) :]
        main(*numbers, tuple(arguments[2:]) or ENCODINGS)
    else:
        sys.exit(f"usage: python -m benchmarks.reading [SLICES [ROUNDS [{'|'.join(ENCODINGS)} ...]]]")
