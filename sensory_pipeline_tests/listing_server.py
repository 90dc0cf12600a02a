"""What S3 answers to ListObjectsV2, and nothing else: a bucket that a test holds in its hands.

As in S3, keys come in the order of their bytes and in pages; here a page is as short as one likes.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from sensory_pipeline_tests.s3_servers import Server, connect, disconnect


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An object. Whatever its content, its size is the same."""

    content: str
    modified_at: datetime

    @property
    def etag(self) -> str:
        return hashlib.md5(self.content.encode(), usedforsecurity=False).hexdigest()

    @property
    def version(self) -> str:
        """As a listing makes it."""
        return f"{self.etag}-{SIZE}"


SIZE = 7


@dataclass
class FakeBucket:
    """key -> what is there; page: keys a page."""

    objects: dict[str, Stored] = field(default_factory=dict)
    page: int = 1000
    _sorted: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))

    def listing(self, query: dict[str, list[str]]) -> str:
        """The page that is asked for, as XML."""
        (prefix,) = query.get("prefix", [""])
        (after,) = query.get("start-after", [""])
        if "continuation-token" in query:
            after = bytes.fromhex(query["continuation-token"][0]).decode()
        ordered = self._ordered()
        start = max(
            bisect_right(ordered, after.encode(), key=str.encode), bisect_left(ordered, prefix.encode(), key=str.encode)
        )
        keys = [key for key in ordered[start : start + self.page + 1] if key.startswith(prefix)]
        page = keys[: self.page]
        more = len(keys) > len(page)
        contents = "".join(
            f"<Contents><Key>{quote(key)}</Key><LastModified>{_iso(found.modified_at)}</LastModified>"
            f"<ETag>&quot;{found.etag}&quot;</ETag><Size>{SIZE}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for key in page
            for found in [self.objects[key]]
        )
        following = f"<NextContinuationToken>{page[-1].encode().hex()}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>calls</Name><Prefix>{quote(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount><MaxKeys>1000</MaxKeys>"
            f"<EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>{following}{contents}"
            "</ListBucketResult>"
        )

    def _ordered(self) -> list[str]:
        """Sorted again only where other keys are there."""
        keys = list(self.objects)
        if keys != self._sorted[0]:
            self._sorted = (keys, sorted(keys, key=str.encode))
        return self._sorted[1]


@contextmanager
def serving(bucket: FakeBucket) -> Iterator[Server]:
    """It, as a server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            body = bucket.listing(parse_qs(urlsplit(self.path).query)).encode()
            self.send_response_only(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield Server(port=server.server_address[1], trusting=True)
        finally:
            server.shutdown()
            thread.join()


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


@contextmanager
def connected(*, page: int) -> Iterator[FakeBucket]:
    """A bucket that the environment's settings reach."""
    bucket = FakeBucket(page=page)
    with pytest.MonkeyPatch.context() as patch, serving(bucket) as server:
        connect(server, patch)
        yield bucket
        disconnect()
