"""Labelled recordings: a folder with INDEX.tsv, and labels in standard formats beside the sound.

INDEX.tsv has a row per recording, tab-separated, with at least the columns path, seconds, channels, language and
transcript. Optional files beside a recording, with its name: STM (utterances), RTTM (turns), CTM (words, with the
speaker in the place of the confidence). Times are rounded to milliseconds. Labels SET/NAME without a row belong to an
English recording of one channel, `SET_NAME.flac` in the parent folder.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sensory_pipeline.core.diarization import Turn
from sensory_pipeline.core.spans import Span

INDEX = "INDEX.tsv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A word or an utterance, and who said it."""

    text: str
    span: Span
    speaker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A labelled recording.

    Attributes:
        name: Its path in the folder.
        file: The sound file.
        group: Its set, the first part of the path.
        duration_s: Its length in seconds.
        channels: Number of channels.
        language: ISO 639-1 code.
        text: The transcript, in the order in which utterances begin.
        utterances: Empty if not labelled.
        turns: Empty if not labelled.
        words: Empty if not labelled.
    """

    name: str
    file: Path
    group: str
    duration_s: float
    channels: int
    language: str
    text: str
    utterances: tuple[Said, ...] = ()
    turns: tuple[Turn, ...] = ()
    words: tuple[Said, ...] = ()


def read_labelled(folder: Path) -> list[Recording]:
    """Return all recordings of the folder, ordered by name.

    Raises:
        FileNotFoundError: The folder has no index.
    """
    with (folder / INDEX).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    indexed = {Path(row["path"]).with_suffix("") for row in rows}
    unlisted = (path.relative_to(folder).with_suffix("") for path in folder.glob("*/*.stm"))
    found = [_listed(folder, row) for row in rows]
    found += [_unlisted(folder, stem) for stem in unlisted if stem not in indexed]
    return sorted(found, key=lambda recording: recording.name)


def _listed(folder: Path, row: dict[str, str]) -> Recording:
    path = Path(row["path"])
    utterances = _utterances(folder / path.with_suffix(".stm"))
    return Recording(
        name=row["path"],
        file=folder / path,
        group=path.parts[0],
        duration_s=float(row["seconds"]),
        channels=int(row["channels"]),
        language=row["language"].partition("-")[0],
        text=row["transcript"] or _text(utterances),
        utterances=utterances,
        turns=_turns(folder / path.with_suffix(".rttm")),
        words=_words(folder / path.with_suffix(".ctm")),
    )


def _unlisted(folder: Path, stem: Path) -> Recording:
    labels = folder / stem
    ((*_, end_s),) = _lines(labels.with_suffix(".uem"))
    utterances = _utterances(labels.with_suffix(".stm"))
    return Recording(
        name=str(stem),
        file=folder.parent / f"{stem.parent}_{stem.name}.flac",
        group=stem.parts[0],
        duration_s=float(end_s),
        channels=1,
        language="en",
        text=_text(utterances),
        utterances=utterances,
        turns=_turns(labels.with_suffix(".rttm")),
        words=_words(labels.with_suffix(".ctm")),
    )


def _utterances(path: Path) -> tuple[Said, ...]:
    """Read STM: recording, channel, speaker, start, end, text."""
    return _in_order(
        Said(text=" ".join(text), span=Span.from_seconds(float(start), float(end)), speaker=speaker)
        for _, _, speaker, start, end, *text in _lines(path)
    )


def _words(path: Path) -> tuple[Said, ...]:
    """Read CTM: recording, channel, start, duration, word, speaker."""
    return _in_order(
        Said(text=text, span=Span.from_seconds(float(start), float(start) + float(duration)), speaker=speaker)
        for _, _, start, duration, text, speaker in _lines(path)
    )


def _turns(path: Path) -> tuple[Turn, ...]:
    """Read RTTM: SPEAKER, recording, channel, start, duration, two unused fields, speaker."""
    return tuple(
        Turn(span=Span.from_seconds(float(start), float(start) + float(duration)), speaker=speaker)
        for _, _, _, start, duration, _, _, speaker, *_ in _lines(path)
    )


def _lines(path: Path) -> Iterator[list[str]]:
    """Yield the fields of each line; nothing if there is no such file."""
    if path.is_file():
        yield from (line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())


def _in_order(said: Iterable[Said]) -> tuple[Said, ...]:
    return tuple(sorted(said, key=lambda item: item.span))


def _text(utterances: Iterable[Said]) -> str:
    return " ".join(utterance.text for utterance in utterances)
