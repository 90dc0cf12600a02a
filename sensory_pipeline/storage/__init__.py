"""Folders and S3: listing, versions, reading; atomic writes; locks."""
