"""The reader against damaged and hostile files.

    python -m tests.fuzz_reader 4711                what the reader says of the mutant with this number
    python -m tests.fuzz_reader 4711 folder         the same, and its file stays in the folder
    python -m tests.fuzz_reader --many 0 1000       a line for each (the worker of the test)
    python -m tests.fuzz_reader --scans 0 1000      the same for whole scans: read, cut, some of them stylised

A worker has two limits that no mutant may reach: 2 GB of address space beyond what it began with, and five seconds a
mutant (`--scans`: 30), after which it ends with a traceback of what it was doing. A decoder that crashes takes its
worker along; the line begun last names the mutant.
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
import torch

from ctstyle.apply.series import Outputs, stylize_series
from ctstyle.cohorts.sheet import Scan
from ctstyle.ct.mask import read_mask
from ctstyle.ct.read import read_volume
from ctstyle.errors import CTStyleError
from ctstyle.slices.archive import Archive, ScanFiles
from ctstyle.slices.cut import slice_scan
from ctstyle.study.analysis import GuardSettings
from ctstyle.study.data import StylizeSettings
from tests.bundles import SETTINGS, random_bundle
from tests.dicom_series import ct_series, random_hu
from tests.mutants import KINDS, mutant, original
from tests.scan_mutants import scan_mutant

LARGEST_BYTES = 2 << 30
SLOWEST_S = 5
SLOWEST_SCAN_S = 30


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
        return f"BAD {_told(error)}"
    return "read" if sound else f"BAD volume {volume.spacing_mm if kind != 'seg' else ''}"


def scan_outcome(number: int, folder: Path) -> str:
    """What becomes of a scan on the way to its slices and to a stylised series: as `outcome`, or "skipped"."""
    kind, path, mask = scan_mutant(number, folder)
    try:
        return f"{_cut(path, mask, folder)}{_stylised(number, path, mask, folder)}"
    except BaseException as error:
        return f"BAD {kind}: {_told(error)}"


def _cut(path: Path, mask: Path | None, folder: Path) -> str:
    """Cut a scan as the workflow does where `on_bad_scan` is "skip"; the archive it leaves is opened."""
    scan = Scan(scan="s", patient="p", series=str(path), mask=str(mask or ""), label_map="totalsegmentator", cohort="c")
    files = ScanFiles.beside(folder / "s.hu.npy")
    slice_scan(scan, SETTINGS, files, on_bad_scan="skip")
    archive = Archive.open([files.hu])
    about, hu, rows = archive.scans["s"], archive.hu(), archive.rows
    assert about["status"] == ("ok" if len(hu) else "skipped") and bool(about["reason"]) == (not len(hu)), about
    assert hu.dtype == np.int16 and hu.shape[1:] == (SETTINGS.size_px,) * 2 and len(hu) == len(rows)
    assert len(hu) == 0 or (hu.min() >= SETTINGS.window_hu[0] and hu.max() <= SETTINGS.window_hu[1])
    assert np.isfinite(rows[["position_mm", "row0_mm", "column0_mm"]].to_numpy(float)).all()
    return "read" if len(hu) else "skipped"


def _stylised(number: int, path: Path, mask: Path | None, folder: Path) -> str:
    """Stylise every 13th scan, as a file or as DICOM. The series is written, or the error has a name."""
    if number % 13:
        return ""
    parts = {"rows": folder / "made.tsv", "about": folder / "made.json", "picture": folder / "made.png"}
    series, labels = (folder / "made.nii.gz", folder / "mask.nii.gz") if number % 2 else (folder / "made", None)
    try:
        stylize_series(
            *(_bundle(), path, Outputs(series=series, mask=labels, **parts)),
            **{"style": "s1", "style_series": None, "mask": mask},
            **{"settings": StylizeSettings(), "guard": GuardSettings()},
        )
    except CTStyleError:
        return ", not stylised"
    assert read_volume(series / "ct" if labels is None else series).hu.size
    return ", stylised"


@cache
def _bundle():
    return random_bundle()


def _told(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())[:150]
    return f"{type(error).__name__}: {text} ({Path(last.filename).name}:{last.lineno})"


def run_many(first: int, last: int, *, scans: bool) -> None:
    """Print number and kind before each mutant, seconds and outcome after it."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    if scans:
        torch.set_num_threads(1)
        for number in (0, 13):  # sound enough to load all that is needed
            with tempfile.TemporaryDirectory() as folder:
                scan_outcome(number, Path(folder))
    else:
        _ct()
        for kind in KINDS:
            original(kind)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + LARGEST_BYTES, used + LARGEST_BYTES))
    for number in range(first, last):
        with tempfile.TemporaryDirectory() as folder:
            kind = "scan" if scans else list(KINDS)[number % len(KINDS)]
            print(number, kind, sep="\t", end="\t", flush=True)
            faulthandler.dump_traceback_later(SLOWEST_SCAN_S if scans else SLOWEST_S, exit=True)
            start = time.perf_counter()
            said = (scan_outcome if scans else outcome)(number, Path(folder))
            faulthandler.cancel_dump_traceback_later()
            print(f"{time.perf_counter() - start:.3f}", said, sep="\t", flush=True)


def main(arguments: list[str]) -> None:
    """Run as the first lines of this file say."""
    if arguments[0] in ("--many", "--scans"):
        run_many(int(arguments[1]), int(arguments[2]), scans=arguments[0] == "--scans")
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(arguments[1] if len(arguments) > 1 else place)
        folder.mkdir(parents=True, exist_ok=True)
        print(outcome(int(arguments[0]), folder))


if __name__ == "__main__":
    main(sys.argv[1:])
