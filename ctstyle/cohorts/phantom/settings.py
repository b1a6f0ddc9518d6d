"""What the phantom cohort consists of: patients, grid, styles, and the list of scans that follows from them."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ctstyle.cohorts.scan import Scan
from ctstyle.errors import CTStyleError

LICENCE = "CC0-1.0 (simulated)"
EXPORTS = ("hounsfield", "display")
_STEPS = np.array([0.6180339887, 0.8191725134, 0.6710436067, 0.5497004779])


class PhantomSettingsError(CTStyleError):
    """The settings of the phantom cohort contradict themselves."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a scan is taken and exported; each value is a physical cause of a grey scale.

    `kvp` (60..150) and `mas` are the tube's; `kernel` is one of `scanner.KERNELS`; `iodine_mg_ml` is the range of
    concentrations in arterial blood at the time of the scan, given to `contrast_share` of the patients; `export` is
    `hounsfield`, or `display` with `window` = (level, width) in HU burnt into eight bits.
    """

    kvp: float
    mas: float
    kernel: str = "soft"
    iodine_mg_ml: tuple[float, float] = (0.0, 0.0)
    contrast_share: float = 0.0
    export: str = "hounsfield"
    window: tuple[float, float] = (40.0, 400.0)

    def __post_init__(self):
        _need(self.export in EXPORTS, "export", self.export, " or ".join(EXPORTS))
        _need(60 <= self.kvp <= 150, "kvp", self.kvp, "60 to 150 kV")
        _need(self.mas > 0, "mas", self.mas, "more than 0")
        _need(0 <= self.contrast_share <= 1, "contrast_share", self.contrast_share, "0 to 1")
        _need(0 <= self.iodine_mg_ml[0] <= self.iodine_mg_ml[1], "iodine_mg_ml", self.iodine_mg_ml, "low <= high")
        _need(self.window[1] > 0, "window", self.window, "a width above 0")


def default_styles() -> dict[str, Style]:
    """Four styles; the first is the source style."""
    return {
        "standard": Style(kvp=120, mas=110, kernel="soft", iodine_mg_ml=(3.0, 16.0), contrast_share=0.65),
        "lowkv_contrast": Style(kvp=80, mas=80, kernel="soft", iodine_mg_ml=(12.0, 20.0), contrast_share=1.0),
        "soft_display": Style(kvp=120, mas=120, kernel="soft", export="display", window=(40, 400)),
        "full_range_sharp": Style(kvp=120, mas=20, kernel="sharp", export="display", window=(1024, 4096)),
    }


@dataclass(frozen=True, kw_only=True)
class PhantomSettings:
    """The phantom cohort. `train` and `val` give the number of patients per style; each test patient is scanned in all.

    A style that is None is left out: a config laid over another has no other way to drop one.

    `slices` of `thickness_mm` lie without gaps on a grid of `grid_px`^2 pixels of `pixel_mm`; `angles` parallel
    projections over 180 degrees. `levels` is the range of the uppermost slice (index in `spine.LEVELS`: 1 = T1,
    15 = L3), spread evenly over the patients (`spread`).
    """

    seed: int = 0
    train: dict[str, int] = field(
        default_factory=lambda: {"standard": 12, "lowkv_contrast": 3, "soft_display": 3, "full_range_sharp": 3}
    )
    val: dict[str, int] = field(default_factory=lambda: {"standard": 2})
    test_patients: int = 10
    slices: int = 8
    thickness_mm: float = 5.0
    grid_px: int = 256
    pixel_mm: float = 1.6
    angles: int = 180
    levels: tuple[float, float] = (0.6, 15.3)
    styles: dict[str, Style | None] = field(default_factory=default_styles)

    def __post_init__(self):
        object.__setattr__(self, "styles", {name: style for name, style in self.styles.items() if style is not None})
        _need(len(self.styles) > 0, "styles", "none", "at least one style")
        for side in ("train", "val"):
            wanted = {style for style, patients in getattr(self, side).items() if patients}
            unknown = sorted(wanted - set(self.styles))
            _need(not unknown, side, unknown, f"names of styles: {', '.join(self.styles)}")
        _need(len(self.sides()) > 0, "train", self.train, "at least one patient")
        _need(self.levels[0] <= self.levels[1], "levels", self.levels, "low <= high")
        _need(self.levels[0] >= 0 and self.levels[1] <= 16, "levels", self.levels, "between 0 (C7) and 16 (L4)")

    def sides(self) -> list[tuple[str, tuple[str, ...]]]:
        """Side (train, val, test) and styles of each patient, in order."""
        out = [
            (side, (style,)) for side in ("train", "val") for style, n in getattr(self, side).items() for _ in range(n)
        ]
        return out + [("test", tuple(self.styles))] * self.test_patients

    def patients(self) -> list[str]:
        """Names of all patients."""
        return [f"phantom-p{i:02d}" for i in range(len(self.sides()))]

    def index(self, patient: str) -> int:
        """The number of a patient by its name. Raises PhantomSettingsError for a name that is not in the cohort."""
        names = self.patients()
        _need(patient in names, "patient", patient, f"{names[0]} to {names[-1]}")
        return names.index(patient)

    def style(self, name: str) -> Style:
        """A style by its name. Raises PhantomSettingsError for an unknown one."""
        _need(name in self.styles, "styles", name, ", ".join(self.styles))
        return self.styles[name]

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
