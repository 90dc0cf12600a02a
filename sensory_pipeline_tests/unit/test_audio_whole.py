"""An unusual file that is whole is never reported as damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sensory_pipeline.audio.integrity import mpeg
from sensory_pipeline_tests.damaged_audio import packets, whole
from sensory_pipeline_tests.encoded_audio import ENCODINGS, TONE_S, Encoding, encode, tone


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
    """The header of a tag that is followed by `length` bytes."""
    return b"ID3\4\0\0" + bytes(length >> shift & 0x7F for shift in (21, 14, 7, 0))


def ape(length: int) -> bytes:
    """The same of an APEv2."""
    return b"APETAGEX\xd0\x07\0\0" + length.to_bytes(4, "little") + bytes(4) + b"\0\0\0\xa0" + bytes(8)


def test_every_mpeg_frame_ends_where_the_next_begins() -> None:
    for name in ("mp3 CBR", "mp3 VBR", "mp3 16k", "mp3 headerless"):
        content, begins = tone(name), packets(name)
        for begin, end in zip(begins, [*begins[1:], len(content)], strict=True):
            frame = mpeg.parse(content[begin : begin + 4])
            assert frame is not None
            assert frame.length == end - begin
