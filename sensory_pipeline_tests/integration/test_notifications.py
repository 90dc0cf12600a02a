"""A real failure reaches a real webhook, in words that help; a webhook that is down harms nobody."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import dagster as dg
import pytest
from pydantic import ValidationError

from sensory_pipeline.automation.instance import open_instance
from sensory_pipeline.automation.notifications import TRIES, doubts, failures, post
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.lakes import ingested
from sensory_pipeline_tests.ports import free_port
from sensory_pipeline_tests.trivial_engines import broken

log = logging.getLogger(__name__)


@dataclass
class Webhook:
    """answers: statuses given in turn, then 200 for ever; texts: of messages that were taken."""

    url: str
    answers: list[int] = field(default_factory=list)
    asked: int = 0
    texts: list[str] = field(default_factory=list)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with listening() as found:
        yield found


@contextmanager
def listening() -> Iterator[Webhook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = found.answers.pop(0) if found.answers else 200
            found.asked += 1
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if status == 200:
                found.texts.append(json.loads(body)["text"])
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Webhook(url=f"http://127.0.0.1:{server.server_port}/services/T0/hush")
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


def told(home: Path, kind: dg.DagsterEventType, run_id: str | None = None) -> object:
    """What the sensor does about a run of the instance, the only one when None, which ended so."""
    with open_instance(home) as instance:
        (run,) = instance.get_runs(dg.RunsFilter(run_ids=[run_id]) if run_id else None)
        event = instance.all_logs(run.run_id, of_type=kind)[0].dagster_event
        assert event is not None
        of_failure = kind is dg.DagsterEventType.RUN_FAILURE
        sensor = (failures if of_failure else doubts)(Settings())
        context = dg.build_run_status_sensor_context(
            sensor_name=sensor.name, dagster_event=event, dagster_instance=instance, dagster_run=run
        )
        return sensor(context.for_run_failure() if of_failure else context)


def test_a_failed_run_is_reported(tmp_path: Path, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    for length_ms in range(300, 322):
        tone(tmp_path / "in" / f"{length_ms}.wav", length_ms)
    ingested(tmp_path / "in", tmp_path / "lake", engines=broken, shards=1, history=True)
    assert isinstance(told(tmp_path / "lake" / ".dagster", dg.DagsterEventType.RUN_FAILURE), dg.SkipReason)
    monkeypatch.setenv("SENSORY_WEBHOOK_URL", webhook.url)
    monkeypatch.setenv("SENSORY_UI_URL", "http://dagster.example/")
    assert told(tmp_path / "lake" / ".dagster", dg.DagsterEventType.RUN_FAILURE) is None
    (text,) = webhook.texts
    where, link, what, advice, silence = text.splitlines()
    assert re.fullmatch(r"http://dagster\.example/runs/[0-9a-f-]{36}", link)
    assert silence == "Runs with the same cause are not reported for 12 hours."
    assert where.startswith("Partition 20")
    assert "|0, run " in where
    assert what.startswith("transcripts failed: transcripts: the engine failed on 22 of 22 recordings")
    assert "the device is lost" in what
    assert "materialise the partition again" in advice
    with open_instance(tmp_path / "lake" / ".dagster") as instance:
        instance.add_run_tags(instance.get_runs()[0].run_id, {"dagster/will_retry": "true"})
    assert isinstance(told(tmp_path / "lake" / ".dagster", dg.DagsterEventType.RUN_FAILURE), dg.SkipReason)
    assert len(webhook.texts) == 1


def test_each_cause_is_reported_once(tmp_path: Path, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = ["22 of 22 recordings", "3 of 4 recordings", "the disk is full"]

    @dg.op
    def fail() -> None:
        raise ConfigurationError(f"the model is gone: {reasons.pop(0)}")

    @dg.job
    def failing() -> None:
        fail()

    monkeypatch.setenv("SENSORY_WEBHOOK_URL", webhook.url)
    for told_before in (0, 1, 1):
        assert len(webhook.texts) == told_before
        with open_instance(tmp_path / "home") as instance:
            run_id = failing.execute_in_process(instance=instance, raise_on_error=False).run_id
        told(tmp_path / "home", dg.DagsterEventType.RUN_FAILURE, run_id)
    assert [text.splitlines()[1] for text in webhook.texts] == [
        "fail failed: the model is gone: 22 of 22 recordings",
        "fail failed: the model is gone: the disk is full",
    ]


def test_the_error_that_says_what_to_do_is_reported(
    tmp_path: Path, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.op
    def fetch() -> None:
        try:
            Path("/nowhere/model").read_bytes()
        except OSError as error:
            raise ConfigurationError("there is no model: run `sensory models fetch`\nand more") from error

    @dg.job
    def fetching() -> None:
        fetch()

    monkeypatch.setenv("SENSORY_WEBHOOK_URL", webhook.url)
    with open_instance(tmp_path / "home") as instance:
        fetching.execute_in_process(instance=instance, raise_on_error=False)
    assert told(tmp_path / "home", dg.DagsterEventType.RUN_FAILURE) is None
    (text,) = webhook.texts
    assert text.splitlines()[1] == "fetch failed: there is no model: run `sensory models fetch`"


def test_a_run_with_too_many_failed_recordings_is_reported(
    tmp_path: Path, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENSORY_WEBHOOK_URL", webhook.url)
    tone(tmp_path / "in" / "good.wav", 300)
    ingested(tmp_path / "in", tmp_path / "calm", shards=1, history=True)
    assert isinstance(told(tmp_path / "calm" / ".dagster", dg.DagsterEventType.RUN_SUCCESS), dg.SkipReason)
    (tmp_path / "in" / "empty.wav").write_bytes(b"")
    ingested(tmp_path / "in", tmp_path / "lake", shards=1, history=True)
    assert told(tmp_path / "lake" / ".dagster", dg.DagsterEventType.RUN_SUCCESS) is None
    (text,) = webhook.texts
    assert "check error_share: 1 of 2 recordings failed" in text


def test_a_failing_webhook_is_tried_again(webhook: Webhook) -> None:
    webhook.answers = [500] * (TRIES - 1)
    assert post(webhook.url, "a <b> & c", log)
    assert webhook.texts == ["a &lt;b&gt; &amp; c"]


def test_a_webhook_that_is_down_fails_nothing_and_its_url_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert not post(f"http://127.0.0.1:{free_port()}/services/T0/hush", "text", log)
    assert len(caplog.records) == TRIES
    assert "hush" not in caplog.text


def test_a_webhook_that_refuses_is_given_up(webhook: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    webhook.answers = [403] * TRIES
    assert not post(webhook.url, "text", log)
    assert webhook.asked == TRIES
    assert "403" in caplog.text
    assert "hush" not in caplog.text


def test_an_invalid_webhook_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSORY_WEBHOOK_URL", "file:///etc/hush")
    with pytest.raises(ValidationError, match="begin with https") as caught:
        Settings()
    assert "hush" not in str(caught.value)
