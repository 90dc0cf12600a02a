"""Sound files that come out the same, byte by byte, whenever the same sound is written."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

LOSSLESS = ("pcm_s16le", "pcm_mulaw", "flac")
BIT_RATE = 48_000
"""Of the lossy codecs, bits per second."""


def write_audio(path: Path, pcm: npt.NDArray[np.int16], *, rate_hz: int, codec: str, encoded_rate_hz: int) -> None:
    """Writes mono or stereo sound; the name's suffix chooses the container.

    pcm: shape (channels, frames), at rate_hz; codec: FFmpeg's name of it; encoded_rate_hz: of the file.
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
        # Without a time the encoder's delay would not be declared, and m4a would decode 32 ms late.
        frame.pts, frame.time_base = 0, Fraction(1, rate_hz)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
