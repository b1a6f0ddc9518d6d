"""Inception-v3 (Szegedy et al. 2016) for grey slices, without auxiliary head: sizes, input, forward pass, tensors."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from ctstyle.errors import CTStyleError
from ctstyle.run.fit import he_initialise

SMALLEST_PX = 75
"""Below this side Inception-v3 has no positions left."""
IMAGENET_PX = 299
BATCH = 32
"""Slices per forward pass outside training; the probabilities do not depend on it."""


class ClassifierError(CTStyleError):
    """Slices, settings or weights that no grey-scale classifier can be made of."""


def inception(classes: int) -> nn.Module:
    """Inception-v3 without the auxiliary head; its tensors are not initialised yet."""
    with torch.device("meta"):
        network = torchvision.models.inception_v3(
            weights=None, aux_logits=False, transform_input=False, init_weights=False, num_classes=classes
        )
    return network.to_empty(device="cpu")


def initialise(network: nn.Module, *, seed: int) -> None:
    """Trunk after He et al. 2015, last layer near zero; in place, from `seed` alone.

    torchvision's own way (a truncated normal by scipy) takes half a minute.
    """
    trunk = nn.ModuleList([child for name, child in network.named_children() if name != "fc"])
    generator = he_initialise(trunk, seed=seed)
    with torch.no_grad():
        network.fc.weight.normal_(std=0.001, generator=generator)
        network.fc.bias.zero_()


def trunk_part(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """The tensors of `state` that the trunk uses; the counters of batch norm may be missing."""
    kept = {}
    for key, own in network.state_dict().items():
        if key.startswith("fc.") or (key.endswith("num_batches_tracked") and key not in state):
            continue
        given = state.get(key)
        if given is None or given.shape != own.shape:
            raise ClassifierError(
                "the trunk is not torchvision's Inception-v3",
                where=key,
                found="no such tensor" if given is None else tuple(given.shape),
                expected=tuple(own.shape),
                fix="Give the tensors of torchvision's inception_v3, or set `weights: scratch`.",
            )
        kept[key] = given
    return kept


def prepare(slices: np.ndarray, size_px: int) -> Tensor:
    """Slices `[n, H, W]` as `[n, 1, h, w]` with a shorter side of `size_px` (0: as they are); bilinear, antialiased."""
    images = torch.from_numpy(np.ascontiguousarray(slices, dtype=np.float32))[:, None]
    side = min(images.shape[2:])
    if (size_px or side) < SMALLEST_PX:
        raise ClassifierError(
            "slices too small for Inception-v3",
            where="metrics: classifier: size_px",
            found=f"{size_px or side} px",
            expected=f"at least {SMALLEST_PX} px",
            fix=f"Set `size_px` to {SMALLEST_PX} or more.",
        )
    if size_px in (0, side):
        return images
    size = [round(length * size_px / side) for length in images.shape[2:]]
    return F.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)


def as_rgb(images: Tensor) -> Tensor:
    """Grey `[B, 1, H, W]` in [0, 1] as the three channels in [-1, 1] that Inception-v3 is fed with.

    torchvision's ImageNet file expects the same: there `transform_input` undoes ImageNet's mean and deviation.
    """
    return (2 * images - 1).expand(-1, 3, -1, -1)


@torch.no_grad()
def forward(network: nn.Module, images: Tensor, batch: int) -> Tensor:
    """What the network makes of images `[n, 1, H, W]` in [0, 1], `batch` at a time, on its device."""
    device = next(network.parameters()).device
    return torch.cat([network(as_rgb(part.to(device))) for part in images.split(batch)])


def probabilities(network: nn.Module, slices: np.ndarray, size_px: int, batch: int) -> np.ndarray:
    """Class probabilities float64 `[n, K]` of slices `[n, H, W]` in [0, 1], resized as `prepare` does."""
    if len(slices) == 0:
        return np.zeros((0, network.fc.out_features))
    return forward(network, prepare(slices, size_px), batch).double().softmax(dim=1).cpu().numpy()
