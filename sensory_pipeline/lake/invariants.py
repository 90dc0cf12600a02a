"""Rules that the tables of every partition must satisfy, whatever the input was.

They read the tables below the views, whose joins take most of the time of a small partition.
"""

from __future__ import annotations

import duckdb

from sensory_pipeline.lake.tables import TABLES

_ORPHANS = (
    "SELECT count(*) FROM internal.{table} t ANTI JOIN internal.recordings r"
    " ON r.recording_id = t.recording_id AND r.status IN ('ok', 'partial')"
)
_RULES = {
    "a recording appears twice": "SELECT count(*) - count(DISTINCT recording_id) FROM internal.recordings",
    "a recording is ok with an error, or failed or partial without one": (
        "SELECT count(*) FROM internal.recordings WHERE (status = 'ok') != (error_class IS NULL)"
    ),
    "a recording's word count is not its number of words": (
        "SELECT count(*) FROM internal.recordings r WHERE r.status IN ('ok', 'partial') AND r.words !="
        " (SELECT count(*) FROM internal.words w WHERE w.recording_id = r.recording_id)"
    ),
    "a word lies outside its utterance, or is another speaker's": (
        "SELECT count(*) FROM internal.words w JOIN internal.utterances u USING (recording_id, utterance)"
        " WHERE w.start_ms > u.end_ms OR w.end_ms < u.start_ms OR w.speaker IS DISTINCT FROM u.speaker"
    ),
    "a word has no utterance": (
        "SELECT count(*) FROM internal.words w ANTI JOIN internal.utterances u"
        " ON u.recording_id = w.recording_id AND u.utterance = w.utterance"
        " WHERE w.utterance IS NOT NULL OR NOT w.doubtful"
    ),
    "a word's speaker has no turn": (
        "SELECT count(*) FROM internal.words w ANTI JOIN internal.turns t"
        " ON t.recording_id = w.recording_id AND t.speaker = w.speaker WHERE w.speaker IS NOT NULL"
    ),
    "an embedding's speaker has no turn": (
        "SELECT count(*) FROM internal.embeddings e ANTI JOIN internal.turns t"
        " ON t.recording_id = e.recording_id AND t.speaker = e.speaker"
    ),
    "probabilities of an emotion do not sum to 1": (
        "SELECT count(*) FROM internal.emotions WHERE abs(angry + sad + neutral + positive - 1) > 0.001"
    ),
}


def violations(db: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Return how many rows break each rule; rules that hold are left out.

    Args:
        db: A connection to the partitions to check, of `views.connect`.
    """
    rules = dict(_RULES)
    for table in TABLES:
        if table.name in ("recordings", "stages"):
            continue
        rules[f"{table.name} of a recording that is not ok"] = _ORPHANS.format(table=table.name)
        if any(column.name == "start_ms" for column in table.columns):
            rules[f"{table.name} end before they start, or after the recording"] = (
                f"SELECT count(*) FROM internal.{table.name} t JOIN internal.recordings r USING (recording_id)"  # noqa: S608
                " WHERE t.end_ms < t.start_ms OR t.start_ms < 0 OR t.end_ms > r.duration_ms + 1"
            )
    counts = {rule: int((db.execute(sql).fetchone() or (0,))[0]) for rule, sql in rules.items()}
    return {rule: count for rule, count in counts.items() if count}
