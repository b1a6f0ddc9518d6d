"""Measure the beams of the virtual scanner's tube voltages (rule measure_beams)."""

from pathlib import Path

from ctstyle.cohorts.phantom.scanner import save_beams
from ctstyle.run.job import job
from ctstyle.study.data import PhantomSettings
from ctstyle.study.settings import build

if __name__ == "__main__":
    with job(snakemake) as run:
        scanners = build(PhantomSettings, run.params.phantom).scanners
        save_beams(Path(run.output.beams), (style.kvp for style in scanners.values()))
