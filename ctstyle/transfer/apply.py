"""The generator at work: which content slice gets which style slice, and all of them stylised in batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ctstyle.errors import CTStyleError
from ctstyle.transfer.generator import Generator


@dataclass(frozen=True)
class Pairs:
    """Content index, style index and target style of each slice to be made; three arrays of one length."""

    content: np.ndarray
    style: np.ndarray
    target_style: np.ndarray


def pair(
    content_count: int,
    style_names: Sequence[str],
    *,
    targets: Sequence[str],
    per_content: int = 1,
    fixed: bool = False,
    seed: int = 0,
) -> Pairs:
    """Pair every content slice with `per_content` style slices of each target style.

    `style_names` is the style of each style slice, `targets` the styles wanted. `fixed` gives all contents the same
    style slices (drawn once per target); otherwise each content draws its own. The draw for one content depends on
    `(seed, target, content)` alone, so adding contents or targets changes no other pair. Within one content the slices
    of a target are distinct while there are enough. Raises CTStyleError where a target has no style slice.
    """
    names = np.asarray(style_names)
    rows: list[tuple[int, int, str]] = []
    for target in targets:
        candidates = np.flatnonzero(names == target)
        if len(candidates) == 0:
            raise CTStyleError(
                "no slice to take this style from",
                where="target style",
                found=target,
                expected=" | ".join(sorted(set(style_names))) or "at least one style slice",
                fix="Lower the number of styles, or give a cohort whose training patients have this style.",
            )
        name_seed = int.from_bytes(str(target).encode(), "big") % (1 << 62)
        for index in range(content_count):
            rng = np.random.default_rng([seed, name_seed, 0 if fixed else index + 1])
            drawn = rng.choice(candidates, per_content, replace=per_content > len(candidates))
            rows += [(index, int(choice), str(target)) for choice in drawn]
    rows.sort(key=lambda row: row[0])
    columns = list(zip(*rows)) or [(), (), ()]
    return Pairs(np.array(columns[0], dtype=int), np.array(columns[1], dtype=int), np.array(columns[2], dtype=str))


@torch.no_grad()
def stylise(
    generator: Generator,
    content: np.ndarray,
    style: np.ndarray,
    pairs: Pairs | None = None,
    *,
    alpha: float = 1.0,
    batch: int = 16,
) -> np.ndarray:
    """Content slices in the style of style slices: float32 `[n, H, W]` in [0, 1].

    `content` and `style` are float32 `[*, H, W]` in [0, 1]. Row k of the result is `content[pairs.content[k]]` in the
    style of `style[pairs.style[k]]`; without `pairs` row k of one meets row k of the other. Each style slice is encoded
    once. Raises CTStyleError where there are no pairs and the two differ in length.
    """
    if pairs is None:
        if len(content) != len(style):
            raise CTStyleError(
                "content and style slices cannot be paired",
                where="stylise",
                found=f"{len(content)} and {len(style)} slices",
                expected="equally many, or a table of pairs",
            )
        everything = np.arange(len(content))
        pairs = Pairs(everything, everything, np.full(len(content), ""))
    if not 0 <= alpha <= 1:
        raise CTStyleError("the blending weight is out of range", where="alpha", found=alpha, expected="0 to 1")
    device = generator.encoder.mean.device
    used, position = np.unique(pairs.style, return_inverse=True)
    parts = [generator.statistics(_images(style, used[i : i + batch], device)) for i in range(0, len(used), batch)]
    result = np.empty((len(pairs.content), *content.shape[1:]), dtype=np.float32)
    if len(parts) == 0:
        return result
    means, deviations = (torch.cat(part) for part in zip(*parts))
    for start in range(0, len(result), batch):
        rows = slice(start, start + batch)
        images = _images(content, pairs.content[rows], device)
        chosen = torch.from_numpy(position[rows]).to(device)
        made = generator.generate_from_statistics(images, means[chosen], deviations[chosen], alpha)
        result[rows] = made[:, 0].float().cpu().numpy()
    return result


def _images(slices: np.ndarray, indices: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(slices[indices], dtype=np.float32))[:, None].to(device)
