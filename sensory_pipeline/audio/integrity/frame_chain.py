"""Frames one after the other, each with its length in its header, as in MPEG audio and ADTS.

An undamaged file is an unbroken chain of them, with tags around it. FFmpeg skips what is between
frames, and completes a last frame that was cut, without reporting it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from sensory_pipeline.audio.integrity import tags
from sensory_pipeline.audio.integrity.declared import Damage

_UNKNOWN_TAIL_BYTES = 1 << 16
"""Some programs append bytes that are neither a frame nor a known tag. More than this is lost sound, such
as the zeros of an interrupted download whose room was allocated beforehand."""

_LATEST = 50  # frames before a damaged place, from which the loss is estimated
_CHAIN = 4  # frames in a row that noise does not produce
_HEAD_BYTES = 48
_BLOCK_BYTES = 1 << 16


class Frame(Protocol):
    """A frame of any such format.

    Attributes:
        length: Bytes.
        duration_s: Seconds.
    """

    @property
    def length(self) -> int: ...

    @property
    def duration_s(self) -> float: ...

    @property
    def kind(self) -> tuple[int, ...]:
        """The same for all frames of one stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How to recognise the frames of a format.

    Attributes:
        header_bytes: Bytes of a header.
        sync: What all headers begin with.
        parse: The frame that begins with `header_bytes` bytes; None if they are no header.
        begins: Whether a frame with these first bytes is the first of a file.
    """

    header_bytes: int
    sync: re.Pattern[bytes]
    parse: Callable[[bytes], Frame | None]
    begins: Callable[[bytes], bool] = lambda _: False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What was found in a chain of frames.

    Attributes:
        frames: Number of complete frames.
        duration_s: Seconds of sound in them.
        gaps: Bytes that are no sound.
        damage: Places where frames are lost, with an estimate of how much sound that is, from the number of bytes.
        end: Where another file was joined; None if none was.
    """

    frames: int
    duration_s: float
    gaps: tuple[range, ...]
    damage: tuple[Damage, ...]
    end: int | None


def first_frame(file: BinaryIO, form: Format) -> int | None:
    """Where the first frame begins, after tags and other bytes; None if there is no frame."""
    position = behind_tags(file)
    if form.parse(read(file, position, form.header_bytes)):
        return position
    return _next_chain(file, form, position, file.seek(0, 2))


def behind_tags(file: BinaryIO) -> int:
    """The first byte after the tags at the beginning. A tag longer than the file does not count."""
    position, size = 0, file.seek(0, 2)
    while (tag_length := tags.length(read(file, position, tags.HEADER_BYTES))) and position + tag_length <= size:
        position += tag_length
    return position


def hidden_start(file: BinaryIO, start: int) -> tuple[range, ...]:
    """Bytes to hide from FFmpeg before the first frame: a tag whose length says that nothing follows it."""
    return (range(start),) if tags.length(read(file, behind_tags(file), tags.HEADER_BYTES)) else ()


def walk(file: BinaryIO, form: Format, begin: int, end: int | None = None) -> Chain:
    """Read the chain, frame by frame.

    Args:
        file: The file.
        form: The format of its frames.
        begin: The byte at which the first frame begins.
        end: The byte at which they end; None for the end of the file.
    """
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
            # a length may be wrong or forged: players ignore tags here and play the frames that follow
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
        # how much would have followed a cut is unknown
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
    """Seconds of sound per byte, of some frames."""
    return sum(seconds for _, seconds in frames) / sum(length for length, _ in frames) if frames else 0.0


def read(file: BinaryIO, position: int, length: int) -> bytes:
    """Bytes from a position; fewer at the end of the file."""
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
    """Where several frames in a row begin, of this `kind` if given, from `position` on; None if not before `before`."""
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
    """Whether frames, of this `kind` if given, follow each other from here: to the end, or more than noise produces."""
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
