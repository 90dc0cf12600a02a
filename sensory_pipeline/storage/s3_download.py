"""The download of one version of an object."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, FlexibleChecksumError, HTTPClientError, IncompleteReadError

from sensory_pipeline.core.errors import NoRoom, SourceUnavailable
from sensory_pipeline.storage.s3_access import AS_FOUND, S3Access
from sensory_pipeline.storage.s3_client import client
from sensory_pipeline.storage.s3_errors import NETWORK, reading
from sensory_pipeline.storage.s3_uris import place_of

if TYPE_CHECKING:
    from botocore.response import StreamingBody

SLOWEST = 1e6
"""A download slower than so many bytes per second is given up, so that it never looks like a hung engine."""

_CHUNK = 1 << 20
_PATIENCE_S = 60  # in addition to the time for its size
_PAUSES_S = (0, 1, 4)  # before each attempt to download a whole body; boto3 itself retries requests


def download(uri: str, version: str, target: Path, access: S3Access = AS_FOUND) -> None:
    """Download a version of an object; a failure may leave a part of it.

    Args:
        uri: The object.
        version: The version.
        target: The file; its folder is created.
        access: Access to S3.

    Raises:
        SourceChanged: The object has another version now.
        SourceUnavailable: It cannot be downloaded.
        ConfigurationError: There are no credentials.
        NoRoom: The file cannot be written.
    """
    etag, _, size = version.rpartition("-")
    until = time.monotonic() + _PATIENCE_S + int(size) / SLOWEST
    why = ""
    for pause_s in _PAUSES_S:
        time.sleep(pause_s)
        if time.monotonic() > until:
            break
        try:
            received = _save(uri, _opened(uri, etag, access), target, until)
        except (HTTPClientError, IncompleteReadError, FlexibleChecksumError) as error:
            why = str(error)
        else:
            if received == int(size):
                return
            why = f"{received} of {size} bytes received"
    raise SourceUnavailable(f"{uri}: download interrupted: {why}; it stays pending and is tried again")


def _opened(uri: str, etag: str, access: S3Access) -> StreamingBody:
    bucket, key = place_of(uri)
    with reading(uri):
        return client(access).get_object(Bucket=bucket, Key=key, IfMatch=f'"{etag}"')["Body"]


def _save(uri: str, body: StreamingBody, target: Path, until: float) -> int:
    """Write the body to a file and return the number of bytes."""
    received = 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with closing(body), target.open("wb") as file:
            for chunk in body.iter_chunks(_CHUNK):
                received += file.write(chunk)
                if time.monotonic() > until:
                    raise SourceUnavailable(f"{uri}: the download is too slow; it stays pending: {NETWORK}")
    except BotoCoreError:  # some of which are an OSError too
        raise
    except OSError as error:
        raise NoRoom(
            f"{target.parent}: {error.strerror}; check its free space and permissions, then ingest again"
        ) from error
    return received
