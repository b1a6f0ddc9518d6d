"""Digests agree with sha256sum, and what is no sane file has none."""

import hashlib
import subprocess

import pytest

from ctstyle.provenance.digest import FileMissing, digests, hash_file, sha256_file


def test_the_published_digest_of_abc(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, B.1
    assert sha256_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_folder_is_digested_as_the_listing_of_sha256sum(tmp_path):
    folder = tmp_path / "series"
    (folder / "deep").mkdir(parents=True)
    for name in ("b.dcm", "a.dcm", "deep/c.dcm"):
        (folder / name).write_bytes(name.encode() * 100_000)
    command = ["sha256sum", "a.dcm", "b.dcm", "deep/c.dcm"]
    listing = subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout
    assert digests([folder])[folder] == hashlib.sha256(listing).hexdigest() == hash_file(folder).sha256


def test_a_file_that_grows_while_it_is_read_has_no_digest(tmp_path, monkeypatch):
    path, new = tmp_path / "a", hashlib.sha256
    path.write_bytes(b"abc")

    def slow(*data):
        """Another process appends before the first byte is hashed."""
        with path.open("ab") as stream:
            stream.write(b"d")
        return new(*data)

    monkeypatch.setattr(hashlib, "sha256", slow)
    assert hash_file(path).problem == "changed while it was read"


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    for ask in (sha256_file, lambda path: digests([path])):
        with pytest.raises(FileMissing, match=r"gone\.npy"):
            ask(tmp_path / "gone.npy")
