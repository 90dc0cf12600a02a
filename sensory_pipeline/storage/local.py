"""Recordings in a local folder, as listed objects with versions."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from urllib.parse import unquote_to_bytes, urlsplit

from sensory_pipeline.core.errors import ConfigurationError, SourceChanged, SourceUnavailable
from sensory_pipeline.core.recordings import SourceObject, printable

SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".m4b", ".aac", ".mp4", ".mov", ".mkv"}
    | {".webm", ".wma", ".amr", ".aiff", ".aif", ".au", ".caf", ".3gp"}
)
"""File names that end so are taken for recordings."""


def objects(
    folder: Path, *, after: Path | None = None, unreadable: Callable[[OSError], None] = lambda _: None
) -> Iterator[SourceObject]:
    """Every recording below the folder, the files of a folder before its subfolders, each in order of name.

    Hidden files and folders are left out, and lakes; so is a file that cannot be looked at, or is
    none (a pipe, say): it has nothing to be registered with. after: path of a file, there or not, with
    which the order has come so far; from the beginning when None. unreadable: told of each folder that
    cannot be listed. Raises ConfigurationError when the folder does not exist or is a lake.
    """
    root = folder.resolve()
    if not root.is_dir():
        raise ConfigurationError(f"{folder} is not a folder: give the folder that holds the recordings")
    if any(_is_lake(parent) for parent in (root, *root.parents)):
        raise ConfigurationError(f"{folder} is a lake, or in one: give the folder that holds the recordings")
    done = () if after is None else after.relative_to(root).parts
    for parent, folders, files in os.walk(root, onerror=unreadable):
        # a lake's decoded audio must not come back as recordings
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not _is_lake(Path(parent, name)))
        names = sorted(files)
        place = Path(parent).relative_to(root).parts
        if len(place) < len(done) and place == done[: len(place)]:  # what was listed lies below, or is one of the files
            *below, name = done[len(place) :]
            names = [] if below else [each for each in names if each > name]
            folders[:] = [each for each in folders if not below or each >= below[0]]
        for name in names:
            path = Path(parent, name)
            if is_recording(name):
                try:
                    yield stat_object(path)
                except OSError:
                    continue


def is_recording(name: str) -> bool:
    """Whether a file of this name is taken for a recording."""
    return Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def stat_object(path: Path) -> SourceObject:
    """The object behind a path. Raises OSError when it cannot be looked at, or is no regular file."""
    stat = path.stat()
    if not S_ISREG(stat.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return SourceObject(
        uri=uri_of(path),
        version=f"{stat.st_size}-{stat.st_mtime_ns}",
        size_bytes=stat.st_size,
        modified_at=_moment(stat.st_mtime),
    )


def _moment(seconds: float) -> datetime:
    """Some file systems keep times that no calendar has."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError):
        return datetime.max.replace(tzinfo=UTC) if seconds > 0 else datetime.min.replace(tzinfo=UTC)


def _is_lake(folder: Path) -> bool:
    try:
        return (folder / "lake.json").exists()
    except OSError:  # who may not look into it will be told when it is listed
        return False


def uri_of(path: Path) -> str:
    """The uri of a path; a link keeps its own."""
    return Path(os.path.abspath(path)).as_uri()  # noqa: PTH100 - does not follow it


def path_of(uri: str) -> Path:
    """The path of a uri, whatever bytes its name is made of."""
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(uri).path)))


def check_version(uri: str, version: str) -> Path:
    """The path, if it still is the version that was listed.

    Raises SourceChanged when it was rewritten, SourceUnavailable when it cannot be looked at.
    """
    path = path_of(uri)
    try:
        current = stat_object(path).version
    except OSError as error:
        raise SourceUnavailable(f"{printable(path)}: {error.strerror}; it stays pending and is tried again") from error
    if current != version:
        raise SourceChanged(
            f"{printable(path)} was rewritten after it was listed; the next ingest takes the new version"
        )
    return path
