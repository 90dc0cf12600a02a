"""No output contains a secret, and no name of a file controls the terminal that shows it."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from rich.table import Table
from rich.text import Text

from sensory_pipeline.automation.notifications import post
from sensory_pipeline.cli.console import PlainConsole
from sensory_pipeline.cli.sql import Format, show
from sensory_pipeline.core.errors import ConfigurationError, SourceUnavailable
from sensory_pipeline.core.log_lines import PlainFormatter
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage import events, local, s3, s3_client, s3_download
from sensory_pipeline.storage.aws import client_of
from sensory_pipeline.storage.s3_access import S3Access

HOSTILE = "a\x1b[31m\x9b1m\x07.wav"
log = logging.getLogger(__name__)


@pytest.fixture(autouse=True)
def no_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """boto3 finds a region and credentials that open nothing, and logs what it likes."""
    for name, value in {"DEFAULT_REGION": "us-east-1", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    botocore = logging.getLogger("botocore")
    before = botocore.level
    botocore.setLevel(logging.NOTSET)
    yield
    botocore.setLevel(before)
    s3_client.client.cache_clear()
    events.client.cache_clear()


@pytest.mark.parametrize("place", ["T0/hush hush", "T0/hush\nX: y", "T0/hüsh"])
def test_a_webhook_with_strange_characters_raises_nothing_and_is_not_shown(
    place: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.WARNING):
        assert not post(f"http://127.0.0.1:1/{place}", "text", log)
    assert "hush" not in caplog.text
    assert "hüsh" not in caplog.text
    monkeypatch.setenv("SENSORY_WEBHOOK_URL", f"https://hooks.example/{place}")
    with pytest.raises(ValidationError, match="no spaces") as caught:
        Settings()
    assert "hush" not in str(caught.value)
    assert "hüsh" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["http://me:hush@127.0.0.1:1", "http://hush@[127.0.0.1", "hush://hush@a b:hush/"])
def test_a_password_in_an_endpoint_is_in_no_error(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    for ask in (
        lambda: list(s3.pages("s3://calls/")),
        lambda: s3_client.client(S3Access(endpoint_url=endpoint)),
        lambda: s3.stat_object("s3://calls/a.wav"),
        lambda: s3_download.download("s3://calls/a.wav", "x-1", Path("a.wav")),
        lambda: events.receive("http://127.0.0.1:1/1/calls"),
    ):
        with pytest.raises(ConfigurationError, match="AWS_ENDPOINT_URL") as caught:
            ask()
        error: BaseException | None = caught.value
        while error is not None:  # Dagster shows all of them
            assert "hush" not in str(error)
            error = None if error.__suppress_context__ else error.__context__


@pytest.mark.parametrize("service", ["s3", "sqs"])
def test_debugging_logs_no_session_token(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "hush")
    monkeypatch.setattr(logging.root, "level", logging.DEBUG)
    client_of(service)  # type: ignore[arg-type]
    assert not logging.getLogger("botocore.endpoint").isEnabledFor(logging.DEBUG)


def test_control_characters_are_shown_and_not_sent() -> None:
    file = io.StringIO()
    console = PlainConsole(file=file, force_terminal=True, width=100)
    table = Table(HOSTILE)
    table.add_row(HOSTILE)
    for thing in (HOSTILE, Text.assemble((HOSTILE, "red")), table):
        console.print(thing)
    told = file.getvalue()
    assert "\x1b[31ma\\x1b[31m" in told  # the red that we asked for, then the name
    assert "a\x1b[31m" not in told
    assert "\x9b" not in told
    record = logging.LogRecord("a", logging.ERROR, "", 0, HOSTILE, None, None)
    assert PlainFormatter().format(record).startswith("a\\x1b[31m")
    with pytest.raises(SourceUnavailable, match=r"a\\x1b\[31m"):
        local.check_version(local.uri_of(Path(HOSTILE)), "1-1")


def test_no_cell_is_a_formula(capsys: pytest.CaptureFixture[str]) -> None:
    cells = ("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "a=1", -1.5, None)
    show(["=HYPERLINK(0)", *map(str, range(len(cells) - 1))], iter([cells]), Format.CSV)
    names, values = csv.reader(io.StringIO(capsys.readouterr().out, newline=""))
    assert names[0] == "'=HYPERLINK(0)"
    assert values == ["'=cmd|' /C calc'!A0", "'+1", "'-1", "'@SUM(A1)", "'\t=1", "a=1", "-1.5", ""]


def test_no_cell_is_cut_short(capsys: pytest.CaptureFixture[str]) -> None:
    uri = "file:///recordings/call_of_anna.wav"
    show(["uri", "error_class", "error_message"], iter([(uri, "UnreadableAudio", "convert it, " * 9)]), Format.TABLE)
    shown = capsys.readouterr().out
    assert "".join(line.split("│")[1].strip() for line in shown.splitlines() if line.startswith("│")) == uri
