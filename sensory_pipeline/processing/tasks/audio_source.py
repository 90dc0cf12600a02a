"""Where the sound of a recording comes from: its source, or the cache of decoded audio."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sensory_pipeline.audio.crosstalk import find_crosstalk, silence
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.pcm_file import read_pcm, write_pcm, writing
from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.core.results import AudioFacts
from sensory_pipeline.storage.s3_access import AS_FOUND, S3Access
from sensory_pipeline.storage.sources import local_copy


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSource:
    """The sound of a recording.

    Attributes:
        uri: The recording.
        version: The version to read.
        decoded: Path of its decoded audio in the cache.
        max_duration_s: Longer recordings fail, in seconds.
        stereo: Whether to keep the channels separate and silence what leaks from one into the other.
        track: Number of the audio track to use, from 1; None for the default.
        access: Access to S3.
    """

    uri: str
    version: str
    decoded: Path
    max_duration_s: float
    stereo: bool
    track: int | None = None
    access: S3Access = AS_FOUND

    def open(self) -> Waveform:
        """Return the decoded audio from the cache; decode it if it is not there.

        Raises:
            AudioError: The recording cannot be decoded.
            Transient: It cannot be decoded for now.
        """
        try:
            with writing(self.decoded.parent):
                return read_pcm(self.decoded)
        except FileNotFoundError:
            return self.decode()[0]

    def decode(self) -> tuple[Waveform, AudioFacts]:
        """Decode the source into the cache.

        Returns:
            The audio, and what decoding found out about it.

        Raises:
            AudioError: The recording cannot be decoded.
            Transient: It cannot be decoded for now.
        """
        with writing(self.decoded.parent):
            self.decoded.parent.mkdir(parents=True, exist_ok=True)
        with local_copy(self.uri, self.version, self.decoded.parent, self.access) as path:
            found = decode(
                path,
                channels="keep" if self.stereo else "mono",
                max_duration_s=self.max_duration_s,
                track=self.track,
                folder=self.decoded.parent,
            )
        remarks = found.remarks
        if self.stereo:
            crosstalk = find_crosstalk(found.pcm)
            silence(found.pcm, crosstalk)
            remarks += crosstalk.remarks
        with writing(self.decoded.parent):
            write_pcm(self.decoded, found.pcm)
        facts = AudioFacts(
            duration_ms=found.pcm.duration_ms,
            codec=found.codec,
            sample_rate=found.sample_rate,
            channels=found.channels,
            track=found.track,
            damage=found.damage,
            undecoded_ms=None if found.undecoded_s is None else round(found.undecoded_s * 1000),
            remarks=remarks,
            sound=found.pcm.sha256,
        )
        return found.pcm, facts
