"""Frames one after the other, each with its length in its header, as MPEG audio and ADTS have them.

An undamaged file is an unbroken chain of them, with tags around it. FFmpeg skips what is between
frames and completes a last one that was cut, without a word.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from sensory_pipeline.audio.containers import tags
from sensory_pipeline.audio.containers.declared import Damage

_UNKNOWN_TAIL_BYTES = 1 << 16
"""Some programs append what is neither a frame nor a tag we know; more than this is lost sound, such
as the zeros of a download that was given its room beforehand and broke off."""

_LATEST = 50  # frames before a damaged place, from which what was there is guessed
_CHAIN = 4  # frames in a row that noise does not produce
_HEAD_BYTES = 48
_BLOCK_BYTES = 1 << 16


class Frame(Protocol):
    """length: in bytes."""

    @property
    def length(self) -> int: ...

    @property
    def duration_s(self) -> float: ...

    @property
    def kind(self) -> tuple[int, ...]:
        """The same for all frames of one stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """parse: the frame that begins with `header_bytes` bytes, if one can; sync: what all of them begin with;
    begins: whether a frame, of which these are the first bytes, is the first of a file.
    """

    header_bytes: int
    sync: re.Pattern[bytes]
    parse: Callable[[bytes], Frame | None]
    begins: Callable[[bytes], bool] = lambda _: False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """frames, duration_s: of those that are whole; gaps: bytes that are no sound; damage: places where
    frames were, and how much sound, as their bytes tell; end: where another file was joined, None where
    none was."""

    frames: int
    duration_s: float
    gaps: tuple[range, ...]
    damage: tuple[Damage, ...]
    end: int | None


def first_frame(file: BinaryIO, form: Format) -> int | None:
    """Where the first frame begins, behind tags and what else precedes it; None when there is none."""
    position = behind_tags(file)
    if form.parse(read(file, position, form.header_bytes)):
        return position
    return _next_chain(file, form, position, file.seek(0, 2))


def behind_tags(file: BinaryIO) -> int:
    """Where what begins with tags goes on after them; one that is longer than the file is none."""
    position, size = 0, file.seek(0, 2)
    while (tag_length := tags.length(read(file, position, tags.HEADER_BYTES))) and position + tag_length <= size:
        position += tag_length
    return position


def hidden_start(file: BinaryIO, start: int) -> tuple[range, ...]:
    """What FFmpeg is not to see before the first frame: a tag after which, by its length, nothing would follow."""
    return (range(start),) if tags.length(read(file, behind_tags(file), tags.HEADER_BYTES)) else ()


def walk(file: BinaryIO, form: Format, begin: int, end: int | None = None) -> Chain:
    """The file, frame by frame. begin: where the first is; end: where they end, None at that of the file."""
    size = file.seek(0, 2) if end is None else end
    position, frames, duration_s = begin, 0, 0.0
    lengths: deque[tuple[int, float]] = deque(maxlen=_LATEST)
    last: Frame | None = None
    gaps: list[range] = []
    damage: list[Damage] = []
    while position < size:
        head = read(file, position, _HEAD_BYTES)
        frame = form.parse(head[: form.header_bytes])
        if frame and (last is None or frame.kind == last.kind or _is_chain(file, form, position, size)):
            if frames and form.begins(head):
                break
            if position + frame.length <= size:
                frames, duration_s = frames + 1, duration_s + frame.duration_s
                lengths.append((frame.length, frame.duration_s))
                position, last = position + frame.length, frame
                continue
            until, is_cut, what = size, True, f"its last frame of {frame.length} bytes is cut"
        elif tag_length := tags.length(head):
            behind = min(position + tag_length, size)
            # a length may be wrong, or made up: players, which know no tags here, play the frames that follow
            inside = _next_chain(file, form, position, size, before=behind, kind=last.kind if last else None)
            until = behind if inside is None else inside
            gaps.append(range(position, until))
            position = until
            continue
        elif len(head) < form.header_bytes and _begins(form, head):
            until, is_cut, what = size, True, "its last frame is cut"
        else:
            after = _next_chain(file, form, position, size)
            until = size if after is None else after
            if after is None and size - position <= _UNKNOWN_TAIL_BYTES:
                gaps.append(range(position, size))
                position = size
                break
            is_cut, what = False, f"what begins at byte {position} of {size} is no frame"
        gaps.append(range(position, until))
        # how much there was to come after a cut, nobody knows
        lost_s = None if is_cut else (until - position) * _seconds_a_byte(lengths)
        damage.append(Damage(begin=position, end=until, what=what, lost_s=lost_s))
        position = until
    return Chain(
        frames=frames,
        duration_s=duration_s,
        gaps=tuple(gaps),
        damage=tuple(damage),
        end=position if position < size else None,
    )


def _seconds_a_byte(frames: Collection[tuple[int, float]]) -> float:
    """As the bytes and seconds of some frames have it."""
    return sum(seconds for _, seconds in frames) / sum(length for length, _ in frames) if frames else 0.0


def read(file: BinaryIO, position: int, length: int) -> bytes:
    """Bytes of a place; fewer at the end of the file."""
    file.seek(position)
    return file.read(length)


def _next_chain(
    file: BinaryIO,
    form: Format,
    position: int,
    size: int,
    *,
    before: int | None = None,
    kind: tuple[int, ...] | None = None,
) -> int | None:
    """Where the first frames in a row begin, at `position` or after it, and before `before`; None when nowhere.

    kind: of the frames; any when None.
    """
    for candidate in _candidates(file, form, position):
        if before is not None and candidate >= before:
            return None
        if _is_chain(file, form, candidate, size, kind):
            return candidate
    return None


def _candidates(file: BinaryIO, form: Format, position: int) -> Iterator[int]:
    while len(block := read(file, position, _BLOCK_BYTES)) >= form.header_bytes:
        for match in form.sync.finditer(block, 0, len(block) - form.header_bytes + 2):
            yield position + match.start()
        position += len(block) - form.header_bytes + 1


def _is_chain(file: BinaryIO, form: Format, position: int, size: int, kind: tuple[int, ...] | None = None) -> bool:
    """Whether frames, of that kind, follow each other from here, as many as noise does not produce or to the end."""
    first = form.parse(read(file, position, form.header_bytes))
    frame = first if first is None or kind in (None, first.kind) else None
    for _ in range(_CHAIN):
        if frame is None or first is None or frame.kind != first.kind:
            return False
        position += frame.length
        if position == size:
            return True
        frame = form.parse(read(file, position, form.header_bytes))
    return frame is not None and position < size


def _begins(form: Format, tail: bytes) -> bool:
    """Whether a frame's first bytes are all that is left of the file."""
    return tail[:1] == b"\xff" and (len(tail) == 1 or form.sync.match(tail) is not None)
