"""Train the generator of one model (rule train_transfer)."""

from pathlib import Path

from ctstyle.provenance.code import load
from ctstyle.run.job import job

if __name__ == "__main__":
    train = load(snakemake.params.place)
    with job(snakemake) as run:
        model, about, history = train(run)
        model.save(Path(run.output.generator), **about)
        history.to_csv(run.output.history, sep="\t", index=False, float_format="%.8g")
        run.write_cost(run.output.cost, steps=len(history), seconds_per_step=history.attrs["seconds_per_step"])
