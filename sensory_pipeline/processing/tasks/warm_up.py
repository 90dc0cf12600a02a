"""Loads models before there is a recording for them."""

from __future__ import annotations

import numpy as np

from sensory_pipeline.audio.waveform import SAMPLE_RATE, Waveform
from sensory_pipeline.core.emotions import EmotionWindow
from sensory_pipeline.core.process_request import ProcessRequest
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.base import ClassifyJob, DiarizeJob, TranscribeJob
from sensory_pipeline.engines.selection import Engines


def warm_up(stage: Stage, engines: Engines) -> None:
    """Load the models of a stage by processing a second of silence. Decoding has none.

    Args:
        stage: The stage.
        engines: The engines of this process.

    Raises:
        ConfigurationError: The engine refuses its settings.
    """
    silence = Waveform(samples=np.zeros((1, SAMPLE_RATE), np.int16))
    request = ProcessRequest()
    match stage:
        case Stage.TRANSCRIPTS:
            list(engines.transcriber.transcribe([TranscribeJob(key="", pcm=silence, settings=request.tra)]))
        case Stage.DIARIZATION:
            list(engines.diarizer.diarize([DiarizeJob(key="", pcm=silence, settings=request.dia)]))
        case Stage.EMOTIONS:
            windows = (EmotionWindow(span=silence.span, turn=silence.span, speaker=None),)
            list(engines.classifier.classify([ClassifyJob(key="", pcm=silence, windows=windows, language=None)]))
        case _:
            pass
