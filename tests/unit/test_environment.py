"""The lock, the names it was made from, and the conda environment made from it stay in step."""

import importlib.util
import re
import subprocess
import sys

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@pytest.fixture(scope="module")
def envs(root):
    return root / "envs"


@pytest.fixture(scope="module")
def lock(envs):
    return (envs / "requirements.lock").read_text()


@pytest.fixture(scope="module")
def conda_from_lock(envs):
    spec = importlib.util.spec_from_file_location("conda_from_lock", envs / "conda_from_lock.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entries(lock):
    """Each entry of the lock as (first line, its hash lines)."""
    blocks = re.split(r"\n(?=\S)", "\n".join(line for line in lock.splitlines() if not line.lstrip().startswith("#")))
    for block in filter(str.strip, blocks):
        first, *rest = block.strip().splitlines()
        yield first.rstrip("\\ "), [line.strip().rstrip("\\ ") for line in rest]


def test_conda_yaml_is_what_the_lock_says(envs, lock, conda_from_lock):
    assert (envs / "ctstyle.yaml").read_text() == conda_from_lock.conda_yaml(lock), "run python envs/conda_from_lock.py"


def test_conda_yaml_holds_every_pin_with_its_marker(envs, lock):
    environment = yaml.safe_load((envs / "ctstyle.yaml").read_text())
    *conda, pip = environment["dependencies"]
    assert conda == ["python >=3.11,<3.14", "pip"]
    found = {(r.name, str(r.specifier), str(r.marker)) for r in map(Requirement, pip["pip"])}
    wanted = {(r.name, str(r.specifier), str(r.marker)) for r in (Requirement(first) for first, _ in entries(lock))}
    assert found == wanted and len(pip["pip"]) == len(wanted) > 50


def test_every_wanted_name_is_locked(envs, lock):
    wanted = [
        Requirement(line.split(" #")[0]).name
        for line in (envs / "requirements.in").read_text().splitlines()
        if line.strip("# ") and line[0] != "#"
    ]
    locked = {canonicalize_name(Requirement(first).name) for first, _ in entries(lock)}
    assert {canonicalize_name(name) for name in wanted} <= locked


def test_every_entry_is_one_exact_version_with_hashes(lock):
    for first, hashes in entries(lock):
        requirement = Requirement(first)
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], first
        assert hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in hashes), first


@pytest.mark.parametrize("name", ["requirements.lock", "ctstyle.yaml", "requirements.in", "uv.txt"])
def test_no_index_address(envs, name):
    lines = [line for line in (envs / name).read_text().splitlines() if not line.lstrip().startswith("#")]
    assert not [line for line in lines if re.search(r"https?:|--(extra-)?index-url|--find-links|(^|\s)-[if]\s", line)]


def test_uv_is_installed_by_its_hashes_in_the_version_that_the_makefile_names(root, envs):
    makefile = (root / "Makefile").read_text()
    ((first, hashes),) = entries((envs / "uv.txt").read_text())
    assert first == f"uv=={re.search(r'^UV_VERSION := (.+)$', makefile, flags=re.MULTILINE)[1]}"
    assert len(hashes) > 10 and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in hashes)
    assert re.search(r"^\$\(VENV\)/installed:.* envs/uv\.txt", makefile, flags=re.MULTILINE)
    installs = re.findall(r"pip install .*", makefile)
    assert len(installs) == 2 and all("--require-hashes -r envs/" in line for line in installs)


def test_check_fails_when_out_of_step(envs, tmp_path):
    for name in ("conda_from_lock.py", "requirements.lock"):
        (tmp_path / name).write_text((envs / name).read_text())
    script = [sys.executable, str(tmp_path / "conda_from_lock.py")]
    assert subprocess.run([*script, "--check"], capture_output=True).returncode == 1
    subprocess.run(script, check=True)
    assert subprocess.run([*script, "--check"]).returncode == 0
    with (tmp_path / "requirements.lock").open("a") as lock:
        lock.write("zzz==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n")
    out = subprocess.run([*script, "--check"], capture_output=True, text=True)
    assert out.returncode == 1 and "conda_from_lock.py" in out.stderr


def test_a_line_that_is_no_pin_is_refused(conda_from_lock):
    with pytest.raises(ValueError, match=r"line 2.*requests>=2"):
        conda_from_lock.pins("numpy==2.0.0 \\\nrequests>=2\n")
