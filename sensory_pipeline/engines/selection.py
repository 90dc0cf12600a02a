"""Which engines do the work. Constructing an engine is cheap; its model loads with its first job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sensory_pipeline.engines.base import Diarizer, EmotionClassifier, Transcriber


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """One engine of each kind, living in one process."""

    transcriber: Transcriber
    diarizer: Diarizer
    classifier: EmotionClassifier


EngineFactory = Callable[[], Engines]
"""Makes the engines inside the process that will use them; picklable by reference."""


def offline_engines(*, stereo: bool = False) -> Engines:
    """The engines that need no download, no token and no GPU.

    stereo: each channel is one speaker, so that there is nobody to tell apart.
    """
    from sensory_pipeline.engines.diarization.channels import ChannelDiarizer
    from sensory_pipeline.engines.diarization.offline import OfflineDiarizer
    from sensory_pipeline.engines.emotion.prosody import ProsodyClassifier
    from sensory_pipeline.engines.stt.pocketsphinx import PocketSphinxTranscriber

    return Engines(
        transcriber=PocketSphinxTranscriber(),
        diarizer=ChannelDiarizer() if stereo else OfflineDiarizer(),
        classifier=ProsodyClassifier(),
    )
