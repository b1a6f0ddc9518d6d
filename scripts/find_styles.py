"""Find the grey-scale styles and split the patients (rule find_styles)."""

import logging

import pandas as pd

from ctstyle.run.job import job
from ctstyle.slices.archive import Archive
from ctstyle.slices.find import find_styles
from ctstyle.slices.window import Window
from ctstyle.study.data import ClusterSettings, RegionSettings, SplitSettings
from ctstyle.study.settings import build

if __name__ == "__main__":
    with job(snakemake) as run:
        found = find_styles(
            Archive.open(path for path in run.input.slices if path.endswith(".hu.npy")),
            pd.DataFrame(run.params.scans),
            clustering=build(ClusterSettings, run.params.styles),
            splitting=build(SplitSettings, run.params.split),
            lending=build(RegionSettings, run.params.lending),
            window=Window(*run.params.window_hu),
            must_lend=run.params.must_lend,
        )
        logging.info("styles agree with the sheet's hints: adjusted Rand index %.3f", found.agreement)
        found.styles.to_csv(run.output.styles, sep="\t", index=False, float_format="%.6g")
        found.split.to_csv(run.output.split, sep="\t", index=False)
