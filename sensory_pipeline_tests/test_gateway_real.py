"""Real weights behind the service: the answers of `sensory process`, alone and among others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import resources
from sensory_pipeline.core.formats import json as process_format
from sensory_pipeline.core.requests import EmotionLevel, EmotionSettings, ProcessRequest
from sensory_pipeline.engines.selection import Engines, chosen_engines
from sensory_pipeline.processing.setup import engine_choice
from sensory_pipeline.processing.single_file import process_file
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests.gateway_server import Gateway, gateway
from sensory_pipeline_tests.published_models import REAL_MODELS, published

SAMPLES = Path(resources.__file__).parent.parent / "samples"
NAMES = ("lost_bank_card.wav", "hotel_room.ogg")
WANTED = {
    "settings": {
        "tasks": ["transcribe", "diarization", "emotion"],
        "tra": {"temperature": 0},
        "emo": {"analysis_level": "speaker"},
    }
}
REQUEST = ProcessRequest(emo=EmotionSettings(level=EmotionLevel.SPEAKER)).model_copy(
    update={"tra": ProcessRequest().tra.model_copy(update={"temperatures": (0.0,)})}
)
BESIDE = {"tra": ("chunks",), "dia": (), "emo": ("segments", "engine")}
"""What the service's format has beside that of the command."""


@pytest.fixture(scope="module")
def environment() -> Iterator[pytest.MonkeyPatch]:
    for name in REAL_MODELS:
        published(name)
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def service(environment: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    environment.setenv("WHISPER_MODEL_SIZE", "tiny.en")
    with gateway(tmp_path_factory.mktemp("real") / "spool", engines=None) as running:
        running.wait_until_ready(120)
        environment.delenv("WHISPER_MODEL_SIZE")
        yield running


def expected(name: str, engines: Engines) -> str:
    """What `sensory process` prints."""
    result = process_file(SAMPLES / name, REQUEST, engines, max_audio_hours=1)
    return process_format.render(result, REQUEST.tasks)


def rendered(result: Mapping[str, Any]) -> str:
    """The same part of what the service answers."""
    alike = {
        part: {name: value for name, value in result[part].items() if name not in beside}
        for part, beside in BESIDE.items()
    }
    return json.dumps(alike, ensure_ascii=False, indent=2)


def test_answers_are_those_of_the_command_byte_for_byte(service: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(4) as threads:  # at once, so that they share batches
        sent = [threads.submit(service.process, SAMPLES / name, WANTED) for name in NAMES * 2]
        answers = [answer.result().json()["result"] for answer in sent]
    monkeypatch.setenv("WHISPER_MODEL_SIZE", "tiny.en")
    engines = chosen_engines(engine_choice(Settings()))
    for name, answer, again in zip(NAMES, answers, answers[2:], strict=False):
        assert rendered(answer) == rendered(again) == expected(name, engines)
    words = [word for chunk in answers[0]["tra"]["chunks"] for word in chunk["alternatives"][0]["words"]]
    assert "".join(word["word"] for word in words).strip() == answers[0]["tra"]["text"]
    assert len(words) > 20


def test_the_caches_know_their_models(service: Gateway) -> None:
    stats = service.http.get("/cache/stats").json()
    assert any(model.startswith("whisper ") for model in stats["models"])
    assert "/" not in "".join(stats["models"])
    assert stats["loads"] >= 1
