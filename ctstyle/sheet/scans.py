"""CT scans of an archive: those the reader will read, and the reason for every other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctstyle.errors import CTStyleError
from ctstyle.sheet.field import Field


@dataclass(frozen=True, kw_only=True)
class CTScan:
    """One CT that the reader will read: `path` the folder, zip or file, `home` the folder or zip it lies in.

    `series_uid` is empty where the place holds no other CT, `uid` never. `patient` tells patients apart and is never
    printed; `told_by` says what it was made of: "id", "study" or "path", of a volume file "subject" (BIDS) or "name".
    `instances` (SOP instances), `frame` and `patient_id` (a digest) are for masks. `display` marks what looks like an
    export with its window burnt in.
    """

    path: Path
    home: Path
    series_uid: str = ""
    uid: str = ""
    field: Field
    files: int = 1
    patient: str
    told_by: str
    patient_id: str = ""
    study: str = ""
    subject: str = ""
    frame: str = ""
    instances: frozenset[str] = frozenset()
    acquisition: Mapping[str, Any] = field(default_factory=dict)
    display: bool = False


@dataclass(frozen=True, order=True)
class LeftOut:
    """A place that gives no scan or no mask, and why."""

    path: str
    reason: str


class Unusable(CTStyleError):
    """A series that the reader will refuse, or should not be given."""


def reason_of(error: CTStyleError) -> str:
    """The message of an error with its files, which the sheet names, but without values of tags: one can be a name."""
    if isinstance(error, Unusable):
        return str(error)
    return f"{error.where}: {error.public}" if error.where is not None else error.public


def common_place(paths: Sequence[Path]) -> Path:
    """The narrowest folder that holds all of `paths`, or the one path itself."""
    first, *others = paths
    parts = list(first.parts)
    for path in others:
        equal = [one == other for one, other in zip(parts, path.parts)]
        parts = parts[: equal.index(False) if False in equal else len(equal)]
    return Path(*parts)
