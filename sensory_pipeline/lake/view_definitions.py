"""The views of `sensory sql`: their columns, and the SQL that defines them."""

from __future__ import annotations

import pyarrow as pa

from sensory_pipeline.lake.schema import Table

_PLACE = "t.date::DATE AS date, t.shard::INTEGER AS shard"
# a name that is not valid UTF-8 stays as it is in the uri
_NAME = "coalesce(try(url_decode(parse_filename({uri}))), parse_filename({uri})) AS name"
PROVENANCE = ("engine", "model", "revision", "settings", "run_id", "pipeline_version")
DUCKDB_TYPES = {
    pa.string(): "VARCHAR", pa.int32(): "INTEGER", pa.int64(): "BIGINT", pa.float32(): "FLOAT",
    pa.bool_(): "BOOLEAN", pa.timestamp("us"): "TIMESTAMP", pa.list_(pa.float32()): "FLOAT[]",
}  # fmt: skip


def view_columns(table: Table) -> list[tuple[str, str, str]]:
    """Return name, DuckDB type and description of each column of a view, in order."""
    columns = [
        (_served(c.name), "DOUBLE" if c.name.endswith("_ms") else DUCKDB_TYPES[c.type], c.description)
        for c in table.columns
    ]
    if table.name == "recordings":
        columns.append(
            (
                "present",
                "BOOLEAN",
                "Whether it was in its source at the last listing; if not, it has rows only with --include-missing.",
            )
        )
    else:
        columns.append(("uri", "VARCHAR", "Address of the recording."))
    columns += [
        ("name", "VARCHAR", "File name of the recording."),
        (
            "date",
            "DATE",
            "First half of the partition: UTC day of the recording's modification time when it was first seen.",
        ),
        ("shard", "INTEGER", "Second half of the partition: shard of the recording."),
    ]
    if table.stage is not None:
        columns += [(name, "VARCHAR", f"{name} of the {table.stage} stage that made the row.") for name in PROVENANCE]
    return columns


def view_sql(table: Table) -> str:
    """Return the definition of a view; it contains only our own names."""
    own = ", ".join(
        f"t.{c.name} / 1000.0 AS {_served(c.name)}" if c.name.endswith("_ms") else f"t.{c.name}" for c in table.columns
    )
    if table.name == "recordings":
        waiting = {
            "recording_id": "w.recording_id",
            "uri": "w.uri",
            "version": "w.version",
            "size_bytes": "w.size_bytes",
            "status": "'pending'",
            "error_message": "w.note",
        }
        pending = ", ".join(f"{waiting.get(c.name, 'NULL')}" for c in table.columns)
        return (
            f"CREATE VIEW recordings AS SELECT {own}, "  # noqa: S608
            "t.recording_id NOT IN (SELECT recording_id FROM internal.missing) AS present, "
            f"{_NAME.format(uri='t.uri')}, {_PLACE} FROM internal.shown t "
            f"UNION ALL SELECT {pending}, true, {_NAME.format(uri='w.uri')}, w.date, w.shard "
            "FROM internal.pending w WHERE w.recording_id NOT IN (SELECT recording_id FROM internal.recordings)"
        )
    joins = "JOIN internal.shown r ON r.recording_id = t.recording_id"
    made = ""
    if table.stage is not None:
        made = "".join(f", s.{name}" for name in PROVENANCE)
        joins += f" LEFT JOIN internal.stages s ON s.recording_id = t.recording_id AND s.stage = '{table.stage.value}'"
    columns = f"{own}, r.uri, {_NAME.format(uri='r.uri')}, {_PLACE}{made}"
    return f"CREATE VIEW {table.name} AS SELECT {columns} FROM internal.{table.name} t {joins}"  # noqa: S608


def _served(name: str) -> str:
    return name.removesuffix("_ms") + "_s" if name.endswith("_ms") else name
