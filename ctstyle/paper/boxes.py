"""A page of boxes, plates, arrows and drawn slices in millimetres, for Figures 1 to 3."""

from collections.abc import Sequence

from matplotlib.patches import Circle, Ellipse, FancyArrowPatch, Rectangle

from ctstyle.paper.drawing import OKABE_ITO, Look, Sheet
from ctstyle.paper.measures import PaperInputError

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

    def box(self, left: float, top: float, width: float, height: float, look: dict[str, object]) -> None:
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

    def key(self, left: float, top: float, entries: Sequence[tuple[str, dict[str, object]]]) -> float:
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
