"""Sound stands at the time at which a player plays it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.waveform import SAMPLE_RATE
from sensory_pipeline_tests import places
from sensory_pipeline_tests.beeps import AAC, OPUS, TOLERANCE_S, beeps, heard, same
from sensory_pipeline_tests.decoded_audio import decoded
from sensory_pipeline_tests.encoded_audio import ENCODINGS, Encoding, Recorded, recorded

FAULTS = places.SHARED / "audio" / "faults"
"""Inputs made from public reports of faults, if they are there."""


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
        """Sound that overlaps is left out, as players do, and reported from a second on."""
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

    def test_a_live_streams_clock_is_replaced_by_the_files(self, tmp_path: Path) -> None:
        piece = Recorded(samples=beeps([0.5], 1, OPUS), encoding=OPUS, start_s=30_000)
        assert same(heard(decoded(recorded(piece, container="webm"), tmp_path).pcm), [0.5])


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the inputs made from public reports are not here")
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

    def test_the_gap_has_its_place(self) -> None:
        samples = decode(FAULTS / "gap_10s.webm", max_duration_s=3600).pcm.mono()
        edges = np.flatnonzero(np.diff(np.flatnonzero(samples)) > SAMPLE_RATE)
        silence = np.diff(np.flatnonzero(samples))[edges]
        assert [round(length / SAMPLE_RATE) for length in silence] == [10]
