"""Write the conda environment of the rules from the hashed lock, so that both always hold the same versions.

    python envs/conda_from_lock.py            write envs/ctstyle.yaml
    python envs/conda_from_lock.py --check    exit 1 if envs/ctstyle.yaml is not what the lock says

Every pin of `requirements.lock` stands inline under `pip:` with its environment marker, because Snakemake copies the
YAML away from its folder and a `-r requirements.lock` would not be found there. Hashes are left to the lock: pip would
ask for them on all lines or none, and conda adds lines of its own. Needs nothing but Python's standard library.
"""

import argparse
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
PIN = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<extras>\[[^\]]+\])?==(?P<version>[^\s;\\]+)(?:\s*;\s*(?P<marker>[^\\]+))?"
)
HEADER = """\
# Written by `python envs/conda_from_lock.py` from requirements.lock. Do not edit; `make lock` writes both.
name: ctstyle
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python >=3.11,<3.14
  - pip
  - pip:
"""


def pins(lock: str) -> list[str]:
    """The pins of a lock file's text in its order, each `name==version` or `name==version ; marker`.

    Raises ValueError, with the line, for a line that is neither a pin nor a hash, comment or blank.
    """
    found = []
    for number, line in enumerate(lock.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith(("#", "--hash=")):
            continue
        pin = PIN.fullmatch(line.rstrip().removesuffix("\\").rstrip())
        if pin is None:
            raise ValueError(f"line {number} of the lock is no pin: {line}")
        marker = f" ; {pin['marker'].strip()}" if pin["marker"] else ""
        found.append(f"{pin['name']}{pin['extras'] or ''}=={pin['version']}{marker}")
    return found


def conda_yaml(lock: str) -> str:
    """The text of the conda environment file for a lock file's text."""
    return HEADER + "".join(f'      - "{pin}"\n' for pin in pins(lock))


def main() -> int:
    """Write or check `ctstyle.yaml` beside this file; the exit status says whether it is in step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the YAML is out of step")
    asked = parser.parse_args()
    target = FOLDER / "ctstyle.yaml"
    text = conda_yaml((FOLDER / "requirements.lock").read_text(encoding="utf-8"))
    if asked.check:
        same = target.is_file() and target.read_text(encoding="utf-8") == text
        if not same:
            print(f"{target} is not what requirements.lock says: run python envs/conda_from_lock.py", file=sys.stderr)
        return 0 if same else 1
    target.write_text(text, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
