"""Which slices the figures show: picked by a rule from the test side, never by eye or by score."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ctstyle.measures.segmentation import domains
from ctstyle.paper.figures import SegmentationExample, TransferExample
from ctstyle.slices.archive import Archive
from ctstyle.slices.body import body_mask
from ctstyle.slices.window import Window

SHOWN_SCANS = 4
SHOWN_SLICES = 6


def fullest_slice(rows: pd.DataFrame) -> int:
    """The label of the row whose slice shows most vertebra; the first of equals."""
    return int(rows["foreground_px"].astype(int).idxmax())


def grey_scales(archive: Archive, window: Window) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], pd.DataFrame]:
    """Figure 4's example slices `[n, H, W]` and body pixels of each style, and one row per scan with its acquisition.

    One slice of each of four scans a style: patients that were scanned in every style come first, so that a column
    shows one patient; then by name. A scan's example is the slice with most vertebra.
    """
    rows = archive.rows
    styles = sorted(rows["style"].unique())
    seen = rows.groupby("patient")["style"].nunique()
    order = sorted(seen.index, key=lambda patient: (-seen[patient], patient))
    examples, values = {}, {}
    for style in styles:
        of_style = rows[rows["style"] == style]
        patients = [p for p in order if p in set(of_style["patient"])][:SHOWN_SCANS]
        chosen = [fullest_slice(of_style[of_style["patient"] == patient]) for patient in patients]
        examples[style] = archive.hu(chosen)
        hu = archive.select(style=style).hu()
        values[style] = hu[body_mask(hu, window)]
    scans = rows.drop_duplicates("scan")[["scan", "patient", "style"]].reset_index(drop=True)
    about = [archive.scans[scan] for scan in scans["scan"]]
    for tag in ("kvp", "kernel"):
        scans[tag] = [one["acquisition"][tag] for one in about]
    return examples, values, scans.assign(grey_values=[one["grey_values"] for one in about])


def transfer_examples(
    archive: Archive, generated: Mapping[str, np.ndarray], rows: Mapping[str, pd.DataFrame]
) -> list[TransferExample]:
    """Figure 5's rows: one per target style, each of another test patient, with the slice that shows most vertebra.

    `generated[model]` int16 `[n, H, W]` and `rows[model]` (`test.tsv`) hold what each model made; the rows of the
    model that made most are shown, and a model that did not make a row has no panel there. Rows with a true target are
    preferred.
    """
    first = max(rows.values(), key=len)
    content = archive.rows[["scan", "index", "foreground_px"]].rename(
        columns={"scan": "content_scan", "index": "content_index"}
    )
    pairs = first[first["kind"] == "transfer"].merge(content, on=["content_scan", "content_index"], how="left")
    examples = []
    for number, style in enumerate(sorted(pairs["target_style"].unique())):
        of_style = pairs[pairs["target_style"] == style]
        with_target = of_style[of_style["target_index"] >= 0]
        candidates = with_target if len(with_target) else of_style
        patients = sorted(candidates["patient"].unique())
        patient = patients[number % len(patients)]
        row = candidates.loc[fullest_slice(candidates[candidates["patient"] == patient])]
        examples.append(
            TransferExample(
                content=_slice(archive, row["content_scan"], row["content_index"]),
                style=_slice(archive, row["style_scan"], row["style_index"]),
                generated=_made_of(row, generated, rows),
                target=_slice(archive, row["target_scan"], row["target_index"]) if row["target_index"] >= 0 else None,
                source_style=row["source_style"],
                target_style=style,
            )
        )
    return examples


def style_examples(
    archive: Archive, generated: Mapping[str, np.ndarray], rows: Mapping[str, pd.DataFrame]
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, dict[str, np.ndarray]], dict[str, np.ndarray], list[float]]:
    """Figure 6's content, single style slices, outputs by model and style, blends by model, and the blend's steps.

    `generated[model]` int16 `[n, H, W]` in the order of `rows[model]` (`styles.tsv`); a model without blends has none.
    """
    first = next(iter(rows.values()))
    singles = first[first["kind"] == "single"]
    content = _slice(archive, first["content_scan"].iloc[0], first["content_index"].iloc[0])
    targets = {row.target_style: _slice(archive, row.style_scan, row.style_index) for row in singles.itertuples()}
    outputs, blends, alphas = {}, {}, []
    for model, hu in generated.items():
        of_kind = {kind: rows[model][rows[model]["kind"] == kind] for kind in ("single", "blend")}
        outputs[model] = {
            style: hu[n] for style, n in zip(of_kind["single"]["target_style"], of_kind["single"]["index"])
        }
        if len(of_kind["blend"]):
            blends[model] = hu[of_kind["blend"]["index"].to_numpy()]
            alphas = of_kind["blend"]["alpha"].astype(float).tolist()
    return content, targets, outputs, blends, alphas


def augmented_examples(
    hu: np.ndarray, labels: np.ndarray, rows: pd.DataFrame
) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Accepted slices of an arm with their masks by target style, evenly over its rows; at most SHOWN_SLICES each."""
    accepted = rows[rows["accepted"] == 1]
    examples = {}
    for style, of_style in accepted.groupby("target_style", sort=True):
        places = np.linspace(0, len(of_style) - 1, min(SHOWN_SLICES, len(of_style))).round().astype(int)
        chosen = of_style["index"].to_numpy()[places]
        examples[style] = [(hu[n], labels[n] > 0) for n in chosen]
    return examples


def segmentation_examples(
    archive: Archive, split: pd.DataFrame, predictions: Mapping[str, np.ndarray]
) -> list[SegmentationExample]:
    """Figure 7's rows: the source style, every other style, and two slices of each real scan.

    `archive` is the test side in the order of `predictions[arm]` (uint8 `[n, H, W]`). Each style shows another patient
    and of it the slice with most vertebra; a real scan its slices at a third and two thirds of its scored height.
    """
    rows = archive.rows.assign(domain=domains(split)[archive.rows["scan"]].to_numpy())
    rows = rows[(rows["foreground_px"].astype(int) > 0) & (rows["region"] == "scored")]
    chosen: list[tuple[int, str]] = []
    for number, (style, of_style) in enumerate(rows[rows["domain"] != "real"].groupby("style", sort=True)):
        patients = sorted(of_style["patient"].unique())
        one = of_style[of_style["patient"] == patients[number % len(patients)]]
        kind = "in style" if one["domain"].iloc[0] == "in_style" else "out of style"
        chosen.append((fullest_slice(one), f"{style}, {kind}"))
    for scan, of_scan in rows[rows["domain"] == "real"].groupby("scan", sort=True):
        for third in (1, 2):
            chosen.append((of_scan.index[len(of_scan) * third // 3], f"{scan}, real"))
    hu, labels = archive.hu([i for i, _ in chosen]), archive.labels([i for i, _ in chosen])
    return [
        SegmentationExample(
            hu=hu[k],
            reference=labels[k] > 0,
            predictions={arm: masks[i] > 0 for arm, masks in predictions.items()},
            label=label,
        )
        for k, (i, label) in enumerate(chosen)
    ]


def _made_of(
    row: pd.Series, generated: Mapping[str, np.ndarray], rows: Mapping[str, pd.DataFrame]
) -> dict[str, np.ndarray]:
    """What each model made of one pair of content and style."""
    pair = ["content_scan", "content_index", "style_scan", "style_index"]
    made = {}
    for model, hu in generated.items():
        same = rows[model][(rows[model][pair] == row[pair]).all(axis=1)]
        if len(same):
            made[model] = hu[int(same["index"].iloc[0])]
    return made


def _slice(archive: Archive, scan: str, index: object) -> np.ndarray:
    return archive.select(scan=scan, index=int(index)).hu()[0]
