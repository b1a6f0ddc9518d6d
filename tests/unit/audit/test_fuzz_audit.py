"""Damaged and forged results by the thousand: the audit ends, prints what a terminal can show, and is not fooled."""

import json
import random
import shutil

import pytest
from a_run import TABLE, SmallRun

from ctstyle.audit.__main__ import main
from tests.damage import mutated

CASES = 1500
UNSEALED = ("seal.json", "print_paper.json", "root.json")
"""Written after the seal: of these the checked parts alone count, not every byte (docs/provenance.md)."""
VALUES = [None, True, -1, 10**400, 1e300, "", "x" * 5000, "\x1b[2J", "--help", "../x", [], {}, [[]] * 50, "\udcff"]


def changed_json(text: str, draw: random.Random) -> str:
    """A JSON text with one value, somewhere, put in the place of another, taken away, or nested deeply."""
    value = json.loads(text)
    here, way = value, []
    while isinstance(here, dict | list) and here and (not way or draw.random() < 0.8):
        key = draw.choice(list(here)) if isinstance(here, dict) else draw.randrange(len(here))
        way.append((here, key))
        here = here[key]
    holder, key = way[-1]
    change = draw.randrange(4)
    if change == 0:
        del holder[key]
    elif change == 1 and isinstance(holder, dict):
        holder[draw.choice(["\x1b[1A", "--x", "name", "a" * 3000])] = holder.pop(key)
    elif change == 2:
        holder[key] = json.loads("[" * 500 + "]" * 500)
    else:
        holder[key] = draw.choice(VALUES)
    return json.dumps(value)


@pytest.mark.slow
def test_the_audit_of_damaged_results_ends_and_is_not_fooled(tmp_path, capsys):
    made = SmallRun(tmp_path / "run")
    files = sorted(path for path in made.results.rglob("*") if path.is_file() and "logs" not in path.parts)
    files = [path for path in files if path.name not in ("report.html", ".train-0.state")]
    whole = {path: path.read_bytes() for path in files}
    draw, sound, broken = random.Random(20), 0, 0
    for number in range(CASES):
        path = draw.choice(files)
        if path.suffix == ".json" and number % 2:
            data = changed_json(whole[path].decode(), draw).encode("utf-8", "surrogatepass")
        else:
            data = mutated(whole[path], whole[draw.choice(files)], draw)
        path.write_bytes(data)
        target = made.results if number % 3 else made.folder / TABLE
        asked = [str(target), "--checkout", str(made.checkout), *(["--explain"] if number % 5 == 0 else [])]
        status = main(asked)
        shown = capsys.readouterr()
        assert status in (0, 1, 2) and "could not finish" not in shown.err, (number, path, shown.err)
        assert all(one == "\n" or one.isprintable() for one in shown.out + shown.err), (number, path)
        if data != whole[path] and target == made.results and path.name not in UNSEALED:
            assert status == 1, (number, path.relative_to(made.folder), data[:200])
            broken += 1
        sound += data == whole[path]
        path.write_bytes(whole[path])
    assert broken > CASES / 2 and main([str(made.results), "--checkout", str(made.checkout)]) == 0
    shutil.rmtree(made.folder)
