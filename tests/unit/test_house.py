"""The house: imports point up the flow of the data only, the library knows no workflow, scripts stay thin."""

import ast
import re

import pytest

ROOMS = [
    "errors",
    "study",
    "provenance",
    "audit",
    "run",
    "ct",
    "cohorts",
    "sheet",
    "slices",
    "measures",
    "encoders",
    "transfer",
    "segment",
    "paper",
    "apply",
]
"""In the order the data flows; a room imports itself and those before it."""
COMMANDS = {"clean"}


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _modules(root):
    return sorted((root / "ctstyle").rglob("*.py"))


def test_imports_point_up_the_flow_only(root):
    for path in _modules(root):
        parts = path.relative_to(root / "ctstyle").parts
        room = parts[0].removesuffix(".py")
        if room not in ROOMS:
            assert room in COMMANDS | {"__init__"}, path
            continue
        for name in _imports(path):
            target = name.split(".")[1] if name.startswith("ctstyle.") else None
            if target in ROOMS:
                assert ROOMS.index(target) <= ROOMS.index(room), f"{path.name} of {room} imports {name}"


def test_every_folder_of_the_library_is_a_room_or_a_command(root):
    names = {path.name.removesuffix(".py") for path in (root / "ctstyle").iterdir() if not path.name.startswith("__")}
    assert names == set(ROOMS) | COMMANDS


def test_the_library_never_imports_snakemake(root):
    for path in _modules(root):
        assert not any(name.split(".")[0] == "snakemake" for name in _imports(path)), path


@pytest.mark.parametrize("name", ["utils", "helpers", "misc", "common"])
def test_no_module_has_a_name_that_says_nothing(root, name):
    assert not list((root / "ctstyle").rglob(f"{name}.py"))


def test_scripts_are_thin_guarded_and_named_as_their_rule(root):
    rules = {
        rule: text
        for smk in (root / "rules").glob("*.smk")
        for rule, text in re.findall(r"^rule (\w+):\n((?:    .*\n|\n)+)", smk.read_text(), flags=re.MULTILINE)
    }
    scripts = {path.stem: path.read_text() for path in (root / "scripts").glob("*.py")}
    assert {rule for rule, text in rules.items() if "script:" in text} == set(scripts)
    for name, text in scripts.items():
        assert f'"../scripts/{name}.py"' in rules[name] and f'fingerprint("{name}"' in rules[name]
        assert f"(rule {name})" in text.splitlines()[0]
        assert 'if __name__ == "__main__":' in text and "snakemake.config" not in text
        assert len(text.splitlines()) <= 50, name


def test_every_rule_with_a_script_has_log_benchmark_conda_threads_and_params(root):
    for smk in (root / "rules").glob("*.smk"):
        text = smk.read_text()
        assert "lambda" not in text
        for rule, body in re.findall(r"^rule (\w+):\n((?:    .*\n|\n)+)", text, flags=re.MULTILINE):
            if "script:" in body:
                for directive in ("log", "benchmark", "conda", "threads", "params", "output"):
                    assert re.search(rf"^    {directive}:", body, flags=re.MULTILINE), f"{rule} has no {directive}"


def test_code_that_runs_on_a_gpu_machine_imports_without_the_dicom_libraries(root):
    forbidden = {"pydicom", "SimpleITK", "highdicom", "lpips", "snakemake"}
    for room in ("encoders", "transfer", "segment", "measures", "slices", "apply"):
        for path in (root / "ctstyle" / room).glob("*.py"):
            tree = ast.parse(path.read_text())
            top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
            names = {(n.module or "").split(".")[0] if isinstance(n, ast.ImportFrom) else n.names[0].name for n in top}
            assert not names & forbidden, path
