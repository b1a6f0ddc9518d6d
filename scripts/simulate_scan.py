"""Draw one virtual patient, scan it in one style, write it as DICOM and cut it into slices (rule simulate_scan)."""

from pathlib import Path

from ctstyle.cohorts.phantom.patient import make_patient
from ctstyle.cohorts.phantom.scanner import beam_of, load_beams, write_scan
from ctstyle.cohorts.sheet import Scan
from ctstyle.run.job import job
from ctstyle.slices.archive import ScanFiles
from ctstyle.slices.cut import slice_scan
from ctstyle.study.data import PhantomSettings, SliceSettings
from ctstyle.study.settings import build

if __name__ == "__main__":
    with job(snakemake) as run:
        phantom, slices = build(PhantomSettings, run.params.phantom), build(SliceSettings, run.params.slices)
        style = run.wildcards.scanner
        beam = beam_of(load_beams(Path(run.input.beams)), phantom.style(style).kvp)
        write_scan(Path(run.output.scan), phantom, make_patient(phantom, run.wildcards.patient), style, beam)
        files = ScanFiles(**{name: Path(run.output[name]) for name in ("hu", "labels", "rows", "about")})
        slice_scan(Scan(**run.params.scan), slices, files, on_bad_scan=run.params.on_bad_scan)
