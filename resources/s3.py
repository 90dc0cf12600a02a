"""The resource that reaches S3."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Self

from dagster_aws.s3 import S3Resource

from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.s3_access import S3Access

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class RecordingsS3(S3Resource):
    """Reaches the buckets with recordings, for sweeps and sensors; engine processes are given the same fields."""

    @property
    def access(self) -> S3Access:
        """The fields, as plain values."""
        return S3Access(**{field.name: getattr(self, field.name) for field in fields(S3Access)})

    def get_client(self) -> S3Client:
        """The one of this process. Unlike dagster-aws's own, it gives up within a tick of a sensor where the server is
        silent, and its errors hold no secrets."""
        from sensory_pipeline.storage import s3

        return s3.client(self.access)

    def get_object_to_set_on_execution_context(self) -> Self:
        """What `context.resources` has is the same as what a parameter is given."""
        return self


def s3(settings: Settings) -> RecordingsS3:
    """As the settings say."""
    return RecordingsS3(**asdict(S3Access.of(settings)))
