"""What Dagster's UI shows: numbers that it plots over time, columns and their lineage."""

from collections.abc import Mapping, Sequence

import dagster as dg

from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.cache_stats import CacheStats
from sensory_pipeline.lake.stage_store import SCHEMA
from sensory_pipeline.lake.tables import TABLES
from sensory_pipeline.lake.views import view_columns
from sensory_pipeline.processing.runs.reports import PublicationReport, StageReport

_COLUMNS_OF = {
    Stage.NORMALIZED_AUDIO: ("duration_s", "codec", "sample_rate", "channels", "track", "undecoded_s", "remarks"),
    Stage.TRANSCRIPTS: ("language", "words"),
    Stage.DIARIZATION: ("speakers",),
}
"""Columns of `recordings` that one stage decides; an error can come from any stage, the rest from the listing."""


def stage_metadata(report: StageReport, price_per_hour: float | None) -> Mapping[str, dg.MetadataValue]:
    """Return counts, hours of audio, and what they cost.

    Args:
        report: What the stage did.
        price_per_hour: Price of a device for an hour; None to show no cost.
    """
    values: dict[str, dg.MetadataValue] = {
        "computed": dg.MetadataValue.int(report.computed),
        "reused": dg.MetadataValue.int(report.reused),
        "failed": dg.MetadataValue.int(report.failed),
        "deferred": dg.MetadataValue.int(report.deferred),
        "audio_hours": dg.MetadataValue.float(report.audio_s / 3600),
        "engine": dg.MetadataValue.text(report.engine),
        "device": dg.MetadataValue.text(report.device),
    }
    return {**values, **_effort(report.seconds, report.audio_s, price_per_hour), **_cache_metadata(report.caches)}


def _effort(device_s: float, audio_s: float, price_per_hour: float | None) -> dict[str, dg.MetadataValue]:
    """Return the seconds that the device was taken, also per second of audio, and the price per hour of audio."""
    values: dict[str, dg.MetadataValue] = {"device_seconds": dg.MetadataValue.float(device_s)}
    if audio_s:
        values["real_time_factor"] = dg.MetadataValue.float(device_s / audio_s)
        if price_per_hour is not None:
            values["cost_per_audio_hour"] = dg.MetadataValue.float(price_per_hour * device_s / audio_s)
    return values


def _cache_metadata(caches: Sequence[CacheStats]) -> dict[str, dg.MetadataValue]:
    """Return how many models all engine processes together have loaded, used and unloaded since they began."""
    if not caches:
        return {}
    resident = [model for cache in caches for model in cache.resident]
    return {
        "model_hits": dg.MetadataValue.int(sum(cache.hits for cache in caches)),
        "model_misses": dg.MetadataValue.int(sum(cache.misses for cache in caches)),
        "model_loads": dg.MetadataValue.int(sum(cache.loads for cache in caches)),
        "model_evictions": dg.MetadataValue.int(sum(cache.evictions for cache in caches)),
        "model_load_seconds": dg.MetadataValue.float(sum(cache.load_s for cache in caches)),
        "resident_models": dg.MetadataValue.json(sorted(model.key for model in resident)),
        "resident_bytes": dg.MetadataValue.int(sum(model.size_bytes for model in resident)),
    }


def publication_metadata(
    report: PublicationReport, device_s: float, price_per_hour: float | None
) -> Mapping[str, dg.MetadataValue]:
    """Return rows by table, published and failed recordings, error classes, and what the whole run cost.

    Args:
        report: What was published.
        device_s: Seconds since the run began; it has had its device for this time.
        price_per_hour: Price of a device for an hour; None to show no cost.
    """
    return {
        "published": dg.MetadataValue.int(report.published),
        "failed": dg.MetadataValue.int(report.failed),
        "partial": dg.MetadataValue.int(report.partial),
        "pending": dg.MetadataValue.int(report.pending),
        "audio_hours": dg.MetadataValue.float(report.audio_s / 3600),
        "errors": dg.MetadataValue.json(dict(report.errors)),
        **_effort(device_s, report.audio_s, price_per_hour),
        "dagster/partition_row_count": dg.MetadataValue.int(report.rows.get("recordings", 0)),
        **{f"rows_{name}": dg.MetadataValue.int(count) for name, count in report.rows.items()},
        "dagster/column_lineage": dg.MetadataValue.column_lineage(_lineage()),
    }


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
