"""Recordings in S3: listing, versions, downloads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
)

from sensory_pipeline.core.errors import (
    ConfigurationError,
    NoRoom,
    SourceUnavailable,
)
from sensory_pipeline.core.recordings import Page, SourceObject
from sensory_pipeline.storage.aws import CREDENTIALS, client_of
from sensory_pipeline.storage.local import is_recording, kind_of
from sensory_pipeline.storage.s3_access import AS_FOUND, S3Access
from sensory_pipeline.storage.s3_errors import NETWORK, not_listed, not_read, status_and_code

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

SCHEME = "s3://"
SLOWEST = 1e6
"""A download slower than so many bytes per second is given up, so that it never looks like a hung engine."""

_CHUNK = 1 << 20
_PATIENCE_S = 60  # in addition to the time for its size
_PAUSES_S = (0, 1, 4)  # before each attempt to download a whole body; boto3 itself retries requests


def uri_of(bucket: str, key: str) -> str:
    """Return the uri of an object; its key may contain any characters.

    >>> uri_of("calls", "/2026/50% off?.wav")
    's3://calls//2026/50%25%20off%3F.wav'
    """
    return f"{SCHEME}{bucket}/{quote(key)}"


def place_of(uri: str) -> tuple[str, str]:
    """Return the bucket and key of a uri, the inverse of `uri_of`.

    >>> place_of("s3://calls//2026/50%25%20off%3F.wav")
    ('calls', '/2026/50% off?.wav')
    """
    bucket, _, path = uri.removeprefix(SCHEME).partition("/")
    return bucket, unquote(path)


def folder_uri(source: str) -> str:
    """Return what the uris of all objects of a source begin with.

    >>> folder_uri("s3://calls/new ones"), folder_uri("s3://calls")
    ('s3://calls/new%20ones/', 's3://calls/')

    Args:
        source: As a person writes it, not encoded.

    Raises:
        ConfigurationError: It names no bucket.
    """
    bucket, _, prefix = source.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise ConfigurationError(f"{source} names no bucket: give s3://bucket or s3://bucket/prefix")
    return uri_of(bucket, prefix if not prefix or prefix.endswith("/") else f"{prefix}/")


def pages(
    folder: str,
    access: S3Access = AS_FOUND,
    *,
    after: str | None = None,
    skipped: Callable[[str], None] = lambda _: None,
) -> Iterator[Page]:
    """List every recording whose uri begins with the folder's, ordered by key.

    As in local folders, names that begin with a dot are skipped, and everything below them.

    Args:
        folder: From `folder_uri`.
        access: Access to S3.
        after: Resume after this uri, which need not exist; None for the beginning.
        skipped: Called with the kind of each skipped object.

    Raises:
        ConfigurationError: The folder cannot be listed.
        SourceUnavailable: The server fails.
    """
    bucket, prefix = place_of(folder)
    try:
        start = "" if after is None else place_of(after)[1]
        paginator = client(access).get_paginator("list_objects_v2")
        for page in paginator.paginate(Bucket=bucket, Prefix=prefix, StartAfter=start):
            if found := page.get("Contents"):
                objects = []
                for item in found:
                    name = item["Key"].removeprefix(prefix)
                    if _listable(name):
                        objects.append(_object(bucket, item))
                    elif name and not name.endswith("/"):  # such keys are folders
                        hidden = any(map(_hidden, name.split("/")))
                        skipped("hidden" if hidden else kind_of(name.rpartition("/")[2]))
                yield Page(objects=tuple(objects), after=uri_of(bucket, found[-1]["Key"]))
    except ClientError as error:
        raise not_listed(folder, client(access).meta.endpoint_url, error) from error
    except (ConnectionError, HTTPClientError) as error:
        raise ConfigurationError(f"cannot list {folder}: {error}; {NETWORK}") from error
    except BotoCoreError as error:
        raise ConfigurationError(f"cannot list {folder}: {error}; {CREDENTIALS}") from error


def stat_object(uri: str, access: S3Access = AS_FOUND) -> SourceObject | None:
    """Return the object as it is now; None if it does not exist.

    Raises:
        SourceUnavailable: The server fails or refuses.
        ConfigurationError: There are no credentials.
    """
    bucket, key = place_of(uri)
    try:
        found = client(access).head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if status_and_code(error)[0] == 404:
            return None
        raise not_read(uri, error) from error
    except (ConnectionError, HTTPClientError) as error:
        raise SourceUnavailable(f"{uri}: {error}; it stays pending: {NETWORK}") from error
    except BotoCoreError as error:
        raise ConfigurationError(f"cannot read {uri}: {error}; {CREDENTIALS}") from error
    size = found["ContentLength"]
    return _object(bucket, {"Key": key, "ETag": found["ETag"], "Size": size, "LastModified": found["LastModified"]})


def listable(uri: str, prefix: str) -> bool:
    """Return whether a listing of the prefix would contain an object."""
    return _listable(unquote(uri.removeprefix(prefix)))


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


@cache
def client(access: S3Access) -> S3Client:
    """Return this process's client for an access."""
    made: S3Client = client_of("s3", access)
    made.meta.events.register("before-parse.s3.ListObjectsV2", _take_contents)
    return made


def _take_contents(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Parse the objects of a listing here, because boto3 would take four times as long."""
    if response_dict["status_code"] != 200:
        return
    try:
        root = ElementTree.fromstring(response_dict["body"])  # noqa: S314 - boto3 trusts it as well
    except ElementTree.ParseError:  # incomplete: boto3 handles it
        return
    space = root.tag.removesuffix("ListBucketResult")
    found = root.findall(f"{space}Contents")
    if not found:
        return
    names = [space + name for name in ("Key", "ETag", "Size", "LastModified")]
    contents = []
    for item in found:
        key, etag, size, modified = (item.findtext(name, "") for name in names)
        contents.append({"Key": key, "ETag": etag, "Size": int(size), "LastModified": datetime.fromisoformat(modified)})
        root.remove(item)
    customized_response_dict["Contents"] = contents
    response_dict["body"] = ElementTree.tostring(root)


def _listable(name: str) -> bool:
    """Return whether an object counts, by its name below the listed folder."""
    *parents, last = name.split("/")
    return is_recording(last) and not any(map(_hidden, parents))


def _object(bucket: str, item: ObjectTypeDef) -> SourceObject:
    return SourceObject(
        uri=uri_of(bucket, item["Key"]),
        version=f"{item['ETag']}-{item['Size']}".replace('"', ""),
        size_bytes=item["Size"],
        modified_at=item["LastModified"],
    )


def _hidden(part: str) -> bool:
    """Return whether a part of a key is hidden: `.trash` is; `..` is an ordinary name in S3."""
    return part.startswith(".") and part.strip(".") != ""


def _opened(uri: str, etag: str, access: S3Access) -> StreamingBody:
    bucket, key = place_of(uri)
    try:
        return client(access).get_object(Bucket=bucket, Key=key, IfMatch=f'"{etag}"')["Body"]
    except ClientError as error:
        raise not_read(uri, error) from error
    except (ConnectionError, HTTPClientError) as error:
        raise SourceUnavailable(f"{uri}: {error}; it stays pending: {NETWORK}") from error
    except BotoCoreError as error:
        raise ConfigurationError(f"cannot read {uri}: {error}; {CREDENTIALS}") from error


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
