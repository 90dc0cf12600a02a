"""Drives Dagster's UI in a real browser: python -m scripts.browser.backfill."""
