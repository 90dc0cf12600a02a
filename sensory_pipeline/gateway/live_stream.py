"""What a client sets for a stream of live speech."""

from __future__ import annotations

from dataclasses import dataclass

from sensory_pipeline.core.process_request import ProcessRequest

PAUSE_MS = 500
"""A silence of this length ends a phrase and makes its words final."""
PAUSES_MS = (200, 2_000)
"""Minimum and maximum of `Stream.pause_ms`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The parameters of a stream.

    Attributes:
        rate: Sample rate in Hz.
        request: The request for its speech.
        backlog_s: Maximum seconds of sound that may wait for the engines.
        pause_ms: Milliseconds of silence that end a phrase.
        tells_speech: Whether to send a message when speech starts and stops.
    """

    rate: int
    request: ProcessRequest
    backlog_s: float
    pause_ms: int = PAUSE_MS
    tells_speech: bool = False
