"""Which track of a file is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sensory_pipeline.core.errors import UnreadableAudio
from sensory_pipeline_tests.beeps import OPUS, SILENT, beeps, heard, same
from sensory_pipeline_tests.decoded_audio import decoded
from sensory_pipeline_tests.encoded_audio import Recorded, recorded


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

    def test_the_next_is_used_if_it_is_silent(self, tmp_path: Path) -> None:
        found = decoded(self.tracks(SILENT, 1.5, default=1), tmp_path)
        assert (found.track, same(heard(found.pcm), [1.5])) == (2, True)

    def test_the_default_one_is_used_if_all_are_silent(self, tmp_path: Path) -> None:
        found = decoded(self.tracks(SILENT, SILENT, default=2), tmp_path)
        assert (found.track, heard(found.pcm), found.pcm.duration_ms) == (2, [], 3000)

    def test_the_next_is_used_if_it_cannot_be_decoded(self, tmp_path: Path) -> None:
        content = self.tracks(0.5, 1.5, default=1).replace(b"A_OPUS", b"A_OPTS", 1)
        found = decoded(content, tmp_path)
        assert (found.track, same(heard(found.pcm), [1.5])) == (2, True)

    def test_a_given_track_is_used(self, tmp_path: Path) -> None:
        content = self.tracks(0.5, 1.5, default=2)
        assert same(heard(decoded(content, tmp_path, track=1).pcm), [0.5])
        with pytest.raises(UnreadableAudio, match="2 audio tracks, and SENSORY_TRACK asks for number 3"):
            decoded(content, tmp_path, track=3)

    def test_a_single_track_has_no_remark(self, tmp_path: Path) -> None:
        found = decoded(self.tracks(0.5, default=1), tmp_path)
        assert (found.track, found.remarks) == (None, ())
