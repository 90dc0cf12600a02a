"""Load on a service: clients that each send the next recording as soon as they have an answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import httpx2
import numpy as np

from bench.labelled import read_labelled
from bench.processes import children_mb

SHORTEST_S, LONGEST_S = 2.0, 15.0
_ASKED = '{"settings": {"tasks": ["transcribe"], "tra": {"language": "en"}}}'
_SAMPLE_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A recording to send: its name, the bytes of its file, and its length in seconds."""

    name: str
    content: bytes
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a recording that a client sent.

    Attributes:
        recording: Its name.
        audio_s: Its length in seconds.
        text: The transcript; None without an answer.
        seconds: From the first time it was sent to the end, including the time between attempts.
        ended_s: When that was, in seconds from the start of the load.
        refusals: How often the service answered 429 and said when to try again.
        failure: What else it answered, or the error of the connection; empty if the recording is not lost.
    """

    recording: str
    audio_s: float
    text: str | None
    seconds: float
    ended_s: float
    refusals: int
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a service did under a load.

    Attributes:
        clients: Number of clients.
        seconds: For how long they sent recordings; then they waited for the last answers.
        outcomes: One for each recording sent.
        memory_mb: Memory of all processes of the service while recordings were sent, at even distances.
    """

    clients: int
    seconds: float
    outcomes: tuple[Outcome, ...]
    memory_mb: tuple[float, ...]

    @property
    def answered(self) -> list[Outcome]:
        """Those with a transcript."""
        return [outcome for outcome in self.outcomes if outcome.text is not None]

    @property
    def lost(self) -> list[Outcome]:
        """Those that were neither answered nor refused for now."""
        return [outcome for outcome in self.outcomes if outcome.failure]

    @property
    def refusals(self) -> int:
        """How often the service answered 429."""
        return sum(outcome.refusals for outcome in self.outcomes)

    @property
    def audio_per_s(self) -> float:
        """Seconds of audio answered per second, while recordings were sent."""
        return sum(outcome.audio_s for outcome in self._in_time()) / self.seconds

    @property
    def requests_per_s(self) -> float:
        """Recordings answered per second, while recordings were sent."""
        return len(self._in_time()) / self.seconds

    def _in_time(self) -> list[Outcome]:
        return [outcome for outcome in self.answered if outcome.ended_s <= self.seconds]

    def latency_s(self, percent: float) -> float:
        """Return the seconds within which so many per cent of the answered recordings were answered."""
        return float(np.percentile([outcome.seconds for outcome in self.answered], percent))

    def others(self, texts: Mapping[str, str]) -> int:
        """Return the number of answers whose text differs from these, by name of the recording."""
        return sum(outcome.text != texts[outcome.recording] for outcome in self.answered)


def recordings(folder: Path, count: int) -> list[Recording]:
    """Return English recordings of SHORTEST_S to LONGEST_S from all sets in turn.

    Args:
        folder: Labelled recordings.
        count: Number of recordings.
    """
    fit = [
        recording
        for recording in read_labelled(folder)
        if recording.language == "en" and SHORTEST_S <= recording.duration_s <= LONGEST_S
    ]
    return [
        Recording(name=each.name, content=each.file.read_bytes(), duration_s=each.duration_s)
        for each in fit[:: max(1, len(fit) // count)][:count]
    ]


def texts_of(url: str, sent: Sequence[Recording]) -> dict[str, str]:
    """Send recordings one after the other, and return the transcript of each by name.

    Raises:
        RuntimeError: One was not answered.
    """

    async def all_of_them() -> dict[str, str]:
        found = {}
        async with _http(url) as http:
            for recording in sent:
                outcome = await _outcome(http, recording, began=time.monotonic(), seconds=float("inf"))
                if outcome.text is None:
                    raise RuntimeError(f"{recording.name}: {outcome.failure}")
                found[recording.name] = outcome.text
        return found

    return asyncio.run(all_of_them())


def load(url: str, sent: Sequence[Recording], *, clients: int, seconds: float) -> Load:
    """Let clients send recordings for some time, then wait for the last answers.

    Args:
        url: URL of the service, the only process that this one has started.
        sent: The recordings; each client begins with another.
        clients: Number of clients.
        seconds: For how long clients send recordings.
    """

    async def all_of_them() -> Load:
        async with _http(url) as http:
            began = time.monotonic()
            noting = asyncio.create_task(_memory(began, seconds))
            found = await asyncio.gather(
                *(_client(http, islice(cycle(sent), first, None), began, seconds) for first in range(clients))
            )
        outcomes = tuple(outcome for each in found for outcome in each)
        return Load(clients=clients, seconds=seconds, outcomes=outcomes, memory_mb=tuple(await noting))

    return asyncio.run(all_of_them())


def _http(url: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=url, timeout=None, limits=httpx2.Limits())


async def _client(http: httpx2.AsyncClient, sent: Iterator[Recording], began: float, seconds: float) -> list[Outcome]:
    found: list[Outcome] = []
    while not found or time.monotonic() - began < seconds:
        found.append(await _outcome(http, next(sent), began=began, seconds=seconds))
    return found


async def _outcome(http: httpx2.AsyncClient, recording: Recording, *, began: float, seconds: float) -> Outcome:
    """Send a recording, again after each 429, but not later than `seconds` after `began`."""
    first = time.monotonic()
    refusals, text, failure = 0, None, ""
    while True:
        try:
            answer = await http.post(
                "/v1/process", files={"audio": (recording.name, recording.content)}, data={"request_json": _ASKED}
            )
        except httpx2.TransportError as error:
            failure = type(error).__name__
            break
        if answer.status_code != httpx2.codes.TOO_MANY_REQUESTS or "Retry-After" not in answer.headers:
            with suppress(ValueError, KeyError, TypeError):
                text = str(answer.json()["result"]["tra"]["text"])
            failure = "" if text is not None else f"status {answer.status_code}"
            break
        refusals += 1
        wait_s = float(answer.headers["Retry-After"])
        if time.monotonic() + wait_s - began > seconds:
            break
        await asyncio.sleep(wait_s)
    now = time.monotonic()
    return Outcome(
        recording=recording.name,
        audio_s=recording.duration_s,
        text=text,
        seconds=now - first,
        ended_s=now - began,
        refusals=refusals,
        failure=failure,
    )


async def _memory(began: float, seconds: float) -> list[float]:
    noted: list[float] = []
    while not noted or time.monotonic() - began < seconds:
        noted.append(children_mb())
        await asyncio.sleep(_SAMPLE_S)
    return noted
