"""Recordings that kill engines: each gets its own error, and the service continues."""

from __future__ import annotations

import asyncio
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sensory_pipeline.core.errors import EngineUnavailable
from sensory_pipeline.core.process_request import ProcessRequest, Task
from sensory_pipeline.gateway.recognition import Decoded, Recognition
from sensory_pipeline.processing.setup import shared_engines
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests import trivial_engines
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.gateway_server import finished, gateway
from sensory_pipeline_tests.miniature_whisper import miniature

WANTED: dict[str, Any] = {"settings": {"tasks": ["transcribe"]}}


def test_a_recording_that_kills_its_engine_fails_and_the_others_are_done(tmp_path: Path) -> None:
    lengths = (300, trivial_engines.CULPRIT_MS, 310, 320)
    recordings = [tone(tmp_path / f"{ms}.wav", ms) for ms in lengths]
    engines = trivial_engines.segfaulting_in_batches
    with gateway(tmp_path / "spool", engines=engines) as service, ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda path: service.process(path, WANTED), recordings))
        assert [answer.status_code for answer in answers] == [200, 500, 200, 200]
        assert answers[1].json()["type"] == "urn:sensory:crashed"
        assert [answers[index].json()["result"]["tra"]["text"] for index in (0, 2, 3)] == ["300", "310", "320"]
        assert service.process(recordings[0], WANTED).status_code == 200


def test_a_prompt_that_is_too_long_is_the_clients_fault_and_ends_no_engine(whisper: Path, tmp_path: Path) -> None:
    recording = whisper.parent / "conversations" / "english-two.flac"
    long = {"settings": {"tasks": ["transcribe"], "tra": {"language": "en", "hotwords": "two " * 300}}}
    short = {"settings": {"tasks": ["transcribe"], "tra": {"language": "en", "hotwords": "two"}}}
    with gateway(tmp_path / "spool", engines=miniature) as service, ThreadPoolExecutor(3) as threads:
        service.wait_until_ready()
        processes = set(multiprocessing.active_children())
        answers = list(threads.map(lambda wanted: service.process(recording, wanted), (short, long, short)))
        assert [answer.status_code for answer in answers] == [200, 422, 200]
        assert answers[1].headers["content-type"] == "application/problem+json"
        problem = answers[1].json()
        assert problem["type"] == "urn:sensory:prompt-too-long"
        assert problem["detail"].endswith("tokens long, and Whisper takes 223: shorten them")
        job = service.process(recording, {**long, "async_process": True}).json()
        assert finished(service, job["job_id"])["error"] == problem["detail"]
        assert set(multiprocessing.active_children()) == processes


def test_clients_waiting_for_engines_that_end_get_an_error(tmp_path: Path) -> None:
    settings = Settings(workers=1, side_by_side=False)
    paths = [tone(tmp_path / f"{ms}.wav", ms) for ms in (trivial_engines.CULPRIT_MS, 300, 310)]

    async def day() -> list[object]:
        with shared_engines(settings, engines=trivial_engines.hanging) as (executor, sets):
            recognition = Recognition(executor, sets, settings, tmp_path / "decoded")
            waiting = [asyncio.create_task(recognised(recognition, path)) for path in paths]
            while len(list((tmp_path / "decoded").rglob("*.wav"))) < len(paths):
                await asyncio.sleep(0.01)
        assert recognition.closed
        return list(await asyncio.gather(*waiting, return_exceptions=True))

    assert {type(answer) for answer in asyncio.run(day())} == {EngineUnavailable}


def test_abandoned_requests_are_not_started(tmp_path: Path) -> None:
    settings = Settings(workers=1, side_by_side=False)
    paths = [tone(tmp_path / f"{ms}.wav", ms) for ms in range(600, 680, 10)]
    seen: list[Decoded] = []

    async def one(recognition: Recognition, path: Path) -> None:
        async with recognition.decoded(path, ProcessRequest(tasks=frozenset({Task.TRANSCRIBE}))) as decoded:
            seen.append(decoded)
            await recognition.result(decoded)

    async def day() -> None:
        with shared_engines(settings, engines=trivial_engines.slow) as (executor, sets):
            recognition = Recognition(executor, sets, settings, tmp_path / "decoded")
            tasks = [asyncio.create_task(one(recognition, path)) for path in paths]
            while len(seen) < len(paths) or any(len(decoded.futures) < 2 for decoded in seen):
                await asyncio.sleep(0.01)
            done = sum(task.done() for task in tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            begun = [decoded for decoded in seen if not decoded.futures[1].cancelled()]
            assert len(begun) <= done + 2  # one that the engine has, and one that is ready for it

    asyncio.run(day())


async def recognised(recognition: Recognition, path: Path) -> None:
    async with recognition.decoded(path, ProcessRequest(tasks=frozenset({Task.TRANSCRIBE}))) as decoded:
        await recognition.result(decoded)
