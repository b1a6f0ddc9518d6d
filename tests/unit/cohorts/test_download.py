"""Downloads from a server that drops, corrupts, refuses, changes its files or knows no ranges."""

import email.utils
import hashlib
import http.server
import random
import threading
import time
from collections import Counter

import pytest

from ctstyle.cohorts import download
from ctstyle.cohorts.download import AddressRefused, NoSpace, Piece, SourceChanged, SourceUnavailable
from tests.bucket_server import Bucket, served

DATA = random.Random(0).randbytes(100_000)
OTHER = random.Random(1).randbytes(100_000)


@pytest.fixture
def waits(monkeypatch):
    """What would be waited, in seconds."""
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


def piece_of(bucket, data=DATA, **known):
    md5 = hashlib.md5(data).hexdigest()
    return Piece(f"{bucket.address}/file.bin", len(data), etag=bucket.etag.format(md5), md5=md5, **known)


def test_a_broken_transfer_is_resumed_and_nothing_is_sent_twice(waits, tmp_path):
    with served(Bucket({"file.bin": DATA}, dropped=Counter({"file.bin": 3}))) as bad:
        piece = piece_of(bad)
        assert download.fetch(piece, tmp_path / "file.bin").read_bytes() == DATA
        assert bad.sent == len(DATA) and bad.asked["file.bin"] == 4
        assert bad.conditions == [None, *[piece.etag] * 3]
        assert waits == [1.0, 2.0, 4.0]
        download.fetch(piece, tmp_path / "file.bin")
        assert bad.asked["file.bin"] == 4  # it is there
    assert [one.name for one in tmp_path.iterdir()] == ["file.bin"]


def test_a_server_without_ranges_sends_the_whole_file_again(waits, tmp_path):
    with served(Bucket({"file.bin": DATA}, dropped=Counter({"file.bin": 1}), ranges=False)) as bad:
        assert download.fetch(piece_of(bad), tmp_path / "file.bin").read_bytes() == DATA
        assert bad.sent == len(DATA) + len(DATA) // 2


def test_two_versions_of_a_file_are_never_joined(waits, tmp_path):
    path = tmp_path / "file.bin"
    with served(Bucket({"file.bin": DATA}, dropped=Counter({"file.bin": 99}))) as bad:
        old = piece_of(bad)
        with pytest.raises(SourceUnavailable, match=r"IncompleteRead.*a part is resumed"):
            download.fetch(old, path)
        kept = download.part_of(old, path)
        assert 0 < kept.stat().st_size < len(DATA)
        bad.objects["file.bin"] = OTHER
        bad.dropped.clear()
        with pytest.raises(SourceChanged, match=r"another version.*expected 100000 bytes, ETag .*never joined"):
            download.fetch(old, path)
        assert download.fetch(piece_of(bad, OTHER), path).read_bytes() == OTHER
        assert not kept.exists()


def test_without_an_etag_the_md5_tells_two_versions_apart(waits, tmp_path):
    path = tmp_path / "file.bin"
    with served(Bucket({"file.bin": OTHER}, etag="")) as server:
        piece = piece_of(server, OTHER)
        download.part_of(piece, path).write_bytes(DATA[:40_000])
        assert download.fetch(piece, path).read_bytes() == OTHER
        assert server.sent == 60_000 + 100_000


@pytest.mark.parametrize("refusal", [429, 503])
def test_a_server_is_waited_for_as_long_as_it_asks(waits, tmp_path, refusal):
    refused = {"refused": Counter({"file.bin": 1}), "refusal": refusal}
    with served(Bucket({"file.bin": DATA}, retry_after="59", **refused)) as busy:
        download.fetch(piece_of(busy), tmp_path / "a")
    later = email.utils.formatdate(time.time() + 90, usegmt=True)
    with served(
        Bucket({"file.bin": DATA}, retry_after=later, **refused | {"refused": Counter({"file.bin": 1})})
    ) as busy:
        download.fetch(piece_of(busy), tmp_path / "b")
    assert waits[0] == 59 and 80 < waits[1] <= 90


def test_a_day_is_not_waited_for(waits, tmp_path):
    with served(
        Bucket({"file.bin": DATA}, Counter(), Counter(), Counter({"file.bin": 9}), retry_after="86400")
    ) as busy:
        with pytest.raises(SourceUnavailable, match=r"503.*the server asks to wait 86400 s"):
            download.fetch(piece_of(busy), tmp_path / "file.bin")
        assert busy.asked["file.bin"] == 1 and not waits


def test_what_is_not_there_is_asked_for_once(waits, tmp_path):
    with served(Bucket({})) as empty:
        with pytest.raises(SourceUnavailable, match=r"file\.bin: this could not be fetched .*404 Client Error"):
            download.fetch(piece_of(empty), tmp_path / "file.bin")
        assert empty.asked["file.bin"] == 1 and not waits


def test_bytes_that_stay_wrong_are_named(waits, tmp_path):
    with served(Bucket({"file.bin": DATA}, corrupted=Counter({"file.bin": 99}))) as bad:
        with pytest.raises(SourceUnavailable, match=r"not what was expected: MD5 \w+, expected 100000 bytes, MD5 \w+"):
            download.fetch(piece_of(bad), tmp_path / "file.bin")
        assert bad.asked["file.bin"] == download.TRIES
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_is_no_matter_of_the_network(waits, tmp_path):
    with served(Bucket({"file.bin": DATA})) as server:
        piece = piece_of(server)
        download.part_of(piece, tmp_path / "file.bin").symlink_to("/dev/full")
        with pytest.raises(NoSpace, match=r"No space left on device.*Free some space"):
            download.fetch(piece, tmp_path / "file.bin")
        assert server.asked["file.bin"] == 1


def test_digests_are_kept_at_the_first_fetch_and_hold_ever_after(tmp_path):
    file, known = tmp_path / "ct.nii.gz", tmp_path / "cache" / "one.sha256"
    file.write_bytes(DATA)
    download.hold_digests({"ct": file}, known, where="here")
    assert known.read_text() == f"{hashlib.sha256(DATA).hexdigest()}  ct\n"
    download.hold_digests({"ct": file}, known, where="here")
    file.write_bytes(OTHER)
    with pytest.raises(SourceChanged, match=r"here: the server sends other files.*delete .*one\.sha256"):
        download.hold_digests({"ct": file}, known, where="here")


@pytest.fixture
def redirecting():
    """Addresses on a server that sends its callers to the address after `?`, or an answer without a length."""

    class Handler(http.server.BaseHTTPRequestHandler):
        """Redirects, or sends more and more."""

        def log_message(self, *_):
            """Say nothing."""

        def do_GET(self):
            """The redirect, or 100 kB."""
            goal = self.path.partition("?")[2]
            self.send_response(302 if goal else 200)
            if goal:
                self.send_header("Location", goal)
            self.end_headers()
            if not goal:
                self.wfile.write(DATA)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "url", ["http://example.org/a", "file:///etc/passwd", "ftp://example.org/a", "https:///a", "a"]
)
def test_only_https_is_spoken(url):
    with pytest.raises(AddressRefused, match="expected https"):
        download.open_url(url)


@pytest.mark.parametrize(
    "goal", ["file:///etc/passwd", "http://localhost:{port}/a", "http://127.0.0.1:1/a", "http://10.0.0.1/a", "//[::1/a"]
)
def test_a_redirect_to_another_host_is_refused(redirecting, goal):
    with pytest.raises(AddressRefused):
        download.open_url(f"http://127.0.0.1:{redirecting}/?{goal.format(port=redirecting)}")


def test_a_redirect_within_the_host_is_followed(redirecting):
    with download.open_url(f"http://127.0.0.1:{redirecting}/?/elsewhere") as answer:
        assert answer.content == DATA


def test_a_server_that_sends_more_than_it_announced_is_cut_off(redirecting, waits, tmp_path):
    url = f"http://127.0.0.1:{redirecting}/"
    piece = Piece(url, 5000)
    with pytest.raises(SourceUnavailable, match="more bytes than were announced"):
        download.fetch(piece, tmp_path / "file.bin")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= piece.size
    with pytest.raises(SourceUnavailable, match="more bytes than were announced"):
        download.read(Piece(url, largest=5000))
