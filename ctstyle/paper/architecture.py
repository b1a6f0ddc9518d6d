"""Figures 1 to 3, the networks: the whole system, the style-transfer network, the U-Net.

Every name, channel, stride, size and parameter count is read from the modules (`ctstyle.paper.networks`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse, FancyArrowPatch, Rectangle

from ctstyle.measures.columns import PaperInputError
from ctstyle.paper.drawing import OKABE_ITO, Look, Sheet, drawing, look_of
from ctstyle.paper.networks import Level, count, decoder_of, decoder_stages, encoder_facts, unet_levels
from ctstyle.segment.unet import CLASSES, build_unet
from ctstyle.study.analysis import UNetSettings
from ctstyle.study.encoders import encoder_spec
from ctstyle.study.settings import build

PRINT = 6.5
"""Points of the smallest text: legible at the width of a page."""


LINE = 3.2
"""Millimetres from one line of such text to the next."""


# Fills are light, so that black text on them keeps its contrast; frozen and trained differ in the edge too.
FROZEN = {"facecolor": "#DCE9F2", "edgecolor": OKABE_ITO["blue"], "linestyle": (0, (3, 1.5))}


TRAINED = {"facecolor": "#FBE9C6", "edgecolor": OKABE_ITO["vermillion"], "linestyle": "-"}


LOSS = {"facecolor": "#DDF1EA", "edgecolor": OKABE_ITO["green"], "linestyle": "-"}


PLAIN = {"facecolor": "#F2F2F2", "edgecolor": "#555555", "linestyle": "-"}


# Air, soft tissue, bone of the drawn slices: one source grey scale, three others.
GREYS = ((0.05, 0.45, 0.95), (0.05, 0.62, 0.75), (0.05, 0.28, 1.0), (0.30, 0.50, 0.70))


# Body, two facets and spinous process of a drawn vertebra: centre and axes in shares of the slice.
VERTEBRA = ((0.0, 0.02, 0.24, 0.18), (-0.13, 0.13, 0.12, 0.06), (0.13, 0.13, 0.12, 0.06), (0.0, 0.2, 0.05, 0.14))


MARKS = {"A": OKABE_ITO["blue"], "C": OKABE_ITO["vermillion"], "S": "#00664B"}


def draw_figure1(_: Any, settings: Mapping[str, Any]) -> Figure:
    """Figure 1 from the config."""
    unet = build(UNetSettings, settings["unet"])
    return figure1(settings["encoder"], stride=settings["stride"], unet=unet, **_page(settings))


def draw_figure2(_: Any, settings: Mapping[str, Any]) -> Figure:
    """Figure 2 from the config."""
    taps = {name: settings[name] for name in ("content_taps", "style_taps")}
    return figure2(settings["encoder"], stride=settings["stride"], **taps, **_page(settings))


def draw_figure3(_: Any, settings: Mapping[str, Any]) -> Figure:
    """Figure 3 from the config."""
    return figure3(build(UNetSettings, settings["unet"]), **_page(settings))


def _page(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"size_px": settings["slices"]["size_px"], "look": look_of(settings["slices"])}


def figure1(encoder: str, *, stride: int, unet: UNetSettings, size_px: int, look: Look) -> Figure:
    """Figure 1, the whole system: labelled slices X take the grey scale of slices Y and train a U-Net beside X.

    `stride` is that of the AdaIN tap, `size_px` the side of a slice; the networks' parameters are counted.
    """
    facts = encoder_facts(encoder, stride=stride, taps=(), size_px=size_px)
    segmenter = count(build_unet(unet, seed=0))
    icon = 12.0
    with drawing():
        page = BoxPage(look, 83)
        wide, last = 0.29 * page.width, 0.27 * page.width
        middle, right = 0.36 * page.width, page.width - last - 2
        page.lines(2, 3, ("Style slices Y, no masks",), centre=False, weight="bold")
        page.lines(2, 28, ("Source slices X, with masks",), centre=False, weight="bold")
        page.lines(right, 3, ("Generated slices G",), centre=False, weight="bold")
        for i, greys in enumerate(GREYS[1:]):
            page.slice(2 + i * (icon + 1.5), 7, icon, greys)
            page.slice(right + i * (icon + 1.5), 7, icon, greys, mask=True)
        page.slice(2, 32, icon, GREYS[0], mask=True)
        page.lines(
            right,
            21.5,
            ("anatomy and masks of X, grey scale", "of Y; slices that lost their structure", "are refused"),
            centre=False,
        )
        page.box(middle, 5, wide, 40, TRAINED)
        page.lines(middle + wide / 2, 7, ("Generator (Figure 2)",), weight="bold")
        page.box(middle + 2, 11.5, wide - 4, 9.5, FROZEN)
        page.lines(middle + wide / 2, 13.3, (f"encoder {encoder}, frozen", _parameters(facts.parameters_to_adain)))
        page.lines(
            middle + wide / 2,
            23.5,
            (
                f"AdaIN at {facts.adain.name}, stride {facts.adain.stride}",
                f"{facts.adain.channels} maps, {_px(facts.adain.size_px)}",
                "",
                "decoder, trained",
                _parameters(count(decoder_of(facts.adain))),
            ),
            pitch=3.8,
        )
        page.arrow((2 + 3 * icon + 4, 13), (middle - 0.3, 13))
        page.arrow((2 + icon + 1, 38), (middle - 0.3, 38))
        page.arrow((middle + wide + 0.3, 13), (right - 0.5, 13))
        # Back from right to left: what the segmentation network learns from, the network, its test.
        top, tall = 57.0, 19.0
        page.box(right, top, last, tall, PLAIN)
        page.lines(right + last / 2, top + 2, ("Training set",), weight="bold")
        page.lines(
            right + last / 2, top + 6.5, ("X and G with the masks of X,", "equal shares in every batch"), pitch=4
        )
        page.box(middle, top, wide, tall, TRAINED)
        page.lines(middle + wide / 2, top + 2, ("U-Net (Figure 3), trained",), weight="bold")
        network = (f"slice of {_px(size_px)}", f"to {CLASSES} classes", _parameters(segmenter))
        page.lines(middle + wide / 2, top + 6.5, network, pitch=4)
        page.box(2, top, middle - 12, tall, PLAIN)
        page.lines(2 + (middle - 12) / 2, top + 2, ("Test slices (Table 2)",), weight="bold")
        page.lines(2 + (middle - 12) / 2, top + 6.5, ("in the style of X", "in the other styles"), pitch=4)
        page.arrow((right + last * 0.6, 33.5), (right + last * 0.6, top - 0.3))
        page.arrow((2 + icon / 2, 44.6), (2 + icon / 2, 51), (right + 6, 51), (right + 6, top - 0.3))
        page.arrow((right - 0.3, top + tall / 2), (middle + wide + 0.3, top + tall / 2))
        page.arrow((middle - 0.3, top + tall / 2), (middle - 10 + 0.3, top + tall / 2))
        page.key(2, 79, (("frozen", FROZEN), ("trained here", TRAINED), ("data", PLAIN)))
    return page.figure


def figure2(
    encoder: str,
    *,
    stride: int,
    content_taps: Sequence[str] | None,
    style_taps: Sequence[str] | None,
    size_px: int,
    look: Look,
) -> Figure:
    """Figure 2, the style-transfer network: the frozen encoder with its taps, AdaIN, the decoder, and both losses.

    `stride` is that of the AdaIN tap; `content_taps` and `style_taps` None take the registry's lists, as the training
    does. Raises UnknownEncoder for an unknown encoder or tap, PaperInputError for a stride or size that does not fit.
    """
    spec = encoder_spec(encoder)
    content, style = tuple(content_taps or spec.content_taps), tuple(style_taps or spec.style_taps)
    facts = encoder_facts(encoder, stride=stride, taps=(*content, *style), size_px=size_px)
    marks = {"A": (facts.adain.name,), "C": content, "S": style}
    strides = sorted({level.stride for level in facts.levels})
    taps_of = {of: [level for level in facts.levels if level.stride == of] for of in strides}
    decoder = decoder_of(facts.adain)
    stages = decoder_stages(facts.adain)
    with drawing():
        page = BoxPage(look, 1)  # its height follows from what stands on it
        encoder_left, encoder_wide = 18.0, 0.435 * page.width
        adain_left, adain_wide = encoder_left + encoder_wide + 4, 21.0
        decoder_left = adain_left + adain_wide + 4
        decoder_wide = page.width - decoder_left - 2
        plates, texts = 21.5, 30.5
        most = max(2 * max(map(len, taps_of.values())) + 2, max(map(len, stages)))
        deepest = texts + LINE * (most + 1) + 1.5
        below = deepest + 9
        loss_tall = 3.5 + LINE * max(len(content) + 4, len(style) + 2)
        page.set_height(below + loss_tall + 12)
        page.lines(8, plates - 11.5, ("content X",))
        page.slice(2, plates - 8, 12, GREYS[0])
        page.lines(8, plates + 7.5, ("style Y",))
        page.slice(2, plates + 11, 12, GREYS[2])
        page.box(encoder_left, 2, encoder_wide, deepest - 2, FROZEN)
        page.lines(encoder_left + encoder_wide / 2, 3.5, (f"Encoder {encoder}, frozen",), weight="bold")
        counted = (
            f"{_parameters(facts.parameters_to_adain)} up to AdaIN's tap",
            f"{_parameters(facts.parameters)} up to the deepest tap",
        )
        page.lines(encoder_left + encoder_wide / 2, 3.5 + LINE, counted)
        column = encoder_wide / len(strides)
        for i, of in enumerate(strides):
            centre = encoder_left + column * (i + 0.5)
            page.plate(centre, plates, 4 + 2 * i, 15 * 0.72**i)
            first = taps_of[of][0]
            page.lines(centre, texts, (f"stride {of}", f"{first.channels} maps", f"at {first.size_px} px"))
            for j, tap in enumerate(taps_of[of]):
                top = texts + LINE * (3 + 2 * j)
                page.lines(centre, top + 0.3, (tap.name,), weight="bold")
                page.marks(centre, top + LINE + 1.3, [mark for mark, names in marks.items() if tap.name in names])
        page.box(adain_left, plates - 10, adain_wide, 20, PLAIN)
        page.lines(adain_left + adain_wide / 2, plates - 8.5, ("AdaIN",), weight="bold")
        at_tap = (f"at {facts.adain.name}", f"stride {facts.adain.stride}", f"{facts.adain.channels} maps")
        page.lines(adain_left + adain_wide / 2, plates - 4.8, (*at_tap, _px(facts.adain.size_px)), pitch=3.5)
        page.box(decoder_left, 2, decoder_wide, deepest - 2, TRAINED)
        page.lines(decoder_left + decoder_wide / 2, 3.5, ("Decoder, trained",), weight="bold")
        about = (_parameters(count(decoder)), "maps of each convolution:")
        page.lines(decoder_left + decoder_wide / 2, 3.5 + LINE, about)
        column = decoder_wide / len(stages)
        for i, stage in enumerate(stages):
            centre, back = decoder_left + column * (i + 0.5), len(stages) - 1 - i
            page.plate(centre, plates, 3 + 1.2 * back, 15 * 0.72**back)
            page.lines(centre, texts, (f"{stage[0].size_px} px", *(str(level.channels) for level in stage)))
        page.arrow((14.5, plates - 2), (encoder_left - 0.3, plates - 2))
        page.arrow((14.5, plates + 17), (encoder_left - 0.3, plates + 17))
        page.arrow((encoder_left + encoder_wide + 0.3, plates), (adain_left - 0.3, plates))
        page.arrow((adain_left + adain_wide + 0.3, plates), (decoder_left - 0.3, plates))
        # The losses: G through the same encoder, against the maps of X and of Y, or against what AdaIN made.
        middle = below + loss_tall / 2
        image, again_wide = page.width - 14, 27.0
        again = image - 5 - again_wide
        loss_wide = (again - 5 - 2 - 4) / 2
        page.slice(image, middle - 6, 12, GREYS[2])
        page.lines(image + 6, middle + 6.8, ("output G",))
        page.arrow((image + 6, deepest + 0.3), (image + 6, middle - 6.3))
        page.box(again, below, again_wide, loss_tall, FROZEN)
        page.lines(again + again_wide / 2, middle - LINE, ("the same encoder,", "frozen"))
        page.arrow((image - 0.5, middle), (again + again_wide + 0.3, middle))
        style_lines = ("mean and deviation, G and Y:", *(_listed(facts.level(tap)) for tap in style))
        content_lines = ("Ours, contextual, G and X:", *(_listed(facts.level(tap)) for tap in content))
        content_lines += ("AdaIN synthesis, MSE, G and AdaIN:", _listed(facts.adain))
        for mark, title, lines, left in (
            ("S", "Style loss", style_lines, 2.0),
            ("C", "Content loss", content_lines, 6.0 + loss_wide),
        ):
            page.box(left, below, loss_wide, loss_tall, LOSS)
            page.lines(left + loss_wide / 2, below + 1.5, (title,), weight="bold")
            page.lines(left + loss_wide / 2, below + 1.8 + LINE, lines)
            page.marks(left + loss_wide - 3, below + 3, [mark])
        from_style, from_content = 2 + 0.65 * loss_wide, encoder_left + encoder_wide - 6
        page.arrow((from_style, deepest + 0.3), (from_style, below - 0.3))
        page.lines(from_style + 1.5, deepest + 3, ("maps of Y",), centre=False)
        page.arrow((from_content, deepest + 0.3), (from_content, below - 0.3))
        page.lines(from_content - 15, deepest + 3, ("maps of X",), centre=False)
        from_adain = adain_left + adain_wide / 2
        page.arrow((from_adain, plates + 10.3), (from_adain, below - 0.3))
        page.arrow((again - 0.3, middle), (again - 4.7, middle))
        under = below + loss_tall + 2.5
        page.arrow(
            (again + again_wide / 2, below + loss_tall + 0.3),
            (again + again_wide / 2, under),
            (2 + loss_wide / 2, under),
            (2 + loss_wide / 2, below + loss_tall + 0.3),
        )
        entries = (("frozen", FROZEN), ("trained here", TRAINED), ("no parameters", PLAIN), ("loss", LOSS))
        left = page.key(2, under + 5, entries)
        for mark, meaning in (("A", "AdaIN's tap"), ("C", "content taps"), ("S", "style taps")):
            page.marks(left + 1.5, under + 6.3, [mark])
            page.lines(left + 4, under + 5.1, (meaning,), centre=False)
            left += 25
    return page.figure


def figure3(unet: UNetSettings, *, size_px: int, look: Look) -> Figure:
    """Figure 3, the segmentation network: what each level gives out and by which stride, with its parameters.

    Raises UNetError for slices that do not fit the levels.
    """
    levels = unet_levels(unet, size_px)
    total = count(build_unet(unet, seed=0))
    wide, tall, pitch, top = 37.0, 13.0, 18.0, 4.0
    with drawing():
        page = BoxPage(look, top + pitch * len(levels) + 2)
        centre = page.width / 2
        inner, steps = centre - 3 - wide, max(len(levels) - 2, 1)
        step = min(8.6, (inner - 19.5) / steps)
        lefts = [inner - (len(levels) - 2 - i) * step for i in range(len(levels) - 1)]
        # Where the way down leaves each box: over the middle of the next, over the near end of the bottom one.
        downs = [left + wide / 2 for left in lefts[1:]] + [inner + wide - 8]
        for i, level in enumerate(levels[:-1]):
            here, back = top + i * pitch, page.width - lefts[i] - wide
            page.box(lefts[i], here, wide, tall, TRAINED)
            _level_lines(
                page, lefts[i] + wide / 2, here, level.down, f"down by {level.down.stride}", level.down_parameters
            )
            if (up := level.up) is not None:
                page.box(back, here, wide, tall, TRAINED)
                _level_lines(page, back + wide / 2, here, up, f"up by {up.stride}", level.up_parameters)
            page.arrow((lefts[i] + wide + 0.3, here + tall / 2), (back - 0.3, here + tall / 2))
            page.arrow((downs[i], here + tall + 0.3), (downs[i], here + pitch - 0.3))
            page.arrow((page.width - downs[i], here + pitch - 0.3), (page.width - downs[i], here + tall + 0.3))
        bottom, lowest = levels[-1], top + pitch * (len(levels) - 1)
        page.box(centre - wide / 2, lowest, wide, tall, TRAINED)
        _level_lines(page, centre, lowest, bottom.down, f"bottom, stride {bottom.down.stride}", bottom.down_parameters)
        if len(levels) > 3:  # between the boxes of a shallow network there is no room
            page.lines(centre, top + tall / 2 - 4, ("concatenated",))
        image, right = lefts[0] - 16, page.width - lefts[0] + 16
        page.slice(image, top + 0.5, 12, GREYS[0])
        page.slice(right - 12, top + 0.5, 12, (0.05, 0.05, 0.05), mask=True)
        page.arrow((image + 12.5, top + tall / 2), (lefts[0] - 0.3, top + tall / 2))
        page.arrow((page.width - lefts[0] + 0.3, top + tall / 2), (right - 12.5, top + tall / 2))
        page.lines(image + 6, top + tall + 0.8, ("slice", _px(size_px)))
        page.lines(right - 6, top + tall + 0.8, (f"{CLASSES} classes", _px(size_px)))
        norm = "no norm" if unet.norm == "none" else f"{unet.norm} norm"
        about = f"{total:,} parameters in all; {unet.residual_units} convolutions per residual unit, {norm}"
        page.lines(centre, page.height - 4.3, (about,))
    return page.figure


class BoxPage:
    """A sheet with one pair of axes in millimetres from its top left corner, on which boxes and arrows are drawn."""

    def __init__(self, look: Look, height_mm: float):
        if look.width_mm < 160:
            raise PaperInputError(
                "too narrow for the text of its boxes",
                where="Figures 1 to 3",
                found=look.width_mm,
                expected="160 mm or more",
            )
        self.width = look.width_mm
        self.sheet = Sheet(look, height_mm)
        self.figure = self.sheet.figure
        self.canvas = self.sheet.axes(0, 0, look.width_mm, height_mm)
        self.canvas.axis("off")
        self.set_height(height_mm)

    def set_height(self, height_mm: float) -> None:
        """Make the page this tall; what is drawn keeps its place from the top."""
        self.height = height_mm
        self.figure.set_size_inches(self.width / 25.4, height_mm / 25.4)
        self.canvas.set(xlim=(0, self.width), ylim=(height_mm, 0))

    def box(self, left: float, top: float, width: float, height: float, look: Mapping[str, Any]) -> None:
        """A box; its text is laid on it by `lines`."""
        self.canvas.add_patch(Rectangle((left, top), width, height, linewidth=0.8, **look))

    def lines(
        self,
        x: float,
        top: float,
        lines: Sequence[str],
        *,
        centre: bool = True,
        pitch: float = LINE,
        weight: str = "normal",
    ) -> None:
        """Lines of text below `top`, centred on `x` or beginning there."""
        for i, line in enumerate(lines):
            if line:
                place = (x, top + i * pitch)
                self.canvas.text(
                    *place, line, fontsize=PRINT, weight=weight, ha="center" if centre else "left", va="top"
                )

    def plate(self, centre: float, middle: float, width: float, height: float) -> None:
        """Maps of one level: the smaller they are the lower the plate, the more there are the wider."""
        place = (centre - width / 2, middle - height / 2)
        self.canvas.add_patch(Rectangle(place, width, height, linewidth=0.6, facecolor="white", edgecolor="#333333"))

    def arrow(self, *points: tuple[float, float]) -> None:
        """An arrow along `points`, its head at the last."""
        (*line, start), end = points[:-1], points[-1]
        if line:
            self.canvas.plot(*zip(*line, start), color="#333333", linewidth=0.8, solid_capstyle="butt")
        style = {"arrowstyle": "-|>", "mutation_scale": 6, "shrinkA": 0, "shrinkB": 0}
        self.canvas.add_patch(FancyArrowPatch(start, end, linewidth=0.8, color="#333333", **style))

    def marks(self, centre: float, middle: float, marks: Sequence[str]) -> None:
        """Round marks side by side, each a letter in its colour."""
        for i, mark in enumerate(marks):
            x = centre + 3.4 * (i - (len(marks) - 1) / 2)
            self.canvas.add_patch(Circle((x, middle), 1.5, facecolor=MARKS[mark], edgecolor="none"))
            self.canvas.text(
                x, middle + 0.05, mark, fontsize=PRINT, weight="bold", color="white", ha="center", va="center_baseline"
            )

    def key(self, left: float, top: float, entries: Sequence[tuple[str, Mapping[str, Any]]]) -> float:
        """What the boxes mean, in one line; returns where it ends."""
        for label, look in entries:
            self.box(left, top, 5, 2.6, look)
            self.lines(left + 6.2, top + 0.1, (label,), centre=False)
            left += 12 + 1.35 * len(label)
        return left

    def slice(
        self, left: float, top: float, size: float, greys: tuple[float, float, float], *, mask: bool = False
    ) -> None:
        """A drawn body cross-section in three greys (air, soft tissue, bone), its vertebra masked if asked for."""
        air, tissue, bone = (str(grey) for grey in greys)
        self.canvas.add_patch(Rectangle((left, top), size, size, facecolor=air, edgecolor="none"))
        x, y = left + size / 2, top + size / 2
        self.canvas.add_patch(Ellipse((x, y), 0.9 * size, 0.66 * size, facecolor=tissue, edgecolor="none"))
        for across, down, wide, tall in VERTEBRA:
            place = (x + across * size, y + down * size)
            self.canvas.add_patch(Ellipse(place, wide * size, tall * size, facecolor=bone, edgecolor="none"))
            if mask:
                self.canvas.add_patch(
                    Ellipse(place, wide * size, tall * size, facecolor=OKABE_ITO["orange"], alpha=0.85)
                )


def _parameters(count: int) -> str:
    return f"{count:,} parameters"


def _px(size: int) -> str:
    return f"{size} × {size} px"


def _listed(level: Level) -> str:
    return f"{level.name}: {level.channels} maps, {_px(level.size_px)}"


def _level_lines(page: BoxPage, centre: float, top: float, level: Level, by: str, parameters: int) -> None:
    page.lines(
        centre, top + 1.2, (f"{level.channels} maps, {_px(level.size_px)}", by, _parameters(parameters)), pitch=3.8
    )
