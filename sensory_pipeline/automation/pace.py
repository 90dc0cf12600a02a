"""How fast runs were, as Dagster has noted."""

from pathlib import Path

import dagster as dg

from sensory_pipeline.automation.instance import open_instance

RUNS = 20
"""The last ones that count."""


def real_time_factor(home: Path) -> float | None:
    """Seconds for which a run has its device, for a second of audio that it publishes; None before the first."""
    with open_instance(home) as instance:
        records = instance.fetch_materializations(dg.AssetKey("merged_parquet"), limit=RUNS).records
    found = [record.asset_materialization.metadata for record in records if record.asset_materialization]
    audio_s = sum(_number(metadata.get("audio_hours")) for metadata in found) * 3600
    device_s = sum(
        _number(metadata.get("device_seconds")) for metadata in found if _number(metadata.get("audio_hours"))
    )
    return device_s / audio_s if audio_s else None


def _number(value: object) -> float:
    return float(value.value or 0) if isinstance(value, dg.FloatMetadataValue) else 0.0
