"""Figures over many recordings by measure, group and system; and the thresholds for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from rich import box
from rich.table import Table

from bench.comparison import Verdict
from bench.labelled import Recording
from bench.scoring import COLLARS_MS, Rate, Score
from bench.speechless import GROUP as SPEECHLESS
from bench.systems import AUTO, GIVEN, LANGUAGES, OURS, SEQUENTIAL, STOCK

JFK = "JFK"
ENGLISH, ALL, CONVERSATIONS = "all English", "all languages", "all conversations"
CALLS = "stereo_calls"
MOST_WORDS_WORSE = 0.003
MOST_SPEECH_WORSE = 0.01
OF_TEXT = ("WER", "CER", "language")
OF_SPEAKERS = (*COLLARS_MS, "speaker count", "cpWER", "cpWER, speakers as WhisperX", "tcpWER", "word starts, ms")
COUNTED = {"speaker count": "{:.2f}", "false words": "{:.0f} an hour"}
"""Format of the figures that are not percentages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The score of a system on a recording.

    Attributes:
        recording: The recording.
        system: Name of the system.
        language: AUTO or GIVEN: whether the system got the language.
        score: Its score.
    """

    recording: Recording
    system: str
    language: str
    score: Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure over several recordings.

    Attributes:
        measure: Name of the measure.
        group: Group of the recordings.
        language: AUTO or GIVEN.
        system: Name of the system.
        recordings: Number of recordings.
        value: A rate (1 if all is wrong), errors per recording or hour, or a median in milliseconds.
        of: What the errors are divided by, or the number of words behind a median.
        errors: Sum of the errors; None for a median.
    """

    measure: str
    group: str
    language: str
    system: str
    recordings: int
    value: float
    of: float
    errors: float | None = None

    @property
    def shown(self) -> str:
        if self.measure in COUNTED:
            return COUNTED[self.measure].format(self.value)
        return f"{self.value:.0f}" if self.errors is None else f"{100 * self.value:.1f}"


def groups(recording: Recording) -> Iterator[str]:
    """Yield the groups that a recording counts for; recordings outside the labelled folder have only their own."""
    if recording.group in (SPEECHLESS, JFK):
        yield recording.group
        return
    yield f"{recording.group}, {recording.language}"
    if recording.turns:
        yield CONVERSATIONS
    if recording.language == "en":
        yield ENGLISH
    else:
        yield f"{recording.group}, not English"
    yield ALL


def figures(scored: Sequence[Scored]) -> list[Figure]:
    """Return the figures of each group, ordered by measure and group."""
    found: list[Figure] = []
    keys = dict.fromkeys((one.system, one.language, group) for one in scored for group in groups(one.recording))
    for system, language, group in keys:
        scores = [
            one.score
            for one in scored
            if (one.system, one.language) == (system, language) and group in groups(one.recording)
        ]
        for measure in dict.fromkeys(name for score in scores for name in (*score.rates, *score.offsets_ms)):
            if group in (ENGLISH, ALL) and measure not in OF_TEXT:
                continue  # the same as for all conversations: other recordings have none
            rates = [score.rates[measure] for score in scores if measure in score.rates]
            offsets = [ms for score in scores for ms in score.offsets_ms.get(measure, ())]
            total = sum(rates, Rate(errors=0, of=0))
            value = total.value if rates else median(offsets) if offsets else None
            if value is not None:
                found.append(
                    Figure(
                        measure=measure,
                        group=group,
                        language=language,
                        system=system,
                        recordings=len(rates) or sum(measure in score.offsets_ms for score in scores),
                        value=value,
                        errors=total.errors if rates else None,
                        of=total.of if rates else len(offsets),
                    )
                )
    order = [figure.measure for figure in found], [figure.group for figure in found]
    return sorted(found, key=lambda figure: (order[0].index(figure.measure), order[1].index(figure.group)))


def table(found: Iterable[Figure]) -> Table:
    """Return a table in Markdown with a row for each measure and group, and a column for each system.

    Without a note, the language was detected. A system that did not process all recordings of a group has no figure
    there.
    """
    found = list(found)
    systems = list(dict.fromkeys(figure.system for figure in found))
    rows: dict[tuple[str, str, str], dict[str, Figure]] = {}
    for figure in found:
        rows.setdefault((figure.measure, figure.language, figure.group), {})[figure.system] = figure
    result = Table("measure", "recordings", "number", box=box.MARKDOWN)
    for system in systems:
        result.add_column(system, justify="right")
    for (measure, language, group), by_system in rows.items():
        name = f"{measure}, language given" if language == GIVEN else measure
        recordings = max(figure.recordings for figure in by_system.values())
        whole = {system: figure.shown for system, figure in by_system.items() if figure.recordings == recordings}
        cells = (whole.get(system, "") for system in systems)
        result.add_row(name, group, str(recordings), *cells)
    return result


def in_short(found: Iterable[Figure]) -> list[Figure]:
    """Return the figures of the README: language detected, no single languages, speakers in all conversations."""
    return [
        figure
        for figure in found
        if figure.language == AUTO
        and figure.group != JFK
        and (
            (figure.measure == "WER" and figure.group.rpartition(", ")[2] in ("en", "not English", ENGLISH, ALL))
            or (figure.measure in OF_SPEAKERS and figure.group == CONVERSATIONS)
            or (figure.measure == "cpWER" and figure.group.startswith(CALLS))
            or figure.group == SPEECHLESS
        )
    ]


def verdicts(found: Sequence[Figure]) -> list[Verdict]:
    """Return a verdict for each threshold whose figures were measured."""
    known = {(figure.measure, figure.group, figure.language, figure.system): figure for figure in found}
    judged: list[Verdict] = []

    def judge(what: str, ours: Figure | None, theirs: Figure | None, allowed: float) -> None:
        if ours is not None and theirs is not None and ours.of == theirs.of:  # else they are from different recordings
            met = ours.value <= theirs.value + allowed + 1e-9
            judged.append(Verdict(what=what, found=f"{ours.shown} against {theirs.shown}", met=met))

    for language in LANGUAGES:
        for group in (ENGLISH, ALL):
            judge(
                f"WER of {group}, language {language}: at most {SEQUENTIAL} + {100 * MOST_WORDS_WORSE:.1f} points",
                known.get(("WER", group, language, OURS)),
                known.get(("WER", group, language, SEQUENTIAL)),
                MOST_WORDS_WORSE,
            )
    for measure in COLLARS_MS:
        judge(
            f"{measure} of {CONVERSATIONS}: at most {STOCK} + {100 * MOST_SPEECH_WORSE:.1f} points",
            known.get((measure, CONVERSATIONS, AUTO, OURS)),
            known.get((measure, CONVERSATIONS, AUTO, STOCK)),
            MOST_SPEECH_WORSE,
        )
    judge(
        f"cpWER of {CONVERSATIONS}: at most with speakers as WhisperX gives them to the same words by the same turns",
        known.get(("cpWER", CONVERSATIONS, AUTO, OURS)),
        known.get(("cpWER, speakers as WhisperX", CONVERSATIONS, AUTO, OURS)),
        0,
    )
    for measure, group, what in (
        ("WER", JFK, "JFK word for word"),
        ("false words", SPEECHLESS, "no word without speech"),
    ):
        if figure := known.get((measure, group, AUTO, OURS)):
            judged.append(Verdict(what=what, found=f"{figure.errors:.0f} words wrong", met=not figure.errors))
    return judged
