"""Decoding of files that may be damaged."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import av

from sensory_pipeline.audio.decoding import DecodedAudio
from sensory_pipeline_tests.decoded_audio import decoded
from sensory_pipeline_tests.encoded_audio import tone


def whole(content: bytes, folder: Path) -> DecodedAudio:
    """Of a file that nothing is wrong with."""
    found = decoded(content, folder)
    assert (found.damage, found.undecoded_s) == (None, 0)
    return found


@lru_cache
def packets(name: str) -> tuple[int, ...]:
    """The bytes at which frames begin."""
    with av.open(io.BytesIO(tone(name)), "r") as container:
        return tuple(packet.pos for packet in container.demux(audio=0) if packet.pos is not None)
