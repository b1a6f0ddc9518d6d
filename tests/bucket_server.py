"""A file server on this machine as S3 and Zenodo are: ListObjectsV2 with pages, ranges, ETags, and real faults."""

import hashlib
import threading
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape


@dataclass
class Bucket:
    """Objects by key, and how often the first requests of a key fail: `dropped` half-way, `corrupted`, `refused`.

    `refusal` is the status of those refused, with `retry_after`. With `ranges` False whole files are sent whatever is
    asked; `etag` is a format of the MD5 ("" sends none): S3 names it bare, Zenodo "md5:" before it.
    """

    objects: dict[str, bytes]
    dropped: Counter = field(default_factory=Counter)
    corrupted: Counter = field(default_factory=Counter)
    refused: Counter = field(default_factory=Counter)
    page: int = 3
    refusal: int = 503
    retry_after: str = ""
    ranges: bool = True
    etag: str = '"{}"'
    conditions: list = field(default_factory=list)
    asked: Counter = field(default_factory=Counter)
    sent: int = 0
    address: str = ""

    def _takes(self, faults: Counter, key: str) -> bool:
        """Whether this request of `key` is one that fails."""
        with _LOCK:
            faults[key] -= 1
            return faults[key] >= 0


_LOCK = threading.Lock()


def _handler(bucket: Bucket) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers from `bucket`."""

        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            """A listing or an object."""
            parts = urllib.parse.urlsplit(self.path)
            query = dict(urllib.parse.parse_qsl(parts.query))
            key = urllib.parse.unquote(parts.path).lstrip("/")
            with _LOCK:
                bucket.asked[key or f"list {query['prefix']}"] += 1
            if "list-type" in query:
                self._answer(200, self._listing(query).encode())
            elif bucket._takes(bucket.refused, key):
                self._answer(bucket.refusal, b"slow down", bucket.retry_after)
            elif key in bucket.objects:
                self._send(key)
            else:
                self._answer(404, b"no such key")

        def _listing(self, query: dict[str, str]) -> str:
            keys = sorted(key for key in bucket.objects if key.startswith(query["prefix"]))
            first = int(query.get("continuation-token", 0))
            shown = keys[first : first + bucket.page]
            more = first + bucket.page < len(keys)
            rows = "".join(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(bucket.objects[key])}</Size>"
                f"<ETag>&quot;{hashlib.md5(bucket.objects[key]).hexdigest()}&quot;</ETag></Contents>"
                for key in shown
            )
            token = f"<NextContinuationToken>{first + bucket.page}</NextContinuationToken>" if more else ""
            space = "http://s3.amazonaws.com/doc/2006-03-01/"
            truncated = str(more).lower()
            inside = f"<IsTruncated>{truncated}</IsTruncated>{token}{rows}"
            return f'<ListBucketResult xmlns="{space}">{inside}</ListBucketResult>'

        def _send(self, key: str) -> None:
            data = bucket.objects[key]
            etag = bucket.etag.format(hashlib.md5(data).hexdigest())
            condition = self.headers.get("If-Range")
            bucket.conditions.append(condition)
            wanted = self.headers.get("Range") if bucket.ranges and condition in (None, etag) else None
            first, end = 0, len(data)
            if wanted:
                told, _, last = wanted.removeprefix("bytes=").partition("-")
                first, end = int(told), min(len(data), int(last) + 1 if last else len(data))
            body = data[first:end]
            if bucket._takes(bucket.corrupted, key):
                body = bytes([body[0] ^ 1]) + body[1:]
            broken = bucket._takes(bucket.dropped, key)
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(data)}")
            if etag:
                self.send_header("ETag", etag)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            body = body[: len(body) // 2] if broken else body
            with _LOCK:
                bucket.sent += len(body)
            self.wfile.write(body)
            if broken:
                self.close_connection = True
                self.connection.close()

        def _answer(self, status: int, body: bytes, retry_after: str = "") -> None:
            self.send_response(status)
            if retry_after:
                self.send_header("Retry-After", retry_after)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


@contextmanager
def served(bucket: Bucket) -> Iterator[Bucket]:
    """The bucket behind an address of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(bucket))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    bucket.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()
