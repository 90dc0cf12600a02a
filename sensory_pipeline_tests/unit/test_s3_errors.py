"""What S3's refusals to write mean."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from sensory_pipeline.storage.s3_errors import not_written


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (403, "AccessDenied", "s3:PutObject"),
        (404, "NoSuchBucket", "there is no such bucket"),
        (503, "SlowDown", "tried again"),
    ],
)
def test_an_object_that_cannot_be_written_says_what_to_do(status: int, code: str, told: str) -> None:
    answer = {"Error": {"Code": code, "Message": "confidential"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    message = str(not_written("s3://calls/in/a.wav", ClientError(answer, "PutObject")))  # type: ignore[arg-type]
    assert message.startswith("s3://calls/in/a.wav cannot be written")
    assert told in message
    assert code in message
    assert "confidential" not in message
