"""Writes files so that readers, also after a crash, see either all of a file or nothing."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

TEMPORARY = ".tmp"
ABANDONED_S = 3600.0
"""A temporary file that nobody has written to for so many seconds is abandoned."""


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file, then move it into place in one step, durably.

    A crash leaves at most a `*.tmp` file beside the target, for `sweep_temporaries`.

    Args:
        path: The file.
        write: Writes the content to the path that it is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}{TEMPORARY}")
    try:
        write(unfinished)
        _sync(unfinished)
        unfinished.replace(path)
        _sync(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def files(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a folder whose names match a pattern, in order; none if the folder does not exist.

    Args:
        folder: The folder.
        pattern: For example `*.parquet`.

    Raises:
        PermissionError: The folder cannot be read. (Path.glob would treat it as empty.)
    """
    try:
        return sorted(path for path in folder.iterdir() if path.match(pattern))
    except FileNotFoundError:
        return []


def temporary(folder: Path, suffix: str) -> Path:
    """Return a new path in the folder, for a file that `sweep_temporaries` removes if a crash leaves it."""
    return folder / f".{uuid.uuid4().hex}{TEMPORARY}{suffix}"


def sweep_temporaries(folder: Path) -> None:
    """Remove the temporary files that crashes left in the folder, but none that may still be in use."""
    oldest = time.time() - ABANDONED_S
    for path in folder.glob(f".*{TEMPORARY}*"):
        with suppress(FileNotFoundError):  # another process may remove it at the same time
            if path.stat().st_mtime < oldest:
                path.unlink()


def write_text_atomically(path: Path, text: str) -> None:
    """Write a short text in UTF-8 like `write_atomically`."""
    write_atomically(path, lambda temporary: _write_text(temporary, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
