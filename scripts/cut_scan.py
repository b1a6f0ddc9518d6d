"""Cut one scan into labelled slices, or write down why not (rule cut_scan)."""

from pathlib import Path

from ctstyle.cohorts.sheet import Scan
from ctstyle.run.job import job
from ctstyle.slices.archive import ScanFiles
from ctstyle.slices.cut import slice_scan
from ctstyle.study.data import SliceSettings
from ctstyle.study.settings import build

if __name__ == "__main__":
    with job(snakemake) as run:
        files = ScanFiles(**{name: Path(path) for name, path in run.output.items() if name != "record"})
        settings = build(SliceSettings, run.params.slices)
        slice_scan(Scan(**run.params.scan), settings, files, on_bad_scan=run.params.on_bad_scan)
