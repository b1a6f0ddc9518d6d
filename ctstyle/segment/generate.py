"""Labelled slices in other grey scales: content slices with masks from the source style, painted in target styles."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ctstyle.segment.guard import refusal
from ctstyle.slices.archive import Archive
from ctstyle.slices.run import labelled
from ctstyle.slices.split import LENT
from ctstyle.slices.window import Window
from ctstyle.study.analysis import AugmentSettings
from ctstyle.transfer.gallery import NothingToPair, pair_slices

if TYPE_CHECKING:
    from ctstyle.transfer.apply import Model


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


# (content int16 [B, H, W], style int16 [B, H, W], names of the target styles, rng) -> HU [B, H, W] of any real type
Painter = Callable[[np.ndarray, np.ndarray, Sequence[str], np.random.Generator], np.ndarray]


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


def training_slices(archive: Archive, *, source: str = "s1") -> tuple[Slices, Slices]:
    """Content and style slices of a run, both of training patients alone.

    `archive` holds all slices with the columns `style` and `side`. Content: scans of the source style that have a mask;
    style: all scans of the other styles, masked or not.
    """
    training = archive.select(side="train")
    of_source = (training.rows["style"] == source).to_numpy()
    content, style = (training.take(np.flatnonzero(chosen)) for chosen in (of_source, ~of_source))
    return Slices.of(labelled(content)), Slices.of(style)


def lent_slices(archive: Archive, *, source: str = "s1") -> tuple[Slices, Slices]:
    """Content of training patients, styles of test scans: what the arm `transductive` is made from.

    `archive` has the column `region` too. The style slices are those that their scan lends (`styles.regions`), each
    cohort a target style of its own; their masks are not read. Raises NothingToPair where no scan lends any.
    """
    content, _ = training_slices(archive, source=source)
    lent = archive.select(side="test", region=LENT)
    if not len(lent):
        raise NothingToPair(
            "no test scan lends its style",
            where="lending",
            found="no axial scan, long enough, of a cohort that trains nothing",
            expected="a cohort for testing alone, as lidc0001",
            fix="Add one, or leave `transductive` out of `segment: arms`.",
        )
    rows = lent.rows.assign(style=lent.rows["cohort"])
    return content, Slices(hu=lent.hu(), labels=np.zeros((0, *content.hu.shape[1:]), np.uint8), rows=rows)


def choose_pairs(content: pd.DataFrame, style: pd.DataFrame, settings: AugmentSettings, *, seed: int) -> pd.DataFrame:
    """The pairs to be painted, as `pair_slices` gives them, for slices with the columns `level` and `style`.

    There are per_content x content slices x styles of them, rounded, however few styles `targets` leaves: what is
    compared then is their variety alone. Where that is no whole number of rounds, the last round's pairs are drawn from
    `seed`, styles in turn; a smaller number takes a part of a larger one's within one round. Raises NothingToPair.
    """
    styles = sorted(set(style["style"]))
    kept = np.flatnonzero(style["style"].isin(styles[: settings.targets]))
    places = len(content) * len(styles[: settings.targets])
    count = max(1, round(settings.per_content * len(content) * len(styles)))
    rounds = math.ceil(count / max(places, 1))
    pairs = pair_slices(content, style.iloc[kept], pairing=settings.pairing, per_content=rounds, seed=seed)
    pairs["style"] = kept[pairs["style"]]
    if len(pairs) == count:
        return pairs
    shuffled = pairs.sample(frac=1, random_state=np.random.default_rng([seed, 2]))
    in_turn = shuffled.groupby("target_style").cumcount().sort_values(kind="stable")
    return pairs.loc[sorted(in_turn.index[:count])].reset_index(drop=True)


def network_painter(model: "Model", window: Window, *, alpha: float) -> Painter:
    """A painter around a trained model; a generator encodes each slice once, however many pairs it is in."""
    from ctstyle.transfer.apply import Encodings, stylise  # here, as controls need no torch
    from ctstyle.transfer.generator import Generator

    known = Encodings(model, window) if isinstance(model, Generator) else None

    def paint(
        content_hu: np.ndarray, style_hu: np.ndarray, target_style: Sequence[str], rng: np.random.Generator
    ) -> np.ndarray:
        """The batch in one piece; the network draws nothing."""
        settings = {"window": window, "alpha": alpha, "batch": len(content_hu), "known": known}
        return stylise(model, content_hu, style_hu, target_style, **settings)

    return paint


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

    The slices come clipped to the window, as int16 HU. Controls that have no structure on purpose, and rivals that were
    published without a guard, are made with `guarded=False`. All randomness comes from `seed`. Raises NothingToPair.
    """
    pairs = choose_pairs(content.rows, style.rows, settings, seed=seed)
    hu: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    rows: list[dict[str, Any]] = []
    for number, start in enumerate(range(0, len(pairs), settings.batch)):
        batch = pairs.iloc[start : start + settings.batch]
        contents, styles = content.hu[batch["content"].to_numpy()], style.hu[batch["style"].to_numpy()]
        rng = np.random.default_rng([seed, 1, number])
        painted = paint(contents, styles, batch["target_style"].tolist(), rng)
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
