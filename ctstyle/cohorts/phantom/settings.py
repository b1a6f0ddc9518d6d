"""What the phantom cohort consists of: patients, grid, styles, and the list of scans that follows from them."""

from pathlib import Path

import numpy as np

from ctstyle.cohorts.scan import Scan
from ctstyle.errors import CTStyleError
from ctstyle.study.data import PhantomSettings

LICENCE = "CC0-1.0 (simulated)"
EXPORTS = ("hounsfield", "display")
_STEPS = np.array([0.6180339887, 0.8191725134, 0.6710436067, 0.5497004779])


class PhantomSettingsError(CTStyleError):
    """The settings of the phantom cohort contradict themselves."""


def scans(settings: PhantomSettings, folder: Path | str, root: Path | None = None) -> list[Scan]:
    """All scans of the cohort, without making any: `{patient}-{style}.zip` in `folder` holds CT and mask."""
    return [
        Scan(
            scan=f"{patient}-{style}",
            patient=patient,
            cohort="phantom",
            series=f"{folder}/{patient}-{style}.zip",
            mask=f"{folder}/{patient}-{style}.zip",
            label_map="totalsegmentator",
            style_hint=style,
            split_hint=side,
            licence=LICENCE,
        )
        for patient, (side, styles) in zip(settings.patients(), settings.sides(), strict=True)
        for style in styles
    ]


def _need(holds: bool, key: str, found: object, expected: str) -> None:
    if not holds:
        raise PhantomSettingsError("this value cannot be", where=f"phantom: {key}", found=found, expected=expected)
