"""Print the paper as one PDF (rule print_paper)."""

import json
from pathlib import Path

from ctstyle.paper.document import read_parts, write_paper
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        parts = read_parts(
            tables=run.input.tables,
            figures=[*run.input.figures, run.input.layers],
            weights=run.input.weights,
            trunk=run.input.trunk,
            config=run.params.config,
            facts=run.params.facts,
            answer=Path(run.input.answer).read_text(encoding="utf-8"),
            root_digest=json.loads(Path(run.input.root).read_text())["root"],
        )
        write_paper(parts, run.output.pdf, run.output.typ)
