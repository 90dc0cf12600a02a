"""Files that were joined, or whose headers are wrong, are read completely; damage costs only itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sensory_pipeline.audio.integrity.ogg import crc
from sensory_pipeline_tests.beeps import OPUS, beeps, heard, same
from sensory_pipeline_tests.decoded_audio import decoded
from sensory_pipeline_tests.encoded_audio import ENCODINGS, encode


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
    def test_a_length_that_is_too_small(self, declared: int, tmp_path: Path) -> None:
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

    def test_unknown_bytes_after_the_sound_are_reported(self, tmp_path: Path) -> None:
        content = encode(beeps([0.5], 2, OPUS), OPUS) + np.random.default_rng(0).bytes(100_000)
        assert "100000 bytes after its end" in str(decoded(content, tmp_path).damage)


class TestDamage:
    @pytest.mark.parametrize("name", list(ENCODINGS))
    def test_costs_only_the_damaged_part(self, name: str, tmp_path: Path) -> None:
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
