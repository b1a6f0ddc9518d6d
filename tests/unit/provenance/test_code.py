"""The code digest changes with what a script runs, and with nothing else."""

import shutil
from pathlib import Path

import pytest

from ctstyle.provenance.code import UnknownScript, code_digest, modules_of


@pytest.fixture
def tree(tmp_path):
    """A small package: scripts/a.py -> deep.one -> two (imported inside a function); three is used by nobody."""
    package = tmp_path / "ctstyle"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep" / "__init__.py").write_text("")
    (package / "deep" / "one.py").write_text("def f():\n    from ctstyle import two\n    return two\n")
    (package / "two.py").write_text("import os\n")
    (package / "three.py").write_text("")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "a.py").write_text("from ctstyle.deep.one import f\n")
    return tmp_path


def _digest(root: Path) -> str:
    code_digest.cache_clear()
    return code_digest(root / "scripts" / "a.py", root)


def test_follows_imports_through_the_package_and_into_functions(tree):
    names = set(modules_of(tree / "scripts" / "a.py", tree))
    assert names == {"ctstyle", "ctstyle.deep", "ctstyle.deep.one", "ctstyle.two"}


@pytest.mark.parametrize("path, changes", [("two.py", True), ("deep/__init__.py", True), ("three.py", False)])
def test_an_edited_module_changes_the_digest_only_where_it_is_used(tree, path, changes):
    before = _digest(tree)
    (tree / "ctstyle" / path).write_text("x = 1\n")
    assert (_digest(tree) != before) is changes


def test_the_place_of_the_tree_does_not_matter(tree, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("clone") / "tree"
    shutil.copytree(tree, elsewhere)
    assert _digest(elsewhere) == _digest(tree)


def test_a_script_that_does_not_exist_or_imports_nothing_is_an_error(tree):
    (tree / "scripts" / "empty.py").write_text("import os\n")
    for name in ("missing", "empty"):
        with pytest.raises(UnknownScript, match=name):
            code_digest(tree / "scripts" / f"{name}.py", tree)
