"""All benchmarks that stand beside a peer, in turn, into docs/performance.md: `make bench`.

    python -m benchmarks [NAME ...]          default: all of them

What a benchmark prints takes the place of what stands between its two marks in the page, with the date and the commit.
Run it on an idle machine: what a section says of the load is written by hand.
"""

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
BENCHMARKS = ("contextual", "transfer_step", "paths", "reading")


def commit() -> str:
    """The commit that is measured; + where files differ from it."""
    describe = ["git", "describe", "--always", "--abbrev=12", "--dirty=+"]
    return subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def put(page: str, name: str, text: str) -> str:
    """The page with `text` between the marks of `name`."""
    marks = re.compile(rf"(<!-- bench {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    page, count = marks.subn(lambda found: f"{found[1]}{text}\n{found[2]}", page)
    if count != 1:
        sys.exit(f"{PAGE}: {count} places for {name}, expected one between <!-- bench {name} --> and <!-- end -->")
    return page


def main(names: list[str]) -> None:
    """Run the benchmarks and write each into the page as soon as it is done."""
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    for name in names or BENCHMARKS:
        print(f"{name} ...", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        print(done.stdout, flush=True)
        text = f"{datetime.now(UTC):%Y-%m-%d}, {commit()}; {done.stdout.strip()}"
        PAGE.write_text(put(PAGE.read_text(encoding="utf-8"), name, text), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
