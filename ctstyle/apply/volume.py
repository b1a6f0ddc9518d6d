"""A whole volume in another grey scale: one style for all slices, the voxels' own detail kept, every slice guarded."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ctstyle.apply.flicker import Flicker
from ctstyle.apply.planes import Planes, bodies, padded
from ctstyle.ct.volume import Volume
from ctstyle.measures.structure import edge_f1
from ctstyle.segment.guard import NOT_FINITE, lost, structure
from ctstyle.slices.cut import cut
from ctstyle.slices.window import Window
from ctstyle.study.analysis import GuardSettings
from ctstyle.transfer.adain import restyle
from ctstyle.transfer.bundle import Bundle, Moments, moments

log = logging.getLogger(__name__)

Statistics = tuple[Tensor, Tensor]
"""Channel mean and deviation, `[1, C]` or one row per slice."""


@dataclass(frozen=True, eq=False)
class Stylised:
    """A volume in its new grey scale, and what is known of every slice.

    `rows` has a row per slice across the generator's plane, from right or feet on: `index, position_mm, body_px,
    change_hu, gradient_ssim, edge_f1, body_iou, flagged, reason, written`. `flicker` holds the measures of
    `flicker.Flicker` for the statistics of the whole `volume`, which were used, and of every `slice` for itself.
    """

    volume: Volume
    rows: pd.DataFrame
    flicker: dict[str, dict[str, float]]
    seconds_per_slice: float


def volume_statistics(bundle: Bundle, volume: Volume) -> Statistics:
    """The style of a scan: statistics over its slices, cut as for training. Raises NoStatistics and `crop.NoBody`."""
    hu, _, _ = cut(volume, None, bundle.slices)
    return moments(bundle.generator, hu, window=Window(*bundle.slices.window_hu)).pooled()


@torch.no_grad()
def stylise_volume(
    volume: Volume,
    bundle: Bundle,
    style: Statistics,
    *,
    alpha: float = 1.0,
    guard: GuardSettings,
    put_back: bool = False,
    batch: int = 8,
) -> Stylised:
    """`volume` in the grey scale of `style`, on its own grid.

    The generator sees whole planes at its own spacing. AdaIN takes the content's statistics from all slices together
    (each within the field it was trained on), so one map of features serves the whole volume. What is added to the
    voxels is the change D(AdaIN(E(x))) - D(E(x)), the body's alone, brought up to their grid: what the decoder cannot
    reproduce cancels, the scan's own detail stays, and `alpha` 0 or the content's own style change nothing. HU outside
    the window stay. Slices whose structure breaks a limit of `guard` are flagged, and with `put_back` left as they were
    (as are those that hold NaN, always).

    Raises NoStatistics and `crop.NoBody` where there is no body.
    """
    started = time.monotonic()
    generator, window = bundle.generator, Window(*bundle.slices.window_hu)
    changed = replace(volume, hu=volume.hu.copy())
    planes = Planes.of(changed, bundle.slices)
    own = _moments_of_planes(bundle, volume, planes.step_mm)
    assert len(own.count) == len(planes)
    device = generator.encoder.mean.device
    target = tuple(part.to(device) for part in style)
    whole, each = (tuple(part.to(device) for part in made) for made in (own.pooled(), own.each()))
    flicker, rows = {"volume": Flicker(), "slice": Flicker()}, []
    for numbers in _batches(len(planes), batch, started):
        hu = np.stack([planes.take(k) for k in numbers])
        body = bodies(hu, window)
        maps = generator.encode(torch.from_numpy(window.to_unit(padded(hu)))[:, None].to(device))
        plain = generator.decode(maps)
        changes = {}
        for name, known in (("volume", whole), ("slice", tuple(part[numbers] for part in each))):
            made = generator.decode((1 - alpha) * maps + alpha * restyle(maps, *target, own=known))
            change = (made - plain)[:, 0, : hu.shape[1], : hu.shape[2]].double().cpu().numpy()
            changes[name] = np.where(body, change * (window.high - window.low), 0)
        for i, k in enumerate(numbers):
            for name in flicker:
                flicker[name].add(changes[name][i], body[i])
            change = changes["volume"][i]
            row: dict[str, Any] = {"index": k, "position_mm": round(float(planes.position_mm[k]), 4)}
            row |= _judge(hu[i], change, body[i], bundle, guard)
            back = row["flagged"] and (put_back or row["reason"] == NOT_FINITE)
            row["written"] = "original" if back else "stylised"
            rows.append(row)
            if row["written"] == "stylised":
                planes.change(k, change, body[i])
    seconds = (time.monotonic() - started) / len(planes)
    return Stylised(changed, pd.DataFrame(rows), {name: one.measures() for name, one in flicker.items()}, seconds)


def _moments_of_planes(bundle: Bundle, volume: Volume, step_mm: float) -> Moments:
    """The moments of every native slice, within the field of the training slices."""
    everywhere = replace(bundle.slices, every_mm=step_mm, sagittal_range_mm=np.inf)
    hu, _, _ = cut(volume, None, everywhere)
    return moments(bundle.generator, hu, window=Window(*bundle.slices.window_hu))


def _batches(count: int, size: int, started: float) -> Iterator[list[int]]:
    """Numbers of the slices, `size` at a time; says how far it is, and how long it will take."""
    for start in range(0, count, size):
        yield list(range(start, min(start + size, count)))
        done = min(start + size, count)
        left = (time.monotonic() - started) / done * (count - done)
        log.info("stylised: slice %d/%d  %.0f s left", done, count, left)


def _judge(hu: np.ndarray, change: np.ndarray, body: np.ndarray, bundle: Bundle, guard: GuardSettings) -> dict:
    """The scores of one slice at the generator's spacing; one without body has none and is not flagged."""
    window = Window(*bundle.slices.window_hu)
    row = {
        "body_px": int(np.count_nonzero(body)),
        "change_hu": 0.0,
        "gradient_ssim": 1.0,
        "edge_f1": 1.0,
        "body_iou": 1.0,
    }
    if not row["body_px"]:
        return row | {"flagged": 0, "reason": ""}
    made = np.clip(hu + change, window.low, window.high)
    found = structure(made, hu, body, window=window)
    reason = lost(found, guard)
    return row | {
        "change_hu": round(float(change[body].mean()), 2),
        "gradient_ssim": round(found.gradient_ssim, 4),
        "edge_f1": round(edge_f1(window.to_unit(hu), window.to_unit(made), body), 4) if found.finite else np.nan,
        "body_iou": round(found.body_iou, 4),
        "flagged": int(bool(reason)),
        "reason": reason,
    }
