"""Whether engines can do what is asked."""

from __future__ import annotations

from sensory_pipeline.core.errors import UnsupportedLanguage
from sensory_pipeline.core.process_request import ProcessRequest, Task
from sensory_pipeline.engines.base import EngineInfo


def check(request: ProcessRequest, transcriber: EngineInfo) -> None:
    """Check whether the transcriber knows the languages that are asked for, and can translate if that is asked for.

    Raises:
        UnsupportedLanguage: It does not, as far as that is known without loading its model.
    """
    if Task.TRANSCRIBE not in request.tasks:
        return
    if request.tra.translate and not transcriber.translates:
        raise UnsupportedLanguage(
            f"{transcriber.engine} with the model {transcriber.model} does not translate: choose a multilingual model "
            "of Whisper, for example WHISPER_MODEL_SIZE=small, or leave translation out"
        )
    if transcriber.languages is None:
        return
    if unknown := request.tra.asked_languages - transcriber.languages:
        raise UnsupportedLanguage(
            f"{transcriber.engine} knows {', '.join(sorted(transcriber.languages))} only, not {min(unknown)!r}: set "
            "the language to one of these or auto, or choose another engine or model"
        )
