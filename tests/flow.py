"""The picture of the flow in docs/architecture.md, from Snakemake's own graph: a stage is a file of rules.

python -m tests.flow    writes it anew (`make config`).
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BLOCK = re.compile(r"```mermaid\n.*?```\n", flags=re.DOTALL)
TOGETHER = {"provenance": "paper"}
"""The seal covers the paper's tables, and the PDF prints the seal: one stage in the picture."""


def stages() -> dict[str, str]:
    """The stage of each rule."""
    found = {}
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for rule in re.findall(r"^(?:use )?rule (?:\w+ as )?(\w+)(?: with)?:", path.read_text(), flags=re.MULTILINE):
            found[rule] = TOGETHER.get(path.stem, path.stem)
    return found


def picture() -> str:
    """The block: an arrow from each stage to those that need it directly, and not only through others."""
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js", "--configfile", "tests/config/tiny.yaml"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names, of = dict(re.findall(r"(id\d+)\[(\w+)", told)), stages()
    pairs = [(of.get(names[a]), of.get(names[b])) for a, b in re.findall(r"(id\d+) --> (id\d+)", told)]
    needs: dict[str, set[str]] = {stage: set() for pair in pairs for stage in pair if stage}
    for before, after in pairs:
        if before and after and before != after:
            needs[after].add(before)
    arrows = sorted(
        f"    {before} --> {after}"
        for after, found in needs.items()
        for before in found
        if not any(before in above(needs, other) for other in found)
    )
    return "\n".join(["```mermaid", "flowchart TB", *arrows, "```", ""])


def above(needs: dict[str, set[str]], stage: str) -> set[str]:
    """All stages that a stage needs, directly or not."""
    return needs[stage].union(*(above(needs, one) for one in needs[stage]))


if __name__ == "__main__":
    PAGE.write_text(BLOCK.sub(picture(), PAGE.read_text()))
