"""Runs of Snakemake as a user starts them, each in a folder of its own."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ctstyle.provenance.digest import sha256_file

ROOT = Path(__file__).parents[1]
CONFIGS = [*sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("config/*.yaml")), "tests/config/tiny.yaml"]
"""Every configuration that the project ships, and the tests' own."""


@dataclass(frozen=True)
class Workflow:
    """Snakemake on this checkout's Snakefile, with results under `folder`."""

    root: Path
    folder: Path

    def run(self, *arguments: str, cores: int = 2, timeout_s: int = 900) -> subprocess.CompletedProcess:
        """Run Snakemake with `arguments` and return its exit status and output (stdout and stderr together)."""
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(self.root / "Snakefile")]
        command += ["--directory", str(self.folder), "--cores", str(cores), *map(str, arguments)]
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        return subprocess.run(
            command,
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def planned(self, *arguments: str) -> set[str]:
        """The rules that Snakemake would run now, from a dry run; figures and tables each by its name."""
        done = self.run("--dry-run", "--quiet", "progress", *arguments)
        assert done.returncode == 0, done.stdout
        jobs = re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):((?:\n    .*)*)", done.stdout, flags=re.MULTILINE)
        names = [(rule, re.search(r"wildcards: name=(\S+)", about)) for rule, about in jobs]
        return {f"{rule} {name[1]}" if name else rule for rule, name in names}


def audit(results: Path) -> dict:
    """What the audit of all results finds, run with the standard library alone."""
    command = [sys.executable, "-S", "-m", "ctstyle.audit", str(results), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.stderr == ""
    return json.loads(done.stdout)


def tree(folder: Path) -> dict[str, str]:
    """All files and links under a folder with the digest or the goal of each; folders do not count."""
    return {
        path.relative_to(folder).as_posix(): str(path.readlink()) if path.is_symlink() else sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }
