"""The clients, against the service on a real socket."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import requires
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sensory_pipeline.client import AsyncAudioClient, AudioClient, JobFailed, ServiceError
from sensory_pipeline_tests import places
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.gateway_server import Gateway, gateway


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("spool")) as running:
        running.wait_until_ready()
        yield running


def test_the_example_of_the_contract(service: Gateway, tmp_path: Path) -> None:
    speech = str(tone(tmp_path / "speech.wav", 300))
    found = AudioClient(service.url).process(speech, tasks=["transcribe", "emotion"], emo_level="file")
    assert found["tra"]["text"] == "300"
    assert found["dia"] is None
    assert found.text == "300"
    assert found.language == "en"
    (word,) = found.words
    assert (word.text, word.start, word.end, word.confidence) == ("300", 0.0, 0.3, 0.5)
    (emotion,) = found.emotions
    assert (emotion.label, emotion.end) == ("neutral", 0.3)


def test_audio_is_a_path_bytes_a_file_or_a_list(service: Gateway, tmp_path: Path) -> None:
    path = tone(tmp_path / "speech.wav", 300)
    with AudioClient(service.url) as client, path.open("rb") as file:
        unseekable = Unseekable(path.read_bytes())
        many = client.process([path, str(path), path.read_bytes(), file, unseekable], tasks=["transcribe"])
    assert [found.text for found in many] == ["300"] * 5


class Unseekable(io.BytesIO):
    """As a pipe."""

    def seekable(self) -> bool:
        return False


def test_the_progress_of_an_upload(service: Gateway, tmp_path: Path) -> None:
    path = tone(tmp_path / "speech.wav", 9_000)
    told: list[tuple[int, int]] = []
    with AudioClient(service.url) as client:
        client.process(path, progress=lambda sent, size: told.append((sent, size)))
    size = path.stat().st_size
    assert len(told) > 2
    assert [sent for sent, _ in told] == sorted(sent for sent, _ in told)
    assert {total for _, total in told} == {size}
    assert told[-1] == (size, size)


def test_a_job_of_the_service(service: Gateway, tmp_path: Path) -> None:
    path = tone(tmp_path / "speech.wav", 300)
    with AudioClient(service.url) as client:
        assert client.process(path, background=True).text == "300"
        assert client.wait(client.submit(path)).text == "300"
        with pytest.raises(ServiceError, match="404"):
            client.result("no-such-job")


def test_the_same_without_waiting(service: Gateway, tmp_path: Path) -> None:
    paths = [tone(tmp_path / f"{length}.wav", length) for length in (300, 310, 320)]

    async def texts() -> list[str]:
        async with AsyncAudioClient(service.url) as client:
            one = await client.process(paths[0], tasks=["transcribe", "diarization"])
            assert [turn.speaker for turn in one.turns] == ["SPEAKER_00"]
            return [found.text for found in await client.process([*paths])]

    assert asyncio.run(texts()) == ["300", "310", "320"]


def test_what_the_service_refuses(service: Gateway, tmp_path: Path) -> None:
    path = tone(tmp_path / "speech.wav", 300)
    with AudioClient(service.url) as client:
        with pytest.raises(ServiceError, match="422") as refused:
            client.process(path, tra={"best_of": 3})
        assert refused.value.status == 422
        with pytest.raises(FileNotFoundError):
            client.process(tmp_path / "missing.wav")
    with AudioClient("http://127.0.0.1:9", attempts=2) as client, pytest.raises(ServiceError, match="does not answer"):
        client.process(path)


class Scripted(ThreadingHTTPServer):
    """Gives prepared answers: (status, headers, JSON); keeps what was asked."""

    def __init__(self, answers: list[tuple[int, dict[str, str], Any]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers
        self.asked: list[tuple[str, str, dict[str, str], int]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Scripted

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, dict(self.headers), len(body)))
        status, headers, value = self.server.answers.pop(0)
        if not status:
            self.connection.close()
            return
        text = json.dumps(value).encode()
        self.send_response(status)
        for name, given in headers.items():
            self.send_header(name, given)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = _answer  # noqa: N815 - as the library calls them

    def log_message(self, *_: object) -> None: ...


@contextmanager
def scripted(*answers: tuple[int, dict[str, str], Any]) -> Iterator[Scripted]:
    with Scripted(list(answers)) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


DONE = {"status": "completed", "job_id": "7", "result": {"tra": {"text": "done"}}, "error": None}
QUEUED = {"status": "queued", "job_id": "7", "result": None, "error": None}
FAILED = {"status": "failed", "job_id": "7", "result": None, "error": "it is no sound: convert it"}
BUSY = (429, {"Retry-After": "0"}, {"detail": "too much waits"})


def test_a_busy_service_gets_the_same_request_again(tmp_path: Path) -> None:
    path = tone(tmp_path / "speech.wav", 300)
    with scripted(BUSY, (0, {}, None), (503, {"Retry-After": "0"}, "no JSON object"), (200, {}, DONE)) as server:
        with AudioClient(server.url, key="secret") as client:
            assert client.process(path).text == "done"
        assert len(server.asked) == 4
        assert len({asked["Idempotency-Key"] for _, _, asked, _ in server.asked}) == 1
        assert {asked["Authorization"] for _, _, asked, _ in server.asked} == {"Bearer secret"}
        assert all(size > path.stat().st_size for *_, size in server.asked)  # all of the recording, each time


def test_retries_end() -> None:
    with scripted(BUSY, BUSY) as server, AudioClient(server.url, attempts=2) as client:
        with pytest.raises(ServiceError, match="429: too much waits"):
            client.process(b"sound")
        assert not server.answers


def test_a_job_is_waited_for() -> None:
    with scripted((200, {}, QUEUED), (200, {}, QUEUED), (200, {}, DONE)) as server, AudioClient(server.url) as client:
        assert client.process(b"sound", background=True).text == "done"
        assert [(method, path) for method, path, *_ in server.asked] == [
            ("POST", "/v1/process"),
            ("GET", "/v1/jobs/7"),
            ("GET", "/v1/jobs/7"),
        ]
    with scripted((202, {}, QUEUED), (200, {}, QUEUED), (200, {}, FAILED)) as server, AudioClient(server.url) as client:
        job = client.submit(b"sound", language="en")
        with pytest.raises(TimeoutError, match="7"):
            client.wait(job, timeout_s=0.1)
        with pytest.raises(JobFailed, match="convert it"):
            client.wait(job)


def test_a_job_is_waited_for_without_waiting() -> None:
    async def text(url: str) -> str:
        async with AsyncAudioClient(url) as client:
            job = await client.submit(b"sound")
            return (await client.wait(job)).text

    with scripted(BUSY, (200, {}, QUEUED), (200, {}, DONE)) as server:
        assert asyncio.run(text(server.url)) == "done"


ROOT = places.ROOT
HEAVY = (
    "dagster", "torch", "ctranslate2", "duckdb", "pyarrow", "av", "numpy", "pydantic", "onnxruntime", "faster_whisper",
)  # fmt: skip


def test_clients_load_nothing_heavy() -> None:
    script = f"import sys, sensory_pipeline.client; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_extra_installs_nothing_heavy() -> None:
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("not a checkout")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = [
        *map(Requirement, project["dependencies"]),
        *map(Requirement, project["optional-dependencies"]["client"]),
    ]
    found = set()
    while waiting:
        name = canonicalize_name(waiting.pop().name)
        if name not in found:
            found.add(name)
            needed = map(Requirement, requires(name) or ())
            waiting += [each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    assert {"httpx2", "stamina", "websockets"} <= found
    assert not found & {"dagster", "torch", "ctranslate2", "duckdb", "pyarrow", "av", "onnxruntime"}


def test_a_command_without_its_packages_says_how_to_get_them() -> None:
    script = "import sys; sys.modules['uvicorn'] = None; from sensory_pipeline.cli import main; main()"
    for arguments, said in ((["--help"], "[server]"), (["serve"], "pip install 'sensory-pipeline[server]'")):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
        assert done.returncode == (0 if arguments == ["--help"] else 2), done.stderr
        assert said in done.stdout + done.stderr
