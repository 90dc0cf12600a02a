"""Events of objects in S3, with moto's S3 and SQS: real notifications, and messages that are none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from boto3.session import Session

from sensory_pipeline.automation.events import MOST_RECEIPTS, ConsumedEvents, consume_events
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.processing.setup import current_plans
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage import events
from sensory_pipeline_tests.s3_servers import Bucket, Server, behind_bad_network, connect, disconnect, moto

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True)
class Queue:
    url: str
    client: SQSClient

    def send(self, *bodies: str) -> None:
        for body in bodies:
            self.client.send_message(QueueUrl=self.url, MessageBody=body)

    @property
    def messages(self) -> int:
        """Waiting, or taken and not deleted."""
        attributes = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"]) + int(attributes["ApproximateNumberOfMessagesNotVisible"])


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with moto() as running:
        yield running


@pytest.fixture
def bucket(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    connect(server, monkeypatch)
    with closing(server.client()) as client:
        yield Bucket(server, client)
    forget_clients()


def forget_clients() -> None:
    disconnect()
    if events.client.cache_info().currsize:
        events.client().close()
    events.client.cache_clear()


@pytest.fixture
def queue(server: Server, bucket: Bucket) -> Iterator[Queue]:
    """A queue that receives the bucket's events."""
    session = Session(server.key, server.secret, region_name="us-east-1")
    with closing(session.client("sqs", endpoint_url=server.endpoint)) as client:
        url = client.create_queue(QueueName=bucket.name)["QueueUrl"]
        arn = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        bucket.client.put_bucket_notification_configuration(
            Bucket=bucket.name,
            NotificationConfiguration={
                "QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}]
            },
        )
        yield Queue(url, client)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.create(tmp_path / "lake", shards=1, start_date=date(2024, 1, 1))


def consumed_events(lake: Lake, queue: Queue, source: str, *, seconds: float = 20) -> ConsumedEvents:
    return consume_events(lake, current_plans(Settings()), queue.url, [source], seconds=seconds)


def waiting(lake: Lake) -> set[str]:
    return {
        item.recording.uri for partition in lake.ledger.pending_partitions() for item in lake.ledger.pending(partition)
    }


def event(bucket: Bucket, key: str, name: str = "ObjectCreated:Put") -> str:
    record = {"eventName": name, "s3": {"bucket": {"name": bucket.name}, "object": {"key": key}}}
    return json.dumps({"Records": [record]})


def test_events_register_and_mark_objects_in_the_ledger(lake: Lake, bucket: Bucket, queue: Queue) -> None:
    for key in ("calls/a.wav", "calls/b c+ä.wav", "calls/notes.txt", "calls/.hidden/d.wav", "elsewhere/e.wav"):
        bucket.put(key, b"sound")
    consumed_events(lake, queue, bucket.uri("calls"))
    assert waiting(lake) == {bucket.uri("calls/a.wav"), bucket.uri("calls/b%20c%2B%C3%A4.wav")}
    assert queue.messages == 0
    bucket.delete("calls/a.wav")
    consumed_events(lake, queue, bucket.uri("calls"))
    assert waiting(lake) == {bucket.uri("calls/b%20c%2B%C3%A4.wav")}
    assert queue.messages == 0


def test_events_late_twice_and_out_of_order_are_harmless(lake: Lake, bucket: Bucket, queue: Queue) -> None:
    bucket.put("a.wav", b"first")
    consumed_events(lake, queue, bucket.uri())
    bucket.put("a.wav", b"second")
    removed, created = event(bucket, "a.wav", "ObjectRemoved:Delete"), event(bucket, "a.wav")
    queue.send(created, created, removed, event(bucket, "never-there.wav"))
    consumed_events(lake, queue, bucket.uri())
    ((partition, count),) = lake.ledger.pending_partitions().items()
    assert count == 1
    assert lake.ledger.pending(partition)[0].recording.size_bytes == len(b"second")
    assert queue.messages == 0


def test_messages_that_are_no_events_are_deleted(lake: Lake, bucket: Bucket, queue: Queue) -> None:
    by_sns = json.dumps({"Type": "Notification", "Message": event(bucket, "by+sns.wav")})
    bucket.put("by sns.wav", b"sound")
    test_event = json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"})
    queue.send(test_event, "{", "[]", "12", "null", '{"Records": [{}]}', '{"Records": 3}', '{"Message": "no"}', by_sns)
    consumed_events(lake, queue, bucket.uri())
    assert waiting(lake) == {bucket.uri("by%20sns.wav")}
    assert queue.messages == 0


HOSTILE = (
    "[" * 100_000,
    json.dumps({"Type": "Notification", "Message": "[" * 50_000}),
    '{"Records": ' + "[" * 50_000,
    json.dumps({"Records": [{}] * 5000}),
    json.dumps({"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": "\ud800.wav"}}}]}),
    "9" * 5000,
    '{"Records": [{"s3": {"bucket": {"name": 1e999}, "object": {"key": null}}}]}',
)


def test_no_message_blocks_others(lake: Lake, bucket: Bucket, queue: Queue) -> None:
    bucket.put("a.wav", b"sound")
    queue.send(*HOSTILE, event(bucket, f"{'k' * 2000}.wav"), event(bucket, "a.wav"))
    consumed = consumed_events(lake, queue, bucket.uri())
    assert waiting(lake) == {bucket.uri("a.wav")}
    assert consumed.objects >= 1
    assert queue.messages == consumed.left


def test_an_object_that_cannot_be_checked_delays_only_its_own_message(
    lake: Lake, bucket: Bucket, queue: Queue, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.client.set_queue_attributes(QueueUrl=queue.url, Attributes={"VisibilityTimeout": "0"})
    for key in ("a.wav", "bad.wav", "c.wav"):
        bucket.put(key, b"sound")
    with behind_bad_network(server, lambda path: "403" if path.endswith("bad.wav") else None) as (bad, seen):
        disconnect()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bad.endpoint)
        for _ in range(2):
            consumed = consumed_events(lake, queue, bucket.uri(), seconds=1.5)
    assert waiting(lake) == {bucket.uri("a.wav"), bucket.uri("c.wav")}
    assert queue.messages == 1
    assert consumed.left > 0
    assert 0 < seen["403"] <= MOST_RECEIPTS  # then it is the queue's


def test_a_message_stays_until_its_object_was_checked(
    lake: Lake, bucket: Bucket, queue: Queue, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("a.wav", b"sound")
    with behind_bad_network(server, lambda _: "503") as (bad, _):
        disconnect()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bad.endpoint)
        assert consumed_events(lake, queue, bucket.uri()) == ConsumedEvents(objects=0, left=queue.messages)
    assert queue.messages > 0
    assert not waiting(lake)


def test_the_error_about_a_missing_queue_says_what_to_check(lake: Lake, bucket: Bucket, queue: Queue) -> None:
    with pytest.raises(ConfigurationError, match="check SENSORY_SQS_QUEUE, AWS_DEFAULT_REGION and the credentials"):
        consume_events(lake, current_plans(Settings()), f"{queue.url}-gone", [bucket.uri()], seconds=5)
