"""Scan one virtual patient in one style and write it as DICOM (rule scan_patient)."""

from pathlib import Path

from ctstyle.cohorts.phantom.patient import Patient
from ctstyle.cohorts.phantom.settings import PhantomSettings
from ctstyle.cohorts.scanner import write_scan
from ctstyle.job import job
from ctstyle.settings import build

if __name__ == "__main__":
    with job(snakemake) as run:
        settings = build(PhantomSettings, run.params.phantom)
        patient = Patient.load(Path(run.input.patient))
        write_scan(Path(run.output.scan), settings, patient, run.wildcards.scanner)
