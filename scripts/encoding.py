"""Writes sound files that are identical, byte by byte, for identical sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

LOSSLESS = ("pcm_s16le", "pcm_mulaw", "flac")
BIT_RATE = 48_000
"""Of the lossy codecs, in bits per second."""


def write_audio(path: Path, pcm: npt.NDArray[np.int16], *, rate_hz: int, codec: str, encoded_rate_hz: int) -> None:
    """Write mono or stereo sound; the suffix of the name chooses the container.

    Args:
        path: The file.
        pcm: Samples of shape (channels, frames).
        rate_hz: Their sample rate.
        codec: FFmpeg's name of the codec.
        encoded_rate_hz: Sample rate of the file.
    """
    layout = "stereo" if len(pcm) == 2 else "mono"
    with av.open(str(path), "w", container_options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(codec, rate=encoded_rate_hz, layout=layout)
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        if codec not in LOSSLESS:
            stream.bit_rate = BIT_RATE
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm), format="s16p", layout=layout)
        frame.sample_rate = rate_hz
        # Without a timestamp the encoder's delay would not be stored, and m4a would decode 32 ms late.
        frame.pts, frame.time_base = 0, Fraction(1, rate_hz)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
