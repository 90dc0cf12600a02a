"""Uploads of recordings to S3."""

from __future__ import annotations

from pathlib import Path

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own
    HTTPClientError,
)

from sensory_pipeline.core.errors import ConfigurationError, SourceUnavailable
from sensory_pipeline.core.recordings import SourceObject
from sensory_pipeline.storage import s3, s3_client, s3_uris
from sensory_pipeline.storage.aws import CREDENTIALS
from sensory_pipeline.storage.s3_access import AS_FOUND, S3Access
from sensory_pipeline.storage.s3_errors import NETWORK, not_written


def upload(path: Path, uri: str, access: S3Access = AS_FOUND) -> SourceObject:
    """Upload a file in one request, so that nobody sees a part of it. Returns the object as a listing would.

    Args:
        path: The file, of at most 5 GB.
        uri: The object; it is replaced if it exists.
        access: Access to S3.

    Raises:
        SourceUnavailable: The server fails or refuses.
        ConfigurationError: There are no credentials.
    """
    bucket, key = s3_uris.place_of(uri)
    try:
        with path.open("rb") as file:
            s3_client.client(access).put_object(Bucket=bucket, Key=key, Body=file)
    except ClientError as error:
        raise not_written(uri, error) from error
    except (ConnectionError, HTTPClientError) as error:
        raise SourceUnavailable(f"{uri} cannot be written: {error}; it is tried again: {NETWORK}") from error
    except BotoCoreError as error:
        raise ConfigurationError(f"cannot write {uri}: {error}; {CREDENTIALS}") from error
    found = s3.stat_object(uri, access)
    if found is None:
        raise SourceUnavailable(f"{uri} was removed after it was written; it is tried again")
    return found
