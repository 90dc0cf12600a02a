"""A recording's result in the formats of OpenAI's API."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest

from sensory_pipeline.core.diarization import Diarization, Turn
from sensory_pipeline.core.errors import EngineUnavailable
from sensory_pipeline.core.formats import subtitles
from sensory_pipeline.core.process_request import ProcessRequest, Task
from sensory_pipeline.core.results import AudioFacts, RecordingResult
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Segment, Transcript, Word
from sensory_pipeline.gateway.openai.requests import Asked
from sensory_pipeline.gateway.openai.responses import events, response
from sensory_pipeline.gateway.openai.streaming import streamed


def asked(response_format: str, *granularities: Any) -> Asked:
    request = ProcessRequest(tasks=frozenset({Task.TRANSCRIBE}))
    return Asked(request=request, response_format=response_format, granularities=frozenset(granularities), stream=True)


def spoken(*texts: str) -> RecordingResult:
    """Of people who take turns, a second each."""
    spans = [Span(start_ms=1000 * number, end_ms=1000 * number + 900) for number in range(len(texts))]
    words = [Word(text=text, span=span, probability=1) for text, span in zip(texts, spans, strict=True)]
    segments = [Segment(span=word.span, text=word.text, words=(word,)) for word in words]
    turns = tuple(Turn(span=span, speaker=f"SPEAKER_0{1 - number % 2}") for number, span in enumerate(spans))
    return RecordingResult(
        audio=AudioFacts(duration_ms=1000 * len(texts), codec="pcm", sample_rate=16_000, channels=1),
        transcript=Transcript(language="en", segments=tuple(segments)),
        diarization=Diarization(turns=turns, exclusive=turns),
        emotions=None,
    )


def data(part: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(part.removeprefix(b"data: "))
    return found


def test_deltas_are_the_text() -> None:
    result = spoken("Who?", "Me.", "Me.", "Of all people.")
    told = [data(part) for part in events(result, asked("json"))]
    assert [event["delta"] for event in told[:-1]] == ["Who?", " Me.", " Me.", " Of all people."]
    assert told[-1]["text"] == "Who? Me. Me. Of all people."
    assert [data(part)["type"] for part in events(spoken(), asked("json"))] == ["transcript.text.done"]


def test_speakers_are_letters_in_order_of_appearance() -> None:
    found = json.loads(bytes(response(spoken("Who?", "Me.", "You?"), asked("diarized_json")).body))
    assert [segment["speaker"] for segment in found["segments"]] == ["A", "B", "A"]


def test_subtitles_are_well_formed() -> None:
    result = spoken("a < b & c", "--> so")
    assert result.transcript is not None
    assert subtitles.srt(result.transcript) == (
        "1\n00:00:00,000 --> 00:00:00,900\na < b & c\n\n2\n00:00:01,000 --> 00:00:01,900\n--> so\n"
    )
    assert subtitles.vtt(result.transcript) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:00.900\na &lt; b &amp; c\n\n00:00:01.000 --> 00:00:01.900\n--&gt; so\n"
    )
    silence = Transcript(language=None, segments=())
    assert (subtitles.srt(silence), subtitles.vtt(silence)) == ("", "WEBVTT\n")


@pytest.mark.parametrize("failure", [None, EngineUnavailable("the models are gone")])
def test_a_long_wait_is_filled_with_comments(failure: Exception | None) -> None:
    left: list[bool] = []

    async def work() -> RecordingResult:
        await asyncio.sleep(0.2)
        if failure is not None:
            raise failure
        return spoken("Hm.")

    async def sent() -> bytes:
        async with AsyncExitStack() as stack:
            stack.callback(left.append, True)
            response = await streamed(work(), asked("json"), stack, quiet_s=0.02)
        assert not left  # its upload is still needed
        body = b""

        async def send(message: Any) -> None:
            nonlocal body
            body += message.get("body", b"")

        async def receive() -> Any:
            await asyncio.Event().wait()

        await response({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
        return body

    comments, _, told = asyncio.run(sent()).partition(b"data: ")
    assert set(comments.split(b"\n\n")) == {b": waiting", b""}
    assert left
    first = data(told.split(b"\n\n")[0])
    assert first == {"type": "transcript.text.delta", "delta": "Hm."} or first["error"]["type"] == "server_error"
    assert ("error" in first) == (failure is not None)
