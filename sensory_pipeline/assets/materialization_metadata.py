"""What Dagster's UI shows: numbers that it plots over time, columns and their lineage."""

from collections.abc import Mapping, Sequence

import dagster as dg

from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.cache_stats import CacheStats, together
from sensory_pipeline.lake.partition_stats import PartitionStats
from sensory_pipeline.lake.stage_store import SCHEMA
from sensory_pipeline.lake.tables import TABLES
from sensory_pipeline.lake.view_definitions import view_columns
from sensory_pipeline.processing.runs.reports import PublicationReport, StageReport
from sensory_pipeline.processing.runs.totals import StageTotals

_COLUMNS_OF = {
    Stage.NORMALIZED_AUDIO: ("duration_s", "codec", "sample_rate", "channels", "track", "undecoded_s", "remarks"),
    Stage.TRANSCRIPTS: ("language", "words"),
    Stage.DIARIZATION: ("speakers",),
}
"""Columns of `recordings` that one stage decides; an error can come from any stage, the rest from the listing."""


def stage_metadata(totals: StageTotals) -> Mapping[str, dg.MetadataValue]:
    """Return what the partition has of a stage now, whichever runs made it.

    Args:
        totals: The partition in numbers.
    """
    return {
        "recordings": dg.MetadataValue.int(totals.recordings),
        "failed": dg.MetadataValue.int(totals.failed),
        "audio_hours": _rounded(totals.audio_s / 3600),
    }


def stage_run_metadata(
    report: StageReport, run_id: str, price_per_hour: float | None
) -> Mapping[str, dg.MetadataValue]:
    """Return what one run did in a stage, and what it cost.

    Args:
        report: What the stage did.
        run_id: Id of the run.
        price_per_hour: Price of a device for an hour; None to show no cost.
    """
    values: dict[str, dg.MetadataValue] = {
        "run": dg.MetadataValue.dagster_run(run_id),
        "run_computed": dg.MetadataValue.int(report.computed),
        "run_reused": dg.MetadataValue.int(report.reused),
        "run_failed": dg.MetadataValue.int(report.failed),
        "run_deferred": dg.MetadataValue.int(report.deferred),
        "run_audio_hours": _rounded(report.audio_s / 3600),
        "engine": dg.MetadataValue.text(report.engine),
        "device": dg.MetadataValue.text(report.device),
    }
    return {**values, **_effort(report.seconds, report.audio_s, price_per_hour), **_cache_metadata(report.caches)}


def _effort(device_s: float, audio_s: float, price_per_hour: float | None) -> dict[str, dg.MetadataValue]:
    """Return the seconds that the device was taken, also per second of audio, and the price per hour of audio."""
    values: dict[str, dg.MetadataValue] = {"device_seconds": _rounded(device_s)}
    if audio_s:
        values["real_time_factor"] = _rounded(device_s / audio_s)
        if price_per_hour is not None:
            values["cost_per_audio_hour"] = _rounded(price_per_hour * device_s / audio_s)
    return values


def _cache_metadata(caches: Sequence[CacheStats]) -> dict[str, dg.MetadataValue]:
    """Return how many models all engine processes together have loaded, used and unloaded since they began."""
    if not caches:
        return {}
    total = together(caches)
    return {
        "model_hits": dg.MetadataValue.int(total.hits),
        "model_misses": dg.MetadataValue.int(total.misses),
        "model_loads": dg.MetadataValue.int(total.loads),
        "model_evictions": dg.MetadataValue.int(total.evictions),
        "model_load_seconds": _rounded(total.load_s),
        "resident_models": dg.MetadataValue.json(sorted(model.key for model in total.resident)),
        "resident_bytes": dg.MetadataValue.int(total.size_bytes),
    }


def partition_metadata(stats: PartitionStats, rows: Mapping[str, int]) -> Mapping[str, dg.MetadataValue]:
    """Return what the partition contains now, whichever runs have published it.

    Args:
        stats: The partition in numbers.
        rows: Number of rows by table.
    """
    counts = stats.counts
    return {
        "recordings": dg.MetadataValue.int(counts.ok + counts.failed),
        "audio_hours": _rounded(sum(stats.durations_s) / 3600),
        "failed": dg.MetadataValue.int(counts.failed),
        "errors": dg.MetadataValue.json(dict(stats.errors)),
        "partial": dg.MetadataValue.int(stats.damaged),
        "pending": dg.MetadataValue.int(counts.pending),
        "dagster/partition_row_count": dg.MetadataValue.int(rows.get("recordings", 0)),
        **{f"rows_{name}": dg.MetadataValue.int(count) for name, count in rows.items()},
        "dagster/column_lineage": dg.MetadataValue.column_lineage(_lineage()),
    }


def run_metadata(
    report: PublicationReport, run_id: str, device_s: float, price_per_hour: float | None
) -> dict[str, dg.MetadataValue]:
    """Return what one run did, and what it cost.

    Args:
        report: What it published.
        run_id: Its id.
        device_s: Seconds since it began; it has had its device for this time.
        price_per_hour: Price of a device for an hour; None to show no cost.
    """
    return {
        "run": dg.MetadataValue.dagster_run(run_id),
        "run_published": dg.MetadataValue.int(report.published),
        "run_failed": dg.MetadataValue.int(report.failed),
        "run_partial": dg.MetadataValue.int(report.partial),
        "run_audio_hours": _rounded(report.audio_s / 3600),
        **_effort(device_s, report.audio_s, price_per_hour),
    }


_RUN = (
    "run", "run_published", "run_computed", "run_reused", "run_failed", "run_partial", "run_deferred",
    "run_audio_hours", "engine", "device", "device_seconds", "real_time_factor", "cost_per_audio_hour",
    "model_hits", "model_misses", "model_loads", "model_evictions", "model_load_seconds",
    "resident_models", "resident_bytes", "timeline", "timeline_json", "device_idle_share",
)  # fmt: skip
"""Names of the values that describe a run."""


def last_run(context: dg.AssetExecutionContext) -> dict[str, dg.MetadataValue]:
    """Return what the asset's last materialisation of this partition says of a run.

    A run that has nothing to do repeats it, so that the numbers are always those of a run that did something.
    """
    asked = dg.AssetRecordsFilter(asset_key=context.asset_key, asset_partitions=[context.partition_key])
    for record in context.instance.fetch_materializations(asked, limit=1).records:
        if (shown := record.asset_materialization) is not None:
            return {name: value for name, value in shown.metadata.items() if name in _RUN}
    return {}


def _rounded(value: float) -> dg.MetadataValue:
    """Return the value with four significant digits, or as a whole number if it is larger."""
    return dg.MetadataValue.float(float(f"{value:.4g}") if abs(value) < 1000 else float(round(value)))


def column_schemas() -> Mapping[str, dg.MetadataValue]:
    """Return the columns of each view as a schema; that of `recordings` is the asset's own schema."""
    schemas = {
        table.name: dg.TableSchema(
            columns=[
                dg.TableColumn(name=name, type=kind, description=description)
                for name, kind, description in view_columns(table)
            ]
        )
        for table in TABLES
    }
    return {
        "dagster/table_name": dg.MetadataValue.text("recordings"),
        "dagster/column_schema": dg.MetadataValue.table_schema(schemas["recordings"]),
        **{f"columns_{name}": dg.MetadataValue.table_schema(schema) for name, schema in schemas.items()},
    }


def stage_columns() -> Mapping[str, dg.MetadataValue]:
    """Return the columns that the stage store has for each recording."""
    schema = dg.TableSchema(columns=[dg.TableColumn(name=field.name, type=str(field.type)) for field in SCHEMA])
    return {"dagster/column_schema": dg.MetadataValue.table_schema(schema)}


def _lineage() -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        deps_by_column={
            column: [dg.TableColumnDep(asset_key=dg.AssetKey(stage.value), column_name="payload")]
            for stage, columns in _COLUMNS_OF.items()
            for column in columns
        }
    )
