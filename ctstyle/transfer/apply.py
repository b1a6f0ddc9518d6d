"""The generator at work on many slices."""

import numpy as np
import torch

from ctstyle.errors import CTStyleError
from ctstyle.slices.body import body_mask
from ctstyle.slices.window import Window
from ctstyle.transfer.generator import Generator


@torch.no_grad()
def stylise(
    generator: Generator,
    content_hu: np.ndarray,
    style_hu: np.ndarray,
    *,
    window: Window,
    alpha: float = 1.0,
    batch: int = 16,
) -> np.ndarray:
    """Content slices in the style of style slices, row by row: HU inside the window, float64 `[n, H, W]`.

    `content_hu` and `style_hu` are HU `[n, H, W]`; the result does not depend on `batch`. Where the content shows no
    body it keeps its own pixels: air is the same in every grey scale, and the content loss looks inside the body alone,
    so nothing holds the generator there. Raises CTStyleError where the two differ in length.
    """
    if len(content_hu) != len(style_hu):
        raise CTStyleError(
            "content and style slices cannot be paired",
            where="stylise",
            found=f"{len(content_hu)} and {len(style_hu)} slices",
            expected="equally many",
        )
    result = np.empty(content_hu.shape, dtype=np.float64)
    for start in range(0, len(content_hu), batch):
        rows = slice(start, start + batch)
        (x, x_body), (y, y_body) = (_on_device(hu[rows], window, generator) for hu in (content_hu, style_hu))
        unit = generator.generate(x, y, alpha, content_body=x_body, style_body=y_body)[:, 0].double().cpu().numpy()
        # not window.to_hu: integers would hide a NaN from the guard
        made = window.low + unit * (window.high - window.low)
        result[rows] = np.where(x_body.cpu().numpy(), made, content_hu[rows])
    return result


def _on_device(hu: np.ndarray, window: Window, generator: Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Slices as the generator wants them, `[B, 1, H, W]` in [0, 1], and their body masks `[B, H, W]`."""
    device = generator.encoder.mean.device
    unit = torch.from_numpy(np.asarray(window.to_unit(hu), dtype=np.float32))[:, None]
    return unit.to(device), torch.from_numpy(body_mask(hu, window)).to(device)
