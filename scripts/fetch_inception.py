"""Fetch torchvision's ImageNet weights of Inception-v3 (rule fetch_inception)."""

from pathlib import Path

from ctstyle.encoders.weights import inception
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        inception(folder=Path(run.output.weights).parent, path=Path(run.output.weights))
