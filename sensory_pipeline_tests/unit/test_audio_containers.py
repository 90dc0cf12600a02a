"""What is cut or damaged is never passed off as whole, and what is whole is never called damaged."""

from __future__ import annotations

import io
import re
import struct
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensory_pipeline.audio.decoding import DecodedAudio, decode
from sensory_pipeline.audio.integrity import mpeg, ogg
from sensory_pipeline.core.errors import AudioError, TruncatedAudio
from sensory_pipeline_tests.encoded_audio import ENCODINGS, TONE_S, Encoding, encode, tone

WITHOUT_LENGTHS = ("mp3 headerless", "aac", "amr")
"""Rows of frames that nothing announces: cut between two of them, they are shorter files, and whole."""

CHECKED = ("flac", "flac 24 bit", "opus", "vorbis", "flac in ogg")
"""These carry checksums: one byte is enough to tell."""


def decoded(content: bytes, folder: Path) -> DecodedAudio:
    path = folder / "recording"
    path.write_bytes(content)
    return decode(path, max_duration_s=3600)


def whole(content: bytes, folder: Path) -> DecodedAudio:
    """Of a file that nothing is wrong with."""
    found = decoded(content, folder)
    assert (found.damage, found.undecoded_s) == (None, 0)
    return found


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


@lru_cache
def packets(name: str) -> tuple[int, ...]:
    """The bytes at which frames begin."""
    with av.open(io.BytesIO(tone(name)), "r") as container:
        return tuple(packet.pos for packet in container.demux(audio=0) if packet.pos is not None)


class TestCut:
    @pytest.mark.parametrize("name", ENCODINGS)
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
    def test_is_told(self, name: str, share: float, tmp_path: Path) -> None:
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
    def test_is_told_wherever(self, name: str, data: st.DataObject, folder: Path) -> None:
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
    def test_and_its_room_filled_with_zeros(self, name: str, tmp_path: Path) -> None:
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


class TestWhole:
    @pytest.mark.parametrize("name", ["wav 16k", "au", "caf", "flac", "mp3 CBR", "opus", "webm", "aac"])
    def test_streamed_through_a_pipe(self, name: str, tmp_path: Path) -> None:
        """Lengths that were not known when they were written are not held against a file."""
        encoding = ENCODINGS[name]
        samples = np.tile(0.5 * np.sin(np.arange(encoding.rate)), (encoding.channels, 1))
        found = whole(encode(samples, encoding, seekable=False), tmp_path)
        assert found.pcm.duration_ms == pytest.approx(1000, abs=55)

    @pytest.mark.parametrize("length", [0, 0x7FFF_F000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF])
    def test_wav_of_unknown_length(self, length: int, tmp_path: Path) -> None:
        content = bytearray(tone("wav 16k"))
        content[74:78] = length.to_bytes(4, "little")
        assert whole(bytes(content), tmp_path).pcm.duration_ms == TONE_S * 1000

    @pytest.mark.parametrize(
        "chunk",
        [
            b"LIST\x05\x00\x00\x00INFOx\x00",  # odd, and padded
            b"JUNK\x00\x00\x00\x00",
            b"bext" + (602).to_bytes(4, "little") + bytes(602),
        ],
    )
    def test_wav_with_other_chunks(self, chunk: bytes, tmp_path: Path) -> None:
        content = tone("wav 16k")
        for changed in (content[:36] + chunk + content[36:], content + chunk, content + chunk[:-1]):
            assert whole(changed, tmp_path).pcm.duration_ms == TONE_S * 1000

    def test_wav_of_an_odd_number_of_bytes(self, tmp_path: Path) -> None:
        odd = encode(np.zeros((1, 12_001)), ENCODINGS["wav 8 bit"])
        for content in (odd, odd.rstrip(b"\x00")):
            assert whole(content, tmp_path).pcm.samples.shape[1] == 12_001

    def test_wav_whose_length_counts_the_padding(self, tmp_path: Path) -> None:
        """As sox writes it for GSM."""
        adpcm = Encoding(codec="adpcm_ima_wav", container="wav", rate=16_000)
        content = bytearray(encode(np.zeros((1, 16_000)), adpcm))
        length = content.index(b"data") + 4
        before = whole(bytes(content), tmp_path).pcm
        content[length : length + 4] = (int.from_bytes(content[length : length + 4], "little") + 1).to_bytes(
            4, "little"
        )
        np.testing.assert_array_equal(whole(bytes(content) + b"\0", tmp_path).pcm.samples, before.samples)

    def test_wav_whose_riff_length_is_wrong(self, tmp_path: Path) -> None:
        for length in (0, 10**9):
            content = bytearray(tone("wav 16k"))
            content[4:8] = length.to_bytes(4, "little")
            assert whole(bytes(content), tmp_path).pcm.duration_ms == TONE_S * 1000

    @pytest.mark.parametrize("name", ["mp3 CBR", "mp3 VBR", "mp3 16k", "mp3 headerless", "aac", "flac"])
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            pytest.param(b"", b"TAG" + bytes(125), id="ID3v1"),
            pytest.param(b"ID3\x03\x00\x00\x00\x00\x02\x00" + bytes(256), b"", id="ID3v2"),
        ],
    )
    def test_with_tags(self, name: str, before: bytes, after: bytes, tmp_path: Path) -> None:
        plain = whole(tone(name), tmp_path).pcm
        tagged = whole(before + tone(name) + after, tmp_path).pcm
        np.testing.assert_array_equal(tagged.samples, plain.samples)

    @pytest.mark.parametrize("name", ["mp3 CBR", "mp3 headerless"])
    @pytest.mark.parametrize(
        "after",
        [
            pytest.param(b"APETAGEX\xd0\x07\x00\x00\x60\x00\x00\x00" + bytes(7) + b"\xa0" + bytes(104), id="APE"),
            pytest.param(b"LYRICSBEGIN words words words LYRICS200", id="lyrics"),
            pytest.param(np.random.default_rng(3).bytes(4000), id="garbage"),
            pytest.param(b"\xff" * 100, id="bytes like a frame's first"),
            pytest.param(bytes(5000), id="padding"),
        ],
    )
    def test_mp3_with_something_after_it(self, name: str, after: bytes, tmp_path: Path) -> None:
        plain = whole(tone(name), tmp_path).pcm
        found = whole(tone(name) + after, tmp_path).pcm
        np.testing.assert_array_equal(found.samples[:, :23_800], plain.samples[:, :23_800])
        # after so much more than was announced, FFmpeg keeps the encoder's padding
        assert found.duration_ms == pytest.approx(plain.duration_ms, abs=55)

    def test_mp3_with_something_before_it(self, tmp_path: Path) -> None:
        two_tags = 2 * (b"ID3\x03\x00\x00\x00\x00\x00\x0a" + bytes(10))
        for before in (two_tags, bytes(3000), np.random.default_rng(3).bytes(3000)):
            found = whole(before + tone("mp3 headerless"), tmp_path).pcm
            assert found.duration_ms == pytest.approx(TONE_S * 1000, abs=60)

    def test_mp3_joined_end_to_end(self, tmp_path: Path) -> None:
        picture = b"ID3\x03\x00\x00\x00\x02\x00\x00" + np.random.default_rng(5).bytes(2 << 14)
        joined = picture + tone("mp3 CBR") + b"TAG" + bytes(125) + picture + tone("mp3 CBR")
        assert whole(joined, tmp_path).pcm.duration_ms == pytest.approx(2 * TONE_S * 1000, abs=110)

    @pytest.mark.parametrize("name", ["mp3 CBR", "mp3 VBR", "mp3 16k", "mp3 headerless", "aac"])
    @pytest.mark.parametrize("tag", ["ID3", "APE", "TAG"])
    def test_with_tags_in_between_that_lie_about_their_length(self, name: str, tag: str, tmp_path: Path) -> None:
        """A 20 s file came out whole with 24 ms."""
        content, begins = tone(name), packets(name)
        plain = whole(content, tmp_path).pcm
        for place in (1, 2, len(begins) // 2):
            begin = begins[place]
            for length in (0, 20, len(content) - begin - 500, len(content) - begin, 10 * len(content)):
                inner = {"ID3": id3v2(length), "APE": ape(length), "TAG": b"TAG"}[tag]
                found = whole(content[:begin] + inner + content[begin:], tmp_path).pcm
                np.testing.assert_array_equal(found.samples, plain.samples)

    @pytest.mark.parametrize("name", ["mp3 CBR", "mp3 headerless", "aac"])
    @pytest.mark.parametrize("tag", ["ID3", "APE"])
    def test_with_a_tag_before_it_that_is_longer_than_the_file(self, name: str, tag: str, tmp_path: Path) -> None:
        content = tone(name)
        found = whole({"ID3": id3v2, "APE": ape}[tag](2 * len(content)) + content, tmp_path).pcm
        np.testing.assert_array_equal(found.samples, whole(content, tmp_path).pcm.samples)

    @pytest.mark.parametrize("name", ["mp3 CBR", "mp3 headerless", "aac"])
    def test_with_a_tag_after_each_frame(self, name: str, tmp_path: Path) -> None:
        content, begins = tone(name), packets(name)
        frames = [content[begin:end] for begin, end in zip(begins, [*begins[1:], len(content)], strict=True)]
        tagged = b"".join(frame + id3v2(20) + bytes(20) for frame in frames)
        plain = whole(b"".join(frames), tmp_path).pcm
        np.testing.assert_array_equal(whole(tagged, tmp_path).pcm.samples, plain.samples)

    def test_mp3_recorded_from_the_middle_of_a_stream(self, tmp_path: Path) -> None:
        content = tone("mp3 headerless")[1000:]
        assert whole(content, tmp_path).pcm.duration_ms == pytest.approx(TONE_S * 1000, abs=150)

    @pytest.mark.parametrize("name", ["opus", "m4a", "webm", "wma"])
    def test_with_something_after_it(self, name: str, tmp_path: Path) -> None:
        plain = whole(tone(name), tmp_path).pcm
        for after in (b"TAG" + bytes(125), bytes(1000)):
            np.testing.assert_array_equal(whole(tone(name) + after, tmp_path).pcm.samples, plain.samples)

    def test_with_an_absurd_length_after_it(self, tmp_path: Path) -> None:
        """FFmpeg goes there, to places no file has; that is no failure to read it."""
        after = bytes(16) + (2**62).to_bytes(8, "little") + bytes(64)
        assert whole(tone("w64") + after, tmp_path).pcm.duration_ms == TONE_S * 1000

    def test_ogg_chained(self, tmp_path: Path) -> None:
        first, second = (encode(np.zeros((1, 48_000)), ENCODINGS["opus"]) for _ in range(2))
        assert whole(first + second, tmp_path).pcm.duration_ms == pytest.approx(2000, abs=10)

    @pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000])
    @pytest.mark.parametrize("name", ["mp3 CBR", "mp3 VBR"])
    def test_mp3_of_every_rate(self, name: str, rate: int, tmp_path: Path) -> None:
        encoding = replace(ENCODINGS[name], rate=rate)
        noise = np.random.default_rng(rate).normal(0, 0.1, (encoding.channels, rate // 2))
        assert whole(encode(noise, encoding), tmp_path).pcm.duration_ms == pytest.approx(500, abs=1)


def id3v2(length: int) -> bytes:
    """The header of a tag of so many bytes more."""
    return b"ID3\4\0\0" + bytes(length >> shift & 0x7F for shift in (21, 14, 7, 0))


def ape(length: int) -> bytes:
    """The same of an APEv2."""
    return b"APETAGEX\xd0\x07\0\0" + length.to_bytes(4, "little") + bytes(4) + b"\0\0\0\xa0" + bytes(8)


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
def test_less_than_is_declared_is_told(name: str, tmp_path: Path) -> None:
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


def test_every_mpeg_frame_ends_where_the_next_begins() -> None:
    for name in ("mp3 CBR", "mp3 VBR", "mp3 16k", "mp3 headerless"):
        content, begins = tone(name), packets(name)
        for begin, end in zip(begins, [*begins[1:], len(content)], strict=True):
            frame = mpeg.parse(content[begin : begin + 4])
            assert frame is not None
            assert frame.length == end - begin
