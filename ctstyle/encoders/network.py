"""The networks of the registry: trunks with torchvision's keys, the frozen encoder, its maps and their scales."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctstyle.errors import CTStyleError
from ctstyle.study.encoders import EncoderSpec, encoder_spec

PADDINGS = ("reflect", "zeros")


class WrongArchitecture(CTStyleError):
    """Weights whose names or shapes are not those of the encoder they are loaded into."""


def trunk(spec: EncoderSpec, *, batch_norm: bool = False) -> nn.Module:
    """The network up to its deepest tap, with torchvision's keys and storage still to be assigned (device "meta").

    `batch_norm` gives VGG one behind each convolution, as all other encoders have it.
    """
    import torchvision  # here, as its import takes as long as torch's

    name = f"{spec.name}_bn" if batch_norm and spec.name.startswith("vgg") else spec.name
    with torch.device("meta"):
        network = getattr(torchvision.models, name)(weights=None)
    for path in spec.discarded:
        parent, _, child = path.rpartition(".")
        setattr(network.get_submodule(parent), child, nn.Identity())
    return network


def cut(network: nn.Module, spec: EncoderSpec, taps: Iterable[str]) -> nn.Module:
    """`network`, a trunk of `spec`, up to the deepest of `taps`: it returns `{tap: maps}` and shares the leaf modules.

    Raises UnknownEncoder for a tap that `spec` does not have, ValueError for one behind the end of `network`.
    """
    from torchvision.models.feature_extraction import create_feature_extractor

    modules = {tap.name: tap.module for tap in spec.taps}
    if spec.name.startswith("vgg"):  # each ReLU is a tap, and batch norm moves its number
        modules.update(zip(modules, (path for path, one in network.named_modules() if isinstance(one, nn.ReLU))))
    return create_feature_extractor(network, return_nodes={modules[spec.tap(tap).name]: tap for tap in taps})


def parameters_to(spec: EncoderSpec, taps: Iterable[str]) -> int:
    """Parameters of the trunk up to the deepest of `taps`."""
    return sum(parameter.numel() for parameter in cut(trunk(spec), spec, taps).parameters())


class Encoder(nn.Module):
    """A frozen trunk that returns feature maps at taps; made by `build`.

    `encoder(x, taps)` takes `x` float `[B, 1, H, W]` in [0, 1] and returns `{tap: [B, channels, H/stride, W/stride]}`;
    nothing behind the deepest tap asked for is computed. Gradients flow to `x`, never to the weights, and batch norm
    always uses its stored statistics.
    """

    def __init__(self, spec: EncoderSpec, network: nn.Module, mean: Tensor, std: Tensor):
        super().__init__()
        self.spec = spec
        self.network = network
        self.register_buffer("mean", mean.reshape(1, 3, 1, 1).float())
        self.register_buffer("std", std.reshape(1, 3, 1, 1).float())
        self._takes_grey = fold_first_convolution(network, mean, std)
        self._readers: dict[frozenset[str], nn.Module] = {}
        self.requires_grad_(False)
        self.train(False)

    def _apply(self, *args: Any, **kwargs: Any) -> "Encoder":
        """Move to another device or precision; readers would keep the old buffers."""
        self._readers.clear()
        return super()._apply(*args, **kwargs)

    def train(self, mode: bool = True) -> "Encoder":
        """Stay in evaluation mode, whatever mode the enclosing module is put in."""
        return super().train(False)

    def forward(self, x: Tensor, taps: Iterable[str]) -> dict[str, Tensor]:
        """Feature maps of `x` at `taps`, in the order of `taps`; raises UnknownEncoder for a tap it does not have."""
        names = tuple(taps)
        colour = x if self._takes_grey else (x.expand(-1, 3, -1, -1) - self.mean) / self.std
        maps = self._reader(frozenset(names))(colour)
        return {name: maps[name] for name in names}

    def _reader(self, names: frozenset[str]) -> nn.Module:
        """The trunk cut behind the deepest of `names`; it shares the trunk's leaf modules."""
        if names not in self._readers:
            self._readers[names] = cut(self.network, self.spec, sorted(names))
        return self._readers[names]


def build(
    name: str, state_dict: Mapping[str, Tensor], *, padding: str = "reflect", taps: Iterable[str] | None = None
) -> Encoder:
    """The frozen encoder `name` with the weights of `state_dict`; with `taps` only what these need.

    `padding` reflect replaces the zero padding of every convolution, as the AdaIN reference does in its VGG: black CT
    air is far from the mean that zero stands for, so zero padding draws a bright frame into every map, which then
    fills the style statistics. `padding` zeros leaves torchvision's network as it is.

    `state_dict` has torchvision's keys; layers behind the deepest tap (heads, the last stage) are left out. The keys
    `preprocessing.mean` and `preprocessing.std` (3 values each) replace the registry's preprocessing where a file
    brings its own. Raises UnknownEncoder, CTStyleError for another padding, and WrongArchitecture where keys or shapes
    do not fit.
    """
    spec = encoder_spec(name)
    if padding not in PADDINGS:
        raise CTStyleError("no such padding", where="padding", found=padding, expected=" | ".join(PADDINGS))
    network = trunk(spec)
    if taps is not None:
        network = cut(network, spec, taps)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and any(module.padding):
            module.padding_mode = padding
    expected = network.state_dict()
    state = {key: value for key, value in state_dict.items() if key in expected}
    optional = {key for key in expected if key.endswith("num_batches_tracked")}
    missing = sorted(expected.keys() - state.keys() - optional)
    if missing:
        raise WrongArchitecture(
            "these weights are of another architecture",
            where=name,
            found=f"{len(missing)} of {len(expected)} tensors missing, the first being {missing[0]}",
            expected=f"torchvision's {name}",
            fix="Name the encoder that the file was made for.",
        )
    for key, value in state.items():
        if (value.shape, value.dtype) != (expected[key].shape, expected[key].dtype):
            raise WrongArchitecture(
                "these weights are of another architecture",
                where=f"{name}, tensor {key}",
                found=f"{value.dtype}, shape {tuple(value.shape)}",
                expected=f"{expected[key].dtype}, shape {tuple(expected[key].shape)}",
                fix="Name the encoder that the file was made for.",
            )
    # Copies: the caller's tensors must not change when the encoder moves to another device or memory format.
    network.load_state_dict({key: value.detach().clone() for key, value in state.items()}, strict=False, assign=True)
    preprocessing = spec.preprocessing
    mean = state_dict.get("preprocessing.mean", torch.tensor(preprocessing.mean))
    std = state_dict.get("preprocessing.std", torch.tensor(preprocessing.std))
    if mean.numel() != 3 or std.numel() != 3 or not mean.isfinite().all() or not (std > 0).all():
        raise WrongArchitecture(
            "this preprocessing is none",
            where=f"{name}, preprocessing",
            found=f"mean {mean.flatten().tolist()[:4]}, std {std.flatten().tolist()[:4]}",
            expected="three values each, the second above 0",
        )
    return Encoder(spec, network, mean, std)


class GreyConv2d(nn.Conv2d):
    """A convolution of three normalised channels, computed from the one grey channel that all three repeat.

    Normalisation and sum over channels are linear, so they fold into one kernel and the bias:
    sum_c w_c (x - m_c) / s_c = (sum_c w_c / s_c) x - sum_c w_c m_c / s_c. Takes slices `[B, 1, H, W]` in [0, 1]. The
    weights keep their names and their three channels. Padding must be by reflection: zeros would stand for other grey
    values before and after the normalisation.
    """

    def __init__(self, convolution: nn.Conv2d, mean: Tensor, std: Tensor):
        super().__init__(
            convolution.in_channels,
            convolution.out_channels,
            convolution.kernel_size,
            stride=convolution.stride,
            padding=convolution.padding,
            padding_mode=convolution.padding_mode,
            bias=convolution.bias is not None,
            device="meta",
        )
        self.weight, self.bias = convolution.weight, convolution.bias
        scaled = self.weight.detach().double() / std.reshape(1, 3, 1, 1)
        shift = -(scaled * mean.reshape(1, 3, 1, 1)).sum(dim=(1, 2, 3))
        if self.bias is not None:
            shift = shift + self.bias.detach()
        kind = self.weight.dtype
        self.register_buffer("grey_weight", scaled.sum(dim=1, keepdim=True).to(kind), persistent=False)
        self.register_buffer("grey_bias", shift.to(kind), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The maps of grey slices that were not normalised."""
        down, right = self.padding
        padded = F.pad(x, (right, right, down, down), mode="reflect")
        return F.conv2d(padded, self.grey_weight, self.grey_bias, self.stride)


def fold_first_convolution(network: nn.Module, mean: Tensor, std: Tensor) -> bool:
    """Let `network` take grey slices; False, and nothing changed, where its first convolution pads with zeros."""
    path, first = next((path, module) for path, module in network.named_modules() if isinstance(module, nn.Conv2d))
    if first.padding_mode != "reflect" or first.groups != 1 or first.dilation != (1, 1):
        return False
    parent, _, child = path.rpartition(".")
    with torch.no_grad():
        setattr(network.get_submodule(parent), child, GreyConv2d(first, mean.double(), std.double()))
    return True


@torch.no_grad()
def tap_scales(
    encoder: Encoder, slices: np.ndarray, taps: Iterable[str], *, batch: int = 8, at_most: int = 64
) -> dict[str, float]:
    """Mean activation of each tap over training slices.

    `slices` is float32 `[n, H, W]` in [0, 1], of training patients only; at most `at_most` of them, evenly spaced, are
    read. Returns `{tap: mean}`, at least 1e-6 so that a dead tap does not divide by zero.
    """
    names = tuple(taps)
    chosen = slices[np.unique(np.linspace(0, len(slices) - 1, min(at_most, len(slices))).round().astype(int))]
    device = encoder.mean.device
    sums = dict.fromkeys(names, 0.0)
    for start in range(0, len(chosen), batch):
        x = torch.from_numpy(np.ascontiguousarray(chosen[start : start + batch], dtype=np.float32))[:, None].to(device)
        for name, maps in encoder(x, names).items():
            sums[name] += float(maps.double().mean(dim=(1, 2, 3)).sum())
    return {name: max(total / len(chosen), 1e-6) for name, total in sums.items()}


def positions_in_body(body: Tensor, size: tuple[int, int]) -> Tensor:
    """Bool `[B, *size]`: the positions of a map whose pixels are body for at least a half.

    `body` is a bool `[B, H, W]` mask of the slices. A slice without body counts as body everywhere.
    """
    inside = F.adaptive_avg_pool2d(body.float()[:, None], size)[:, 0] >= 0.5
    return inside | ~inside.any(dim=(1, 2), keepdim=True)
