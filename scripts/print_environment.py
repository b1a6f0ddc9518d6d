"""Print the environment and the config of a run as one page (rule print_environment)."""

from pathlib import Path

from ctstyle.paper.environment import environment, to_html
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        page = to_html(environment(run.params.config))
        Path(run.output.html).write_text(page, encoding="utf-8")
