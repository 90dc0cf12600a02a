"""What the decoder makes of the bytes of a recording."""

from __future__ import annotations

from pathlib import Path

from sensory_pipeline.audio.decoding import DecodedAudio, decode
from sensory_pipeline.audio.resampling import Channels


def decoded(
    content: bytes,
    folder: Path,
    *,
    channels: Channels = "mono",
    max_duration_s: float = 3600,
    track: int | None = None,
) -> DecodedAudio:
    path = folder / "recording"
    path.write_bytes(content)
    return decode(path, channels=channels, max_duration_s=max_duration_s, track=track)
