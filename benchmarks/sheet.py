"""How fast the sheet of an archive is written: files per minute, start of Python and all, and the largest process.

    python -m benchmarks.sheet 10000

Makes an archive of CT series of 500 files in a temporary folder, with 140 header elements as real files have (private
tags, a sequence, personal data), alternately flat, one folder per series, deep, and zipped; then writes its sheet. The
pixels are few: they are never read. The files were just written, so the disk plays no part.
"""

import io
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SLICES = 500


def a_slice(series: int, number: int) -> FileDataset:
    """One CT slice with a header of the usual length."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[f"{series} {number}"])
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[f"{series}"])
    dataset.StudyInstanceUID = dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=[f"study {series // 2}"])
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientName, dataset.PatientID, dataset.InstitutionName = (
        "Mustermann^Erika",
        f"ID-{series // 2}",
        "Nimmerlein",
    )
    dataset.Manufacturer, dataset.ManufacturerModelName = "ACME", "Tester 64"
    dataset.KVP, dataset.ConvolutionKernel, dataset.InstanceNumber = "120", "Br38f", number
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [-250, -250, number], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness = [0.9, 0.9], 1
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1024, "HU"
    dataset.Rows = dataset.Columns = 16
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, generate_uid(entropy_srcs=["scout"])
    dataset.ReferencedImageSequence = [item]
    block = dataset.private_block(0x0019, "ACME HEADER", create=True)
    for element in range(100):
        block.add_new(element, "LO", f"private value {element} of file {number}")
    dataset.PixelData = np.zeros((16, 16), np.uint16).tobytes()
    return dataset


def make_archive(folder: Path, files: int) -> None:
    """Series of SLICES files in four layouts by turns."""
    for series in range(-(-files // SLICES)):
        layout = series % 4
        place = folder / ("flat", f"series{series}", f"patients/{series // 2}/study/{series}/dicom", "zips")[layout]
        place.mkdir(parents=True, exist_ok=True)
        packed = zipfile.ZipFile(place / f"{series}.zip", "w", zipfile.ZIP_DEFLATED) if layout == 3 else None
        for number in range(min(SLICES, files - series * SLICES)):
            stream = io.BytesIO()
            a_slice(series, number).save_as(stream, enforce_file_format=True)
            if packed is None:
                (place / f"{series}-{number}").write_bytes(stream.getvalue())
            else:
                packed.writestr(f"{number}", stream.getvalue())
        if packed is not None:
            packed.close()


def main(files: int) -> None:
    """Make the archive, write its sheet, print the rate."""
    with tempfile.TemporaryDirectory() as name:
        make_archive(Path(name), files)
        command = [sys.executable, "-m", "ctstyle.sheet", name]
        began = time.perf_counter()
        done = subprocess.run(command, cwd=Path(__file__).parents[1], check=True, capture_output=True, text=True)
        seconds = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{files} files, {len(done.stdout.splitlines()) - 1} scans")
    print(f"{seconds:.1f} s: {60 * files / seconds:.0f} files per minute, {memory:.0f} MB")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].isdigit():
        sys.exit("usage: python -m benchmarks.sheet FILES (how many the archive shall hold, for example 10000)")
    main(int(sys.argv[1]))
