"""What `snakemake stylize` is asked for, held against the disk before anything runs; knows no torch."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctstyle.ct.labels import LabelMap
from ctstyle.ct.volume_file import VOLUME_SUFFIXES
from ctstyle.errors import CTStyleError
from ctstyle.study.data import StylizeSettings
from ctstyle.study.settings import build
from ctstyle.transfer.about import NotABundle, UnknownStyle, read_about, style_name

FORMATS = ("same", "nifti", "dicom")
FLAGGED = ("keep", "original")
BUNDLE_OF_RUN = "transfer/ours/seed*.bundle.safetensors"
"""Where a run's results hold its bundles; the first seed's is taken."""
_WRITTEN = {".nii": ".nii", ".nrrd": ".nrrd", ".nhdr": ".nrrd", ".mha": ".mha", ".mhd": ".mha"}
"""How a volume of one file is written again: formats that lie in two files become their sister of one."""


class NotAsked(CTStyleError):
    """The target stylize, and the config does not say what to stylise, how or with what."""


class NoSuchInput(CTStyleError):
    """A path of the config that does not exist."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The files of one call, absolute; `style` is a name of the bundle, or empty where `style_series` is a CT.

    `suffix` is that of the volume file to be written, or empty for DICOM.
    """

    content: str
    model: str
    style: str
    style_series: str
    mask: str
    suffix: str

    @property
    def files(self) -> dict[str, str]:
        """What is read, by the names of the rule's inputs."""
        named = {"content": self.content, "model": self.model, "style": self.style_series, "mask": self.mask}
        return {name: path for name, path in named.items() if path}


def asked(config: Mapping[str, Any]) -> Asked | None:
    """What the keys `content`, `style`, `model` and `mask` ask for; None where none of them is set.

    Raises NotAsked where some are missing, NoSuchInput, NotABundle and UnknownStyle.
    """
    settings = build(StylizeSettings, config["stylize"])
    if not any(config[key] for key in ("content", "style", "model", "mask")):
        return None
    require(config)
    LabelMap.parse(settings.label_map, where="stylize: label_map")
    content, model = _existing("content", config["content"]), _bundle(config["model"])
    style, series = _style(config["style"], model)
    return Asked(
        content=content,
        model=model,
        style=style,
        style_series=series,
        mask=_existing("mask", config["mask"]) if config["mask"] else "",
        suffix=_suffix(content, settings.format),
    )


def files(config: Mapping[str, Any]) -> dict[str, str]:
    """What the rule stylize reads: content, bundle, and where they are given the CT of the style and the mask."""
    found = asked(config)
    if found is None:
        require(config)
    return found.files if found else {}


def require(config: Mapping[str, Any]) -> None:
    """Raise NotAsked where one of the three keys is missing."""
    missing = [key for key in ("content", "style", "model") if not config[key]]
    if missing:
        raise NotAsked(
            "the target stylize needs to know what to stylise",
            where="config",
            found=f"no {', no '.join(missing)}",
            expected="content, style and model",
            fix="snakemake stylize --config content=FOLDER_OR_FILE style=NAME_OR_FOLDER model=BUNDLE_OR_RESULTS",
        )


def _existing(key: str, value: str) -> str:
    if not Path(value).exists():
        raise NoSuchInput("no such file or folder", where=key, found=value, fix="Correct the path.")
    return _absolute(value)


def _absolute(value: str) -> str:
    """So that no rule is taken for its maker and run for it; links are not followed."""
    return os.path.normpath(Path(value).absolute())


def _bundle(value: str) -> str:
    """The bundle that is named, or that of a run's first seed."""
    path = Path(_existing("model", value))
    if not path.is_dir():
        read_about(path)
        return str(path)
    found = sorted(path.glob(BUNDLE_OF_RUN), key=lambda one: int(one.name.removeprefix("seed").partition(".")[0]))
    if not found:
        raise NotABundle(
            "no generator bundle in this folder",
            where="model",
            found=value,
            expected=f"a folder of results with {BUNDLE_OF_RUN}",
            fix="Name the results of a finished run, or a bundle file.",
        )
    read_about(found[0])
    return str(found[0])


def _style(value: str, model: str) -> tuple[str, str]:
    """(name, "") of a style of the bundle, or ("", path) of a CT."""
    try:
        return style_name(read_about(model), value), ""
    except UnknownStyle:
        if not Path(value).exists():
            raise
        return "", _absolute(value)


def _suffix(content: str, form: str) -> str:
    named = [suffix for suffix in VOLUME_SUFFIXES if content.lower().endswith(suffix)]
    if form == "dicom" or (form == "same" and not named):
        return ""
    if form == "nifti" or ".nii.gz" in named:
        return ".nii.gz"
    return _WRITTEN[named[0]]
