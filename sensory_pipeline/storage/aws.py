"""Clients of Amazon's services, or of compatible ones, whose error messages contain no secrets."""

from __future__ import annotations

import logging
from typing import Any, Literal
from urllib.parse import urlsplit

from boto3.session import Session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.storage.s3_access import AS_FOUND, S3Access

CREDENTIALS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
ENDPOINT = "AWS_ENDPOINT_URL or SENSORY_S3_ENDPOINT_URL"


def client_of(service: Literal["s3", "sqs"], access: S3Access = AS_FOUND) -> Any:
    """Return a new boto3 client.

    Args:
        service: The service.
        access: Credentials, endpoint and region.

    Raises:
        ConfigurationError: boto3 refuses this access.
    """
    log = logging.getLogger("botocore")
    if log.isEnabledFor(logging.DEBUG):
        log.setLevel(logging.INFO)  # its debug messages contain session tokens
    try:
        made = Session(profile_name=access.profile_name).client(
            service,
            endpoint_url=access.endpoint_url,
            region_name=access.region_name,
            use_ssl=access.use_ssl,
            verify=access.verify,
            aws_access_key_id=access.aws_access_key_id,
            aws_secret_access_key=access.aws_secret_access_key,
            aws_session_token=access.aws_session_token,
            config=Config(
                connect_timeout=10,
                read_timeout=30,
                retries={"mode": "standard", "total_max_attempts": access.max_attempts},
                signature_version=UNSIGNED if access.use_unsigned_session else None,
                user_agent_extra="sensory-pipeline",
            ),
        )
    except BotoCoreError as error:
        raise ConfigurationError(f"cannot use {service}: {error}; {CREDENTIALS}, and {ENDPOINT}") from error
    except ValueError as error:  # its message contains the endpoint
        why = "its endpoint is not a URL" if "@" in str(error) else error
        raise ConfigurationError(f"cannot use {service}: {why}; check {ENDPOINT}") from None
    if "@" in urlsplit(made.meta.endpoint_url).netloc:
        raise ConfigurationError(
            f"cannot use {service}: its endpoint, {ENDPOINT}, contains a user name or a password, which error "
            f"messages would show: remove it, and {CREDENTIALS}"
        )
    return made
