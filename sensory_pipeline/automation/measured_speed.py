"""How fast the last runs were, from the metadata in Dagster's instance."""

from pathlib import Path

import dagster as dg

from sensory_pipeline.automation.instance import open_instance

RUNS = 20
"""Number of the last publications that are considered."""


def real_time_factor(home: Path) -> float | None:
    """Return the seconds for which runs held their device per second of published audio; None before the first."""
    with open_instance(home) as instance:
        records = instance.fetch_materializations(dg.AssetKey("merged_parquet"), limit=RUNS).records
    found = [record.asset_materialization.metadata for record in records if record.asset_materialization]
    # a materialisation without anything to do repeats the numbers of the run before it
    runs = {str(metadata["run"].value): metadata for metadata in found if "run" in metadata}.values()
    audio_s = sum(_number(metadata.get("run_audio_hours")) for metadata in runs) * 3600
    device_s = sum(
        _number(metadata.get("device_seconds")) for metadata in runs if _number(metadata.get("run_audio_hours"))
    )
    return device_s / audio_s if audio_s else None


def _number(value: object) -> float:
    return float(value.value or 0) if isinstance(value, dg.FloatMetadataValue) else 0.0
