"""Write the page on which encoder, loss and augmentation are chosen (rule write_viewer)."""

from pathlib import Path

from ctstyle.paper.drawing import look_of
from ctstyle.paper.inputs import read_arrays, read_frames
from ctstyle.paper.segmentations import segmentation_examples
from ctstyle.paper.transfers import transfer_examples
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
            read_arrays(keys, run.input.hu),
            dict(zip(keys, read_frames(run.input.rows))),
        )
        predictions = read_arrays(run.params.arms, run.input.predictions)
        (split,) = read_frames([run.input.split])
        segmentations = segmentation_examples(archive.select(side="test"), split, predictions)
        page = viewer(outputs, segmentations, look_of(run.params.slices), lineage=run.fingerprint)
        write_whole(Path(run.output.page), page)
