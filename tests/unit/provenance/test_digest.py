"""Digests agree with sha256sum, are kept between processes, and never outlive the file they belong to."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from ctstyle.provenance import digest
from ctstyle.provenance.digest import CacheUnusable, DigestCache, FileChanged, FileMissing, digests, sha256_file

LONG_AGO_NS = 10**18


def _write(path, content):
    path.write_bytes(content)
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    return path


@pytest.fixture
def hashed(monkeypatch):
    """The files that were really read, in order."""
    read = []

    def counted(path):
        """As `sha256_file`, counting."""
        read.append(path)
        return sha256_file(path)

    monkeypatch.setattr(digest, "sha256_file", counted)
    return read


def test_the_published_digest_of_abc(tmp_path):
    path = _write(tmp_path / "a", b"abc")  # FIPS 180-2, B.1
    assert sha256_file(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_second_process_hashes_nothing_again(tmp_path, hashed):
    paths = [_write(tmp_path / name, name.encode()) for name in "abc"]
    first = digests(paths, DigestCache(tmp_path / "cache" / "digests.sqlite"))
    assert len(hashed) == 3
    again = digests(paths, DigestCache(tmp_path / "cache" / "digests.sqlite"))
    assert again == first == {path: sha256_file(path) for path in paths}
    assert len(hashed) == 3


@pytest.mark.parametrize("place", [None, "digests.sqlite"])
def test_a_changed_file_is_hashed_again_even_with_its_old_size_and_time(tmp_path, place, hashed):
    cache = DigestCache(place and tmp_path / place)
    path = _write(tmp_path / "a", b"abc")
    digests([path], cache)
    digests([path], cache)
    assert len(hashed) == 1
    for content in (b"abd", b"abcd"):  # the same size and time; another size
        _write(path, content)
        assert digests([path], cache)[path] == hashlib.sha256(content).hexdigest()
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS + 1))
    digests([path], cache)
    _write(tmp_path / "b", b"abcd").replace(path)  # another inode
    digests([path], cache)
    assert len(hashed) == 5


def test_a_file_just_written_is_not_remembered(tmp_path, hashed):
    cache = DigestCache()
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    digests([path], cache)
    digests([path], cache)
    assert len(hashed) == 2


def test_a_file_that_changes_meanwhile_is_an_error(tmp_path, monkeypatch):
    path = _write(tmp_path / "a", b"abc")

    def slow(file):
        """Hash, while another process appends."""
        before = sha256_file(file)
        file.write_bytes(b"abcd")
        return before

    monkeypatch.setattr(digest, "sha256_file", slow)
    with pytest.raises(FileChanged):
        digests([path], DigestCache())


def test_a_folder_is_digested_as_the_listing_of_sha256sum(tmp_path):
    (tmp_path / "series" / "deep").mkdir(parents=True)
    for name in ("b.dcm", "a.dcm", "deep/c.dcm"):
        _write(tmp_path / "series" / name, name.encode())
    listing = subprocess.run(
        ["sha256sum", "a.dcm", "b.dcm", "deep/c.dcm"], cwd=tmp_path / "series", capture_output=True, check=True
    ).stdout
    folder = tmp_path / "series"
    assert digests([folder], DigestCache())[folder] == hashlib.sha256(listing).hexdigest()


def test_several_processes_share_one_cache(tmp_path):
    paths = [_write(tmp_path / f"{k}.npy", bytes([k]) * 1000) for k in range(40)]
    code = (
        "import sys; from ctstyle.provenance.digest import *\n"
        "print(sorted(digests(sys.argv[2:], DigestCache(sys.argv[1])).values()))"
    )

    def one(_):
        """The digests as another process sees them."""
        command = [sys.executable, "-c", code, str(tmp_path / "digests.sqlite"), *map(str, paths)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    with ThreadPoolExecutor(4) as pool:
        told = set(pool.map(one, range(4)))
    assert told == {str(sorted(map(sha256_file, paths)))}


def test_the_cache_tells_no_path(tmp_path):
    folder = tmp_path / "Mustermann"
    folder.mkdir()
    cache = DigestCache(tmp_path / "digests.sqlite")
    digests([_write(folder / "a", b"abc")], cache)
    stored = (tmp_path / "digests.sqlite").read_bytes()
    assert b"Mustermann" not in stored and sha256_file(folder / "a").encode() in stored


def test_a_missing_file_and_a_damaged_cache_are_errors(tmp_path):
    for ask in (sha256_file, lambda path: digests([path], DigestCache())):
        with pytest.raises(FileMissing, match=r"gone\.npy"):
            ask(tmp_path / "gone.npy")
    (tmp_path / "digests.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(CacheUnusable, match="Delete it"):
        DigestCache(tmp_path / "digests.sqlite")
