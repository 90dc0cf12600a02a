"""Access to S3 as plain values, made from the Dagster resource and sent to engine processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:  # engine processes do not need it, and it takes 0.06 s of each start
    from sensory_pipeline.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Access:
    """Credentials, endpoint and options for S3, with the names of dagster-aws's S3Resource.

    boto3 finds what is None as every AWS tool does: in the AWS_* variables, in ~/.aws, or by the machine's role.
    """

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
        """Return the access that the settings describe."""
        return cls(
            endpoint_url=settings.s3_endpoint_url,
            region_name=settings.s3_region,
            profile_name=settings.s3_profile,
            use_unsigned_session=settings.s3_unsigned,
        )


AS_FOUND = S3Access()
"""Everything as boto3 finds it."""
