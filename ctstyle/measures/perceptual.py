"""LPIPS with a trunk that always carries its true name (Zhang et al. 2018, linear heads version 0.1).

The `lpips` wheel holds the calibrated linear heads only; its trunk would come from a hub. Here the trunk's weights are
always given, checked to be complete, and named in every result, so an untrained trunk can never pass as a trained one.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ctstyle.errors import CTStyleError

VERSION = "0.1"
LENGTH_GUARD = 1e-10
"""Added to the length of a feature vector (the lpips package)."""
NETS = ("alex", "vgg", "squeeze")


class NoTrunk(CTStyleError):
    """The trunk weights of LPIPS are missing, unreadable or incomplete."""


class Perceptual:
    """LPIPS on slices in [0, 1]; `net` is the architecture, `trunk` the true name of its weights.

    Slices `[K, H, W]` (numpy) are mapped to [-1, 1] and the grey is repeated to three channels. The window behind
    [0, 1] is the run's one fixed window, never a per-image scale. Distances are float64 numpy.
    """

    def __init__(self, network: torch.nn.Module, *, net: str, trunk: str, device: torch.device | str):
        self.network, self.net, self.trunk, self.device = network.to(device), net, trunk, device

    @property
    def name(self) -> str:
        """What a caption must print: `LPIPS 0.1 vgg (trunk ...)`."""
        return f"LPIPS {VERSION} {self.net} ({self.trunk})"

    @torch.no_grad()
    def pairwise(self, slices: np.ndarray, *, batch: int = 16) -> np.ndarray:
        """LPIPS of every slice of `[K, H, W]` in [0, 1] with every other: `[K, K]`, symmetric, 0 on the diagonal.

        Each slice passes the trunk once. A layer's distance is sum_c w_c (a_c - b_c)^2 over unit vectors, mean over
        positions, so all pairs of it are one product of matrices: a w a + b w b - 2 a w b, in float64.
        """
        total = torch.zeros(len(slices), len(slices), dtype=torch.float64, device=self.device)
        for maps, head in zip(self._unit_maps(slices, batch), self.network.lins):
            maps = maps.double()
            weighted = (maps * head.model[-1].weight.double()).flatten(1)
            products = weighted @ maps.flatten(1).t() / maps[0, 0].numel()
            own = products.diagonal()
            total += own[:, None] + own[None, :] - 2 * products
        return total.clamp_(min=0).fill_diagonal_(0).cpu().numpy()

    @torch.no_grad()
    def between(self, slices: np.ndarray, first: np.ndarray, second: np.ndarray, *, batch: int = 16) -> np.ndarray:
        """LPIPS of chosen pairs `[P]` of a stack `[K, H, W]` in [0, 1], given by their numbers (int `[P]` each).

        Each slice passes the trunk once, however many pairs it is in; the maps of all are held at a time.
        """
        one, two = (
            torch.from_numpy(np.asarray(numbers, dtype=np.int64)).to(self.device) for numbers in (first, second)
        )
        total = torch.zeros(len(one), dtype=torch.float64, device=self.device)
        for maps, head in zip(self._unit_maps(slices, batch), self.network.lins):
            weight = head.model[-1].weight
            for start in range(0, len(one), batch):
                pairs = slice(start, start + batch)
                apart = (maps[one[pairs]] - maps[two[pairs]]).square()
                total[pairs] += (apart * weight).sum(dim=1).mean(dim=(1, 2)).double()
        return total.cpu().numpy()

    def _unit_maps(self, slices: np.ndarray, batch: int) -> list[Tensor]:
        """The trunk's maps `[K, C, h, w]` of slices `[K, H, W]` at each layer, of unit length along channels."""
        layers: list[list[Tensor]] = [[] for _ in self.network.lins]
        for part in torch.from_numpy(np.asarray(slices, dtype=np.float32)).split(batch):
            colour = 2 * part[:, None].to(self.device).expand(-1, 3, -1, -1) - 1  # [B, 3, H, W] in [-1, 1]
            for kept, maps in zip(layers, self.network.net(self.network.scaling_layer(colour))):
                kept.append(maps / (maps.square().sum(dim=1, keepdim=True).sqrt() + LENGTH_GUARD))
        return [torch.cat(parts) for parts in layers]

    def diversity(self, outputs: np.ndarray) -> float:
        """Mean LPIPS over all pairs of the outputs `[K, H, W]` of one input (Huang et al. 2018); NaN for K < 2."""
        if len(outputs) < 2:
            return float("nan")
        return float(self.pairwise(outputs)[np.triu_indices(len(outputs), 1)].mean())


def build_lpips(
    net: str, trunk_state: Mapping[str, Tensor], *, trunk: str, device: torch.device | str = "cpu"
) -> Perceptual:
    """LPIPS of architecture `net` (alex, vgg, squeeze) with the trunk `trunk_state`, truly named `trunk`.

    `trunk_state` has torchvision's keys (`features.N.weight`, `.bias`, ...); other keys (the classifier) are ignored.
    HED's convolutions in VGG16 are `net="vgg"` with a `trunk` that says so. A trunk trained on inputs other than
    ImageNet's standardised ones brings `preprocessing.mean` and `.std` (for RGB in [0, 1], as `encoders.weights`
    writes them); they replace those of LPIPS. Raises NoTrunk where a weight of the trunk is missing or misshapen.
    """
    from lpips import LPIPS

    if net not in NETS:
        raise NoTrunk("unknown LPIPS network", where="metrics: lpips", found=net, expected=f"one of {', '.join(NETS)}")
    with torch.random.fork_rng(devices=[]):
        network = LPIPS(net=net, version=VERSION, pnet_rand=True, verbose=False)
    # lpips keeps torchvision's layer number as the last part of its own: net.slice2.7.weight is features.7.weight
    source = {key: "features." + key.split(".", 1)[1] for key in network.net.state_dict()}
    for key, value in network.net.state_dict().items():
        given = trunk_state.get(source[key])
        if given is None or given.shape != value.shape:
            raise NoTrunk(
                f"the LPIPS trunk `{trunk}` lacks a weight of {net}",
                where=source[key],
                found=None if given is None else tuple(given.shape),
                expected=tuple(value.shape),
                fix="Give the whole convolutional part of the network, under torchvision's names.",
            )
    network.net.load_state_dict({key: trunk_state[name] for key, name in source.items()}, strict=True)
    if "preprocessing.mean" in trunk_state:
        # for x in [-1, 1]: ((x + 1) / 2 - mean) / std = (x - (2 mean - 1)) / (2 std)
        network.scaling_layer.shift = (2 * trunk_state["preprocessing.mean"].float() - 1).reshape(1, 3, 1, 1)
        network.scaling_layer.scale = (2 * trunk_state["preprocessing.std"].float()).reshape(1, 3, 1, 1)
    return Perceptual(network.eval(), net=net, trunk=trunk, device=device)
