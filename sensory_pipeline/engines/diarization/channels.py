"""Who spoke when if each channel is one speaker: voice activity, channel by channel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sensory_pipeline.core.channels import channel_diarization
from sensory_pipeline.core.diarization import Diarization
from sensory_pipeline.core.errors import Terminal
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines import vad
from sensory_pipeline.engines.activity_log import ActivityLog
from sensory_pipeline.engines.base import DiarizeJob, EngineInfo
from sensory_pipeline.engines.spec import EngineChoice, EngineContext, EngineSpec


class ChannelDiarizer:
    """Channel 0 is `SPEAKER_00` and so on, whoever speaks first. Settings for the number of speakers do not apply."""

    info = EngineInfo(engine="channels", model=vad.MODEL, revision="1", algorithm=1, settings_used=frozenset())

    def __init__(self, activity: ActivityLog | None = None) -> None:
        self._activity = activity or ActivityLog()

    def diarize(self, jobs: Iterable[DiarizeJob]) -> Iterator[tuple[str, Diarization | Terminal]]:
        for job in jobs:
            with self._activity.noting("device", "looking for speech"):
                speech = [vad.speech_spans(job.pcm.channel(index).mono()) for index in range(job.pcm.channels)]
            yield job.key, channel_diarization(speech)


def _make(_: EngineChoice, context: EngineContext) -> ChannelDiarizer:
    return ChannelDiarizer(context.activity)


ENGINE = EngineSpec(
    name="channels",
    stage=Stage.DIARIZATION,
    about="voice activity of each channel (Silero VAD); used in stereo mode",
    make=_make,
)
