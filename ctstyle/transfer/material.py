"""What a style-transfer training is given: slices of training patients, with bodies and styles."""

from dataclasses import dataclass

import numpy as np

from ctstyle.slices.archive import Archive
from ctstyle.slices.body import body_mask
from ctstyle.slices.run import SOURCE
from ctstyle.slices.window import Window


@dataclass(frozen=True, kw_only=True)
class Material:
    """Content slices of the source style and style slices of all styles, as `train.train` takes them.

    `content` and `style` are float32 `[n, H, W]` in [0, 1], `bodies` and `style_bodies` their masks (bool), and
    `style_names` the style of each style slice.
    """

    content: np.ndarray
    bodies: np.ndarray
    style: np.ndarray
    style_bodies: np.ndarray
    style_names: np.ndarray

    @classmethod
    def of(cls, archive: Archive, window: Window) -> "Material":
        """The training side of a run."""
        training = archive.select(side="train")
        content = training.select(style=SOURCE)
        return cls(
            content=window.to_unit(content.hu()),
            bodies=body_mask(content.hu(), window),
            style=window.to_unit(training.hu()),
            style_bodies=body_mask(training.hu(), window),
            style_names=training.rows["style"].to_numpy(),
        )
