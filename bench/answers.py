"""What a system made of a recording, and a file that keeps such answers, so that a run may be broken off and go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from sensory_pipeline.core.diarization import Turn
from sensory_pipeline.core.spans import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardWord:
    """speaker: None where nobody was named; by_overlap: whose turns overlap it most, as WhisperX has it."""

    text: str
    span: Span
    speaker: str | None = None
    by_overlap: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """text, words: None where the system does not transcribe; turns: None where it does not diarize.

    language: that was heard, ISO 639-1; None where there is no text.
    """

    text: str | None = None
    language: str | None = None
    words: tuple[HeardWord, ...] | None = None
    turns: tuple[Turn, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """system: its name; language: "auto" or "given"; recording: its name."""

    system: str
    language: str
    recording: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    asked: Asked
    answer: Answer


_LINE = TypeAdapter(_Line)


class AnswerFile:
    """Lines of JSON. path: None keeps nothing. What is in the file is not asked for again."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[Asked, Answer] = {}
        if path is not None and path.is_file():
            lines = map(_LINE.validate_json, path.read_bytes().splitlines())
            self._known = {line.asked: line.answer for line in lines}

    def answer(self, asked: Asked, ask: Callable[[], Answer]) -> Answer:
        """The one that is known, or else the one that `ask` gives, which is known from then on."""
        if asked not in self._known:
            self._known[asked] = ask()
            if self._path is not None:
                with self._path.open("ab") as file:
                    file.write(_LINE.dump_json(_Line(asked=asked, answer=self._known[asked])) + b"\n")
        return self._known[asked]
