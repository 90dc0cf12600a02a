"""What S3's answers mean for a listing and for a recording."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own
    HTTPClientError,
)

from sensory_pipeline.core.errors import ConfigurationError, SensoryError, SourceChanged, SourceUnavailable
from sensory_pipeline.storage.aws import CREDENTIALS, ENDPOINT

NETWORK = f"check {ENDPOINT}, AWS_DEFAULT_REGION and the network"


def not_listed(folder: str, endpoint: str, error: ClientError) -> SensoryError:
    """Return the error for a bucket or prefix that cannot be listed."""
    status, code = status_and_code(error)
    if status >= 500:
        return SourceUnavailable(f"{endpoint} cannot list {folder} just now ({code}): try again later")
    if status == 404:
        return ConfigurationError(f"there is no bucket for {folder} at {endpoint} ({code}): check its name, {NETWORK}")
    if status == 403:
        return ConfigurationError(
            f"{endpoint} refuses to list {folder} ({code}): {CREDENTIALS}, and that they allow s3:ListBucket on it"
        )
    return ConfigurationError(f"{endpoint} cannot list {folder} ({code}): {NETWORK}")


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """Say what errors in the `with` block mean for the object that is read there.

    Raises:
        SourceChanged: The object has another version now.
        SourceUnavailable: The server fails or refuses.
        ConfigurationError: There are no credentials.
    """
    try:
        yield
    except ClientError as error:
        raise _not_read(uri, error) from error
    except (ConnectionError, HTTPClientError) as error:
        raise SourceUnavailable(f"{uri}: {error}; it stays pending: {NETWORK}") from error
    except BotoCoreError as error:
        raise ConfigurationError(f"cannot read {uri}: {error}; {CREDENTIALS}") from error


def _not_read(uri: str, error: ClientError) -> SensoryError:
    status, code = status_and_code(error)
    if status == 412:
        return SourceChanged(f"{uri} was rewritten after it was listed; the next ingest takes the new version")
    if status == 404:
        return SourceUnavailable(f"{uri} is no longer there ({code}); the next ingest marks it as missing")
    if status == 403:
        return SourceUnavailable(
            f"{uri}: access is denied ({code}); it stays pending: {CREDENTIALS}, and that they allow s3:GetObject on it"
        )
    return SourceUnavailable(f"{uri} cannot be read just now ({code}); it stays pending and is tried again")


def not_written(uri: str, error: ClientError) -> SourceUnavailable:
    """Return the error for an object that cannot be written."""
    status, code = status_and_code(error)
    if status == 404:
        return SourceUnavailable(
            f"{uri} cannot be written: there is no such bucket ({code}): check its name, {NETWORK}"
        )
    if status == 403:
        return SourceUnavailable(
            f"{uri} cannot be written: access is denied ({code}): {CREDENTIALS}, and that they allow s3:PutObject on it"
        )
    return SourceUnavailable(f"{uri} cannot be written just now ({code}); it is tried again")


def status_and_code(error: ClientError) -> tuple[int, str]:
    """Return status and code; the message may contain confidential data."""
    return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
