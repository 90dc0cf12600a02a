"""Dagster resources: engines, lake, S3."""
