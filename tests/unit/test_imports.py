"""Jobs that compute nothing with networks do not pay for torch: importing it takes longer than their work."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from ctstyle.study import outputs

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "torchvision", "monai", "lpips")
MEASURE_NETWORKS = {"ctstyle.paper.architecture"}
"""It runs and counts the networks themselves."""
LIGHT = ("make_table*", "draw_*", "print_*", "trace_*", "write_*", "list_*", "seal*")
LIGHT += ("fetch_hed*", "fetch_lidc*", "simulate_*", "cut_*", "gather_*", "find_*", "choose_*")
LIGHT += ("make_control*", "export_*")
MODULES = ("ctstyle.sheet", "ctstyle.audit.__main__", "ctstyle.study.encoders", "ctstyle.segment.generate")


def heavy_after(code: str, heavy: tuple[str, ...] = HEAVY) -> set[str]:
    """Which of the `heavy` packages are there after `code`, in a process of its own."""
    tail = f"\nimport sys\nprint(*(name for name in {heavy} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code + tail], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def imports_of(script: Path) -> str:
    """The import statements of a script."""
    body = ast.parse(script.read_text()).body
    return "\n".join(ast.unparse(node) for node in body if isinstance(node, ast.Import | ast.ImportFrom))


def light_scripts() -> list[str]:
    found = {path.name for pattern in LIGHT for path in (ROOT / "scripts").glob(f"{pattern}.py")}
    return sorted(found)


def test_tables_figures_sheets_and_audit_import_no_torch():
    scripts = light_scripts()
    assert len(scripts) > 15
    places = {output.place.partition(":")[0] for output in (*outputs.FIGURES, *outputs.TABLES)} - MEASURE_NETWORKS
    modules = [f"import {name}" for name in sorted({*MODULES, *places})]
    every = "\n".join([*(imports_of(ROOT / "scripts" / name) for name in scripts), *modules])
    heavy = heavy_after(every)
    if heavy:  # which of them
        culprits = [name for name in scripts if heavy_after(imports_of(ROOT / "scripts" / name))]
        pytest.fail(f"{', '.join(sorted(heavy))} imported by {', '.join(culprits) or 'a module'}")


def test_the_test_would_notice():
    assert "torch" in heavy_after("import ctstyle.encoders.network")
    assert heavy_after("import torchvision", ("torchvision", "torch._dynamo")) == {"torchvision", "torch._dynamo"}
