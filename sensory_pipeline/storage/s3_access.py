"""How S3 is reached, as plain values: what the Dagster resource is configured with, and engine processes are given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from sensory_pipeline.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Access:
    """The fields have the names and the meanings of dagster-aws's S3Resource. What is None, boto3 finds as every AWS
    tool does: in the AWS_* variables, in ~/.aws, or by the machine's role."""

    endpoint_url: str | None = None
    region_name: str | None = None
    profile_name: str | None = None
    use_unsigned_session: bool = False
    max_attempts: int = 5
    use_ssl: bool = True
    verify: bool | None = None
    aws_access_key_id: str | None = field(default=None, repr=False)
    aws_secret_access_key: str | None = field(default=None, repr=False)
    aws_session_token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say."""
        return cls(
            endpoint_url=settings.s3_endpoint_url,
            region_name=settings.s3_region,
            profile_name=settings.s3_profile,
            use_unsigned_session=settings.s3_unsigned,
        )


AS_FOUND = S3Access()
"""As boto3 finds it."""
