"""Draw one virtual patient and project it (rule make_patient)."""

from pathlib import Path

from ctstyle.cohorts.phantom.patient import make_patient
from ctstyle.run.job import job
from ctstyle.study.data import PhantomSettings
from ctstyle.study.settings import build

if __name__ == "__main__":
    with job(snakemake) as run:
        settings = build(PhantomSettings, run.params.phantom)
        make_patient(settings, run.wildcards.patient).save(Path(run.output.patient))
