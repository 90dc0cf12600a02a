"""Recordings with their truth: a folder with INDEX.tsv, and labels in the formats of the field beside the sound.

INDEX.tsv has a row a recording, tab-separated, with at least the columns path, seconds, channels, language and
transcript. Beside a recording may lie, under its name: STM (utterances), RTTM (turns), CTM (words; the speaker where
the confidence would stand). Their seconds are taken to the millisecond. Labels that have no row are English, of a
recording of one channel, `SET_NAME.flac` in the folder above, for labels SET/NAME.
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
    """A word or an utterance, and whose it is."""

    text: str
    span: Span
    speaker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """name: its path in the folder; group: the set it is of, the first part of that; language: ISO 639-1.

    text: all that is said, in the order in which utterances begin. utterances, turns and words are empty where
    nobody has noted them.
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
    """All recordings of the folder, in order of name. Raises FileNotFoundError where it has no index."""
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
    """STM: recording, channel, speaker, start, end, text."""
    return _in_order(
        Said(text=" ".join(text), span=Span.from_seconds(float(start), float(end)), speaker=speaker)
        for _, _, speaker, start, end, *text in _lines(path)
    )


def _words(path: Path) -> tuple[Said, ...]:
    """CTM: recording, channel, start, duration, word, speaker."""
    return _in_order(
        Said(text=text, span=Span.from_seconds(float(start), float(start) + float(duration)), speaker=speaker)
        for _, _, start, duration, text, speaker in _lines(path)
    )


def _turns(path: Path) -> tuple[Turn, ...]:
    """RTTM: SPEAKER, recording, channel, start, duration, two blanks, speaker."""
    return tuple(
        Turn(span=Span.from_seconds(float(start), float(start) + float(duration)), speaker=speaker)
        for _, _, _, start, duration, _, _, speaker, *_ in _lines(path)
    )


def _lines(path: Path) -> Iterator[list[str]]:
    """Fields of each line; none where there is no such file."""
    if path.is_file():
        yield from (line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())


def _in_order(said: Iterable[Said]) -> tuple[Said, ...]:
    return tuple(sorted(said, key=lambda item: item.span))


def _text(utterances: Iterable[Said]) -> str:
    return " ".join(utterance.text for utterance in utterances)
