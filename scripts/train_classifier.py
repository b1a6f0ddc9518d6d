"""Train the grey-scale classifier that CIS needs (rule train_classifier)."""

import json
import logging
from pathlib import Path

from ctstyle.encoders.weights import INCEPTION
from ctstyle.measures.classifier import classifier_sides, train_classifier
from ctstyle.run.job import job
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window
from ctstyle.study.analysis import ClassifierSettings
from ctstyle.study.settings import build

if __name__ == "__main__":
    with job(snakemake) as run:
        archive, window = open_run(run.input.slices, run.input.split), Window(*run.params.window_hu)
        training, heldout = classifier_sides(archive, window)
        trunk = run.input.get("trunk")
        classifier, history = train_classifier(
            training,
            heldout,
            build(ClassifierSettings, run.params.classifier),
            seed=run.seed,
            trunk_state=INCEPTION.load(trunk)[0] if trunk else None,
            checkpoint=run.checkpoint,
            device=run.device,
        )
        about = classifier.about()
        logging.info("held-out patients: %s", about)
        classifier.save(Path(run.output.classifier))
        Path(run.output.about).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        history.to_csv(run.output.history, sep="\t", index=False, float_format="%.8g")
