"""Rules that the tables of every partition must satisfy, whatever the input was."""

from __future__ import annotations

from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.tables import TABLES
from sensory_pipeline.lake.views import connect

_ORPHANS = (
    "SELECT count(*) FROM {table} t ANTI JOIN recordings r"
    " ON r.recording_id = t.recording_id AND r.status IN ('ok', 'partial')"
)
_RULES = {
    "a recording appears twice": "SELECT count(*) - count(DISTINCT recording_id) FROM recordings",
    "a recording is ok with an error, or failed or partial without one": (
        "SELECT count(*) FROM recordings WHERE (status = 'ok') != (error_class IS NULL)"
    ),
    "a recording's word count is not its number of words": (
        "SELECT count(*) FROM recordings r WHERE r.status IN ('ok', 'partial') AND r.words !="
        " (SELECT count(*) FROM words w WHERE w.recording_id = r.recording_id)"
    ),
    "a word lies outside its utterance, or is another speaker's": (
        "SELECT count(*) FROM words w JOIN utterances u USING (recording_id, utterance)"
        " WHERE w.start_s > u.end_s OR w.end_s < u.start_s OR w.speaker IS DISTINCT FROM u.speaker"
    ),
    "a word has no utterance": (
        "SELECT count(*) FROM words w ANTI JOIN utterances u"
        " ON u.recording_id = w.recording_id AND u.utterance = w.utterance"
        " WHERE w.utterance IS NOT NULL OR NOT w.doubtful"
    ),
    "a word's speaker has no turn": (
        "SELECT count(*) FROM words w ANTI JOIN turns t"
        " ON t.recording_id = w.recording_id AND t.speaker = w.speaker WHERE w.speaker IS NOT NULL"
    ),
    "an embedding's speaker has no turn": (
        "SELECT count(*) FROM embeddings e ANTI JOIN turns t"
        " ON t.recording_id = e.recording_id AND t.speaker = e.speaker"
    ),
    "probabilities of an emotion do not sum to 1": (
        "SELECT count(*) FROM emotions WHERE abs(angry + sad + neutral + positive - 1) > 0.001"
    ),
}


def violations(lake: Lake, partition: Partition) -> dict[str, int]:
    """Return how many rows break each rule; rules that hold are left out."""
    with connect(lake, [partition], include_missing=True) as db:
        rules = dict(_RULES)
        for table in TABLES:
            if table.name in ("recordings", "stages"):
                continue
            rules[f"{table.name} of a recording that is not ok"] = _ORPHANS.format(table=table.name)
            if any(column.name == "start_ms" for column in table.columns):
                rules[f"{table.name} end before they start, or after the recording"] = (
                    f"SELECT count(*) FROM {table.name} t JOIN recordings r USING (recording_id)"  # noqa: S608
                    " WHERE t.end_s < t.start_s OR t.start_s < 0 OR t.end_s > r.duration_s + 0.001"
                )
        counts = {rule: int((db.execute(sql).fetchone() or (0,))[0]) for rule, sql in rules.items()}
    return {rule: count for rule, count in counts.items() if count}
