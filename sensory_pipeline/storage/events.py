"""Messages of S3 in an SQS queue: an object was created or removed.

A message only says where to look: messages come late, twice and out of order, so what counts is the present state of
the object (docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from botocore.exceptions import BotoCoreError, ClientError

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.storage import s3_uris
from sensory_pipeline.storage.aws import client_of

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

log = logging.getLogger(__name__)

_MOST = 10  # the most that SQS returns at once
_MOST_OBJECTS = 100  # of one message of S3, which normally has one


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message of the queue.

    Attributes:
        uris: Objects that it names; empty if it names none.
        receipt: Handle to delete it with.
        receipts: How often it was received, this time included.
    """

    uris: tuple[str, ...]
    receipt: str
    receipts: int


def receive(queue: str) -> tuple[Message, ...]:
    """Receive at most ten messages; they come again unless they are deleted.

    Args:
        queue: URL of the queue.

    Raises:
        ConfigurationError: The queue cannot be read.
    """
    try:
        answer = client().receive_message(
            QueueUrl=queue,
            MaxNumberOfMessages=_MOST,
            WaitTimeSeconds=0,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
    except (ClientError, BotoCoreError) as error:
        raise _unreadable(queue, error) from error
    return tuple(
        Message(
            uris=_uris(message.get("Body", "")),
            receipt=message["ReceiptHandle"],
            receipts=int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
        )
        for message in answer.get("Messages", ())
    )


def delete(queue: str, messages: Sequence[Message]) -> None:
    """Delete messages that have been handled.

    Args:
        queue: URL of the queue.
        messages: The messages.

    Raises:
        ConfigurationError: The queue cannot be written to.
    """
    try:
        client().delete_message_batch(
            QueueUrl=queue,
            Entries=[{"Id": str(index), "ReceiptHandle": message.receipt} for index, message in enumerate(messages)],
        )
    except (ClientError, BotoCoreError) as error:
        raise _unreadable(queue, error) from error


def _uris(body: str) -> tuple[str, ...]:
    try:
        document = json.loads(body)
        if "Records" not in document and "Message" in document:  # sent through SNS
            document = json.loads(document["Message"])
        records = document.get("Records", ())
        if not records and document.get("Event") != "s3:TestEvent":
            log.warning("a message of the queue names no object; it is ignored")
        if len(records) <= _MOST_OBJECTS:
            return tuple(_uri(record["s3"]) for record in records)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    log.warning("a message of the queue is not from S3; it is ignored")
    return ()


def _uri(place: dict[str, dict[str, object]]) -> str:
    # keys are encoded as in a form
    return s3_uris.uri_of(str(place["bucket"]["name"]), unquote_plus(str(place["object"]["key"])))


@cache
def client() -> SQSClient:
    """Return this process's client."""
    made: SQSClient = client_of("sqs")
    return made


def _unreadable(queue: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"cannot read the queue {queue} ({error}): check SENSORY_SQS_QUEUE, AWS_DEFAULT_REGION and the credentials, "
        "and that they allow sqs:ReceiveMessage and sqs:DeleteMessage on it"
    )
