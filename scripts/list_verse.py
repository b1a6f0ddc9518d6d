"""Write the table of scans that pins this collection (rule list_verse)."""

from pathlib import Path

from ctstyle.cohorts import verse
from ctstyle.run.job import job
from ctstyle.study.settings import build

if __name__ == "__main__":
    with job(snakemake) as run:
        verse.list_scans(build(verse.VerseSettings, run.params.verse), Path(run.output.scans))
