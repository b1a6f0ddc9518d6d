"""Which taps the losses read: chosen from the layer description by a stated criterion (claim H)."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ctstyle.errors import CTStyleError

CRITERIA = ("difference", "content")
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
    per level (ResNet, DenseNet) leaves nothing to choose. Raises CTStyleError for another criterion.
    """
    if content_by not in CRITERIA:
        raise CTStyleError("no such criterion", where="content_by", found=content_by, expected=" | ".join(CRITERIA))
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
