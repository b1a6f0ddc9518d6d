"""Methods without a style input: one trained network for each target style, all in one file."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ctstyle.encoders.network import Encoder
from ctstyle.errors import CTStyleError
from ctstyle.run.device import place
from ctstyle.run.tensors import check_fit
from ctstyle.transfer.generator import MODEL, WrongGenerator
from ctstyle.transfer.material import Material


class NetworkPerStyle(nn.Module, ABC):
    """One trained network for each target style; stands where a `Generator` stands.

    A method sets `kind`, which the metadata of its files hold, and `method`, which messages call it by, and says how
    its networks are described (`about`) and built anew (`rebuilt`).
    """

    kind: ClassVar[str]
    method: ClassVar[str]

    def __init__(self, networks: Mapping[str, nn.Module]):
        super().__init__()
        self.styles = tuple(networks)
        self.networks = nn.ModuleList(networks.values())

    @property
    def device(self) -> torch.device:
        """Where its networks are."""
        return next(self.networks.parameters()).device

    @property
    def parameter_count(self) -> int:
        """Parameters of all its networks together."""
        return sum(parameter.numel() for parameter in self.networks.parameters())

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What `rebuilt` needs, as JSON."""

    @classmethod
    @abstractmethod
    def rebuilt(cls, kept: Mapping[str, Any], encoder: Encoder) -> Self:
        """A model with untrained networks as the metadata of a file describe them."""

    def generate(
        self,
        content: Tensor,
        style: Tensor | None = None,
        alpha: float = 1.0,
        *,
        content_body: Tensor | None = None,
        style_body: Tensor | None = None,
        target_style: Sequence[str],
    ) -> Tensor:
        """`content` `[B, 1, H, W]` in [0, 1] in the style that `target_style` names for each, clamped to [0, 1].

        `style` and the bodies are not looked at: the method has no style input. Raises CTStyleError for `alpha` other
        than 1, for a style it was not trained for, and for slices of a size that its networks do not take.
        """
        if alpha != 1:
            raise CTStyleError(
                f"{self.method} cannot blend with the content's own style", where="alpha", found=alpha, expected="1"
            )
        if len(target_style) != len(content):
            raise CTStyleError(
                "each slice needs one target style",
                where="target_style",
                found=f"{len(target_style)} names for {len(content)} slices",
                expected="equally many",
            )
        unknown = sorted(set(target_style) - set(self.styles))
        if unknown:
            raise CTStyleError(
                "no network was trained for this style",
                where="target_style",
                found=", ".join(unknown),
                expected=" | ".join(self.styles),
                fix="Train it with this style among its targets.",
            )
        made = torch.empty_like(content)
        for name, network in zip(self.styles, self.networks):
            rows = [row for row, wanted in enumerate(target_style) if wanted == name]
            if rows:
                made[rows] = network(content[rows]).clamp(0, 1)
        return made

    def save(self, path: Path, **metadata: Any) -> None:
        """Write all networks (safetensors) with what is needed to load them; `metadata` is any JSON beside it."""
        MODEL.save(
            path, self.networks.state_dict(), {"kind": self.kind, "styles": self.styles, **self.about(), **metadata}
        )

    @classmethod
    def load(cls, path: Path, encoder: Encoder) -> Self:
        """The networks of `path` on the device of `encoder`.

        Raises WrongGenerator for another kind of file, or where its losses were read from another encoder.
        """
        with MODEL.reading(path):
            state, kept = MODEL.load(path)
            name = encoder.spec.name
            for what, found, expected in (
                (f"this is not the file of a {cls.method}", kept.get("kind"), cls.kind),
                ("this model was trained with another encoder", name, kept.get("encoder", name)),
            ):
                if found != expected:
                    raise WrongGenerator(
                        what,
                        where=path,
                        found=found,
                        expected=expected,
                        fix="Load it with the encoder it was trained with, or run the rule that trains it.",
                    )
            with torch.device("meta"):
                check_fit(cls.rebuilt(kept, encoder).networks.state_dict(), state)
            model = cls.rebuilt(kept, encoder)
            model.networks.load_state_dict(state)
            return place(model, encoder.mean.device).eval()


def check_training(material: Material, targets: Sequence[str], settings: Iterable[tuple[str, Any, str, bool]]) -> None:
    """Hold what a training for each style of `targets` is given against what it needs.

    `settings` are further checks: where, found, expected, whether it is right. Raises CTStyleError for the first fault.
    """
    content, bodies, style, style_bodies = material.content, material.bodies, material.style, material.style_bodies
    known = sorted(set(material.style_names))
    for where, found, expected, right in (
        ("content slices", content.shape, "[n, H, W] with n > 0", content.ndim == 3 and len(content) > 0),
        ("style slices", style.shape, "[m, H, W] with m > 0", style.ndim == 3 and len(style) > 0),
        ("body masks", bodies.shape, content.shape, bodies.shape == content.shape),
        ("body masks of the style slices", style_bodies.shape, style.shape, style_bodies.shape == style.shape),
        ("style names", len(material.style_names), len(style), len(material.style_names) == len(style)),
        (
            "targets",
            list(targets),
            f"at least one of {', '.join(known)}, each once",
            len(targets) > 0 and len(set(targets)) == len(targets) and set(targets) <= set(known),
        ),
        *settings,
    ):
        if not right:
            raise CTStyleError("the training cannot start", where=where, found=found, expected=expected)
