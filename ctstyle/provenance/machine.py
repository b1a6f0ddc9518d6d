"""What a job ran on: packages, processor, graphics cards with their driver, and the commit of the code."""

import functools
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path


def imported_packages() -> dict[str, str]:
    """Version of each installed distribution of which a top-level module is imported, by its name."""
    loaded = {name.partition(".")[0] for name in list(sys.modules)}
    found = {one.metadata["Name"]: one.version for one in metadata.distributions() if _top_level(one) & loaded}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _top_level(distribution: metadata.Distribution) -> set[str]:
    """The names under which its modules are imported; a tenth of the time of `metadata.packages_distributions`."""
    told = distribution.read_text("top_level.txt")
    if told:
        return set(told.split())
    listed = (distribution.read_text("RECORD") or "").splitlines()
    return {line.partition(",")[0].partition("/")[0].partition(".")[0] for line in listed}


@functools.cache
def processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@functools.cache
def cards() -> tuple[str, str]:
    """Names and drivers of the cards this process may use, or of all cards where none is assigned.

    Each is a list with commas and without repeats; ("unknown", "unknown") where `nvidia-smi` does not tell.
    """
    ask = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        told = subprocess.run([*ask, *(["-i", visible] if visible else [])], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown", "unknown"
    rows = sorted({tuple(part.strip() for part in line.rsplit(",", 1)) for line in told.stdout.splitlines() if line})
    return ", ".join(dict.fromkeys(row[0] for row in rows)), ", ".join(dict.fromkeys(row[1] for row in rows))


@functools.cache
def commit_of(root: Path) -> tuple[str, bool | None]:
    """The commit of the checkout `root`, and whether tracked files differ from it.

    ("unknown", None) outside a clone: git would take the commit of a repository around an unpacked archive.
    """
    if not (root / ".git").exists():
        return "unknown", None
    ask = ["git", "-C", str(root), "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    # without the lock, jobs that run at the same time do not wait for each other
    variables = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        told = subprocess.run(ask, capture_output=True, text=True, check=True, env=variables).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return "unknown", None
    commit = next(line.split()[-1] for line in told if line.startswith("# branch.oid"))
    return commit, any(not line.startswith("#") for line in told)
