"""Answers of the service: with types, and as the JSON objects that they are."""

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
    """Seconds from the start. text: without blanks; confidence: 0 to 1; speaker: where it was asked for."""

    start: float
    end: float
    text: str
    confidence: float
    speaker: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One stretch of one speaker, in seconds."""

    start: float
    end: float
    speaker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Emotion:
    """How a stretch was said, in seconds. scores: of angry, sad, neutral and positive; they sum to 1."""

    start: float
    end: float
    scores: Mapping[str, float]
    speaker: str | None = None

    @property
    def label(self) -> str:
        """The most probable."""
        return max(self.scores, key=lambda name: self.scores[name])


class Result(Answer):
    """What was found out about a recording: `result["tra"]["text"]`, or `result.text`."""

    @property
    def text(self) -> str:
        """All that is said; empty where it was not asked for."""
        tra = self.get("tra")
        return str(tra["text"]) if tra else ""

    @property
    def language(self) -> str | None:
        """ISO 639-1 code, where the service tells it."""
        return (self.get("tra") or {}).get("language")

    @property
    def words(self) -> tuple[Word, ...]:
        """In order of time; none where the service was not asked for them."""
        tra = self.get("tra") or {}
        if "segments" in tra:
            return tuple(_word(word) for segment in tra["segments"] for word in segment.get("words", ()))
        return tuple(_word(word) for chunk in tra.get("chunks", ()) for word in chunk["alternatives"][0]["words"])

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Who speaks when."""
        turns = (self.get("dia") or {}).get("turns", ())
        return tuple(Turn(start=turn["start"], end=turn["end"], speaker=turn["speaker"]) for turn in turns)

    @property
    def emotions(self) -> tuple[Emotion, ...]:
        """At the level that was asked for."""
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
    """What a live stream says: words that are final, those that may change, or how a phrase was said."""

    @property
    def text(self) -> str:
        """Of the words that have become final with this message."""
        return str(self.get("text", ""))

    @property
    def words(self) -> tuple[Word, ...]:
        """Those; they are never taken back."""
        return tuple(_word(word) for word in self.get("words", ()))

    @property
    def partial(self) -> tuple[Word, ...]:
        """All that are not final yet, instead of those of the message before."""
        return tuple(_word(word) for word in self.get("partial", ()))

    @property
    def emotion(self) -> Emotion | None:
        """How a phrase was said, where emotions were asked for."""
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
