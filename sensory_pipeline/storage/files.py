"""Writing files so that a reader, or a restart, sees all of one or nothing."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

TEMPORARY = ".tmp"
ABANDONED_S = 3600.0
"""Seconds without a write after which a temporary file is nobody's."""


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file, then put it in place in one step, durably.

    A crash leaves at most a `*.tmp` file beside the target, for `sweep_temporaries`.
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
    """What is directly in the folder under such a name, in order; nothing where there is no folder.

    Raises PermissionError where the folder may not be read, which Path.glob takes for an empty one.
    """
    try:
        return sorted(path for path in folder.iterdir() if path.match(pattern))
    except FileNotFoundError:
        return []


def temporary(folder: Path, suffix: str) -> Path:
    """A new name in the folder, for a file that `sweep_temporaries` removes if a crash leaves it."""
    return folder / f".{uuid.uuid4().hex}{TEMPORARY}{suffix}"


def sweep_temporaries(folder: Path) -> None:
    """Remove what crashes left in the folder; a file that somebody may still be writing stays."""
    oldest = time.time() - ABANDONED_S
    for path in folder.glob(f".*{TEMPORARY}*"):
        with suppress(FileNotFoundError):  # another process sweeps too
            if path.stat().st_mtime < oldest:
                path.unlink()


def write_text_atomically(path: Path, text: str) -> None:
    """The same for a short text, in UTF-8."""
    write_atomically(path, lambda temporary: _write_text(temporary, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
