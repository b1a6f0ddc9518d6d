"""A quick look at a stylised volume: three slices before, after, and what changed."""

import numpy as np
from matplotlib.figure import Figure

from ctstyle.apply.planes import Planes
from ctstyle.ct.volume import Volume
from ctstyle.paper.drawing import Look, Sheet, drawing
from ctstyle.study.data import SliceSettings

SHOWN = (0.2, 0.5, 0.8)
"""Which slices are shown, as shares of the volume's length."""
CHANGE_HU = 300.0
"""The change is drawn from blue (minus this) over white to red."""
_GAP, _HEAD = 2.0, 6.0


def picture(before: Volume, after: Volume, settings: SliceSettings, title: str) -> Figure:
    """Rows of three slices of the generator's plane, columns content, stylised and change; native voxels."""
    old, new = (Planes.of(volume, settings) for volume in (before, after))
    look = Look(window_hu=settings.window_hu, orientation=settings.orientation)
    # planes differ in shape and voxels need not be square: each gets the room of its millimetres
    rows_mm, columns_mm = (old.straight.step_mm[axis] * size for axis, size in zip(_axes(old), old.native(0).shape))
    width = (look.width_mm - 2 * _GAP) / 3
    height = width * rows_mm / columns_mm
    with drawing():
        sheet = Sheet(look, 2 * _HEAD + len(SHOWN) * (height + _GAP))
        sheet.text(0, 1, title)
        for column, name in enumerate(
            ("content", "stylised", f"change, {CHANGE_HU:.0f} HU red, -{CHANGE_HU:.0f} HU blue")
        ):
            sheet.text(column * (width + _GAP), _HEAD + 1, name)
        for row, share in enumerate(SHOWN):
            k, top = round(share * (len(old) - 1)), 2 * _HEAD + row * (height + _GAP)
            planes = [one.native(k).astype(np.float64) for one in (old, new)]
            for column, plane in enumerate([*planes, planes[1] - planes[0]]):
                axes = sheet.axes(column * (width + _GAP), top, width, height)
                low, high = look.window_hu if column < 2 else (-CHANGE_HU, CHANGE_HU)
                axes.imshow(plane, cmap="gray" if column < 2 else "bwr", vmin=low, vmax=high, aspect="auto")
                axes.set_axis_off()
    return sheet.figure


def _axes(planes: Planes) -> tuple[int, int]:
    """The patient axes along rows and columns of a plane."""
    return (2, 1) if planes.sagittal else (1, 0)
