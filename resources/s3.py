"""The resource that gives access to S3."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Self

from dagster_aws.s3 import S3Resource

from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.s3_access import S3Access

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class RecordingsS3(S3Resource):
    """Access to the recordings' buckets, for sweeps and sensors; engine processes get the fields as plain values."""

    @property
    def access(self) -> S3Access:
        """The fields as plain values."""
        return S3Access(**{field.name: getattr(self, field.name) for field in fields(S3Access)})

    def get_client(self) -> S3Client:
        """Return this process's client.

        Unlike dagster-aws's own client, it gives up within a sensor's tick if the server does not answer, and its
        errors contain no secrets.
        """
        from sensory_pipeline.storage.s3_client import client

        return client(self.access)

    def get_object_to_set_on_execution_context(self) -> Self:
        """Return the resource itself, as parameters get it too."""
        return self


def s3(settings: Settings) -> RecordingsS3:
    """Return the resource that the settings describe."""
    return RecordingsS3(**asdict(S3Access.of(settings)))
