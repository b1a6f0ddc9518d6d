"""Choose the taps of the losses from the layer description (rule choose_taps)."""

import logging
from pathlib import Path

import pandas as pd

from ctstyle.encoders.plan import choose_taps
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        lists = choose_taps(pd.read_csv(run.input.layers, sep="\t"), content_by=run.params.content_by)
        logging.info("%s", lists)
        lists.save(Path(run.output.taps))
