"""Members of a remote archive: the right bytes, few requests, and every fault by its message."""

import io
import random
import time
import zipfile

import pytest

from ctstyle.cohorts import remote_zip
from ctstyle.cohorts.download import NoSpace, RangesIgnored, SourceChanged, SourceUnavailable
from ctstyle.cohorts.remote_zip import BadArchive, open_zip
from tests.bucket_server import Bucket, served

SIZES = [0, 1, 70_000, 300, 1_500_000, 20, 50_000, 3_000_000, 40_000, 10]


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch):
    monkeypatch.setattr(time, "sleep", [].append)


@pytest.fixture(scope="module")
def contents():
    """Members by name, in the order of the archive."""
    source = random.Random(0)
    return {f"top/s{k:04d}/file.bin": source.randbytes(size) for k, size in enumerate(SIZES)}


@pytest.fixture(scope="module")
def archive(contents):
    """The bytes of an archive: stored and deflated members, folders, one member written with zip64 fields."""
    return packed(contents)


def packed(contents):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        target.mkdir("top")
        for k, (name, data) in enumerate(contents.items()):
            info = zipfile.ZipInfo(name)
            info.compress_type = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[k % 2]
            with target.open(info, "w", force_zip64=k == 6) as member:
                member.write(data)
    return stream.getvalue()


def fetched(address, names, folder):
    opened = open_zip(address, folder / "cache")
    wanted = {name: folder / f"{k}.bin" for k, name in enumerate(names)}
    opened.fetch(wanted, folder / "scratch")
    assert not list((folder / "scratch").iterdir())
    return [wanted[name].read_bytes() for name in names]


@pytest.mark.parametrize("tail", [100, 1000, remote_zip.TAIL])
def test_members_are_those_that_zipfile_reads(archive, contents, tmp_path, monkeypatch, tail):
    monkeypatch.setattr(remote_zip, "TAIL", tail)
    with served(Bucket({"a.zip": archive})) as server:
        opened = open_zip(f"{server.address}/a.zip", tmp_path)
        with zipfile.ZipFile(io.BytesIO(archive)) as whole:
            expected = {info.filename: (info.CRC, info.file_size) for info in whole.infolist() if not info.is_dir()}
        assert {name: (info.CRC, info.file_size) for name, info in opened.members.items()} == expected
        assert fetched(f"{server.address}/a.zip", list(contents), tmp_path) == list(contents.values())


def test_neighbours_come_in_one_request_and_the_rest_stays_where_it_is(archive, contents, tmp_path):
    names = list(contents)
    with served(Bucket({"a.zip": archive})) as server:
        address = f"{server.address}/a.zip"
        open_zip(address, tmp_path / "cache")
        before, asked = server.sent, server.asked["a.zip"]
        chosen = [names[2], names[3], names[9]]
        assert fetched(address, chosen, tmp_path) == [contents[name] for name in chosen]
        # the directory is kept, 2 and 3 are neighbours, 9 lies behind 4.5 MB of others
        assert server.asked["a.zip"] == asked + 2
        assert server.sent - before < sum(len(contents[name]) for name in chosen) + 1000
        assert set(server.conditions[asked:]) == {server.conditions[-1]} != {None}


def test_a_broken_transfer_is_resumed_and_a_corrupted_one_repeated(archive, contents, tmp_path):
    name = list(contents)[7]
    with served(Bucket({"a.zip": archive})) as bad:
        address = f"{bad.address}/a.zip"
        open_zip(address, tmp_path / "cache")
        before = bad.sent
        bad.dropped["a.zip"] = 2
        assert fetched(address, [name], tmp_path) == [contents[name]]
        once = bad.sent - before
        assert once < len(contents[name]) * 1.01
        bad.corrupted["a.zip"] = 1
        assert fetched(address, [name], tmp_path) == [contents[name]]
        assert bad.sent - before == 3 * once


def test_a_stopped_fetch_goes_on(archive, contents, tmp_path):
    name = list(contents)[7]
    with served(Bucket({"a.zip": archive})) as bad:
        address = f"{bad.address}/a.zip"
        open_zip(address, tmp_path / "cache")
        before = bad.sent
        bad.dropped["a.zip"] = 1
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("ctstyle.cohorts.download.TRIES", 1)
            with pytest.raises(SourceUnavailable, match=r"IncompleteRead.*Run again"):
                fetched(address, [name], tmp_path)
        assert fetched(address, [name], tmp_path) == [contents[name]]
        assert bad.sent - before < len(contents[name]) * 1.01


def test_bytes_that_stay_wrong_are_named_by_their_member(archive, contents, tmp_path):
    damaged = bytearray(archive)
    name = list(contents)[7]
    with zipfile.ZipFile(io.BytesIO(archive)) as whole:
        damaged[whole.getinfo(name).header_offset + 1000] ^= 1
    fault = pytest.raises(SourceUnavailable, match=rf"not what was expected: {name}: ")
    with served(Bucket({"a.zip": bytes(damaged)})) as server, fault:
        fetched(f"{server.address}/a.zip", [name], tmp_path)
    (tmp_path / "here.zip").write_bytes(bytes(damaged))
    with pytest.raises(BadArchive, match=rf"here\.zip: the archive is damaged \(found {name}: .*Download it again"):
        fetched(str(tmp_path / "here.zip"), [name], tmp_path)


def test_a_server_without_ranges_is_named_and_an_archive_on_disk_serves_instead(archive, contents, tmp_path):
    name = list(contents)[3]
    with served(Bucket({"a.zip": archive}, ranges=False)) as server:
        with pytest.raises(RangesIgnored, match=r"sends whole files only.*`address` name its place on disk"):
            open_zip(f"{server.address}/a.zip", tmp_path)
        assert server.asked["a.zip"] == 1
    (tmp_path / "here.zip").write_bytes(archive)
    assert fetched(str(tmp_path / "here.zip"), [name], tmp_path) == [contents[name]]
    with pytest.raises(SourceUnavailable, match=r"none\.zip: no such archive.*`address`"):
        open_zip(str(tmp_path / "none.zip"), tmp_path)


def test_an_archive_that_changed_is_not_read_on(archive, contents, tmp_path):
    name = list(contents)[3]
    with served(Bucket({"a.zip": archive})) as server:
        address = f"{server.address}/a.zip"
        open_zip(address, tmp_path / "cache")
        server.objects["a.zip"] = packed(contents | {name: contents[name][::-1]})
        with pytest.raises(SourceChanged, match=r"another version.*delete .*\.directory, list it again"):
            fetched(address, [name], tmp_path)
        server.etag = ""
        server.objects["a.zip"] = packed(contents | {"one": b"more"})
        with pytest.raises(SourceChanged, match=rf"found {len(server.objects['a.zip'])} bytes, ETag none"):
            fetched(address, [name], tmp_path)


def test_what_is_pinned_is_held_against_the_directory_and_the_first_fetch(archive, contents, tmp_path):
    name = list(contents)[3]
    with served(Bucket({"a.zip": archive})) as server:
        opened = open_zip(f"{server.address}/a.zip", tmp_path)
        wanted, known = {name: tmp_path / "one"}, tmp_path / "known.sha256"
        opened.fetch_pinned(wanted, tmp_path / "scratch", sha256=opened.fingerprint(wanted), known=known)
        with pytest.raises(SourceChanged, match=rf"{name}: the archive does not hold what is pinned.*expected 00"):
            opened.fetch_pinned(wanted, tmp_path / "scratch", sha256="00", known=known)
        with pytest.raises(SourceChanged, match="found a member is missing"):
            opened.fetch_pinned({"none": tmp_path / "one"}, tmp_path / "scratch", sha256="00", known=known)
        known.write_text(f"{'0' * 64}  {name}\n")
        with pytest.raises(SourceChanged, match="other files than at the first fetch"):
            opened.fetch_pinned(wanted, tmp_path / "scratch", sha256=opened.fingerprint(wanted), known=known)


def test_what_is_no_archive_or_too_large_is_named(archive, contents, tmp_path, monkeypatch):
    locked = bytearray(archive)
    first = archive.index(b"PK\x01\x02", archive.index(b"PK\x01\x02") + 4)  # the folder's entry comes before it
    locked[first + 8] |= 1
    with served(Bucket({"a.zip": archive, "b.zip": b"<html>" * 99, "c.zip": bytes(locked)})) as server:
        with pytest.raises(BadArchive, match=r"b\.zip: this is no zip archive"):
            open_zip(f"{server.address}/b.zip", tmp_path)
        with pytest.raises(BadArchive, match=r"c\.zip!top/s0000/file\.bin: a member is encrypted"):
            fetched(f"{server.address}/c.zip", list(contents)[:1], tmp_path)
        monkeypatch.setattr("ctstyle.cohorts.download.SPARE", 1e12)
        with pytest.raises(NoSpace, match="GB free, expected"):
            fetched(f"{server.address}/a.zip", list(contents)[7:8], tmp_path)
