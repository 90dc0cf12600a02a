"""Damaged uploads in every container: the client is told what is wrong, and the service continues."""

from __future__ import annotations

import multiprocessing
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
import pytest

from bench.processes import children_mb
from sensory_pipeline.gateway.job_store import JobStore
from sensory_pipeline_tests.encoded_audio import ENCODINGS, tone
from sensory_pipeline_tests.gateway_server import Gateway, finished, gateway
from sensory_pipeline_tests.hostile_audio import HOSTILE
from sensory_pipeline_tests.mutations import changed

BOUNDARY = "3fcd1a77c2b04e0f"
GROWTH_MB = 200.0
"""Beyond what the service has after a third of the uploads: decoders, their buffers, and the heap's holes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An address that takes uploads: the field of the recording, and what else is sent."""

    address: str
    recording: str
    field: str
    value: bytes

    def form(self, sound: bytes, value: bytes) -> bytes:
        line = b"--" + BOUNDARY.encode()
        head = f'\r\nContent-Disposition: form-data; name="{self.recording}"; filename="a"\r\n\r\n'.encode()
        other = f'\r\nContent-Disposition: form-data; name="{self.field}"\r\n\r\n'.encode()
        return line + head + sound + b"\r\n" + line + other + value + b"\r\n" + line + b"--\r\n"


_ALL = b'{"settings": {"tasks": ["transcribe", "diarization", "emotion"], "tra": {"language": "en"}}, '
ROUTES = (
    Route(address="/v1/process", recording="audio", field="request_json", value=_ALL + b'"format_output": "json"}'),
    Route(address="/v1/process", recording="audio", field="request_json", value=_ALL + b'"async_process": true}'),
    Route(
        address="/v1/process",
        recording="audio",
        field="request_json",
        value=b'{"settings": {"tasks": ["transcribe", "emotion"], "dia": {"stereo_mode": true}}}',
    ),
    Route(address="/v1/audio/transcriptions", recording="file", field="model", value=b"whisper-1"),
)


def test_mutated_uploads_are_the_clients_fault_and_the_service_continues(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], soak: bool
) -> None:
    count = 2_000 if soak else len(ENCODINGS)
    sounds = [tone(name) for name in ENCODINGS] + [HOSTILE["one_sample_a_block"]()[:20_000]] * soak
    bad: dict[str, str] = {}
    statuses: Counter[int] = Counter()
    memory_mb: list[float] = []
    with gateway(tmp_path / "spool") as service, ThreadPoolExecutor(4) as threads:
        service.wait_until_ready()
        engines = set(multiprocessing.active_children())

        def upload(seed: int) -> httpx2.Response:
            return sent(service, sounds, seed)

        for seed, answer in enumerate(threads.map(upload, range(count))):
            statuses[answer.status_code] += 1
            if not (answer.status_code == 200 or (400 <= answer.status_code < 500 and reason(answer))):
                bad[f"seed {seed}"] = f"{answer.status_code} {answer.text}"
            if (seed + 1) % (count // 6) == 0:
                memory_mb.append(psutil.Process().memory_info().rss / 1e6 + children_mb())
        jobs = service.http.get("/v1/jobs", params={"limit": 1000}).json()
        for job in jobs:
            finished(service, job["job_id"])
        done = JobStore(tmp_path / "spool" / "jobs" / "jobs.sqlite").of("127.0.0.1", 1000)
        assert service.http.get("/health/ready").status_code == 200
        assert set(multiprocessing.active_children()) == engines
    assert bad == {}
    assert jobs
    assert [job.error for job in done if job.status is not None and job.status >= 500] == []
    assert {200, 415, 422} <= set(statuses)
    assert memory_mb[-1] < memory_mb[1] + GROWTH_MB
    assert "Traceback" not in capsys.readouterr().out


def sent(service: Gateway, sounds: list[bytes], seed: int) -> httpx2.Response:
    """The answer to one upload, of which the recording is mutated, or what else is in the form, or the form."""
    rng = random.Random(seed)
    sound, route = sounds[seed % len(sounds)], rng.choice(ROUTES)
    match rng.randrange(10):
        case 0:
            content = route.form(sound, changed(route.value, [route.value], rng))
        case 1 | 2:
            content = changed(route.form(sound, route.value), sounds, rng)
        case _:
            content = route.form(changed(sound, sounds, rng), route.value)
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return service.http.post(route.address, content=content, headers={"Content-Type": kind})


def reason(answer: httpx2.Response) -> str:
    """What is wrong, as the service says: in its own form, or in OpenAI's."""
    body = answer.json()
    return str(body.get("detail") or body["error"]["message"])
