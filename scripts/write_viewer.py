"""Write the page on which encoder, loss and augmentation are chosen (rule write_viewer)."""

from pathlib import Path

import numpy as np

from ctstyle.paper.examples import segmentation_examples, transfer_examples
from ctstyle.paper.inputs import look, read_frames
from ctstyle.paper.viewer import viewer
from ctstyle.provenance.record import write_whole
from ctstyle.run.job import job
from ctstyle.slices.run import open_run

if __name__ == "__main__":
    with job(snakemake) as run:
        archive = open_run(run.input.slices, run.input.split)
        keys = [f"{one['encoder']} {one['model']}" for one in run.params.trainings]
        outputs = transfer_examples(
            archive.at_size(run.params.size_px),
            dict(zip(keys, map(np.load, run.input.hu))),
            dict(zip(keys, read_frames(run.input.rows))),
        )
        predictions = dict(zip(run.params.arms, map(np.load, run.input.predictions)))
        (split,) = read_frames([run.input.split])
        segmentations = segmentation_examples(archive.select(side="test"), split, predictions)
        page = viewer(outputs, segmentations, look(run.params.slices), lineage=run.fingerprint)
        write_whole(Path(run.output.page), page)
