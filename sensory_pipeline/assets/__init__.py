"""The five Dagster assets."""
