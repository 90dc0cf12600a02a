"""A file that is cut or damaged is always reported."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensory_pipeline.audio.integrity import ogg
from sensory_pipeline.core.errors import AudioError, TruncatedAudio
from sensory_pipeline_tests.damaged_audio import packets, whole
from sensory_pipeline_tests.decoded_audio import decoded
from sensory_pipeline_tests.encoded_audio import ENCODINGS, TONE_S, encode, tone

WITHOUT_LENGTHS = ("mp3 headerless", "aac", "amr")
"""Rows of frames that nothing announces: cut between two of them, they are shorter files, and whole."""

CHECKED = ("flac", "flac 24 bit", "opus", "vorbis", "flac in ogg")
"""These carry checksums: one byte is enough to tell."""


def complaint(content: bytes, folder: Path) -> str | None:
    """What is said of a file: that it is damaged, or that nothing can be made of it; None when it is whole."""
    try:
        return decoded(content, folder).damage
    except AudioError as error:
        return str(error)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For properties, whose examples overwrite one file."""
    return tmp_path_factory.mktemp("audio")


class TestCut:
    @pytest.mark.parametrize("name", ENCODINGS)
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
    def test_is_reported(self, name: str, share: float, tmp_path: Path) -> None:
        content = tone(name)
        assert complaint(content[: int(len(content) * share)], tmp_path)

    @pytest.mark.parametrize("name", [name for name in ENCODINGS if name != "m4a"])
    def test_keeps_what_is_there(self, name: str, tmp_path: Path) -> None:
        """Of an m4a that is nothing: its index is at its end."""
        content = tone(name)
        found = decoded(content[: int(len(content) * 0.9)], tmp_path)
        # the pages of an Ogg and the clusters of a WebM are large
        assert 0.5 < found.pcm.duration_ms / 1000 < TONE_S + ENCODINGS[name].duration_tolerance_s
        if found.undecoded_s is not None:
            there_s = decoded(content, tmp_path).pcm.duration_ms / 1000
            assert found.pcm.duration_ms / 1000 + found.undecoded_s == pytest.approx(there_s, abs=0.06)
        else:
            assert name in WITHOUT_LENGTHS or ENCODINGS[name].container == "ogg"

    @given(name=st.sampled_from(list(ENCODINGS)), data=st.data())
    @settings(deadline=None, max_examples=100)
    def test_is_reported_at_any_place(self, name: str, data: st.DataObject, folder: Path) -> None:
        content = tone(name)
        length = data.draw(st.integers(0, len(content) - 1))
        if complaint(content[:length], folder):
            return
        # An mp3 may lack the one frame on which writers disagree: 26 ms.
        undetectable = packets(name) if name in WITHOUT_LENGTHS else packets(name)[-1:] if "mp3" in name else ()
        assert length in undetectable or (ENCODINGS[name].container == "ogg" and content[length:].startswith(b"OggS"))

    @pytest.mark.parametrize("name", ENCODINGS)
    def test_by_a_byte(self, name: str, tmp_path: Path) -> None:
        assert complaint(tone(name)[:-1], tmp_path)

    @pytest.mark.parametrize("name", ["flac", "mp3 CBR", "opus", "vorbis", "m4a index first", "webm"])
    def test_and_filled_up_with_zeros(self, name: str, tmp_path: Path) -> None:
        """As by a download that broke off after room was made for it. In PCM, zeros are silence."""
        content = tone(name)
        half = len(content) // 2
        assert complaint(content[:half] + bytes(len(content) - half), tmp_path)

    def test_between_the_pages_of_an_ogg(self, tmp_path: Path) -> None:
        """Nobody can tell it from what recorders leave who never mark the last page."""
        content = tone("opus")
        assert 900 < whole(content[: content.rindex(b"OggS")], tmp_path).pcm.duration_ms < 1100

    @pytest.mark.parametrize(("name", "header_bytes"), [("aac", 7), ("mp3 headerless", 4)])
    def test_in_the_header_of_a_frame(self, name: str, header_bytes: int, tmp_path: Path) -> None:
        for left in range(1, header_bytes + 3):
            assert complaint(tone(name)[: packets(name)[20] + left], tmp_path)

    def test_between_the_frames_of_an_mp3_that_counts_them(self, tmp_path: Path) -> None:
        *_, last_but_one, last = packets("mp3 CBR")
        assert decoded(tone("mp3 CBR")[:last], tmp_path).pcm.duration_ms == pytest.approx(TONE_S * 1000, abs=30)
        assert "frames are declared" in str(complaint(tone("mp3 CBR")[:last_but_one], tmp_path))

    def test_between_the_frames_of_a_flac_without_md5(self, tmp_path: Path) -> None:
        content = tone("flac")[: packets("flac")[-1]]
        assert "1.5 s are declared" in str(complaint(content[:26] + bytes(16) + content[42:], tmp_path))

    def test_of_an_mp3_whose_rest_is_zeros(self, tmp_path: Path) -> None:
        found = decoded(tone("mp3 headerless") + bytes(100_000), tmp_path)
        assert "no frame" in str(found.damage)
        assert found.undecoded_s == pytest.approx(100_000 * 8 / 64_000, rel=0.02)

    def test_of_an_mp4_that_was_never_finished(self, tmp_path: Path) -> None:
        content = tone("m4a")
        with pytest.raises(TruncatedAudio, match="no index"):
            decoded(content[: content.index(b"moov") - 4], tmp_path)


class TestDamage:
    @pytest.mark.parametrize("name", [*CHECKED, "mp3 CBR", "mp3 headerless", "m4a", "mp4 fragments", "webm", "aac"])
    @pytest.mark.parametrize("noise", [bytes(2000), np.random.default_rng(7).bytes(2000)], ids=["zeros", "random"])
    def test_in_the_middle(self, name: str, noise: bytes, tmp_path: Path) -> None:
        content = tone(name)
        middle = len(content) // 2 - 1000
        assert complaint(content[:middle] + noise + content[middle + 2000 :], tmp_path)

    @given(name=st.sampled_from(CHECKED), data=st.data(), change=st.integers(1, 255))
    @settings(deadline=None, max_examples=60)
    def test_of_one_byte(self, name: str, data: st.DataObject, change: int, folder: Path) -> None:
        content = bytearray(tone(name))
        # a native FLAC's tags and padding, before its first frame, may be anything
        first = packets(name)[0] if name.startswith("flac") and "ogg" not in name else 0
        position = data.draw(st.integers(first, len(content) - 1))
        content[position] ^= change
        if complaint(bytes(content), folder):
            return
        found = decoded(bytes(content), folder)
        # only a checksum was hit: the sound is whole, as another one shows
        np.testing.assert_array_equal(found.pcm.samples, decoded(tone(name), folder).pcm.samples)
        assert name.startswith("flac")

    def test_by_the_loss_of_a_page(self, tmp_path: Path) -> None:
        content = tone("opus")
        third = packets("opus")[0]
        fourth = content.index(b"OggS", third + 4)
        assert "pages are missing" in str(complaint(content[:third] + content[fourth:], tmp_path))

    def test_says_when(self, tmp_path: Path) -> None:
        for name in ("flac", "mp3 CBR", "m4a"):
            content = tone(name)
            middle = packets(name)[len(packets(name)) // 2]
            found = decoded(content[:middle] + bytes(1500) + content[middle + 1500 :], tmp_path)
            assert re.match(r"damaged at 0\.[6-8] s", str(found.damage))
            assert 0 < (found.undecoded_s or 0) < 0.5
            assert found.pcm.duration_ms == pytest.approx(TONE_S * 1000, abs=60)

    def test_that_only_the_md5_shows(self, tmp_path: Path) -> None:
        content = bytearray(tone("flac"))
        content[26] ^= 1
        found = decoded(bytes(content), tmp_path)
        assert "MD5" in str(found.damage)
        assert found.undecoded_s == 0

    def test_of_a_flac_that_declares_nothing(self, tmp_path: Path) -> None:
        content = encode(np.tile(np.sin(np.arange(60_000)) / 2, (2, 1)), ENCODINGS["flac"], seekable=False)
        assert whole(content, tmp_path).pcm.duration_ms == 1361
        middle = len(content) // 2
        assert "damaged at 0." in str(complaint(content[:middle] + bytes(200) + content[middle + 200 :], tmp_path))


def declaring_four_times_as_much(name: str) -> bytes:
    """The tone, in a container that says so and is sound otherwise."""
    content = bytearray(tone(name))
    match name:
        case "webm":
            place = content.index(b"\x44\x89\x88") + 3
            content[place : place + 8] = struct.pack(">d", TONE_S * 4000)
        case "aiff":
            place = content.index(b"COMM") + 10
            content[place : place + 4] = (4 * int.from_bytes(content[place : place + 4], "big")).to_bytes(4, "big")
        case "opus":
            page = content.rindex(b"OggS")
            granule = slice(page + 6, page + 14)
            content[granule] = (4 * int.from_bytes(content[granule], "little")).to_bytes(8, "little")
            content[page + 22 : page + 26] = bytes(4)
            content[page + 22 : page + 26] = ogg.crc(content[page:]).to_bytes(4, "little")
    return bytes(content)


@pytest.mark.parametrize("name", ["webm", "aiff", "opus"])
def test_less_sound_than_declared_is_reported(name: str, tmp_path: Path) -> None:
    found = decoded(declaring_four_times_as_much(name), tmp_path)
    assert found.damage is not None
    assert "6.0 s are declared, 1.5 s are there" in found.damage
    assert found.undecoded_s == pytest.approx(3 * TONE_S, abs=0.02)


MARKERS = [b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0", b"fLaC", b"OggS\0\2", b"ID3\4\0\0\0\0\0\x0a", b"\xff\xfb\x90d"]

MARKERS += [
    b"\0\0\0\x18ftypM4A ",
    b"\x1aE\xdf\xa3",
    b"FORM\0\0\0\0AIFF",
    b".snd\0\0\0\x18",
    b"caff\0\1",
    b"#!AMR\n",
    b"",
]


class TestNoise:
    @given(content=st.builds(bytes.__add__, st.sampled_from(MARKERS), st.binary(max_size=4000)))
    @settings(deadline=None, max_examples=80)
    def test_raises_nothing_but_audio_errors(self, content: bytes, folder: Path) -> None:
        try:
            decoded(content, folder)
        except AudioError:
            return

    @given(name=st.sampled_from(list(ENCODINGS)), data=st.data())
    @settings(deadline=None, max_examples=60)
    def test_in_a_header_raises_nothing_but_audio_errors(self, name: str, data: st.DataObject, folder: Path) -> None:
        content = bytearray(tone(name))
        for _ in range(data.draw(st.integers(1, 8))):
            content[data.draw(st.integers(0, 200))] = data.draw(st.integers(0, 255))
        try:
            decoded(bytes(content), folder)
        except AudioError:
            return
