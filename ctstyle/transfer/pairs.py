"""Which content slice takes which style slice; both sides are tables of slices with the columns `level` and `style`."""

import numpy as np
import pandas as pd

from ctstyle.errors import CTStyleError

PAIRINGS = ("level", "random")


class NothingToPair(CTStyleError):
    """No content slices, or no style slices of a target style."""


def pair_slices(
    content: pd.DataFrame, style: pd.DataFrame, *, pairing: str = "level", per_content: int = 1, seed: int
) -> pd.DataFrame:
    """Pairs of row numbers: columns `content`, `style` and `target_style`.

    Every content slice meets every style in `style["style"]` `per_content` times; the style slice is drawn from `seed`
    without repetition for one content while the style has candidates enough. With `pairing="level"` the candidates are
    the slices of the nearest vertebral level; a slice without a level takes all.

    Raises NothingToPair where either side is empty or the pairing is unknown.
    """
    if pairing not in PAIRINGS:
        raise NothingToPair("unknown pairing", where="pairing", found=pairing, expected=" or ".join(PAIRINGS))
    if content.empty or style.empty:
        raise NothingToPair(
            "there is nothing to pair",
            where="styles",
            found=f"{len(content)} content slices of the source style, {len(style)} style slices of other styles",
            expected="both",
            fix="Look at styles.tsv and split.tsv: `styles: k` of 1 leaves no other style to transfer to.",
        )
    rng = np.random.default_rng([seed, 0])
    pairs = []
    for target in sorted(set(style["style"])):
        rows = np.flatnonzero(style["style"] == target)
        levels = style["level"].to_numpy()[rows]
        for number, level in enumerate(content["level"].to_numpy()):
            candidates = rows[_nearest(levels, level)] if pairing == "level" else rows
            drawn = _draw(candidates, per_content, rng)
            pairs += [(number, int(which), target) for which in drawn]
    return pd.DataFrame(pairs, columns=["content", "style", "target_style"])


def _nearest(levels: np.ndarray, level: int) -> np.ndarray:
    """Mask of the style slices of the nearest level; all where the level is unknown on either side."""
    known = levels > 0
    if level <= 0 or not known.any():
        return np.ones(len(levels), dtype=bool)
    distance = np.where(known, np.abs(levels.astype(int) - int(level)), np.iinfo(np.int64).max)
    return distance == distance.min()


def _draw(candidates: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    whole, rest = divmod(count, len(candidates))
    rounds = [rng.permutation(candidates) for _ in range(whole)]
    return np.concatenate([*rounds, rng.choice(candidates, rest, replace=False)])
