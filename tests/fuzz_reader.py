"""The reader against damaged and hostile files.

    python -m tests.fuzz_reader 4711                what the reader says of the mutant with this number
    python -m tests.fuzz_reader 4711 folder         the same, and its file stays in the folder
    python -m tests.fuzz_reader --many 0 1000       a line for each (the worker of the test)

A worker has two limits that no mutant may reach: 2 GB of address space, and five seconds a mutant, after which it ends
with a traceback of what it was doing. A decoder that crashes takes its worker along; the line begun last names the
mutant.
"""

import faulthandler
import logging
import resource
import sys
import tempfile
import time
import traceback
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ctstyle.dicom.mask import read_mask
from ctstyle.dicom.read import read_volume
from ctstyle.errors import CTStyleError
from tests.dicom_series import ct_series, random_hu
from tests.mutants import KINDS, mutant, original

LARGEST_BYTES = 2 << 30
SLOWEST_S = 5


@cache
def _ct():
    with tempfile.TemporaryDirectory() as folder:
        for k, dataset in enumerate(ct_series(random_hu())):
            dataset.save_as(Path(folder) / f"{k}.dcm", enforce_file_format=True)
        return read_volume(folder)


def outcome(number: int, folder: Path) -> str:
    """What the reader makes of a mutant: "read", "refused (error)", or "BAD" and what went wrong."""
    kind, name, data = mutant(number)
    path = folder / name
    path.write_bytes(data)
    try:
        if kind == "seg":
            labels = read_mask(path, _ct(), "totalsegmentator")
            sound = labels.shape == _ct().hu.shape and labels.dtype == np.uint8
        else:
            volume = read_volume(path, grey_values="as_display", burned_in="accept")
            sound = volume.hu.ndim == 3 and volume.hu.dtype == np.int16 and volume.hu.min() >= -1024
            places = np.concatenate([volume.origin_mm, volume.spacing_mm, np.ravel(volume.direction)])
            sound = sound and bool(np.isfinite(places).all()) and min(volume.spacing_mm) > 0
    except CTStyleError as error:
        return f"refused ({type(error).__name__})" if error.where and error.fix else f"BAD no way out: {error}"
    except BaseException as error:
        # whatever it is, the panics of Rust included: it is what is looked for
        last = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(str(error).split())[:150]
        return f"BAD {type(error).__name__}: {text} ({Path(last.filename).name}:{last.lineno})"
    return "read" if sound else f"BAD volume {volume.spacing_mm if kind != 'seg' else ''}"


def run_many(first: int, last: int) -> None:
    """Print number and kind before each mutant, seconds and outcome after it."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    _ct()
    for kind in KINDS:
        original(kind)
    resource.setrlimit(resource.RLIMIT_AS, (LARGEST_BYTES, LARGEST_BYTES))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, last):
            print(number, list(KINDS)[number % len(KINDS)], sep="\t", end="\t", flush=True)
            faulthandler.dump_traceback_later(SLOWEST_S, exit=True)
            start = time.perf_counter()
            said = outcome(number, Path(folder))
            faulthandler.cancel_dump_traceback_later()
            print(f"{time.perf_counter() - start:.3f}", said, sep="\t", flush=True)


def main(arguments: list[str]) -> None:
    """Run as the first lines of this file say."""
    if arguments[0] == "--many":
        run_many(int(arguments[1]), int(arguments[2]))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(arguments[1] if len(arguments) > 1 else place)
        folder.mkdir(parents=True, exist_ok=True)
        print(outcome(int(arguments[0]), folder))


if __name__ == "__main__":
    main(sys.argv[1:])
