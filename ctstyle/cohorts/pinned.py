"""What public cohorts share: a licence, the table that pins their scans, and how fetched files are laid down.

Which scans there are is known before anything is fetched. A cohort's module holds its data, and three functions:
`pinned(settings, root)`, the rows of its table that take part; `scans(settings, folder, root)`, the sheet's rows; and
`fetch(row, address, folder)`, which writes the files of one row into the cohort's folder.
"""

import logging
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ctstyle.cohorts.remote_zip import RemoteZip
from ctstyle.cohorts.sheet import Scan
from ctstyle.errors import CTStyleError
from ctstyle.provenance.record import write_whole
from ctstyle.run.places import default_cache

log = logging.getLogger(__name__)

_MEMBER_TIME = (1980, 1, 1, 0, 0, 0)


class UnusableList(CTStyleError):
    """The table that pins a cohort is missing, has other columns, or lacks what was chosen."""


@dataclass(frozen=True)
class Licence:
    """Name and address of a licence, who is to be named, and what was done to the files."""

    name: str
    url: str
    attribution: str
    changes: str = "none, the files are those of the publisher."

    def announce(self, address: str) -> bytes:
        """Log what is fetched from `address` and under which terms; the bytes of LICENCE.txt, whatever the address."""
        log.info("%s, %s (%s), from %s", self.attribution, self.name, self.url, address)
        return f"{self.attribution}\nLicence: {self.name}, {self.url}\nChanges: {self.changes}\n".encode()


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A public cohort: its `name`, licence, and what its table holds.

    `case` is the column that names a scan and its files, `key` the column whose values the config chooses among
    (`subjects` for `subject`). `series` and `mask` are the files of a case in the cohort's folder.
    """

    name: str
    licence: Licence
    columns: tuple[str, ...]
    case: str
    key: str
    series: str = "{case}/ct.nii.gz"
    mask: str = "{case}/labels.nii.gz"
    label_map: str = "totalsegmentator"
    prefix: str = ""
    """What stands before the name of a patient in the table."""

    @property
    def how_to_list(self) -> str | None:
        """How the table is made, for a collection that is listed by a rule."""
        if "sha256" not in self.columns:
            return None
        return (
            f"Run `snakemake --cores 1 results/cohorts/{self.name}.tsv --config cohorts='[phantom]'`, look at "
            f"results/cohorts/{self.name}.tsv, and copy it to the place that `{self.name}: pinned` names."
        )

    def pinned(self, settings: Any, root: Path) -> pd.DataFrame:
        """The rows of the table (strings; lines with `#` are comments) that the settings choose; or UnusableList."""
        path, fix = root / settings.pinned, self.how_to_list
        try:
            table = pd.read_csv(path, sep="\t", comment="#", dtype=str, keep_default_na=False)
        except (OSError, ValueError) as error:
            raise UnusableList("the pinned list of scans cannot be read", where=path, found=error, fix=fix) from error
        missing = [name for name in self.columns if name not in table]
        if missing:
            raise UnusableList("columns are missing", where=path, found=list(table), expected=missing, fix=fix)
        chosen = getattr(settings, f"{self.key}s")
        if chosen is not None:
            unknown = sorted(set(map(str, chosen)) - set(table[self.key]))
            if unknown:
                where, expected = f"{self.name}: {self.key}s", f"{self.key}s of {path.name}"
                raise UnusableList(f"unknown {self.key}s", where=where, found=unknown, expected=expected, fix=fix)
            table = table[table[self.key].isin(list(map(str, chosen)))]
        if "set" in self.columns:
            table = table[table["set"].isin(settings.sets)]
            if table.empty:
                what, found = "none of its scans takes part", "other sets"
                raise UnusableList(what, where=path, found=found, expected=settings.sets, fix=fix)
        return table.reset_index(drop=True)

    def scans(self, settings: Any, folder: Path | str, root: Path) -> list[Scan]:
        """One scan per `pinned` row, as `fetch` leaves it in `folder`."""
        own = self.name.replace("_", "-")
        return [
            Scan(
                scan=f"{own}-{row[self.case]}",
                patient=f"{own}-{row[self.key].removeprefix(self.prefix)}",
                cohort=self.name,
                series=f"{folder}/{self.series.format(case=row[self.case])}",
                mask=f"{folder}/{self.mask.format(case=row[self.case])}",
                label_map=self.label_map,
                style_hint=row["manufacturer"],
                licence=self.licence.name,
            )
            for row in self.pinned(settings, root).to_dict("records")
        ]

    def write_list(self, path: Path, rows: Iterable[Mapping[str, str]], *, address: str, layout: str) -> None:
        """Write rows as a table that `pinned` reads, sorted, under comments; UnusableList where there are none.

        `layout` is what the archive at `address` should have held.
        """
        ordered = sorted(({name: row[name] for name in self.columns} for row in rows), key=lambda row: row[self.case])
        if not ordered:
            raise UnusableList("no scan of the expected layout", where=address, expected=layout)
        text = pd.DataFrame(ordered, dtype=str).to_csv(sep="\t", index=False, lineterminator="\n")
        terms = f"{self.licence.name}; {address}; mb is the size of CT and masks in 10^6 bytes."
        write_whole(path, f"# {self.licence.attribution}\n# {terms}\n{text}")

    def cache(self, chosen: Path | None) -> Path:
        """The folder that keeps directories of archives and the digests of a first fetch."""
        return chosen or default_cache(self.name)

    def fetch(
        self,
        archive: RemoteZip,
        wanted: Mapping[str, str],
        row: Mapping[str, str],
        folder: Path,
        *,
        known: Path,
        finish: Callable[[Path], None] = lambda scratch: None,
    ) -> None:
        """Write CT, labels and LICENCE.txt of one case into its folder below `folder`, from members of an archive.

        `wanted` are file names by members, and `finish` makes the labels of them. A stopped fetch goes on. The digests
        of the first fetch are kept in `known`. Raises what `remote_zip` raises.
        """
        licence = self.licence.announce(archive.url)
        case = row[self.case]
        scratch = folder / f".{case}.fetching"
        members = {member: scratch / name for member, name in wanted.items()}
        archive.fetch_pinned(members, scratch, sha256=row["sha256"], known=known)
        finish(scratch)
        for place in (self.series, self.mask):
            target = folder / place.format(case=case)
            target.parent.mkdir(parents=True, exist_ok=True)
            (scratch / target.name).replace(target)
        write_whole(folder / case / "LICENCE.txt", licence)
        shutil.rmtree(scratch)


def pack(members: Mapping[str, Path | bytes], path: Path) -> None:
    """Write files or bytes, by their names inside, as a stored zip with fixed times, sorted; whole or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".packing-") as scratch:
        new = Path(scratch) / path.name
        with zipfile.ZipFile(new, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(members):
                member = members[name]
                data = member if isinstance(member, bytes) else member.read_bytes()
                archive.writestr(zipfile.ZipInfo(name, _MEMBER_TIME), data)
        new.replace(path)
