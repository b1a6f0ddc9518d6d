"""A fetched series as one archive whose bytes are always the same."""

import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

MEMBER_TIME = (1980, 1, 1, 0, 0, 0)


def pack(members: Mapping[str, Path | bytes], path: Path) -> None:
    """Write files or bytes, by their names inside, as a stored zip with fixed times, sorted; whole or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".packing-") as scratch:
        new = Path(scratch) / path.name
        with zipfile.ZipFile(new, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(members):
                member = members[name]
                data = member if isinstance(member, bytes) else member.read_bytes()
                archive.writestr(zipfile.ZipInfo(name, MEMBER_TIME), data)
        new.replace(path)
