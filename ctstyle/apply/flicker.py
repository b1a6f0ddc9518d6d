"""How much a stylised volume flickers: what changes from slice to slice that does not in the content."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Flicker:
    """Takes the change maps of a volume slice by slice, in the order of the slices.

    With X the content, G the result and D = G - X, the difference of the two volumes' derivatives across the slices is
    that of D: (G' - G) - (X' - X) = D' - D. Video matting measures flicker so (dtSSD: Erofeev et al., BMVC 2015); here
    it is the mean absolute value over the body of both slices, also relative to the mean |D|. Some of it is owed: where
    the anatomy changes, the change does too.
    """

    _last: tuple[np.ndarray, np.ndarray] | None = None
    _steps: list[float] = field(default_factory=list)
    _sums: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("change", "pixels", "between", "pairs"), 0.0)
    )

    def add(self, change_hu: np.ndarray, body: np.ndarray) -> None:
        """The next slice: its change in HU `[H, W]`, and its body mask; a slice without body parts the volume."""
        if not body.any():
            self._last = None
            return
        self._sums["change"] += float(np.abs(change_hu[body]).sum())
        self._sums["pixels"] += int(np.count_nonzero(body))
        if self._last is not None:
            before, other = self._last
            both = body & other
            self._sums["between"] += float(np.abs(change_hu - before)[both].sum())
            self._sums["pairs"] += int(np.count_nonzero(both))
            self._steps.append(abs(float(change_hu[body].mean()) - float(before[other].mean())))
        self._last = change_hu, body

    def measures(self) -> dict[str, float]:
        """In HU `change_hu` mean |D|, `flicker_hu` mean |D' - D|, `step_hu` mean |mean D' - mean D|; 0 without slices.

        `flicker` is the second over the first, 0 where nothing changed.
        """
        change, pixels, between, pairs = self._sums.values()
        mean = change / pixels if pixels else 0.0
        flicker = between / pairs if pairs else 0.0
        return {
            "change_hu": mean,
            "flicker_hu": flicker,
            "flicker": flicker / mean if mean else 0.0,
            "step_hu": float(np.mean(self._steps)) if self._steps else 0.0,
        }
