"""Splits a file into the parts it was joined from; each part is a container of its own."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sensory_pipeline.audio import integrity
from sensory_pipeline.audio.byte_range import Window
from sensory_pipeline.audio.integrity import magic, tags
from sensory_pipeline.audio.integrity.declared import Damage, Declared
from sensory_pipeline.core.errors import AudioError

_REST_BYTES = 1 << 16
"""Bytes after the last container may be a program's note; more than this are reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One container in a file.

    Attributes:
        begin: The first byte a decoder needs.
        end: The byte after the last one.
        declared: What the container declares; its bytes are counted from `begin`.
    """

    begin: int
    end: int
    declared: Declared


def split_file(path: Path) -> tuple[Part, ...]:
    """Find the parts, in order, without the tags before each; a single one if nothing was joined.

    Raises:
        OSError: The file cannot be read.
        AudioError: The first part cannot be read; see `integrity.examine`.
    """
    return tuple(_parts(path, path.stat().st_size))


def _parts(path: Path, size: int) -> Iterator[Part]:
    begin, is_first = 0, True
    while True:
        begin = _behind_tags(path, begin, size)
        with io.BufferedReader(Window(path, begin, size)) as file:
            try:
                declared = integrity.examine(file)
            except AudioError as error:
                if is_first:
                    raise
                damage = Damage(begin=0, end=0, what=f"what was joined to it cannot be read ({error})")
                declared = Declared(damage=(damage,))
        end = begin + declared.end if declared.end else size
        follows = end < size and (declared.is_followed or _is_container(path, end, size))
        if end < size and not follows and _is_lost(path, end, size):
            what = f"{size - end} bytes after its end are of no format known here"
            declared = _with(declared, Damage(begin=end - begin, end=size - begin, what=what))
        yield Part(begin=begin, end=begin + declared.sound_end if declared.sound_end else end, declared=declared)
        if not follows:
            return
        begin, is_first = end, False


def _behind_tags(path: Path, begin: int, size: int) -> int:
    """Where a container begins, after tags that some programs put before it. FFmpeg handles those of MPEG audio."""
    position = begin
    with io.BufferedReader(Window(path, 0, size)) as file:
        while True:
            file.seek(position)
            length = tags.length(file.read(tags.HEADER_BYTES))
            if not length:
                break
            position += length
        file.seek(position)
        return position if magic.is_known(file.read(magic.BYTES)) else begin


def _is_container(path: Path, position: int, size: int) -> bool:
    start = _behind_tags(path, position, size)
    with Window(path, start, size) as file:
        return magic.is_known(file.read(magic.BYTES))


def _is_lost(path: Path, position: int, size: int) -> bool:
    """Whether the bytes that follow may be lost sound: there are many, and they are neither a tag nor zeros."""
    if size - position <= _REST_BYTES:
        return False
    with io.BufferedReader(Window(path, position, size)) as file:
        return not tags.length(file.read(tags.HEADER_BYTES)) and any(map(any, iter(lambda: file.read(1 << 20), b"")))


def _with(declared: Declared, damage: Damage) -> Declared:
    return replace(declared, damage=(*declared.damage, damage))
