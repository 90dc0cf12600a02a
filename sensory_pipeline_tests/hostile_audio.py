"""Small files that were made to cost a lot: of time, or of memory."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np

from sensory_pipeline_tests.encoded_audio import ENCODINGS, encode, tone


def one_sample_a_block() -> bytes:
    """Matroska with PCM at 1 MHz, 100,000 blocks of a sample each: 0.1 s of sound."""

    def fill(container: Any) -> None:
        stream = container.add_stream("pcm_s16le", rate=1_000_000, layout="mono")
        for index in range(100_000):
            packet = av.Packet(b"\1\2")
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, index, index, Fraction(1, 1_000_000)
            container.mux(packet)

    return _muxed("matroska", fill)


def a_tag_after_each_frame(frames: int = 20_000) -> bytes:
    """MP3 with an empty ID3 tag behind each of its frames."""
    frame = tone("mp3 headerless")[:417]
    assert frame.startswith(b"\xff\xfb")
    return (frame + b"ID3\x04\0\0\0\0\0\0") * frames


def many_edits(edits: int = 2_000) -> bytes:
    """M4A whose edit list plays its minute of sound this many times: longer than is accepted."""
    encoding = ENCODINGS["m4a"]
    content = encode(np.zeros((2, 60 * encoding.rate)), encoding)
    moov = content.index(b"moov") - 4
    assert content.index(b"mdat") < moov
    boxes = content[moov:]
    edts = boxes.index(b"edts") - 4
    (length,) = struct.unpack_from(">I", boxes, edts)
    entries = struct.pack(">IiI", 60_000, 0, 1 << 16) * edits
    made = struct.pack(">I4sI4sII", 24 + len(entries), b"edts", 16 + len(entries), b"elst", 0, edits) + entries
    index = bytearray(boxes[:edts] + made + boxes[edts + length :])
    for name in (b"moov", b"trak"):
        place = index.index(name) - 4
        struct.pack_into(">I", index, place, struct.unpack_from(">I", index, place)[0] + len(made) - length)
    return content[:moov] + bytes(index)


def pictures_beside(tracks: int = 8, side: int = 5_000) -> bytes:
    """QuickTime with a little sound and some tracks of one large picture each, which compress to nothing."""
    rows = zlib.compress(bytes((1 + 3 * side) * side), 9)
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    picture = b"\x89PNG\r\n\x1a\n" + _png(b"IHDR", header) + _png(b"IDAT", rows) + _png(b"IEND", b"")

    def fill(container: Any) -> None:
        sound = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        others = [container.add_stream("png", rate=1) for _ in range(tracks)]
        for stream in others:
            stream.width, stream.height, stream.pix_fmt = side, side, "rgb24"
        for stream, data in [(sound, bytes(32_000)), *((other, picture) for other in others)]:
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 1000)
            container.mux(packet)

    return _muxed("mov", fill)


def hours_of_silence(hours: float = 11.9, rate: int = 1_000) -> bytes:
    """FLAC that has next to nothing to say for hours."""

    def fill(container: Any) -> None:
        stream = container.add_stream("flac", rate=rate, layout="mono", options={"frame_size": "65535"})
        stream.codec_context.format = "s16"
        for at in range(0, int(hours * 3600 * rate), 4_000_000):
            count = min(4_000_000, int(hours * 3600 * rate) - at)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, count), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    return _muxed("flac", fill)


HOSTILE: dict[str, Callable[[], bytes]] = {
    made.__name__: made
    for made in (pictures_beside, one_sample_a_block, a_tag_after_each_frame, many_edits, hours_of_silence)
}


def _muxed(container: str, fill: Callable[[Any], None]) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=container) as opened:
        fill(opened)
    return out.getvalue()


def _png(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
