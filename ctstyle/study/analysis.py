"""Settings of what follows the transfer: made slices, exports, U-Nets, measures and the paper's statistics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from ctstyle.study.arms import ARMS, exported_arms
from ctstyle.study.settings import ACCUMULATE, Number, OneOf, Unique, Whole, fault, having, key, section

Seeds = Annotated[tuple[Annotated[Whole, Field(ge=0)], ...], Field(min_length=1), Unique]
QUICK_ARMS = tuple(arm for arm in ARMS if arm not in ("convolution", "mixstyle", "cyclegan", "ours_intensity"))
"""The arms of the quick run; the others cost as much and answer less."""
Share = Annotated[Number, Field(ge=0, le=1)]


@section
class GuardSettings:
    """Limits that a generated slice must keep, so that its content's mask still fits; each has a neutral value.

    The structure limit comes from real slices at 96 px: blobs of the right histogram score 0.2 to 0.36, another slice
    of the same patient 0.1 to 0.3, the slice itself under a Gaussian of 3 px 0.39 to 0.57. Neighbouring slices of one
    real scan are 20 to 35 HU apart at 15 to 30 mm.
    """

    min_deviation_hu: Number = key(10, "Least deviation of HU inside the body (0 off)", ge=0)
    min_body_iou: Number = key(0.8, "Least IoU of the body outlines of generated and content slice (0 off)", ge=0, le=1)
    min_gradient_ssim: Number = key(0.4, "Least structure score inside the body (-1 off)", ge=-1, le=1)
    max_style_ratio: Number = key(
        1.0, "Most of the content's histogram distance to the style (Wasserstein) that may remain", gt=0
    )
    style_floor_hu: Number = key(30, "Distance to the style in HU that is near enough whatever it was before", ge=0)


@section
class FourierSettings:
    """Fourier amplitude swap of the arm `fourier`."""

    beta: Number = key(
        0.05,
        "Frequencies below this, in cycles per pixel, take the style's amplitude (0: none, above 0.5: all); its "
        "paper has 0.01 to 0.09",
        ge=0,
        le=1,
    )


@section
class AugmentSettings:
    """How labelled slices are made in other grey scales, and how contents meet styles."""

    per_content: Number = key(
        1, "Generated slices per content slice and target style; 0.5 paints half of the pairs, drawn by lot", gt=0
    )
    targets: Annotated[Whole, Field(ge=1)] | None = key(
        None, "Only the first so many target styles, with as many slices as for all of them (null: all)"
    )
    pairing: Literal["level", "random"] = key(
        "level", "Style slices of the nearest vertebral level or any of the style"
    )
    alpha: Number = key(1.0, "How much of the target's style is taken", ge=0, le=1)
    batch: Whole = key(16, "Slices made at a time", ge=1)
    guard: GuardSettings = key(GuardSettings(), "The rejection guard: limits that a generated slice must keep")
    fourier: FourierSettings = key(FourierSettings(), "The arm fourier")


@section
class ExportSettings:
    """The made slices with their masks for other tools, one zip per format, arm and seed in results/exports."""

    formats: Annotated[tuple[Literal["nnunet", "monai", "dicom"], ...], Unique] = key(
        (), "Layouts: nnunet, monai, dicom (empty: none)"
    )
    arms: Annotated[tuple[Annotated[str, OneOf(exported_arms())], ...], Field(min_length=1), Unique] = key(
        ("ours",), "Whose made slices are exported, one archive each"
    )
    originals: bool = key(True, "With the labelled training slices of the source style")
    labels: Literal["foreground", "levels"] = key(
        "foreground", "One class for all vertebrae or one for each level; a DICOM-SEG has a segment per vertebra"
    )
    first_dataset: Whole = key(501, "nnU-Net's number of the first arm and seed", ge=1, le=900)


@dataclass(frozen=True)
class UNet:
    """A U-Net variant: arguments of MONAI's UNet by keys of the settings (`keys`), and those that are fixed."""

    keys: Mapping[str, str]
    fixed: Mapping[str, Any] = field(default_factory=dict)


UNETS = {
    "residual": UNet(
        {name: name for name in ("channels", "strides", "norm", "dropout")} | {"num_res_units": "residual_units"}
    ),
}


@section
class UNetSettings:
    """The U-Net of every arm. The default halves the slice four times: 1.6 M parameters."""

    variant: Annotated[str, OneOf(UNETS)] = key("residual", "The network: residual (MONAI's U-Net of residual units)")

    channels: Annotated[tuple[Annotated[Whole, Field(ge=1)], ...], Field(min_length=2)] = key(
        (16, 32, 64, 128, 256), "Width of each level"
    )
    strides: Annotated[tuple[Annotated[Whole, Field(ge=1)], ...], Field(min_length=1)] = key(
        (2, 2, 2, 2), "Stride between levels, one less than levels"
    )
    residual_units: Whole = key(2, "Convolutions in each residual unit on the way down", ge=1, le=100)
    norm: Literal["none", "instance"] = key(
        "none", "none (the original U-Net) or instance, which removes much of what a grey-scale style is"
    )
    dropout: Number = key(0.0, "Dropout", ge=0, le=0.9)

    @model_validator(mode="after")
    def _check(self) -> "UNetSettings":
        if len(self.strides) != len(self.channels) - 1:
            raise fault("one stride less than channels")
        return self

    @property
    def multiple(self) -> int:
        """Height and width of a slice must be a multiple of this, so that both ends of every skip fit."""
        product = 1
        for stride in self.strides:
            product *= stride
        return product


@section
class GeometrySettings:
    """Geometric augmentation of every arm; grey values are never touched. Zeros switch each off."""

    rotation_deg: Number = key(15, "Rotation in +- degrees", ge=0)
    scale: Number = key(0.15, "Zoom in 1 +- this", ge=0, le=0.9)
    shift: Number = key(0.08, "Shift in +- this share of the side", ge=0, le=0.5)
    flip: Number = key(0.5, "Probability of a left-right flip", ge=0, le=1)
    elastic_px: Number = key(1.0, "Deviation of the elastic displacement in pixels", ge=0)
    elastic_step_px: Whole = key(24, "Distance of its control points in pixels", ge=4)


@section
class SegmentSettings:
    """How every arm's U-Net is trained. Only the arms that are named for it change grey values."""

    steps: Whole = key(400, "Optimiser steps, the same for every arm", ge=1)
    batch: Whole = key(8, "Slices a step", ge=2)
    accumulate: Whole = key(1, ACCUMULATE, ge=1)
    learning_rate: Number = key(0.004, "Learning rate of AdamW", gt=0)
    weight_decay: Number = key(0.0001, "Weight decay of AdamW", ge=0)
    schedule: Literal["cosine", "constant"] = key("cosine", "Course of the learning rate")
    validate_every: Whole = key(100, "Steps between scores on the validation patients", ge=1)
    unet: UNetSettings = key(UNetSettings(), "The network")
    geometry: GeometrySettings = key(
        GeometrySettings(), "Geometric augmentation of every arm; grey values are never touched"
    )


@section
class Change:
    """One change of a slice."""

    probability: Annotated[Share, Field(description="Share of the slices")]
    range: Annotated[
        Annotated[tuple[Annotated[Number, Field(ge=0)], Annotated[Number, Field(ge=0)]], Field()],
        Field(description="Least and greatest strength"),
    ]


@section
class IntensitySettings:
    """The arms with nnU-Net's intensity augmentation, anew for every batch (Isensee et al. 2021, version 2's values).

    nnU-Net blurs and coarsens half of the channels that it chose; with one channel that is half the probability.
    """

    noise: Change = key(Change(0.1, (0, 0.1)), "White noise, in deviations of the slice")
    blur: Change = key(Change(0.1, (0.5, 1)), "Gaussian blur, sigma in pixels; nnU-Net: 0.2, for half of the channels")
    brightness: Change = key(Change(0.15, (0.75, 1.25)), "Factor of the values, below 1 half of the time")
    contrast: Change = key(Change(0.15, (0.75, 1.25)), "Factor about the mean, below 1 half of the time")
    low_resolution: Change = key(
        Change(0.125, (0.5, 1)), "Factor of the sampling; nnU-Net: 0.25, for half of the channels"
    )
    inverted_gamma: Change = key(Change(0.1, (0.7, 1.5)), "Exponent of the negative, below 1 half of the time")
    gamma: Change = key(Change(0.3, (0.7, 1.5)), "Exponent, below 1 half of the time")


def _odd(sides: tuple[int, ...]) -> tuple[int, ...]:
    if any(side % 2 == 0 for side in sides):
        raise fault("odd sides in pixels, at least one")
    return sides


@section
class ConvolutionSettings:
    """Random convolutions of the arm `convolution` (GIN's values): a random network per slice, mixed with the slice."""

    layers: Whole = key(4, "Convolutions one after another", ge=1)
    channels: Whole = key(2, "Channels between them", ge=1)
    kernels: Annotated[tuple[Annotated[Whole, Field(ge=1)], ...], Field(min_length=1), AfterValidator(_odd)] = key(
        (1, 3), "Odd sides in pixels that a layer draws its kernel from"
    )


@section
class MixStyleSettings:
    """MixStyle of the arm `mixstyle`: statistics of its first levels mixed within a batch (Zhou et al. 2021)."""

    probability: Number = key(0.5, "Share of the batches that a level mixes", ge=0, le=1)
    alpha: Number = key(0.1, "Both parameters of the beta distribution of the share kept", gt=0)
    levels: Whole = key(2, "Levels of the U-Net that mix, from the first", ge=1)


@section
class SegmentSection:
    """The U-Nets of Table 2."""

    arms: Annotated[tuple[Annotated[str, OneOf(ARMS)], ...], Field(min_length=1), Unique, having("plain")] = key(
        QUICK_ARMS,
        "Rows of Table 2, in the order of ctstyle/study/arms.py whatever the order here. plain: no augmentation. "
        "What a user has for nothing: intensity (nnU-Net's augmentation), convolution (random convolutions), "
        "mixstyle (MixStyle in the U-Net), instance (its norm). Added slices without a network: noise "
        "(structureless, the right histogram), histogram (matching), fourier (amplitude swap). With one: adain, "
        "contextual, cyclegan, ours; ours_intensity has both. Not rivals: transductive (ours, styles from the test "
        "scans of `lending`) and oracle (labelled slices of all styles)",
    )
    seeds: Seeds | None = key(
        (0, 1, 2),
        "Seeds of the U-Nets, beginning with the run's `seeds` (null: just those). With one seed there is no "
        "interval, and with two it can be three times as wide as with three. U-Nets beyond the run's `seeds` take "
        "the generators' slices in turn",
    )
    training: SegmentSettings = key(SegmentSettings(), "The same for every arm")
    intensity: IntensitySettings = key(
        IntensitySettings(),
        "The arms intensity and ours_intensity, anew for every batch: probability per slice, range of the strength",
    )
    convolution: ConvolutionSettings = key(
        ConvolutionSettings(), "The arm convolution: a random network per slice (GIN's values)"
    )
    mixstyle: MixStyleSettings = key(
        MixStyleSettings(), "The arm mixstyle: statistics of the U-Net's first levels mixed within a batch"
    )


@section
class ClassifierSettings:
    """The grey-scale classifier behind CIS (Inception-v3)."""

    weights: Literal["scratch", "imagenet"] = key(
        "scratch", "All of it trained on this run's slices, or ImageNet's with a new head"
    )
    steps: Whole = key(100, "Training steps", ge=1)
    batch: Whole = key(8, "Slices a step; batch norm needs two values per channel", ge=2)
    learning_rate: Number = key(0.001, "Learning rate", gt=0)
    weight_decay: Number = key(0.0001, "Weight decay", ge=0)
    size_px: Whole = key(0, "Side that the slices are brought to, 75 or more (0: their own, 299 with imagenet)", ge=0)
    shift_px: Whole = key(4, "Largest random shift in pixels, for scratch alone", ge=0)


@section
class MetricSettings:
    """What is measured with a network."""

    lpips_trunk: Literal["hed", "imagenet"] = key(
        "hed", "VGG16 trunk of LPIPS: HED's convolutions (an approximation, named in the table) or ImageNet's"
    )
    classifier: ClassifierSettings = key(
        ClassifierSettings(), "Inception-v3 behind CIS, trained to classify the grey scales"
    )


@section
class Intervals:
    """Intervals over seeds and patients, and tests at the level 1 - confidence (docs/statistics.md)."""

    replicates: Whole = key(
        2000,
        "Simulated data sets behind the printed coverage, and random sign flips where not all can be tried",
        ge=100,
    )
    seed: Whole = key(0, "Seed of both", ge=0)
    confidence: Number = key(0.95, "Share of intervals that shall hold the truth", ge=0.5, lt=1)


@section
class PaperSettings:
    """The paper's statistics."""

    intervals: Intervals = key(Intervals(), "Intervals and tests (docs/statistics.md)")
    margin_points: Number = key(
        3,
        "Points of foreground IoU that an arm may lose in style and still count as no worse than the plain U-Net. Our "
        "choice, no clinical limit",
        gt=0,
    )
