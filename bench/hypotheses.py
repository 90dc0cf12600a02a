"""What a system returned for a recording, and a file of such hypotheses, so that an interrupted run can continue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from sensory_pipeline.core.diarization import Turn
from sensory_pipeline.core.spans import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class HypothesisWord:
    """A word of a hypothesis.

    Attributes:
        text: The word.
        span: Its time.
        speaker: Who said it; None if unknown.
        by_overlap: The speaker whose turns overlap it most, which is WhisperX's rule.
    """

    text: str
    span: Span
    speaker: str | None = None
    by_overlap: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """What a system returned for a recording.

    Attributes:
        text: The transcript; None if the system does not transcribe.
        language: Detected language, ISO 639-1; None without a transcript.
        words: The words; None if the system does not transcribe.
        turns: The turns; None if the system does not diarize.
    """

    text: str | None = None
    language: str | None = None
    words: tuple[HypothesisWord, ...] | None = None
    turns: tuple[Turn, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HypothesisKey:
    """Which hypothesis it is.

    Attributes:
        system: Name of the system.
        language: "auto" or "given".
        recording: Name of the recording.
    """

    system: str
    language: str
    recording: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    # stored files take hours to make, so the names of these fields stay
    asked: HypothesisKey
    answer: Hypothesis


_LINE = TypeAdapter(_Line)


class HypothesisFile:
    """Hypotheses as lines of JSON; known hypotheses are not computed again."""

    def __init__(self, path: Path | None) -> None:
        """Read the file, if there is one.

        Args:
            path: The file; None to store nothing.
        """
        self._path = path
        self._known: dict[HypothesisKey, Hypothesis] = {}
        if path is not None and path.is_file():
            lines = map(_LINE.validate_json, path.read_bytes().splitlines())
            self._known = {line.asked: line.answer for line in lines}

    def hypothesis(self, key: HypothesisKey, compute: Callable[[], Hypothesis]) -> Hypothesis:
        """Return the known hypothesis, or compute it with `compute` and store it."""
        if key not in self._known:
            self._known[key] = compute()
            if self._path is not None:
                with self._path.open("ab") as file:
                    file.write(_LINE.dump_json(_Line(asked=key, answer=self._known[key])) + b"\n")
        return self._known[key]
