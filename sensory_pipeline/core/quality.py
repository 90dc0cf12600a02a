"""Rules over counts that show when a partition's tables need a closer look, although they are consistent.

A broken rule is a warning for a person; the rows stay published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ERROR_SHARE = 0.1
"""Highest share of failed recordings."""
EMPTY_SHARE = 0.2
"""Highest share of transcripts without a word."""
MOST_SPEAKERS = 10
"""Most speakers in a recording whose settings give no number."""
DOUBTFUL_PROBABILITY = 0.5
"""Lowest mean probability of all words."""
DRIFT = 0.3
"""Highest share of recordings by which the mix of languages may differ from the lake's."""
DRIFT_RECORDINGS = 20
"""With fewer recordings on either side, mixes of languages are not compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionCounts:
    """Counts of recordings of one partition, except where noted.

    Attributes:
        ok: Processed.
        failed: Failed for good.
        pending: Left for another run.
        transcribed: Transcribed, with or without a word.
        empty: Transcribed, without a word.
        speakers_out_of_range: With fewer or more speakers than asked for; by default, more than MOST_SPEAKERS.
        words: Number of words.
        mean_probability: Mean probability of the words; None if there are none.
        languages: Recordings by language.
        known_languages: Recordings of partitions published before, by language.
    """

    ok: int
    failed: int
    pending: int
    transcribed: int
    empty: int
    speakers_out_of_range: int
    words: int
    mean_probability: float | None
    languages: Mapping[str, int]
    known_languages: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The result of one rule.

    Attributes:
        passed: Whether the rule holds.
        value: What was measured.
        limit: The highest value allowed; for a probability, the lowest.
        text: The result in words.
    """

    passed: bool
    value: float
    limit: float
    text: str


def verdicts(counts: PartitionCounts) -> dict[str, Verdict]:
    """The verdict of each rule in RULES, by its name."""
    published = counts.ok + counts.failed
    drift = language_drift(counts.languages, counts.known_languages)
    mean = 1.0 if counts.mean_probability is None else counts.mean_probability
    return {
        "error_share": _at_most(
            _share(counts.failed, published), ERROR_SHARE, f"{counts.failed} of {published} recordings failed"
        ),
        "empty_transcripts": _at_most(
            _share(counts.empty, counts.transcribed),
            EMPTY_SHARE,
            f"{counts.empty} of {counts.transcribed} transcripts have no word",
        ),
        "speaker_counts": _at_most(
            counts.speakers_out_of_range,
            0,
            f"{counts.speakers_out_of_range} recordings have fewer or more speakers than their settings say, "
            f"or more than {MOST_SPEAKERS}",
        ),
        "language_drift": _at_most(
            drift,
            DRIFT,
            f"{drift:.0%} of the recordings are in languages that earlier partitions do not lead one to expect",
        ),
        "low_confidence": Verdict(
            passed=mean >= DOUBTFUL_PROBABILITY,
            value=mean,
            limit=DOUBTFUL_PROBABILITY,
            text=f"{counts.words} words have a mean probability of {mean:.2f}"
            if counts.words
            else "there are no words",
        ),
        "pending_left": _at_most(
            counts.pending, 0, f"{counts.pending} recordings are still pending; the next run takes them"
        ),
    }


RULES: Mapping[str, str] = {
    "error_share": f"At most {ERROR_SHARE:.0%} of the recordings failed.",
    "empty_transcripts": f"At most {EMPTY_SHARE:.0%} of the transcripts have no word.",
    "speaker_counts": f"As many speakers as the settings say, or at most {MOST_SPEAKERS} if they say nothing.",
    "language_drift": f"At most {DRIFT:.0%} of the recordings are in languages that differ from earlier partitions.",
    "low_confidence": f"The words' mean probability is {DOUBTFUL_PROBABILITY} or more.",
    "pending_left": "Nothing of the partition is left for another run.",
}
"""Rule -> its threshold, in words."""


def language_drift(languages: Mapping[str, int], known: Mapping[str, int]) -> float:
    """The difference between two mixes of languages: the share that would have to change, 0 to 1.

    0 if either has fewer than DRIFT_RECORDINGS recordings.

    >>> language_drift({"en": 30, "de": 10}, {"en": 400})
    0.25
    """
    total, known_total = sum(languages.values()), sum(known.values())
    if min(total, known_total) < DRIFT_RECORDINGS:
        return 0.0
    return (
        sum(abs(languages.get(name, 0) / total - known.get(name, 0) / known_total) for name in {*languages, *known}) / 2
    )


def _at_most(value: float, limit: float, text: str) -> Verdict:
    return Verdict(passed=value <= limit, value=value, limit=limit, text=text)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
