"""Sound stands where a player shows it, all of it, and what is lost of it is told."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from sensory_pipeline.audio.decoding import DecodedAudio, decode
from sensory_pipeline.audio.integrity.ogg import crc
from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.errors import AudioError, UnreadableAudio
from sensory_pipeline_tests import places
from sensory_pipeline_tests.encoded_audio import ENCODINGS, Encoding, Recorded, encode, recorded

OPUS = ENCODINGS["opus"]
AAC = Encoding(codec="aac", container="matroska", rate=48_000)
FAULTS = places.SHARED / "audio" / "faults"
"""Inputs made from public reports of faults, where they are at hand."""

BEEP_S = 0.12
SILENT = -1.0
TOLERANCE_S = 0.05


def beeps(starts_s: list[float], length_s: float, encoding: Encoding) -> npt.NDArray[np.float64]:
    """A short tone at each of these times, on all channels, over a little noise."""
    samples = np.random.default_rng(1).normal(0, 0.01, round(length_s * encoding.rate))
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(round(BEEP_S * encoding.rate)) / encoding.rate)
    for start in starts_s:
        begin = round(start * encoding.rate)
        samples[begin : begin + len(tone)] += tone[: len(samples) - begin]
    return np.tile(samples, (encoding.channels, 1))


def heard(pcm: Waveform) -> list[float]:
    """When tones begin."""
    window = SAMPLE_RATE // 200
    samples = pcm.mono()
    blocks = np.abs(samples[: len(samples) // window * window]).reshape(-1, window).max(axis=1) > 0.15
    starts = [place for place in np.flatnonzero(blocks) if not blocks[max(0, place - 8) : place].any()]
    return [place * window / SAMPLE_RATE for place in starts if blocks[place : place + 20].sum() >= 12]


def same(found: list[float], wanted: list[float]) -> bool:
    return len(found) == len(wanted) and all(
        abs(one - other) <= TOLERANCE_S for one, other in zip(found, wanted, strict=True)
    )


def decoded(content: bytes, folder: Path, *, track: int | None = None) -> DecodedAudio:
    path = folder / "recording"
    path.write_bytes(content)
    return decode(path, max_duration_s=3600, track=track)


class TestClock:
    @pytest.mark.parametrize(
        ("container", "encoding", "picture_s"),
        [
            ("ogg", OPUS, 0),  # into which FFmpeg puts no such picture
            *(
                (container, encoding, picture_s)
                for container, encoding in (
                    ("matroska", OPUS), ("matroska", AAC), ("mp4", AAC), ("mov", AAC), ("asf", ENCODINGS["wma"])
                )
                for picture_s in (0, 6)
            ),
        ],
    )  # fmt: skip
    def test_sound_that_begins_late(self, container: str, encoding: Encoding, picture_s: float, tmp_path: Path) -> None:
        late = Recorded(samples=beeps([0.5, 1.5], 2, encoding), encoding=encoding, start_s=5)
        found = decoded(recorded(late, container=container, picture_s=picture_s), tmp_path)
        assert same(heard(found.pcm), [5.5, 6.5])
        assert (found.damage, found.undecoded_s) == (None, 0)

    @pytest.mark.parametrize(
        ("container", "encoding"), [("webm", OPUS), ("matroska", AAC), ("mp4", AAC), ("ogg", OPUS)]
    )
    def test_a_gap_is_silence(self, container: str, encoding: Encoding, tmp_path: Path) -> None:
        muted = Recorded(samples=beeps([0.5, 2.5, 4.5], 5, encoding), encoding=encoding, gap=(2.0, 10.0))
        found = decoded(recorded(muted, container=container), tmp_path)
        assert same(heard(found.pcm), [0.5, 12.5, 14.5])
        assert (found.damage, found.undecoded_s) == (None, 0)

    @pytest.mark.parametrize("encoding", [OPUS, AAC])
    def test_a_clock_that_runs_slower_than_its_samples(self, encoding: Encoding, tmp_path: Path) -> None:
        """What overlaps is left out, as players do, and told where it is a second or more."""
        slow = Recorded(samples=beeps([0.5, 6.5], 7, encoding), encoding=encoding, speed=0.8)
        found = decoded(recorded(slow, container="matroska"), tmp_path)
        assert same(heard(found.pcm), [0.4, 5.2])
        assert found.remarks == ("its packets overlap in time: 1 s of them were left out",)

    def test_gaps_as_short_as_a_packet_add_up(self, tmp_path: Path) -> None:
        """As where the network drops one of 20 ms, over and over."""
        tracks = Recorded(samples=beeps([0.5, 2.5], 3, OPUS), encoding=OPUS, gap=(1.0, 0.1))
        assert same(heard(decoded(recorded(tracks, container="webm"), tmp_path).pcm), [0.5, 2.6])

    def test_rounded_times_move_no_sample(self, tmp_path: Path) -> None:
        """A webm's are milliseconds; a frame of AAC at 44.1 kHz is 23.2 of them."""
        noise = np.random.default_rng(4).normal(0, 0.1, (1, 44_100 * 8))
        encoding = replace(AAC, rate=44_100)
        found = decoded(recorded(Recorded(samples=noise, encoding=encoding), container="matroska"), tmp_path)
        assert found.pcm.duration_ms == pytest.approx(8000, abs=60)
        assert np.diff(np.flatnonzero(found.pcm.samples[0, 2000:-2000])).max() < 20

    def test_a_live_streams_clock_is_not_the_files(self, tmp_path: Path) -> None:
        piece = Recorded(samples=beeps([0.5], 1, OPUS), encoding=OPUS, start_s=30_000)
        assert same(heard(decoded(recorded(piece, container="webm"), tmp_path).pcm), [0.5])


class TestTracks:
    def tracks(self, *starts_s: float, default: int) -> bytes:
        made = [
            Recorded(
                samples=np.zeros((1, 3 * 48_000)) if start == SILENT else beeps([start], 3, OPUS),
                encoding=OPUS,
                is_default=number == default,
            )
            for number, start in enumerate(starts_s, 1)
        ]
        return recorded(*made, container="matroska")

    def test_the_default_one_is_taken(self, tmp_path: Path) -> None:
        found = decoded(self.tracks(0.5, 1.5, default=2), tmp_path)
        assert same(heard(found.pcm), [1.5])
        assert (found.track, found.remarks) == (2, ("track 2 of 2",))

    def test_the_next_where_it_is_silent(self, tmp_path: Path) -> None:
        found = decoded(self.tracks(SILENT, 1.5, default=1), tmp_path)
        assert (found.track, same(heard(found.pcm), [1.5])) == (2, True)

    def test_the_default_one_where_all_are_silent(self, tmp_path: Path) -> None:
        found = decoded(self.tracks(SILENT, SILENT, default=2), tmp_path)
        assert (found.track, heard(found.pcm), found.pcm.duration_ms) == (2, [], 3000)

    def test_the_next_where_it_cannot_be_decoded(self, tmp_path: Path) -> None:
        content = self.tracks(0.5, 1.5, default=1).replace(b"A_OPUS", b"A_OPTS", 1)
        found = decoded(content, tmp_path)
        assert (found.track, same(heard(found.pcm), [1.5])) == (2, True)

    def test_the_one_that_is_asked_for(self, tmp_path: Path) -> None:
        content = self.tracks(0.5, 1.5, default=2)
        assert same(heard(decoded(content, tmp_path, track=1).pcm), [0.5])
        with pytest.raises(UnreadableAudio, match="2 audio tracks, and SENSORY_TRACK asks for number 3"):
            decoded(content, tmp_path, track=3)

    def test_nothing_is_said_of_the_only_one(self, tmp_path: Path) -> None:
        found = decoded(self.tracks(0.5, default=1), tmp_path)
        assert (found.track, found.remarks) == (None, ())


class TestWhole:
    """What other programs play is taken as it is."""

    @pytest.mark.parametrize(
        ("name", "other"),
        [
            (name, other)
            for name, encoding in ENCODINGS.items()
            for other in ("the same", "another rate")
            # AMR has one rate, and the delay of WMA is 93 ms at 24 kHz
            if "headerless" not in name and (other == "the same" or encoding.container not in ("amr", "asf"))
        ],
    )
    def test_joined_files(self, name: str, other: str, tmp_path: Path) -> None:
        """But for MP3s that do not declare their delay."""
        encoding = ENCODINGS[name]
        second = (
            encoding if other == "the same" else replace(encoding, rate=24_000 if encoding.rate > 24_000 else 48_000)
        )
        content = encode(beeps([0.5], 2, encoding), encoding) + encode(beeps([0.5], 2, second), second)
        found = decoded(content, tmp_path)
        length_s = decoded(encode(beeps([0.5], 2, encoding), encoding), tmp_path).pcm.duration_ms / 1000
        assert same(heard(found.pcm), [0.5, length_s + 0.5])
        assert (found.damage, found.undecoded_s) == (None, 0)

    @pytest.mark.parametrize("name", ["wav 8k", "wav 16k", "flac", "mp3 CBR", "opus", "m4a"])
    def test_joined_to_a_file_of_another_kind(self, name: str, tmp_path: Path) -> None:
        wav = ENCODINGS["wav 16k"]
        content = encode(beeps([0.5], 2, wav), wav) + encode(beeps([0.5], 2, ENCODINGS[name]), ENCODINGS[name])
        found = decoded(content, tmp_path)
        if name == "mp3 CBR":  # which nothing marks as the beginning of a file
            return
        assert same(heard(found.pcm), [0.5, 2.5])
        assert found.damage is None

    @pytest.mark.parametrize("length", [0x7FFF_FFDB, 0xFFFF_FFD3, 0xFFFF_FFDB, 0x7FFF_FFFF - 4096])
    @pytest.mark.parametrize("name", ["wav 16k", "wav mu-law"])
    def test_headers_that_were_never_patched(self, name: str, length: int, tmp_path: Path) -> None:
        content = bytearray(encode(beeps([0.5], 2, ENCODINGS[name]), ENCODINGS[name]))
        place = content.index(b"data") + 4
        content[place : place + 4] = length.to_bytes(4, "little")
        found = decoded(bytes(content), tmp_path)
        assert (found.pcm.duration_ms, found.damage, found.undecoded_s) == (2000, None, 0)

    @pytest.mark.parametrize("declared", [2_000, 40_000])
    def test_a_length_that_is_behind(self, declared: int, tmp_path: Path) -> None:
        """As where a recorder died, or a length that 32 bits could not hold was cut to them."""
        encoding = ENCODINGS["wav 16k"]
        content = bytearray(encode(beeps([0.5, 9.5], 10, encoding), encoding))
        place = content.index(b"data") + 4
        content[place : place + 4] = declared.to_bytes(4, "little")
        found = decoded(bytes(content), tmp_path)
        assert (found.pcm.duration_ms, found.damage, found.undecoded_s) == (10_000, None, 0)

    def test_large_chunks_after_the_sound_are_no_sound(self, tmp_path: Path) -> None:
        encoding = ENCODINGS["wav 16k"]
        notes = b"iXML" + (200_000).to_bytes(4, "little") + b"<x>" * 66_667 + b"LIST\x04\x00\x00\x00INFO"
        found = decoded(encode(beeps([0.5], 2, encoding), encoding) + notes[:-1], tmp_path)
        assert (found.pcm.duration_ms, found.damage, found.undecoded_s) == (2000, None, 0)

    @pytest.mark.parametrize("name", ["wav 16k", "aiff", "opus", "webm", "m4a", "au", "flac"])
    def test_tags_before_it(self, name: str, tmp_path: Path) -> None:
        tag = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)
        content = encode(beeps([0.5], 2, ENCODINGS[name]), ENCODINGS[name])
        found = decoded(tag + tag + content, tmp_path)
        np.testing.assert_array_equal(found.pcm.samples, decoded(content, tmp_path).pcm.samples)

    def test_an_ogg_whose_last_page_does_not_say_so(self, tmp_path: Path) -> None:
        content = bytearray(encode(beeps([0.5], 2, OPUS), OPUS))
        last = content.rindex(b"OggS")
        content[last + 5] &= 0xFB
        content[last + 22 : last + 26] = bytes(4)
        content[last + 22 : last + 26] = crc(content[last:]).to_bytes(4, "little")
        found = decoded(bytes(content), tmp_path)
        assert found.pcm.duration_ms == pytest.approx(2000, abs=20)
        assert (found.damage, found.undecoded_s) == (None, 0)

    def test_what_follows_and_is_no_sound_known_here_is_told(self, tmp_path: Path) -> None:
        content = encode(beeps([0.5], 2, OPUS), OPUS) + np.random.default_rng(0).bytes(100_000)
        assert "100000 bytes after its end" in str(decoded(content, tmp_path).damage)


class TestDamage:
    @pytest.mark.parametrize("name", list(ENCODINGS))
    def test_costs_itself(self, name: str, tmp_path: Path) -> None:
        """Junk in the middle: what is before and after keeps its place."""
        encoding = ENCODINGS[name]
        content = encode(beeps([0.5, 11.5], 12, encoding), encoding)
        middle = len(content) // 2
        found = decoded(content[:middle] + np.random.default_rng(5).bytes(2000) + content[middle + 2000 :], tmp_path)
        times = heard(found.pcm)
        assert same([times[0], times[-1]], [0.5, 11.5])
        if found.damage is None:
            assert encoding.codec.startswith("pcm") or encoding.container == "asf"  # where no byte is wrong
        elif found.undecoded_s is not None:
            assert found.undecoded_s < 6


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the inputs made from public reports are not at hand")
class TestReports:
    @pytest.mark.parametrize(
        ("name", "first_s", "length_s", "track"),
        [
            ("late_audio_5s.mkv", 5.0, 18.91, None),
            ("gap_10s.webm", 0.0, 23.91, None),
            ("phase_inverted.opus", 0.0, 13.91, None),
            ("commentary_first_main_default.mkv", 0.05, 14.0, 2),
            ("undecodable_track_first.mkv", 0.0, 13.91, 2),
            ("no_eos_flag.opus", 0.0, 13.91, None),
            ("joined.wav", 0.0, 13.91, None),
            ("size_placeholder_7fffffdb.wav", 0.0, 13.91, None),
            ("size_placeholder_ffffffd3.wav", 0.0, 13.91, None),
            ("id3_before_riff.wav", 0.0, 13.91, None),
            ("chained_other_rate.ogg", 0.0, 13.91, None),
        ],
    )
    def test_is_heard(self, name: str, first_s: float, length_s: float, track: int | None) -> None:
        found = decode(FAULTS / name, max_duration_s=3600)
        assert (found.damage, found.undecoded_s, found.track) == (None, 0, track)
        loud = np.flatnonzero(np.abs(found.pcm.mono()) > 0.02)
        assert loud[0] / SAMPLE_RATE == pytest.approx(first_s, abs=TOLERANCE_S)
        assert found.pcm.duration_ms / 1000 == pytest.approx(length_s, abs=TOLERANCE_S)

    def test_the_gap_is_where_it_is(self) -> None:
        samples = decode(FAULTS / "gap_10s.webm", max_duration_s=3600).pcm.mono()
        edges = np.flatnonzero(np.diff(np.flatnonzero(samples)) > SAMPLE_RATE)
        silence = np.diff(np.flatnonzero(samples))[edges]
        assert [round(length / SAMPLE_RATE) for length in silence] == [10]


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
    """What contradicts the promise: times within 50 ms, and no second lost without being told."""
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
