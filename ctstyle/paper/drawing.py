"""How every figure looks: one page width, one palette, one grey window, and files with the same bytes each time."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ctstyle.measures.columns import PaperInputError

# Okabe and Ito 2008, told apart by every common form of colour vision.
OKABE_ITO = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
}
REFERENCE_COLOUR = OKABE_ITO["sky"]
PREDICTION_COLOUR = OKABE_ITO["orange"]
STYLE_COLOURS = tuple(OKABE_ITO[name] for name in ("blue", "vermillion", "green", "purple", "orange", "sky"))
STYLE_MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = {
    "plain": (OKABE_ITO["black"], "-"),
    "ours": (OKABE_ITO["blue"], "-"),
    "ours_intensity": (OKABE_ITO["blue"], "--"),
    "transductive": (OKABE_ITO["blue"], ":"),
    "adain": (OKABE_ITO["vermillion"], "--"),
    "contextual": (OKABE_ITO["purple"], "-."),
    "cyclegan": (OKABE_ITO["green"], "-."),
    "gatys": (OKABE_ITO["green"], ":"),
    "intensity": (OKABE_ITO["vermillion"], "-"),
    "convolution": (OKABE_ITO["purple"], ":"),
    "mixstyle": (OKABE_ITO["purple"], "--"),
    "instance": (OKABE_ITO["black"], "-."),
    "noise": (OKABE_ITO["orange"], ":"),
    "histogram": (OKABE_ITO["sky"], "-."),
    "fourier": (OKABE_ITO["sky"], "--"),
    "oracle": (OKABE_ITO["green"], "--"),
}
"""Colour and line of every arm and model, no two alike."""

MM = 1 / 25.4
RC = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # matplotlib brings it, so that a figure is the same on every machine
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "legend.fontsize": 6,
    "legend.frameon": False,
    "axes.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.0,
    "axes.unicode_minus": True,
    "image.interpolation": "nearest",
    "image.resample": True,
    "pdf.fonttype": 42,
    "pdf.compression": 6,
    "savefig.dpi": 300,
    "path.simplify": True,
}
TOP, GAP, SCALE_ROOM = 5.5, 1.5, 10.0
"""Millimetres above rows of slices, between slices, and for the grey scale beside them."""
MARKS = {"axial": ("A", "P", "R", "L"), "sagittal": ("S", "I", "A", "P")}


@dataclass(frozen=True, kw_only=True)
class Look:
    """What all slices of all figures share: the grey window in HU, the plane they are cut in, the page width."""

    window_hu: tuple[float, float] = (-250.0, 750.0)
    orientation: Literal["axial", "sagittal"] = "axial"
    width_mm: float = 170.0

    def __post_init__(self):
        low, high = self.window_hu
        if not low < high:
            raise PaperInputError(
                "no grey window", where="window_hu", found=self.window_hu, expected="low below high, in HU"
            )
        if self.orientation not in MARKS:
            raise PaperInputError(
                "unknown plane", where="orientation", found=self.orientation, expected=" or ".join(MARKS)
            )


class Sheet:
    """A page whose axes are placed in millimetres from the top left corner, so that nothing moves between runs."""

    def __init__(self, look: Look, height_mm: float):
        self.look, self.height_mm = look, height_mm
        self.figure = Figure(figsize=(look.width_mm * MM, height_mm * MM))
        FigureCanvasAgg(self.figure)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes of `width` x `height` mm, their upper left corner `left`, `top` mm from the page's."""
        page, tall = self.look.width_mm, self.height_mm
        return self.figure.add_axes((left / page, 1 - (top + height) / tall, width / page, height / tall))

    def text(self, left: float, top: float, text: str, **how: object) -> None:
        """Text at a point in mm; vertically its top unless `va` says otherwise."""
        self.figure.text(left / self.look.width_mm, 1 - top / self.height_mm, text, **({"va": "top"} | how))

    def slice(self, left: float, top: float, size: float, hu: np.ndarray, *, marks: bool = False) -> Axes:
        """One slice (`[H, W]`, HU) in the one grey window, `size` mm wide, with orientation marks if asked for."""
        height = size * hu.shape[0] / hu.shape[1]
        axes = self.axes(left, top, size, height)
        low, high = self.look.window_hu
        axes.imshow(hu, cmap="gray", vmin=low, vmax=high, aspect="auto")
        _bare(axes)
        if marks:
            _mark(axes, MARKS[self.look.orientation])
        return axes

    def titles(
        self, titles: Sequence[str], left: float, size: float, *, bottom: float = TOP - 1.2, bold: bool = True
    ) -> None:
        """Titles of columns of slices, `size` mm wide, the first at `left`."""
        for column, title in enumerate(titles):
            middle = left + column * (size + GAP) + size / 2
            weight = "bold" if bold else "normal"
            self.text(middle, bottom, title, ha="center", va="bottom", weight=weight, fontsize=7 if size > 19 else 5.6)

    def side_label(self, text: str, middle: float, *, fontsize: float = 6.5) -> None:
        """The label of a row of slices, upright at the page's left edge."""
        self.text(0.4, middle, text, rotation=90, va="center", ha="left", fontsize=fontsize)

    def contour(self, axes: Axes, mask: np.ndarray, colour: str) -> None:
        """The outline of a mask over its slice."""
        padded = np.pad(np.asarray(mask, dtype=bool), 1)  # a mask that touches the border keeps a closed contour
        if padded.any():
            grid_y, grid_x = (np.arange(n) - 1 for n in padded.shape)
            axes.contour(grid_x, grid_y, padded, levels=[0.5], colors=[colour], linewidths=0.8)
            axes.set(xlim=(-0.5, mask.shape[1] - 0.5), ylim=(mask.shape[0] - 0.5, -0.5))

    def empty(self, left: float, top: float, size: float, height: float, why: str) -> None:
        """The place of a slice that does not exist, with the reason in it."""
        axes = self.axes(left, top, size, height)
        axes.set_facecolor("0.95")
        _bare(axes)
        axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", fontsize=6, color="0.35")

    def grey_scale(self, left: float, top: float, height: float, *, label: bool = True) -> None:
        """The grey scale of a row: the window from bottom to top, in HU."""
        low, high = self.look.window_hu
        axes = self.axes(left, top, 2.2, height)
        ramp = np.linspace(low, high, 256)[:, None]
        axes.imshow(ramp, cmap="gray", vmin=low, vmax=high, aspect="auto", origin="lower", extent=(0, 1, low, high))
        axes.set_xticks([])
        axes.set_yticks([low, 0, high] if low < 0 < high else [low, high])
        axes.yaxis.tick_right()
        axes.tick_params(length=1.5, pad=1, labelsize=5)
        for spine in axes.spines.values():
            spine.set_visible(True)
        if label:
            axes.set_title("HU", fontsize=5, pad=2, loc="left")


@contextmanager
def drawing() -> Iterator[None]:
    """The fixed settings of matplotlib while a figure is made or saved, whatever a user's matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        yield


def save_figure(figure: Figure, png: Path, pdf: Path, *, lineage: str = "") -> None:
    """Write `figure` as PNG (300 dpi) and PDF (embedded TrueType fonts), each whole or not there.

    `lineage` is the fingerprint of the job that draws (docs/provenance.md); it stands in the files' metadata. No date
    and no version of matplotlib goes into the files, so the same figure gives the same bytes.
    """
    forms = (
        (Path(png), "png", {"Software": None, "Lineage": lineage or None}),
        (
            Path(pdf),
            "pdf",
            {
                "CreationDate": None,
                "Creator": "ctstyle",
                "Producer": None,
                "Keywords": lineage and f"lineage:{lineage}",
            },
        ),
    )
    for path, form, metadata in forms:
        buffer = io.BytesIO()
        with drawing():
            figure.savefig(buffer, format=form, metadata=metadata, facecolor="white")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_bytes(buffer.getvalue())
        temporary.replace(path)


def look_of(slices: Mapping[str, Any]) -> Look:
    """How all figures show slices, from the config section `slices`."""
    return Look(window_hu=tuple(slices["window_hu"]), orientation=slices["orientation"])


def require_slices(where: str, **slices: np.ndarray | None) -> tuple[int, int]:
    """Check that all given slices are 2-D and of one shape, and return it; None stands for one that is not there."""
    shapes = {name: np.shape(array) for name, array in slices.items() if array is not None}
    first: tuple[int, ...] = next(iter(shapes.values()), ())
    wrong = {name: shape for name, shape in shapes.items() if len(shape) != 2 or shape != first}
    if wrong or not shapes:
        raise PaperInputError(
            "slices do not fit together",
            where=where,
            found=wrong or "no slice",
            expected=f"2-D slices of one shape, as {next(iter(shapes), 'the first')} {first}",
        )
    height, width = first
    return height, width


def require_some(where: str, rows: Sequence[object], of: str) -> None:
    """Raise PaperInputError where a figure is asked for with nothing to draw."""
    if len(rows) == 0:
        raise PaperInputError("nothing to draw", where=where, found=f"no {of}", expected=f"at least one {of}")


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _mark(axes: Axes, marks: tuple[str, str, str, str]) -> None:
    places = [(0.5, 0.985, "center", "top"), (0.5, 0.015, "center", "bottom")]
    places += [(0.02, 0.5, "left", "center"), (0.98, 0.5, "right", "center")]
    for mark, (x, y, ha, va) in zip(marks, places):
        text = axes.text(x, y, mark, transform=axes.transAxes, ha=ha, va=va, fontsize=6, color="white", weight="bold")
        text.set_path_effects([patheffects.withStroke(linewidth=1.2, foreground="black")])
