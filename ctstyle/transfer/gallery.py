"""The test slices a generator is judged by: every one in every style, with its true target where one was scanned."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ctstyle.slices.archive import Archive
from ctstyle.slices.window import Window
from ctstyle.styles.find import SOURCE
from ctstyle.transfer.apply import stylise
from ctstyle.transfer.generator import Generator
from ctstyle.transfer.pairs import pair_slices

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


def stylise_rows(generator: Generator, archive: Archive, rows: pd.DataFrame, window: Window) -> np.ndarray:
    """What a generator makes of the rows of `test_pairs` or `single_styles`: HU int16 `[n, H, W]`, in their order."""
    content = gather(archive, rows["content_scan"], rows["content_index"])
    style = gather(archive, rows["style_scan"], rows["style_index"])
    alphas = rows["alpha"].to_numpy() if "alpha" in rows else np.ones(len(rows))
    made = np.empty(content.shape, dtype=np.int16)
    for alpha in np.unique(alphas):
        chosen = alphas == alpha
        made[chosen] = window.clip(
            stylise(generator, content[chosen], style[chosen], window=window, alpha=float(alpha))
        )
    return made
