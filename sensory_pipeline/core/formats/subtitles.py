"""Subtitles of one recording, SubRip (srt) and WebVTT (https://www.w3.org/TR/webvtt1): a cue for each phrase."""

from __future__ import annotations

from collections.abc import Iterator

from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Transcript


def srt(transcript: Transcript) -> str:
    """SubRip; empty when nothing was said."""
    cues = (f"{number}\n{_times(span, ',')}\n{text}\n" for number, (span, text) in enumerate(_cues(transcript), 1))
    return "\n".join(cues)


def vtt(transcript: Transcript) -> str:
    """WebVTT; only its header when nothing was said."""
    cues = (f"\n{_times(span, '.')}\n{_escaped(text)}\n" for span, text in _cues(transcript))
    return f"WEBVTT\n{''.join(cues)}"


def _cues(transcript: Transcript) -> Iterator[tuple[Span, str]]:
    for segment in transcript.segments:
        if segment.text:
            yield segment.span, " ".join(segment.text.split())


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _times(span: Span, point: str) -> str:
    """When a cue is shown.

    >>> _times(Span(start_ms=1204, end_ms=3_661_007), ",")
    '00:00:01,204 --> 01:01:01,007'
    """
    return f"{_clock(span.start_ms, point)} --> {_clock(span.end_ms, point)}"


def _clock(ms: int, point: str) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{point}{ms:03d}"
