"""Connects live speech to the service: its engines, and the request of a session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial

from sensory_pipeline.core.errors import UnsupportedLanguage
from sensory_pipeline.core.process_request import ProcessRequest, Task
from sensory_pipeline.gateway.client_limits import ClientLimits
from sensory_pipeline.gateway.live_engines import LiveEngines
from sensory_pipeline.gateway.live_route import LiveSpeech
from sensory_pipeline.gateway.live_sessions import LiveLimits, LiveSessions
from sensory_pipeline.gateway.problems import Problem, refused
from sensory_pipeline.gateway.request_json import RequestJson
from sensory_pipeline.gateway.service import Service


@contextmanager
def live_speech(service: Service, clients: ClientLimits) -> Iterator[LiveSpeech]:
    """Live speech on the engines of the service. All sessions end with the `with` block."""
    limits = LiveLimits(sessions=service.service_settings.live_sessions)
    with closing(LiveEngines(service.executor)) as engines, closing(LiveSessions(engines, limits, clients)) as sessions:
        yield LiveSpeech(sessions=sessions, request_of=partial(_request_of, service))


def _request_of(service: Service, text: str) -> ProcessRequest:
    """The request that a `request_json` means. Speakers and channels are ignored."""
    try:
        asked = RequestJson.read(text.encode())
        if asked.webhook_url is not None:
            raise refused({"webhook_url": "only background jobs have one: leave it out"})
        wanted = asked.request(service.default)
        tasks = (wanted.tasks - {Task.DIARIZATION}) | {Task.TRANSCRIBE}
        request = wanted.model_copy(update={"tasks": tasks, "stereo": False})
        service.recognition.check(request)
    except Problem as problem:
        fields = (f"{name}: {message}" for name, message in problem.fields.items())
        raise ValueError("; ".join(fields) or problem.detail) from problem
    except UnsupportedLanguage as error:
        raise ValueError(str(error)) from error
    return request
