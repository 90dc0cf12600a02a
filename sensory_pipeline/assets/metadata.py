"""What Dagster's UI shows of a materialization: numbers it plots over time, and column schemas."""

from collections.abc import Mapping, Sequence

import dagster as dg

from sensory_pipeline.engines.cache import CacheStats
from sensory_pipeline.lake.tables import TABLES
from sensory_pipeline.lake.views import view_columns
from sensory_pipeline.processing.pipeline import StageReport
from sensory_pipeline.processing.publishing import PublicationReport


def stage_metadata(report: StageReport) -> Mapping[str, dg.MetadataValue]:
    """Counts, hours of audio, and seconds of work for each second of audio."""
    values: dict[str, dg.MetadataValue] = {
        "computed": dg.MetadataValue.int(report.computed),
        "reused": dg.MetadataValue.int(report.reused),
        "failed": dg.MetadataValue.int(report.failed),
        "deferred": dg.MetadataValue.int(report.deferred),
        "audio_hours": dg.MetadataValue.float(report.audio_s / 3600),
        "seconds": dg.MetadataValue.float(report.seconds),
        "engine": dg.MetadataValue.text(report.engine),
        "device": dg.MetadataValue.text(report.device),
    }
    if report.audio_s:
        values["real_time_factor"] = dg.MetadataValue.float(report.seconds / report.audio_s)
    return {**values, **_cache_metadata(report.caches)}


def _cache_metadata(caches: Sequence[CacheStats]) -> dict[str, dg.MetadataValue]:
    """Models loaded, used and given up, by all engine processes together since they began."""
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


def publication_metadata(report: PublicationReport) -> Mapping[str, dg.MetadataValue]:
    """Rows of every table, recordings published and failed, and why."""
    return {
        "dagster/partition_row_count": dg.MetadataValue.int(report.rows.get("recordings", 0)),
        **{f"rows_{name}": dg.MetadataValue.int(count) for name, count in report.rows.items()},
        "published": dg.MetadataValue.int(report.published),
        "failed": dg.MetadataValue.int(report.failed),
        "pending": dg.MetadataValue.int(report.pending),
        "audio_hours": dg.MetadataValue.float(report.audio_s / 3600),
        "errors": dg.MetadataValue.json(dict(report.errors)),
    }


def column_schemas() -> Mapping[str, dg.MetadataValue]:
    """The columns analysts see, one schema a view; `recordings` as the asset's own."""
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
        "dagster/column_schema": dg.MetadataValue.table_schema(schemas["recordings"]),
        **{f"columns_{name}": dg.MetadataValue.table_schema(schema) for name, schema in schemas.items()},
    }
