"""Clients of the service: `AudioClient`, `AsyncAudioClient` and, for live speech, `StreamingClient`.

They need only the extra `client`: neither Dagster nor any library that runs a model.
"""

from __future__ import annotations

from sensory_pipeline.client.asynchronous import AsyncAudioClient
from sensory_pipeline.client.blocking import AudioClient
from sensory_pipeline.client.errors import JobFailed, ServiceError, StreamLost
from sensory_pipeline.client.results import LiveMessage, Result
from sensory_pipeline.client.streaming import StreamingClient

__all__ = [
    "AsyncAudioClient",
    "AudioClient",
    "JobFailed",
    "LiveMessage",
    "Result",
    "ServiceError",
    "StreamLost",
    "StreamingClient",
]
