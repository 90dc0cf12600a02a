"""The telephone's samples."""

from __future__ import annotations

import av
import numpy as np
import pytest

from sensory_pipeline.audio import g711


@pytest.mark.parametrize(("law", "codec"), [("mu", "pcm_mulaw"), ("a", "pcm_alaw")])
def test_g711_samples_are_those_of_ffmpeg(law: g711.Law, codec: str) -> None:
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate, decoder.layout = 8_000, av.AudioLayout("mono")
    codes = bytes(range(256))
    (frame,) = decoder.decode(av.Packet(codes))
    assert np.array_equal(frame.to_ndarray()[0], np.frombuffer(g711.expanded(codes, law), "<i2"))
