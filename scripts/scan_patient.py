"""Scan one virtual patient in one style and write it as DICOM (rule scan_patient)."""

from pathlib import Path

from ctstyle.cohorts.phantom.patient import Patient
from ctstyle.cohorts.phantom.scanner import beam_of, load_beams, write_scan
from ctstyle.run.job import job
from ctstyle.study.data import PhantomSettings
from ctstyle.study.settings import build

if __name__ == "__main__":
    with job(snakemake) as run:
        settings = build(PhantomSettings, run.params.phantom)
        patient = Patient.load(Path(run.input.patient))
        style = run.wildcards.scanner
        beam = beam_of(load_beams(Path(run.input.beams)), settings.style(style).kvp)
        write_scan(Path(run.output.scan), settings, patient, style, beam)
