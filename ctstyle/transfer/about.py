"""What a generator bundle says of itself; read without torch, so that a config can be checked against it early.

Bundles travel between people. So their facts are checked as a stranger's: types, bounds, and texts that are safe in a
terminal, a file name and a DICOM tag.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema

from ctstyle.errors import CTStyleError
from ctstyle.run.tensors import Kind

VERSION = 2


class NotABundle(CTStyleError):
    """A file that is no generator bundle, or is damaged, or of a version this code does not know."""


class UnknownStyle(CTStyleError):
    """A style that a bundle does not hold, or a hint that several of its styles share."""


BUNDLE = Kind("generator bundle", NotABundle, f"the rule bundle_generator (version {VERSION})")
_SIGN = r"\w .,:;+()/#%&'-"
LONGEST_HINT, _LONGEST_TEXT = 64, 300


def _mapping(**properties: Any) -> dict[str, Any]:
    """A JSON schema of a mapping with exactly these keys."""
    return {"type": "object", "additionalProperties": False, "required": list(properties), "properties": properties}


def _text(longest: int) -> dict[str, Any]:
    return {"type": "string", "pattern": rf"^[{_SIGN}]*\Z", "maxLength": longest}


_NAME = {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"}
_LENGTH = {"type": "number", "exclusiveMinimum": 0, "maximum": 1e6}
_SCHEMA = _mapping(
    version={"const": VERSION},
    model=_NAME,
    generator=_mapping(
        encoder=_NAME,
        adain_tap=_NAME,
        stride={"type": "integer"},
        channels={"type": "integer"},
        out_channels={"const": 1},
        scale={"type": "number", "exclusiveMinimum": 0},
        statistics={"enum": ["body", "slice"]},
    ),
    weights=_mapping(**dict.fromkeys(("weights", "true_name", "source", "licence"), _text(_LONGEST_TEXT))),
    slices=_mapping(
        orientation={"enum": ["axial", "sagittal"]},
        size_px={"type": "integer", "minimum": 1, "maximum": 1 << 14},
        spacing_mm=_LENGTH,
        window_hu={
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "items": {"type": "number", "minimum": -1e6, "maximum": 1e6},
        },
        crop={"enum": ["spine", "body"]},
        grey_values={"enum": ["reject", "as_display"]},
        burned_in={"enum": ["reject", "accept"]},
        every_mm=_LENGTH,
        sagittal_range_mm=_LENGTH,
    ),
    styles={
        "type": "array",
        "maxItems": 1000,
        "items": _mapping(name=_NAME, hint=_text(LONGEST_HINT), slices={"type": "integer", "minimum": 1}),
    },
)
_VALIDATOR = jsonschema.Draft202012Validator(_SCHEMA)


def plain(text: str, longest: int = _LONGEST_TEXT) -> str:
    """A text as a bundle may hold it: other signs than letters, digits and plain punctuation become `_`."""
    return re.sub(rf"[^{_SIGN}]", "_", text)[:longest]


def check_about(about: Mapping[str, Any]) -> None:
    """Raise ValueError for facts that no bundle has: a key, a type, a value out of bounds, two styles of one name."""
    if fault := next(_VALIDATOR.iter_errors(about), None):
        raise ValueError(f"{': '.join(map(str, fault.path)) or 'facts'}: {fault.message}")
    names = [style["name"] for style in about["styles"]]
    if len(set(names)) < len(names):
        raise ValueError("two styles of one name")


def read_about(path: Path | str) -> dict[str, Any]:
    """The facts of a bundle (`bundle.Bundle`); its tensors are not read. Raises NotABundle."""
    with BUNDLE.reading(path):
        about = BUNDLE.facts(path)
        check_about(about)
        return about


def style_name(about: dict[str, Any], asked: str) -> str:
    """The name of the style that `asked` names, by its name or by a hint that is its alone. Raises UnknownStyle."""
    known = {style["name"]: style["hint"] for style in about["styles"]}
    if asked in known:
        return asked
    fitting = [name for name, hint in known.items() if hint and hint == asked]
    if len(fitting) == 1:
        return fitting[0]
    raise UnknownStyle(
        "several styles bear this hint" if fitting else "no such style",
        where="style",
        found=asked,
        expected=" | ".join(f"{name} ({hint})" if hint else name for name, hint in known.items()),
        fix="Name one of these, or a folder or file with a CT whose style is to be taken.",
    )
