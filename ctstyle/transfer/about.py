"""What a generator bundle says of itself; read without torch, so that a config can be held against it early."""

import json
from pathlib import Path
from typing import Any

import safetensors

from ctstyle.errors import CTStyleError

FORMAT = "ctstyle generator bundle"
VERSION = 1


class NotABundle(CTStyleError):
    """A file that is no generator bundle, or is damaged, or of a version this code does not know."""


class UnknownStyle(CTStyleError):
    """A style that a bundle does not hold, or a hint that several of its styles share."""


def read_about(path: Path | str) -> dict[str, Any]:
    """The metadata of a bundle (`bundle.Bundle`); its tensors are not read. Raises NotABundle."""
    path = Path(path)
    expected = f"a file that the rule bundle_generator wrote ({FORMAT}, version {VERSION})"
    try:
        with safetensors.safe_open(path, framework="numpy") as store:
            about = json.loads((store.metadata() or {})["ctstyle"])
    except (OSError, KeyError, ValueError, safetensors.SafetensorError) as error:
        found = f"no {error} in its metadata" if isinstance(error, KeyError) else str(error)
        raise NotABundle(
            "this is no generator bundle",
            where=path,
            found=found,
            expected=expected,
            fix="Name another, or copy it again.",
        ) from error
    found = [about.get("format"), about.get("version")] if isinstance(about, dict) else about
    if found != [FORMAT, VERSION]:
        raise NotABundle(
            "this is no generator bundle that is known here",
            where=path,
            found=f"{found[0]}, version {found[1]}" if isinstance(about, dict) else "other metadata",
            expected=expected,
            fix="Make it again with the rule bundle_generator of this version.",
        )
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
