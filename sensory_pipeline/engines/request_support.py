"""Whether engines can do what is asked."""

from __future__ import annotations

from sensory_pipeline.core.errors import UnsupportedLanguage
from sensory_pipeline.core.process_request import ProcessRequest, Task
from sensory_pipeline.engines.base import EngineInfo


def check(request: ProcessRequest, transcriber: EngineInfo) -> None:
    """Check whether the transcriber knows the languages that are asked for.

    Raises:
        UnsupportedLanguage: It does not, as far as that is known without loading its model.
    """
    if Task.TRANSCRIBE not in request.tasks:
        return
    if transcriber.languages is None:
        return
    if unknown := request.tra.asked_languages - transcriber.languages:
        raise UnsupportedLanguage(
            f"{transcriber.engine} knows {', '.join(sorted(transcriber.languages))} only, not {min(unknown)!r}: set "
            "the language to one of these or auto, or choose another engine or model"
        )
