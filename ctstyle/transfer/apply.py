"""The generator at work on many slices."""

import numpy as np
import torch

from ctstyle.errors import CTStyleError
from ctstyle.slices.body import body_mask
from ctstyle.slices.window import Window
from ctstyle.transfer.generator import Generator


def with_air_of_content(generated_hu: np.ndarray, content_hu: np.ndarray, window: Window) -> np.ndarray:
    """Generated slices (HU `[n, H, W]`) with the content's own pixels wherever the content shows no body.

    Air is the same in every grey scale, and the content loss looks inside the body alone, so nothing holds the
    generator there.
    """
    return np.where(body_mask(content_hu, window), generated_hu, content_hu)


@torch.no_grad()
def stylise(
    generator: Generator, content: np.ndarray, style: np.ndarray, *, alpha: float = 1.0, batch: int = 16
) -> np.ndarray:
    """Content slices in the style of style slices, row by row: float32 `[n, H, W]` in [0, 1].

    `content` and `style` are float32 `[n, H, W]` in [0, 1]; the result does not depend on `batch`. Raises CTStyleError
    where the two differ in length.
    """
    if len(content) != len(style):
        raise CTStyleError(
            "content and style slices cannot be paired",
            where="stylise",
            found=f"{len(content)} and {len(style)} slices",
            expected="equally many",
        )
    device = generator.encoder.mean.device
    result = np.empty(content.shape, dtype=np.float32)
    for start in range(0, len(content), batch):
        rows = slice(start, start + batch)
        pair = (np.ascontiguousarray(part[rows], dtype=np.float32)[:, None] for part in (content, style))
        x, y = (torch.from_numpy(part).to(device) for part in pair)
        result[rows] = generator.generate(x, y, alpha)[:, 0].float().cpu().numpy()
    return result
