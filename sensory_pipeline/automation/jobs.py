"""The job that runs all assets."""

import dagster as dg

process_recordings = dg.define_asset_job(
    "process_recordings",
    selection=dg.AssetSelection.all(),
    description="From recordings to tables, for one date and shard.",
)
