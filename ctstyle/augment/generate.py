"""Labelled slices in other grey scales: content slices with masks from the source style, painted in target styles."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ctstyle.augment.guard import GuardSettings, refusal
from ctstyle.errors import CTStyleError
from ctstyle.slices.archive import Archive
from ctstyle.slices.window import Window

PAIRINGS = ("level", "random")
COLUMNS = [
    "index",
    "content_scan",
    "content_index",
    "style_scan",
    "style_index",
    "target_style",
    "model",
    "seed",
    "accepted",
    "reason",
]

# (content int16 [B, H, W], style int16 [B, H, W], rng) -> HU [B, H, W] of any real type
Painter = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


class NothingToAugment(CTStyleError):
    """No content slices, or no style slices of a target style, to make augmented slices from."""


@dataclass(frozen=True)
class AugmentSettings:
    """How many slices are made and how contents meet styles.

    `per_content` outputs per content slice and target style; `pairing` draws the style slice among those of the nearest
    vertebral level (`level`) or among all of the style (`random`); `alpha` blends from the content's own style (0) to
    the target's (1); `batch` slices are painted at a time.
    """

    per_content: int = 1
    pairing: str = "level"
    alpha: float = 1.0
    batch: int = 16
    guard: GuardSettings = field(default_factory=GuardSettings)

    def __post_init__(self):
        if self.pairing not in PAIRINGS:
            raise CTStyleError(
                "unknown pairing", where="augment: pairing", found=self.pairing, expected=" or ".join(PAIRINGS)
            )


@dataclass(frozen=True)
class Slices:
    """Slices of training patients: `hu` int16 and `labels` uint8, `[n, H, W]`, and `rows` with a row per slice.

    `rows` has the columns `scan, index, level, style` (level: TotalSegmentator id of the nearest vertebra, 0 none).
    """

    hu: np.ndarray
    labels: np.ndarray
    rows: pd.DataFrame

    @classmethod
    def of(cls, archive: Archive) -> "Slices":
        """All slices of a selection of the archive (with the column `style`)."""
        return cls(archive.hu(), archive.labels(), archive.rows)


@dataclass(frozen=True)
class Generated:
    """A labelled archive: accepted slices `hu` int16 and `labels` uint8 `[n, H, W]`, and `rows` (`COLUMNS`).

    `rows` has a row for every slice that was painted; `index` is its place in the arrays, -1 for a refused one, whose
    `reason` is one of `guard.REASONS`.
    """

    hu: np.ndarray
    labels: np.ndarray
    rows: pd.DataFrame

    def save(self, hu_path: Path, labels_path: Path, rows_path: Path) -> None:
        """Write `seed{seed}.hu.npy`, `.labels.npy` and `.tsv` of an arm."""
        np.save(hu_path, self.hu, allow_pickle=False)
        np.save(labels_path, self.labels, allow_pickle=False)
        self.rows.to_csv(rows_path, sep="\t", index=False, lineterminator="\n")

    @classmethod
    def load(cls, hu_path: Path, labels_path: Path, rows_path: Path) -> "Generated":
        """The archive that `save` wrote, its arrays memory-mapped."""
        rows = pd.read_csv(rows_path, sep="\t", keep_default_na=False, dtype={"content_scan": str, "style_scan": str})
        hu, labels = (np.load(path, mmap_mode="r", allow_pickle=False) for path in (hu_path, labels_path))
        return cls(hu=hu, labels=labels, rows=rows)


def training_slices(archive: Archive, *, source: str = "s1") -> tuple[Slices, Slices]:
    """Content and style slices of a run, both of training patients alone.

    `archive` holds all slices with the columns `style` and `side`. Content: scans of the source style that have a mask;
    style: all scans of the other styles, masked or not.
    """
    training = archive.select(side="train")
    of_source = (training.rows["style"] == source).to_numpy()
    masked = (training.rows.groupby("scan")["foreground_px"].transform("sum") > 0).to_numpy()
    content, style = (training.take(np.flatnonzero(chosen)) for chosen in (of_source & masked, ~of_source))
    return Slices.of(content), Slices.of(style)


def network_painter(
    stylise: Callable[[Tensor, Tensor, float], Tensor],
    window: Window,
    *,
    alpha: float,
    device: torch.device | str = "cpu",
) -> Painter:
    """A painter around a generator's `generate(content, style, alpha)` on float `[B, 1, H, W]` in [0, 1]."""

    @torch.no_grad()
    def paint(content_hu: np.ndarray, style_hu: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        pair = (np.asarray(window.to_unit(hu), dtype=np.float32)[:, None] for hu in (content_hu, style_hu))
        content, style = (torch.from_numpy(unit).to(device) for unit in pair)
        unit = stylise(content, style, alpha).double().cpu().numpy()[:, 0]
        # not window.to_hu: integers would hide a NaN from the guard
        return window.low + unit * (window.high - window.low)

    return paint


def pair_slices(content: pd.DataFrame, style: pd.DataFrame, settings: AugmentSettings, *, seed: int) -> pd.DataFrame:
    """Which content slice takes which style slice: columns `content, style` (row numbers) and `target_style`.

    Every content slice meets every style in `style["style"]` `per_content` times; the style slice is drawn from `seed`
    without repetition for one content while the style has candidates enough. With `pairing="level"` the candidates are
    the slices of the nearest vertebral level; a slice without a level takes all.

    Raises NothingToAugment where either side is empty.
    """
    if content.empty or style.empty:
        raise NothingToAugment(
            "there is nothing to pair",
            where="augment",
            found=f"{len(content)} content slices of the source style, {len(style)} style slices of other styles",
            expected="both, from training patients",
            fix="Look at styles.tsv and split.tsv: `styles: k` of 1 leaves no other style to transfer to.",
        )
    rng = np.random.default_rng([seed, 0])
    pairs = []
    for target in sorted(set(style["style"])):
        rows = np.flatnonzero(style["style"] == target)
        levels = style["level"].to_numpy()[rows]
        for number, level in enumerate(content["level"].to_numpy()):
            candidates = rows[_nearest(levels, level)] if settings.pairing == "level" else rows
            drawn = _draw(candidates, settings.per_content, rng)
            pairs += [(number, int(which), target) for which in drawn]
    return pd.DataFrame(pairs, columns=["content", "style", "target_style"])


def generate(
    paint: Painter,
    content: Slices,
    style: Slices,
    settings: AugmentSettings,
    *,
    window: Window,
    model: str,
    seed: int,
    guarded: bool = True,
) -> Generated:
    """Paint every content slice in every style of `style`, keep the content's masks, refuse what the guard refuses.

    The slices come clipped to the window, as int16 HU. Controls that have no structure on purpose are made with
    `guarded=False`. All randomness comes from `seed`. Raises NothingToAugment.
    """
    pairs = pair_slices(content.rows, style.rows, settings, seed=seed)
    hu, labels, rows = [], [], []
    for number, start in enumerate(range(0, len(pairs), settings.batch)):
        batch = pairs.iloc[start : start + settings.batch]
        contents, styles = content.hu[batch["content"].to_numpy()], style.hu[batch["style"].to_numpy()]
        painted = paint(contents, styles, np.random.default_rng([seed, 1, number]))
        for pair, image, original, example in zip(batch.itertuples(), painted, contents, styles):
            reason = refusal(image, original, example, window=window, settings=settings.guard) if guarded else ""
            about_content, about_style = content.rows.iloc[pair.content], style.rows.iloc[pair.style]
            rows.append(
                {
                    "index": -1 if reason else len(hu),
                    "content_scan": about_content["scan"],
                    "content_index": about_content["index"],
                    "style_scan": about_style["scan"],
                    "style_index": about_style["index"],
                    "target_style": pair.target_style,
                    "model": model,
                    "seed": seed,
                    "accepted": int(not reason),
                    "reason": reason,
                }
            )
            if not reason:
                hu.append(np.clip(np.round(image), window.low, window.high).astype(np.int16))
                labels.append(np.asarray(content.labels[pair.content], dtype=np.uint8))
    empty = (0, *content.hu.shape[1:])
    return Generated(
        hu=np.stack(hu) if hu else np.zeros(empty, np.int16),
        labels=np.stack(labels) if labels else np.zeros(empty, np.uint8),
        rows=pd.DataFrame(rows, columns=COLUMNS),
    )


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
