"""Clients of Amazon's services, or of what speaks their protocols, with nothing secret in what they tell."""

from __future__ import annotations

import logging
from typing import Any, Literal
from urllib.parse import urlsplit

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from sensory_pipeline.core.errors import ConfigurationError

CREDENTIALS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_CONFIG = Config(
    connect_timeout=10,
    read_timeout=30,
    retries={"mode": "standard", "total_max_attempts": 5},
    user_agent_extra="sensory-pipeline",
)


def client_of(service: Literal["s3", "sqs"]) -> Any:
    """A new client. Raises ConfigurationError when what boto3 is told of it makes none."""
    log = logging.getLogger("botocore")
    if log.isEnabledFor(logging.DEBUG):
        log.setLevel(logging.INFO)  # its debugging tells session tokens
    try:
        made = Session().client(service, config=_CONFIG)
    except BotoCoreError as error:
        raise ConfigurationError(f"cannot use {service}: {error}; {CREDENTIALS}, and AWS_ENDPOINT_URL") from error
    except ValueError as error:  # which quotes the endpoint
        why = "its endpoint is no URL" if "@" in str(error) else error
        raise ConfigurationError(f"cannot use {service}: {why}; check AWS_ENDPOINT_URL") from None
    if "@" in urlsplit(made.meta.endpoint_url).netloc:
        raise ConfigurationError(
            f"cannot use {service}: AWS_ENDPOINT_URL has a user or a password in it, which errors would show: take it "
            f"out, and {CREDENTIALS}"
        )
    return made
