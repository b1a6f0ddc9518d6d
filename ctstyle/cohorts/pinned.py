"""The tables that pin public cohorts: which scans there are is known before anything is fetched."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from ctstyle.errors import CTStyleError


class UnusableList(CTStyleError):
    """The table that pins a cohort is missing, has other columns, or lacks what is asked for."""


def read_pinned(
    path: Path,
    columns: Iterable[str],
    chosen: Iterable[str] | None,
    *,
    key: str,
    where: str,
    fix: str | None = None,
) -> pd.DataFrame:
    """The rows of a TSV (strings; lines with `#` are comments) whose column `key` is among `chosen` (None: all).

    `where` is the config key that chooses, `fix` how the table is made. Raises UnusableList.
    """
    try:
        table = pd.read_csv(path, sep="\t", comment="#", dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UnusableList("the pinned list of scans cannot be read", where=path, found=error, fix=fix) from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise UnusableList("columns are missing", where=path, found=list(table), expected=missing, fix=fix)
    if chosen is None:
        return table
    chosen = list(map(str, chosen))
    unknown = sorted(set(chosen) - set(table[key]))
    if unknown:
        raise UnusableList(f"unknown {key}s", where=where, found=unknown, expected=f"{key}s of {path.name}", fix=fix)
    return table[table[key].isin(chosen)].reset_index(drop=True)


def write_list(path: Path, rows: Iterable[Mapping[str, str]], *, about: Iterable[str]) -> None:
    """Write rows as a table that `read_pinned` reads, under comments that say what it lists."""
    text = pd.DataFrame(list(rows), dtype=str).to_csv(sep="\t", index=False, lineterminator="\n")
    path.write_text("".join(f"# {line}\n" for line in about) + text)
