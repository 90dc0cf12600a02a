"""Statistics of a published partition, for the rules of core/quality.py and for its picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

import duckdb

from sensory_pipeline.core.quality import MOST_SPEAKERS, PartitionCounts
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.lake import manifest
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.views import connect

KNOWN_PARTITIONS = 64
"""How many earlier partitions decide which languages are usual."""

_RECORDINGS = (
    "SELECT count(*) FILTER (status IN ('ok', 'partial')), count(*) FILTER (status = 'failed'),"
    " count(*) FILTER (words IS NOT NULL), count(*) FILTER (words = 0) FROM recordings"
)
_SPEAKERS = (
    "SELECT count(*) FROM recordings r JOIN stages s ON s.recording_id = r.recording_id AND s.stage = 'diarization'"
    " WHERE r.speakers > 0 AND r.speakers NOT BETWEEN"
    " coalesce((s.settings->>'speakers')::INTEGER, (s.settings->>'min_speakers')::INTEGER, 1)"
    " AND coalesce((s.settings->>'speakers')::INTEGER, (s.settings->>'max_speakers')::INTEGER, $most)"
)
_DAMAGED = "SELECT count(*) FROM recordings WHERE status = 'partial'"
_ERRORS = "SELECT error_class, count(*) FROM recordings WHERE status = 'failed' GROUP BY ALL ORDER BY ALL"
_WORDS = "SELECT count(*), avg(probability) FROM words"
_LANGUAGES = "SELECT language, count(*) FROM recordings WHERE language IS NOT NULL GROUP BY language ORDER BY language"
_DURATIONS = "SELECT duration_s FROM recordings WHERE status IN ('ok', 'partial') ORDER BY recording_id"
_TALK = (
    "SELECT speakers, rank, avg(talk_share) FROM (SELECT talk_share, count(*) OVER (PARTITION BY recording_id)"
    " AS speakers, row_number() OVER (PARTITION BY recording_id ORDER BY talk_share DESC, speaker) AS rank"
    " FROM speakers) GROUP BY speakers, rank ORDER BY speakers, rank"
)
_EMOTIONS = "SELECT emotion, count(*) FROM utterances WHERE emotion IS NOT NULL GROUP BY emotion ORDER BY emotion"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionStats:
    """Statistics of one partition.

    Attributes:
        counts: What the quality rules need.
        durations_s: Length in seconds of each recording that is ok or partial.
        talk: For each number of speakers, the mean share of talk of the first, second and further speakers, 0 to 1.
        emotions: Number of utterances by emotion.
        damaged: Number of recordings that are partial.
        errors: Number of failed recordings by error class.
    """

    counts: PartitionCounts
    durations_s: tuple[float, ...]
    talk: Mapping[int, tuple[float, ...]]
    emotions: Mapping[str, int]
    damaged: int
    errors: Mapping[str, int]


def partition_stats(db: duckdb.DuckDBPyConnection, lake: Lake, partition: Partition, *, pending: int) -> PartitionStats:
    """Compute the statistics of what a partition has published.

    Args:
        db: A connection to this partition, of `views.connect`.
        lake: The lake.
        partition: The partition.
        pending: Number of its recordings that are still pending.
    """
    ((ok, failed, transcribed, empty),) = db.execute(_RECORDINGS).fetchall()
    ((damaged,),) = db.execute(_DAMAGED).fetchall()
    ((out_of_range,),) = db.execute(_SPEAKERS, {"most": MOST_SPEAKERS}).fetchall()
    ((words, probability),) = db.execute(_WORDS).fetchall()
    talk: dict[int, tuple[float, ...]] = {}
    for speakers, _, share in db.execute(_TALK).fetchall():
        talk[speakers] = (*talk.get(speakers, ()), share)
    return PartitionStats(
        counts=PartitionCounts(
            ok=ok,
            failed=failed,
            pending=pending,
            transcribed=transcribed,
            empty=empty,
            speakers_out_of_range=out_of_range,
            words=words,
            mean_probability=probability,
            languages=_by_name(db, _LANGUAGES),
            known_languages=_known_languages(lake, partition),
        ),
        durations_s=tuple(duration for (duration,) in db.execute(_DURATIONS).fetchall()),
        talk=talk,
        emotions=_by_name(db, _EMOTIONS),
        damaged=damaged,
        errors=_by_name(db, _ERRORS),
    )


def _known_languages(lake: Lake, partition: Partition) -> dict[str, int]:
    """Count recordings by language in the latest earlier partitions, up to this partition's date."""
    others = reversed(manifest.partitions(lake.manifests))
    earlier = (other for other in others if other != partition and other.date <= partition.date)
    before = list(islice(earlier, KNOWN_PARTITIONS))
    if not before:
        return {}
    with connect(lake, before) as db:
        return _by_name(db, _LANGUAGES)


def _by_name(db: duckdb.DuckDBPyConnection, sql: str) -> dict[str, int]:
    return dict(db.execute(sql).fetchall())
