"""The embedded cohort: virtual patients with a parametric spine and trunk, drawn from their own seeds.

`patient` makes one patient from `spine`, `trunk`, `viscera` and `tissues`; `scanner` takes its CT.
"""

from pathlib import Path

from ctstyle.cohorts.sheet import Scan
from ctstyle.study.data import PhantomSettings

LICENCE = "CC0-1.0 (simulated)"


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
