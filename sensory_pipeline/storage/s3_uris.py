"""Uris of objects in S3."""

from __future__ import annotations

from urllib.parse import quote, unquote

from sensory_pipeline.core.errors import ConfigurationError

SCHEME = "s3://"


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
