"""What of an error may be written down: our own words and numbers; and the library keeps to it where it reads scans."""

import ast
import re

import numpy as np
import pytest

from ctstyle.errors import WITHHELD, CTStyleError, Fact


@pytest.mark.parametrize("found", [7, 2.5, np.float32(2.5), (3, 4), [[1.0, 2.0]], Fact("7 bytes")])
def test_numbers_and_facts_are_written_down(found):
    error = CTStyleError("no slice", where="/data/DOE_JOHN", found=found, expected="CT", fix="Copy it again.")
    assert error.public == f"no slice (found {found}, expected CT). Copy it again."
    assert str(error) == f"/data/DOE_JOHN: {error.public}"


@pytest.mark.parametrize(
    "found", ["DOE", ["DOE"], (1, "DOE"), b"DOE", {"DOE": 1}, ValueError("DOE"), Fact("x") + "DOE"]
)
def test_whatever_else_is_found_stays_in_the_log(found):
    error = CTStyleError("no slice", where="/data/DOE_JOHN", found=found, expected="CT")
    assert error.public == f"no slice (found {WITHHELD}, expected CT)"
    assert "DOE" in str(error)


SUSPICIOUS = {"source", "path", "where", "name", "text", "said", "found", "kind", "error", "uid", "file", "patient"}
"""Names of variables that hold what was read from a file, or where it lies."""


def quoted(part):
    """The parts of an argument that could quote a scan: no constant, number, tag name, shape or local of our own."""
    if isinstance(part, ast.FormattedValue) and part.format_spec and re.search(r"[dfg%]'", ast.unparse(part)):
        return []
    if isinstance(part, ast.Call):
        called = ast.unparse(part.func)
        if re.fullmatch(r"map|'.*'\.(join|format)", called):
            return [one for argument in part.args for one in quoted(argument)]
        return [] if re.fullmatch(r"tag_name|len|_shape|str|np\.dtype|.*\.tolist", called) else [called]
    if isinstance(part, ast.Attribute):
        ours = {"form", "kind", "number", "low", "high", "orientation", "spacing", "direction"}
        return [] if part.attr in ours else [ast.unparse(part)]
    if isinstance(part, ast.Name):
        return [part.id] if part.id in SUSPICIOUS else []
    if isinstance(part, ast.IfExp):
        return [*quoted(part.body), *quoted(part.orelse)]
    return [one for child in ast.iter_child_nodes(part) for one in quoted(child)]


def test_what_is_expected_and_to_be_done_quotes_nothing_of_a_scan(root):
    strange = {}
    rooms = ("ct", "slices", "sheet", "apply")
    of_styles = {"cluster.py", "features.py"}  # they see no file, only measured features and names of styles
    files = [path for room in rooms for path in (root / "ctstyle" / room).glob("*.py") if path.name not in of_styles]
    assert len(files) > 30
    for path in sorted(files):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and {one.arg for one in call.keywords} & {"found", "fix", "expected"}:
                parts = [*call.args[:1], *(one.value for one in call.keywords if one.arg in ("expected", "fix"))]
                if found := [one for part in parts for one in quoted(part)]:
                    strange[f"{path.name}:{call.lineno}"] = found
    assert strange == {}
