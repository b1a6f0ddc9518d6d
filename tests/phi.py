"""Known values in every attribute that could name a patient, and the search for them in what was made.

`phi_tags.tsv` lists the attributes of DICOM PS3.15, Table E.1-1, whose values are text, dates or times. UIDs are not
searched for: they link slices to their source, which docs/provenance.md says.
"""

import base64
import csv
import gzip
import re
import zipfile
import zlib
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

TAGS = Path(__file__).with_name("phi_tags.tsv")
WORD = "PHIQ{:04d}X"
FIRST_DAY = date(1871, 1, 1)
PRIVATE_CREATOR, PRIVATE_VALUE = (WORD.format(number) for number in (9001, 9002))
FREE_TEXTS = ("Manufacturer", "ManufacturerModelName", "ConvolutionKernel")
"""Tags that PS3.15 lets stay, and that are text of any kind all the same."""


def planted() -> dict[str, str]:
    """A value that occurs nowhere else for every attribute, by keyword."""
    with TAGS.open(newline="") as stream:
        rows = list(csv.DictReader((line for line in stream if not line.startswith("#")), delimiter="\t"))
    values = {}
    for number, row in enumerate(rows):
        day = (FIRST_DAY + timedelta(days=number)).strftime("%Y%m%d")
        made = {"DA": day, "TM": f"031407.9{number:05d}", "DT": f"{day}031407.9{number:05d}", "AS": "087Y"}
        word = WORD.format(number)
        made |= {"PN": f"{word}^ANNA", "UR": f"http://{word.lower()}"}
        values[row["keyword"]] = made.get(row["vr"], word)
    return values


def plant(dataset: Dataset, patient: str) -> None:
    """Write every planted value into a dataset, into an item of a sequence and into a private block.

    `patient` ends the PatientID, so that patients can be told apart.
    """
    item = Dataset()
    for keyword, value in planted().items():
        tag = pydicom.datadict.tag_for_keyword(keyword)
        place = dataset.file_meta if tag >> 16 == 2 else dataset
        setattr(place, keyword, value)
        if tag >> 16 > 8:
            setattr(item, keyword, value)
    for number, keyword in enumerate(FREE_TEXTS, start=9003):
        setattr(dataset, keyword, WORD.format(number))
    if "ImageType" in dataset:
        dataset.ImageType = [*dataset.ImageType, WORD.format(9009)]
    dataset.PatientID = f"{dataset.PatientID}-{patient}"
    dataset.OtherPatientIDsSequence = [item]
    block = dataset.private_block(0x0029, PRIVATE_CREATOR, create=True)
    block.add_new(0x10, "LO", PRIVATE_VALUE)


def leaks(text: bytes) -> set[str]:
    """The planted values in some bytes."""
    found = set(re.findall(rb"(?i)phiq\d{4}x", text))
    # text of 16 or 32 bits, as numpy stores it
    found |= set(re.findall(rb"(?i)phiq\d{4}x", text.replace(b"\0", b"")))
    found |= set(re.findall(rb"031407\.9\d{5}", text))
    found |= set(re.findall(rb"(?<![0-9A-Za-z])087Y(?![0-9A-Za-z])", text))
    days = {(FIRST_DAY + timedelta(days=number)) for number in range(len(planted()))}
    # in a DICOM file the next tag follows at once, and its first byte may be that of a digit
    for one in re.findall(rb"(?<![0-9a-f.])187[0-9]-?[0-9]{2}-?[0-9]{2}", text):
        digits = one.decode().replace("-", "")
        if any(day.strftime("%Y%m%d") == digits for day in days):
            found.add(one)
    return {one.decode() for one in found}


def leaks_in(folder: Path, *, but: str = "") -> dict[str, set[str]]:
    """The planted values in all files below a folder and in their names, by file; what is packed is looked into.

    Files below the folder `but` are passed over.
    """
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        if but and path.is_relative_to(folder / but):
            continue
        for name, content in _contents(path):
            own = name.removeprefix(str(folder)).encode()
            packed = set().union(*map(leaks, _unpacked(content)))
            if values := leaks(content) | leaks(own) | packed:
                found[name] = values
    return found


def _unpacked(content: bytes) -> Iterator[bytes]:
    """The streams of a PDF, the compressed texts of a PNG, and files embedded in a page."""
    packed = [stream.strip(b"\r\n") for stream in re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL)]
    packed += re.findall(rb"zTXt[^\0]+\0\0(.*?)(?=....[A-Za-z]{4})", content, re.DOTALL)
    for one in packed:
        try:
            yield zlib.decompressobj().decompress(one)
        except zlib.error:
            yield one
    for one in re.findall(rb";base64,([A-Za-z0-9+/=]+)", content):
        yield base64.b64decode(one + b"==")


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield f"{path}!{name}", archive.read(name)
    elif path.suffix == ".gz":
        yield str(path), gzip.decompress(path.read_bytes())
    else:
        yield str(path), path.read_bytes()
