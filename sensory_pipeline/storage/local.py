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
from sensory_pipeline.storage.content import HEAD_BYTES, is_sound

LINK_TO_A_FOLDER = "link to a folder"
LAKE = "lake"
CANNOT_BE_LOOKED_AT = "cannot be looked at"

SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".m4b", ".aac", ".mp4", ".mov", ".mkv"}
    | {".webm", ".wma", ".amr", ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".3gp", ".3gpp", ".3g2", ".wave"}
    | {".weba", ".mka", ".m4v", ".qt", ".mpga", ".mp2", ".spx", ".ogv", ".ogx", ".asf", ".wmv", ".w64", ".rf64", ".bwf"}
)
"""A file with such a suffix counts as a recording, whatever it contains; for others, the first bytes decide."""


def checked_folder(folder: Path) -> Path:
    """Return the absolute path of a folder of recordings.

    Raises:
        ConfigurationError: The folder does not exist, or is a lake.
    """
    root = folder.resolve()
    if not root.is_dir():
        raise ConfigurationError(f"{folder} is not a folder: give the folder that holds the recordings")
    if any(_is_lake(parent) for parent in (root, *root.parents)):
        raise ConfigurationError(f"{folder} is a lake, or in one: give the folder that holds the recordings")
    return root


def objects(
    folder: Path,
    *,
    after: Path | None = None,
    unreadable: Callable[[OSError], None] = lambda _: None,
    skipped: Callable[[str], None] = lambda _: None,
    lake: Callable[[Path], None] = lambda _: None,
) -> Iterator[SourceObject]:
    """List every recording below a folder: the files of a folder before its subfolders, each ordered by name.

    A file is a recording by its name or by its first bytes. Skipped are hidden files and folders, lakes, symbolic links
    to folders, and files that cannot be read or are not regular (such as pipes).

    Args:
        folder: The folder.
        after: Resume after this path, which need not exist; None for the beginning.
        unreadable: Called for each folder that cannot be listed.
        skipped: Called with the kind of each skipped file and folder.
        lake: Called for each folder that is a lake.

    Raises:
        ConfigurationError: The folder does not exist, or is a lake.
    """
    root = checked_folder(folder)
    done = () if after is None else after.relative_to(root).parts
    for parent, folders, files in os.walk(root, onerror=unreadable):
        reasons = {name: _why_skipped(Path(parent, name)) for name in folders}
        for name in sorted(name for name, why in reasons.items() if why == LAKE):
            lake(Path(parent, name))
        folders[:] = sorted(name for name, why in reasons.items() if why is None)
        names = sorted(files)
        place = Path(parent).relative_to(root).parts
        if len(place) < len(done) and place == done[: len(place)]:  # `after` is below this folder, or one of its files
            *below, name = done[len(place) :]
            names = [] if below else [each for each in names if each > name]
            folders[:] = [each for each in folders if not below or each >= below[0]]
            reasons = {}
        for why in filter(None, reasons.values()):
            skipped(why)
        for name in names:
            path = Path(parent, name)
            try:
                if is_recording(name) or (not name.startswith(".") and _sounds(path)):
                    yield stat_object(path)
                else:
                    skipped(kind_of(name))
            except OSError:
                skipped(CANNOT_BE_LOOKED_AT)


def is_recording(name: str) -> bool:
    """Return whether the name of a file says that it is a recording."""
    return Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def kind_of(name: str) -> str:
    """Return the kind of a file that is not a recording, for the counts of skipped files.

    >>> kind_of("Notes.TXT"), kind_of("README"), kind_of(".DS_Store")
    ('.txt', 'without a suffix', 'hidden')
    """
    return "hidden" if name.startswith(".") else Path(name).suffix.lower() or "without a suffix"


def stat_object(path: Path) -> SourceObject:
    """Return the object at a path.

    Raises:
        OSError: It cannot be read, or is not a regular file.
    """
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
    """Convert a modification time, which on some file systems can be outside the calendar."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError):
        return datetime.max.replace(tzinfo=UTC) if seconds > 0 else datetime.min.replace(tzinfo=UTC)


def _why_skipped(path: Path) -> str | None:
    """Return why a folder is skipped, None if it is not; the audio of a lake must not be listed as recordings."""
    if path.name.startswith("."):
        return "hidden folder"
    if path.is_symlink():
        return LINK_TO_A_FOLDER
    return LAKE if _is_lake(path) else None


def _sounds(path: Path) -> bool:
    """Return whether a file contains sound, whatever its name is; may raise OSError."""
    if not S_ISREG(path.stat().st_mode):  # opening a pipe would block
        return False
    with path.open("rb") as file:
        return is_sound(file.read(HEAD_BYTES))


def _is_lake(folder: Path) -> bool:
    try:
        return (folder / "lake.json").exists()
    except OSError:  # a folder that cannot be read is reported when it is listed
        return False


def uri_of(path: Path) -> str:
    """Return the uri of a path, without following a symbolic link."""
    return Path(os.path.abspath(path)).as_uri()  # noqa: PTH100 - does not follow it


def path_of(uri: str) -> Path:
    """Return the path of a uri; its name may consist of any bytes."""
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(uri).path)))


def check_version(uri: str, version: str) -> Path:
    """Return the path of a recording that still has the version that was listed.

    Raises:
        SourceChanged: It was rewritten.
        SourceUnavailable: It cannot be read.
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
