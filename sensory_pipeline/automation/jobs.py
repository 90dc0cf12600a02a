"""The job that runs all assets."""

import dagster as dg

SOURCE_TAG = "sensory/source"
"""Of a run: the sources whose recordings wait in its partition, as the settings or the command name them."""

process_recordings = dg.define_asset_job(
    "process_recordings",
    selection=dg.AssetSelection.all(),
    description="From recordings to tables, for one date and shard: what is pending there. In the launchpad, "
    "`ops: {transcripts: {config: {reprocess: true}}}` processes the whole partition again from transcripts on, and "
    "`recordings: [uri, ...]` in place of `reprocess` these recordings alone; every asset but merged_parquet takes "
    "both.",
)
