"""Recordings in every container, cut, joined, shifted and silenced at random."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from sensory_pipeline.core.errors import AudioError
from sensory_pipeline_tests.beeps import AAC, OPUS, TOLERANCE_S, beeps, heard, same
from sensory_pipeline_tests.decoded_audio import decoded
from sensory_pipeline_tests.encoded_audio import ENCODINGS, Recorded, encode, recorded


@dataclass(frozen=True, slots=True)
class Case:
    """what: was done to it; content: a recording; beeps_s: in it, by its clock; is_whole: whether all is there."""

    what: str
    content: bytes
    beeps_s: list[float]
    is_whole: bool


TIMED = {"webm": OPUS, "matroska": AAC, "mp4": AAC, "mov": AAC, "ogg": OPUS, "asf": ENCODINGS["wma"]}


def make(seed: int) -> Case:
    draw = random.Random(seed)
    name = draw.choice(sorted(ENCODINGS))
    length = draw.uniform(4, 15)
    starts = [round(place + draw.uniform(0, 0.5), 3) for place in np.arange(0.2, length - 0.8, draw.uniform(0.9, 2))]
    how: Callable[[], Case] = draw.choice(
        [
            lambda: plain(name, starts, length),
            lambda: cut(draw, name, starts, length),
            lambda: junk(draw, name, starts, length),
            lambda: joined(draw, name, starts, length),
            lambda: shifted(draw, starts, length),
            lambda: muted(draw, starts, length),
        ]
    )
    return how()


def plain(name: str, starts: list[float], length: float) -> Case:
    return Case(name, encode(beeps(starts, length, ENCODINGS[name]), ENCODINGS[name]), starts, True)


def cut(draw: random.Random, name: str, starts: list[float], length: float) -> Case:
    content = plain(name, starts, length).content
    left = draw.randrange(len(content) // 4, len(content))
    return Case(f"{name}, cut to {left} of {len(content)} bytes", content[:left], starts, False)


def junk(draw: random.Random, name: str, starts: list[float], length: float) -> Case:
    content = plain(name, starts, length).content
    size = draw.choice([1, 40, 300, 2000])
    place = draw.randrange(min(3000, len(content) // 4), max(3001, len(content) - size))
    changed = content[:place] + draw.randbytes(size) + content[place + size :]
    return Case(f"{name}, {size} bytes of junk at {place} of {len(content)}", changed, starts, False)


def joined(draw: random.Random, name: str, starts: list[float], length: float) -> Case:
    """Each as long as its packets are."""
    name = draw.choice([each for each in sorted(ENCODINGS) if each != "mp3 headerless"])
    one, count = plain(name, starts, length).content, draw.randint(2, 4)
    whole_s = alone_s(one)
    times = [place * whole_s + start for place in range(count) for start in starts]
    return Case(f"{name}, {count} joined", one * count, times, True)


def alone_s(content: bytes) -> float:
    """Seconds of sound in a file, by FFmpeg."""
    with av.open(io.BytesIO(content), "r") as container:
        return sum((frame.samples / frame.sample_rate for frame in container.decode(audio=0)), 0.0)


def shifted(draw: random.Random, starts: list[float], length: float) -> Case:
    container = draw.choice(sorted(TIMED))
    start_s = draw.uniform(0.2, 30)
    track = Recorded(samples=beeps(starts, length, TIMED[container]), encoding=TIMED[container], start_s=start_s)
    picture_s = draw.choice([0, 3]) if container not in ("ogg", "webm") else 0
    content = recorded(track, container=container, picture_s=picture_s)
    return Case(f"{container} that begins at {start_s:.3f} s", content, [start_s + each for each in starts], True)


def muted(draw: random.Random, starts: list[float], length: float) -> Case:
    container = draw.choice(sorted(TIMED))
    at_s, gap_s = draw.uniform(0.5, length - 0.5), draw.uniform(0.1, 20)
    while any(start - 0.15 < at_s < start + 0.3 for start in starts):
        at_s += 0.1
    track = Recorded(samples=beeps(starts, length, TIMED[container]), encoding=TIMED[container], gap=(at_s, gap_s))
    times = [start + (gap_s if start >= at_s else 0) for start in starts]
    return Case(
        f"{container}, no packets for {gap_s:.3f} s from {at_s:.3f} s",
        recorded(track, container=container),
        times,
        True,
    )


def wrong(case: Case, folder: Path) -> str | None:
    """What is wrong: a time that is off by more than 50 ms, or a second that is lost and not reported."""
    try:
        found = decoded(case.content, folder)
    except AudioError as error:
        # without its index, at its end, nothing of an m4a is found
        return None if case.what.startswith("m4a, cut") else f"refused: {error}"
    times = heard(found.pcm)
    if case.is_whole:
        return None if same(times, case.beeps_s) and found.damage is None else f"{times}, {found.damage}"
    missing = [beep for beep in case.beeps_s if all(abs(beep - time) > TOLERANCE_S for time in times)]
    astray = [time for time in times if all(abs(beep - time) > TOLERANCE_S for beep in case.beeps_s)]
    # junk among plain samples is heard as noise, or in the middle of a tone
    if len(missing) > ("junk" in case.what) and found.damage is None:
        return f"{missing} are lost without a word"
    return f"{astray} are elsewhere ({found.damage})" if len(astray) > ("junk" in case.what) else None


def test_every_container_cut_joined_shifted_and_silenced(soak: bool, tmp_path: Path) -> None:
    """300 of them at length."""
    failures = []
    for seed in range(300 if soak else 15):
        case = make(seed)
        if found := wrong(case, tmp_path):
            failures.append(f"{seed}: {case.what}: {found}; wanted {case.beeps_s}")
    assert not failures, "\n".join(failures)
