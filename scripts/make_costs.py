"""Make the table of what trainings and outputs cost (rule make_costs)."""

from pathlib import Path

from ctstyle.paper.captions import costs_notes
from ctstyle.paper.costs import costs
from ctstyle.paper.write import write_table
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        models = {name: {"output": path} for name, path in zip(run.params.models, run.input.outputs)}
        for name, path in zip(run.params.trained, run.input.trainings):
            models[name]["training"] = path
        table = costs(models, zip(run.params.compared, run.input.compared), run.input.warm_up[0])
        write_table(table, Path(run.output.csv).with_suffix(""), costs_notes(table), lineage=run.fingerprint)
