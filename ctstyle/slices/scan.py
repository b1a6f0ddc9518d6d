"""One scan of the sheet to its slices on disk, or to the reason why not."""

import logging
from pathlib import Path

from ctstyle.cohorts.sheet import Scan
from ctstyle.errors import CTStyleError
from ctstyle.slices.archive import ScanFiles, write_scan, write_skipped
from ctstyle.slices.cut import cut
from ctstyle.study.data import SliceSettings

log = logging.getLogger(__name__)

ON_BAD_SCAN = ("fail", "skip")


def slice_scan(scan: Scan, settings: SliceSettings, files: ScanFiles, *, on_bad_scan: str = "fail") -> None:
    """Read a scan and its mask, cut them and write `files`.

    A scan that cannot be used raises its CTStyleError where `on_bad_scan` is "fail"; where it is "skip", a valid empty
    archive with the reason is written and the reason logged.
    """
    if on_bad_scan not in ON_BAD_SCAN:
        raise CTStyleError("unknown value", where="on_bad_scan", found=on_bad_scan, expected=" or ".join(ON_BAD_SCAN))
    names = {"scan": scan.scan, "patient": scan.patient, "cohort": scan.cohort}
    try:
        volume, hu, labels, rows = _read_and_cut(scan, settings)
    except CTStyleError as error:
        if on_bad_scan == "fail":
            raise
        log.warning("scan %s is skipped: %s", scan.scan, error)
        write_skipped(files, **names, reason=error.public, size_px=settings.size_px, spacing_mm=settings.spacing_mm)
        return
    log.info("scan %s: %d %s slices of %s %s", scan.scan, len(hu), settings.orientation, scan.series, volume.hu.shape)
    write_scan(
        files,
        hu=hu,
        labels=labels,
        rows=rows,
        **names,
        acquisition=volume.acquisition,
        grey_values=volume.grey_values,
        burned_in=volume.burned_in,
        spacing_mm=settings.spacing_mm,
    )


def _read_and_cut(scan: Scan, settings: SliceSettings):
    # pydicom and SimpleITK stay out of the processes that only open archives
    from ctstyle.ct.mask import read_mask
    from ctstyle.ct.read import read_volume

    volume = read_volume(
        Path(scan.series),
        series_uid=scan.series_uid,
        grey_values=settings.grey_values,
        burned_in=settings.burned_in,
        window_hu=settings.window_hu,
    )
    labels = read_mask(Path(scan.mask), volume, scan.label_map, mask_uid=scan.mask_uid) if scan.mask else None
    return volume, *cut(volume, labels, settings)
