"""What a system returned for a recording, and a file of such answers, so that an interrupted run can continue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from sensory_pipeline.core.diarization import Turn
from sensory_pipeline.core.spans import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardWord:
    """A word of an answer.

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
class Answer:
    """What a system returned for a recording.

    Attributes:
        text: The transcript; None if the system does not transcribe.
        language: Detected language, ISO 639-1; None without a transcript.
        words: The words; None if the system does not transcribe.
        turns: The turns; None if the system does not diarize.
    """

    text: str | None = None
    language: str | None = None
    words: tuple[HeardWord, ...] | None = None
    turns: tuple[Turn, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a system was asked.

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
    asked: Asked
    answer: Answer


_LINE = TypeAdapter(_Line)


class AnswerFile:
    """Answers as lines of JSON; known answers are not computed again."""

    def __init__(self, path: Path | None) -> None:
        """Read the file, if there is one.

        Args:
            path: The file; None to store nothing.
        """
        self._path = path
        self._known: dict[Asked, Answer] = {}
        if path is not None and path.is_file():
            lines = map(_LINE.validate_json, path.read_bytes().splitlines())
            self._known = {line.asked: line.answer for line in lines}

    def answer(self, asked: Asked, ask: Callable[[], Answer]) -> Answer:
        """Return the known answer, or compute it with `ask` and store it."""
        if asked not in self._known:
            self._known[asked] = ask()
            if self._path is not None:
                with self._path.open("ab") as file:
                    file.write(_LINE.dump_json(_Line(asked=asked, answer=self._known[asked])) + b"\n")
        return self._known[asked]
