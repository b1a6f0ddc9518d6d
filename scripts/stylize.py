"""Carry a scan into another grey scale with a trained generator (rule stylize)."""

from pathlib import Path

from ctstyle.apply.series import Outputs, stylize_series
from ctstyle.run.job import job
from ctstyle.run.places import replacing
from ctstyle.study.analysis import GuardSettings
from ctstyle.study.data import StylizeSettings
from ctstyle.study.settings import build
from ctstyle.transfer.bundle import Bundle

if __name__ == "__main__":
    with job(snakemake) as run:
        folder = Path(run.output.about).parent
        new, put_in = run.until_recorded.enter_context(replacing(folder))
        declared = {name: Path(path) for name, path in run.output.items() if name != "record"}
        outputs = {"series": new / "dicom"} | {name: new / path.name for name, path in declared.items()}
        style, mask = run.input.get("style"), run.input.get("mask")
        stylize_series(
            Bundle.load(Path(run.input.model), run.device),
            Path(run.input.content),
            Outputs(**outputs),
            style=run.params.style,
            style_series=Path(style) if style else None,
            mask=Path(mask) if mask else None,
            settings=build(StylizeSettings, run.params.stylize),
            guard=build(GuardSettings, run.params.guard),
            lineage=run.fingerprint,
        )
        run.undeclared["dicom"] = sorted(set(put_in()) - set(declared.values()))
