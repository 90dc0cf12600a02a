"""Puts recordings into a source: a folder, or a prefix in S3."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from sensory_pipeline.core.recordings import SourceObject
from sensory_pipeline.storage import local
from sensory_pipeline.storage.files import write_atomically
from sensory_pipeline.storage.s3_access import AS_FOUND, S3Access
from sensory_pipeline.storage.sources import in_s3, prefix_of


class Inbox:
    """A folder or S3 prefix that takes recordings. Readers see all of a recording or nothing.

    Args:
        place: The folder, or `s3://bucket/prefix`.
        access: Access to S3.

    Raises:
        ConfigurationError: The place is neither a folder nor in S3, or names no bucket.
    """

    def __init__(self, place: str, access: S3Access = AS_FOUND) -> None:
        self._prefix = prefix_of(place) if "://" in place else f"{local.uri_of(Path(place))}/"
        self._access = access

    def create(self) -> None:
        """Create the folder; in S3 there is nothing to create."""
        if not in_s3(self._prefix):
            local.path_of(self._prefix).mkdir(parents=True, exist_ok=True)

    def uri(self, name: str) -> str:
        """Return the uri of a recording.

        Args:
            name: Its name, of letters and digits, with a suffix.
        """
        return self._prefix + name

    def put(self, name: str, path: Path) -> SourceObject:
        """Put a copy of a recording there, unless there is one by this name. Returns it as a listing would.

        Args:
            name: Its name.
            path: The recording.

        Raises:
            SourceUnavailable: S3 fails or refuses.
            ConfigurationError: There are no credentials for S3.
        """
        uri = self.uri(name)
        if in_s3(uri):
            from sensory_pipeline.storage import s3, s3_upload

            return s3.stat_object(uri, self._access) or s3_upload.upload(path, uri, self._access)
        place = local.path_of(uri)
        if not place.exists():
            write_atomically(place, partial(shutil.copyfile, path))
        return local.stat_object(place)
