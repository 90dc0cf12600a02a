"""Answers of the service, as JSON objects with typed properties."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


class Answer(Mapping[str, Any]):
    """A JSON object that the service has sent."""

    def __init__(self, value: Mapping[str, Any]) -> None:
        self._value = value

    def __getitem__(self, key: str) -> Any:
        return self._value[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._value)

    def __len__(self) -> int:
        return len(self._value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._value!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A recognised word.

    Attributes:
        start: Seconds from the start of the recording.
        end: Seconds from the start of the recording.
        text: The word, without spaces.
        confidence: 0 to 1.
        speaker: Who said it; None if speakers were not asked for.
    """

    start: float
    end: float
    text: str
    confidence: float
    speaker: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A stretch of speech of one speaker.

    Attributes:
        start: Seconds from the start of the recording.
        end: Seconds from the start of the recording.
        speaker: The speaker.
    """

    start: float
    end: float
    speaker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Emotion:
    """How a stretch was said.

    Attributes:
        start: Seconds from the start of the recording.
        end: Seconds from the start of the recording.
        scores: Probabilities of angry, sad, neutral and positive.
        speaker: Who said it; None if unknown.
    """

    start: float
    end: float
    scores: Mapping[str, float]
    speaker: str | None = None

    @property
    def label(self) -> str:
        """The most probable emotion."""
        return max(self.scores, key=lambda name: self.scores[name])


class Result(Answer):
    """The result for a recording: `result["tra"]["text"]`, or `result.text`."""

    @property
    def text(self) -> str:
        """The whole text; empty if it was not asked for."""
        tra = self.get("tra")
        return str(tra["text"]) if tra else ""

    @property
    def language(self) -> str | None:
        """ISO 639-1 code; None if the service does not report it."""
        return (self.get("tra") or {}).get("language")

    @property
    def words(self) -> tuple[Word, ...]:
        """The words in order of time; empty if they were not asked for."""
        tra = self.get("tra") or {}
        if "segments" in tra:
            return tuple(_word(word) for segment in tra["segments"] for word in segment.get("words", ()))
        return tuple(_word(word) for chunk in tra.get("chunks", ()) for word in chunk["alternatives"][0]["words"])

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns of the speakers."""
        turns = (self.get("dia") or {}).get("turns", ())
        return tuple(Turn(start=turn["start"], end=turn["end"], speaker=turn["speaker"]) for turn in turns)

    @property
    def emotions(self) -> tuple[Emotion, ...]:
        """The emotions at the level that was asked for."""
        segments = (self.get("emo") or {}).get("segments", ())
        return tuple(
            Emotion(
                start=segment["start"],
                end=segment["end"],
                scores=segment["emotional"],
                speaker=segment.get("speaker"),
            )
            for segment in segments
        )


class LiveMessage(Answer):
    """A message of a live stream: final words, words that may still change, or an emotion."""

    @property
    def text(self) -> str:
        """Text of the words that have become final with this message."""
        return str(self.get("text", ""))

    @property
    def words(self) -> tuple[Word, ...]:
        """The words that have become final with this message; they never change."""
        return tuple(_word(word) for word in self.get("words", ()))

    @property
    def partial(self) -> tuple[Word, ...]:
        """All words that are not final yet; they replace those of the message before."""
        return tuple(_word(word) for word in self.get("partial", ()))

    @property
    def emotion(self) -> Emotion | None:
        """How a phrase was said, if emotions were asked for."""
        scores = self.get("emotional")
        return Emotion(start=self["start"], end=self["end"], scores=scores) if scores else None

    @property
    def error(self) -> str | None:
        """What went wrong with a part of the stream."""
        return self.get("error")


def _word(word: Mapping[str, Any]) -> Word:
    return Word(
        start=word["start"],
        end=word["end"],
        text=word["word"].strip(),
        confidence=word["confidence"] if "confidence" in word else word["probability"],
        speaker=word.get("speaker"),
    )
