"""Write the table of scans that pins this collection (rule list_totalsegmentator)."""

from pathlib import Path

from ctstyle.cohorts import totalsegmentator
from ctstyle.run.job import job
from ctstyle.study.settings import build

if __name__ == "__main__":
    with job(snakemake) as run:
        totalsegmentator.list_scans(
            build(totalsegmentator.TotalSegmentatorSettings, run.params.totalsegmentator), Path(run.output.scans)
        )
