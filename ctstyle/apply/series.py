"""One call of `snakemake stylize`: read the scan, stylise it, write it in its own format with all that is known of it.

Neither the name nor an identifying tag of the content goes anywhere: what is written bears a pseudonym that follows
from the voxels.
"""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctstyle.apply.picture import picture
from ctstyle.apply.volume import Statistics, Stylised, stylise_volume, volume_statistics
from ctstyle.ct.volume import Volume
from ctstyle.study.analysis import GuardSettings
from ctstyle.study.data import StylizeSettings
from ctstyle.transfer.bundle import Bundle

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where the parts go: the `series` (a folder for DICOM), rows, facts and the picture; `mask` only for a file."""

    series: Path
    rows: Path
    about: Path
    picture: Path
    mask: Path | None = None


def stylize_series(
    bundle: Bundle,
    content: Path,
    outputs: Outputs,
    *,
    style: str,
    style_series: Path | None,
    mask: Path | None,
    settings: StylizeSettings,
    guard: GuardSettings,
    lineage: str = "",
) -> Stylised:
    """Read `content` (and `mask`), stylise it, and write everything. Returns what was made.

    `style` names a style of the bundle; where it is empty, `style_series` is the CT whose style is taken.
    """
    # pydicom and SimpleITK stay out of the processes that only plan
    from ctstyle.ct.mask import read_mask

    volume = _read(content, bundle)
    labels = read_mask(mask, volume, settings.label_map) if mask else None
    statistics = _statistics(bundle, style, style_series)
    made = stylise_volume(
        volume,
        bundle,
        statistics,
        alpha=settings.alpha,
        guard=guard,
        put_back=settings.flagged == "original",
    )
    about = _about(bundle, volume, made, style=style, settings=settings)
    _tell(made)
    _write_series(outputs, made.volume, labels, about)
    made.rows.to_csv(outputs.rows, sep="\t", index=False, lineterminator="\n")
    outputs.about.write_text(json.dumps(about, indent=1, sort_keys=True) + "\n")
    title = f"{about['name']} as {about['style']}, alpha {settings.alpha:g}"
    figure = picture(volume, made.volume, bundle.slices, title)
    figure.savefig(outputs.picture, dpi=150, metadata={"Software": None, "Lineage": lineage or None})
    return made


def _read(path: Path, bundle: Bundle) -> Volume:
    from ctstyle.ct.read import read_volume

    settings = bundle.slices
    volume = read_volume(path, grey_values=settings.grey_values, window_hu=settings.window_hu)
    if volume.grey_values == "display":
        log.warning("a display export: its grey values were laid onto the window %s HU", list(settings.window_hu))
    return volume


def _statistics(bundle: Bundle, style: str, series: Path | None) -> Statistics:
    if series is None:
        known = bundle.styles[style]
        return known.mean, known.deviation
    return volume_statistics(bundle, _read(series, bundle))


def _about(bundle: Bundle, volume: Volume, made: Stylised, *, style: str, settings: StylizeSettings) -> dict:
    pseudonym = hashlib.sha256(np.ascontiguousarray(volume.hu).tobytes()).hexdigest()[:8]
    hint = bundle.styles[style].hint if style else ""
    told = (f"{style} ({hint})" if hint else style) or "the style of another scan"
    return {
        "name": f"ct-{pseudonym}",
        "style": told,
        "alpha": settings.alpha,
        "model": bundle.model,
        "encoder": bundle.generator.encoder.spec.name,
        "encoder_weights": bundle.weights["true_name"],
        "slices": len(made.rows),
        "flagged": int(made.rows["flagged"].sum()),
        "put_back": int((made.rows["written"] == "original").sum()),
        "flicker": {key: _rounded(values) for key, values in made.flicker.items()},
    }


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in values.items()}


def _tell(made: Stylised) -> None:
    """The log's summary, and a line for every flagged slice."""
    for row in made.rows[made.rows["flagged"] == 1].itertuples():
        log.warning(
            "slice %d at %.1f mm flagged: %s (gradient SSIM %.2f, body IoU %.2f), written %s",
            *(row.index, row.position_mm, row.reason, row.gradient_ssim, row.body_iou, row.written),
        )
    log.info("guard: %d of %d slices flagged", made.rows["flagged"].sum(), len(made.rows))
    for name, one in made.flicker.items():
        kept = "used" if name == "volume" else "for comparison"
        told = [one[key] for key in ("change_hu", "flicker_hu", "flicker", "step_hu")]
        log.info(
            "statistics per %s (%s): change %.1f HU, flicker %.1f HU (%.2f of it), steps %.1f HU", name, kept, *told
        )
    log.info("%.2f seconds per slice", made.seconds_per_slice)


def _write_series(outputs: Outputs, volume: Volume, labels: np.ndarray | None, about: Mapping) -> None:
    import SimpleITK

    from ctstyle.ct.write import write_derived

    if outputs.series.name.endswith((".nii", ".nii.gz", ".nrrd", ".mha")):
        SimpleITK.WriteImage(volume.to_sitk(), str(outputs.series), useCompression=True)
        if labels is not None:
            SimpleITK.WriteImage(volume.grid.to_sitk(labels), str(outputs.mask), useCompression=True)
        return
    told = f"Grey-scale style transfer by ctstyle ({about['model']}, {about['encoder']}) to {about['style']}"
    write_derived(
        outputs.series,
        dataclasses.replace(volume, acquisition={k: v for k, v in volume.acquisition.items() if k in _KEPT}),
        patient=about["name"],
        name=f"{about['name']}-{about['style']}",
        description=f"{told}, alpha {about['alpha']:g}",
        labels=labels,
    )


_KEPT = ("slice_thickness_mm", "contrast")
"""What of the acquisition still holds of a stylised scan: its tube voltage and kernel are those of no scanner."""
