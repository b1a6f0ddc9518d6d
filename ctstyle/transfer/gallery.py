"""Content slices paired with style slices, and the test slices that a generator is judged by. Imports no torch."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ctstyle.errors import CTStyleError
from ctstyle.slices.archive import Archive
from ctstyle.slices.run import SOURCE
from ctstyle.slices.window import Window

if TYPE_CHECKING:
    from ctstyle.transfer.apply import Model


class NothingToPair(CTStyleError):
    """No content slices, or no style slices of a target style."""


def pair_slices(
    content: pd.DataFrame, style: pd.DataFrame, *, pairing: str = "level", per_content: int = 1, seed: int
) -> pd.DataFrame:
    """Pairs of row numbers: columns `content`, `style` and `target_style`.

    Every content slice meets every style in `style["style"]` `per_content` times; the style slice is drawn from `seed`
    without repetition for one content while the style has candidates enough. With `pairing="level"` the candidates are
    the slices of the nearest vertebral level; a slice without a level takes all.

    Raises NothingToPair where either side is empty.
    """
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


PLACE = ["patient", "orientation", "position_mm", "row0_mm", "column0_mm"]
"""Two slices of one patient that agree in these show the same anatomy."""
TEST_COLUMNS = [
    "index",
    "content_scan",
    "content_index",
    "style_scan",
    "style_index",
    "patient",
    "source_style",
    "target_style",
    "target_scan",
    "target_index",
    "kind",
]


def test_pairs(archive: Archive, *, seed: int) -> pd.DataFrame:
    """One row per slice to be generated, columns `TEST_COLUMNS`; `archive` has the columns `style` and `side`.

    Content: the source style's slices of test patients, out of cohorts that have training patients. `kind` transfer:
    each meets every other style, in a slice of a training patient of the nearest vertebral level; `target_scan` and
    `target_index` name the same slice of the same patient scanned in that style (empty and -1 where there is none).
    `kind` identity: each meets itself. Raises NothingToPair.
    """
    trained = set(archive.select(side="train").rows["cohort"])
    content = archive.select(side="test", style=SOURCE, cohort=trained).rows
    style = _other_styles(archive)
    pairs = pair_slices(content, style, seed=seed)
    x = content.iloc[pairs["content"]].reset_index(drop=True)
    y = style.iloc[pairs["style"]].reset_index(drop=True)
    transfer = _rows(x, y, pairs["target_style"].to_numpy(), "transfer")
    identity = _rows(content, content, content["style"].to_numpy(), "identity")
    rows = pd.concat([transfer, identity], ignore_index=True)
    found = _targets(archive, pd.concat([x, content], ignore_index=True), rows["target_style"])
    rows["target_scan"], rows["target_index"] = found["scan"].to_numpy(), found["index"].to_numpy()
    rows["index"] = np.arange(len(rows))
    return rows[TEST_COLUMNS]


def single_styles(archive: Archive, alphas: Sequence[float]) -> pd.DataFrame:
    """Figure 6's slices: one test slice in every style, each from a single slice, and a blend towards the last style.

    The content is the fullest slice (most vertebra) of the test side, of a real scan where there is one; the style
    slices are the fullest ones of their styles at the nearest vertebral level. Columns: `index, content_scan,
    content_index, style_scan, style_index, target_style, alpha, kind` (kind = single | blend).
    """
    test = archive.select(side="test").rows
    trained = set(archive.select(side="train").rows["cohort"])
    real = test[~test["cohort"].isin(trained)]
    pool = real if len(real) else test[test["style"] == SOURCE]
    x = pool.loc[pool["foreground_px"].astype(int).idxmax()]
    style = _other_styles(archive)
    distance = (style["level"].astype(int) - int(x["level"])).abs()
    order = style.assign(distance=distance).sort_values(
        ["style", "distance", "foreground_px"], ascending=[True, True, False], kind="stable"
    )
    singles = order.drop_duplicates("style")
    rows = [(y, 1.0, "single") for _, y in singles.iterrows()]
    rows += [(singles.iloc[-1], float(alpha), "blend") for alpha in alphas]
    return pd.DataFrame(
        [
            {
                "index": number,
                "content_scan": x["scan"],
                "content_index": x["index"],
                "style_scan": y["scan"],
                "style_index": y["index"],
                "target_style": y["style"],
                "alpha": alpha,
                "kind": kind,
            }
            for number, (y, alpha, kind) in enumerate(rows)
        ]
    )


def gather(archive: Archive, scans: pd.Series, indices: pd.Series) -> np.ndarray:
    """HU int16 `[n, H, W]` of the slices named by scan and index."""
    numbers = archive.rows.reset_index().set_index(["scan", "index"])["level_0"]
    return archive.hu(numbers.loc[list(zip(scans, indices.astype(int)))].to_numpy())


def _other_styles(archive: Archive) -> pd.DataFrame:
    training = archive.select(side="train").rows
    return training[training["style"] != SOURCE].reset_index(drop=True)


def _rows(x: pd.DataFrame, y: pd.DataFrame, target: np.ndarray, kind: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "content_scan": x["scan"].to_numpy(),
            "content_index": x["index"].to_numpy(),
            "style_scan": y["scan"].to_numpy(),
            "style_index": y["index"].to_numpy(),
            "patient": x["patient"].to_numpy(),
            "source_style": x["style"].to_numpy(),
            "target_style": target,
            "kind": kind,
        }
    )


def _targets(archive: Archive, content: pd.DataFrame, target_style: pd.Series) -> pd.DataFrame:
    """Scan and index of each content slice's anatomy in its target style; "" and -1 where it was not scanned so."""
    known = archive.rows[[*PLACE, "style", "scan", "index"]].drop_duplicates([*PLACE, "style"])
    wanted = content[PLACE].assign(style=target_style.to_numpy())
    found = wanted.merge(known, on=[*PLACE, "style"], how="left", validate="m:1")
    return found[["scan", "index"]].fillna({"scan": "", "index": -1}).astype({"index": int})


def for_model(rows: pd.DataFrame, *, identity: bool, blends: bool) -> pd.DataFrame:
    """The rows of `test_pairs` or `single_styles` that a model can make, numbered anew.

    A model without style input (`identity` False) has no own style to give back, and nothing to blend with.
    """
    kept = rows[(identity | (rows["kind"] != "identity")) & (blends | (rows["kind"] != "blend"))]
    return kept.assign(index=np.arange(len(kept))).reset_index(drop=True)


def few_pairs(pairs: pd.DataFrame, archive: Archive) -> pd.DataFrame:
    """One pair per test patient, the styles in turn: for an optimisation that pays for every slice anew.

    Each patient shows the slice with most vertebra, as in Figure 5. The rows are numbered anew.
    """
    content = archive.rows[["scan", "index", "foreground_px"]].rename(
        columns={"scan": "content_scan", "index": "content_index"}
    )
    transfer = pairs[pairs["kind"] == "transfer"].merge(content, on=["content_scan", "content_index"], how="left")
    styles, chosen = sorted(transfer["target_style"].unique()), []
    for number, (_, of_patient) in enumerate(transfer.groupby("patient", sort=True)):
        of_style = of_patient[of_patient["target_style"] == styles[number % len(styles)]]
        chosen.append(of_style["foreground_px"].astype(int).idxmax())
    few = transfer.loc[chosen, list(pairs.columns)].reset_index(drop=True)
    return few.assign(index=np.arange(len(few)))


def stylise_rows(model: "Model", archive: Archive, rows: pd.DataFrame, window: Window) -> np.ndarray:
    """What a model makes of the rows of `test_pairs` or `single_styles`: HU int16 `[n, H, W]`, in their order."""
    from ctstyle.transfer.apply import stylise  # here, as tables of pairs need no torch

    content = gather(archive, rows["content_scan"], rows["content_index"])
    style = gather(archive, rows["style_scan"], rows["style_index"])
    alphas = rows["alpha"].to_numpy() if "alpha" in rows else np.ones(len(rows))
    made = np.empty(content.shape, dtype=np.int16)
    for alpha in np.unique(alphas):
        chosen = alphas == alpha
        names = rows["target_style"][chosen].tolist()
        made[chosen] = window.clip(
            stylise(model, content[chosen], style[chosen], names, window=window, alpha=float(alpha))
        )
    return made


def save_stylised(
    model: "Model",
    archive: Archive,
    wanted: Mapping[tuple[Path, Path], pd.DataFrame],
    window: Window,
    *,
    identity: bool,
    blends: bool,
) -> float:
    """Make and write the slices of several tables of rows (`for_model`); returns the seconds that one slice took.

    `wanted` maps the two files of a table, HU `[n, H, W]` as .npy and its rows as .tsv, to the table.
    """
    slices, seconds = 0, 0.0
    for (hu_path, rows_path), rows in wanted.items():
        kept = for_model(rows, identity=identity, blends=blends)
        began = time.perf_counter()
        np.save(hu_path, stylise_rows(model, archive, kept, window))
        seconds, slices = seconds + time.perf_counter() - began, slices + len(kept)
        kept.to_csv(rows_path, sep="\t", index=False)
    return seconds / max(slices, 1)
