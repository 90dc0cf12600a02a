"""Recordings in S3: listing and versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own
    HTTPClientError,
)

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.recordings import Page, SourceObject
from sensory_pipeline.storage.aws import CREDENTIALS
from sensory_pipeline.storage.local import is_recording, kind_of
from sensory_pipeline.storage.s3_access import AS_FOUND, S3Access
from sensory_pipeline.storage.s3_client import client
from sensory_pipeline.storage.s3_errors import NETWORK, not_listed, reading, status_and_code
from sensory_pipeline.storage.s3_uris import place_of, uri_of

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectTypeDef


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
        folder: From `s3_uris.folder_uri`.
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
    with reading(uri):
        try:
            found = client(access).head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if status_and_code(error)[0] == 404:
                return None
            raise
    size = found["ContentLength"]
    return _object(bucket, {"Key": key, "ETag": found["ETag"], "Size": size, "LastModified": found["LastModified"]})


def listable(uri: str, prefix: str) -> bool:
    """Return whether a listing of the prefix would contain an object."""
    return _listable(unquote(uri.removeprefix(prefix)))


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
