"""Getting models before they are needed, as for a machine without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import SecretStr

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.base import EngineInfo
from sensory_pipeline.engines.cache import CacheSettings, ModelCache

Progress = Callable[[int, int | None], None]


def fetch(name: str, *, token: SecretStr | None, progress: Progress = lambda _come, _all: None) -> EngineInfo:
    """Download `ENGINE:MODEL` (whisper:small, pyannote:OWNER/NAME, gigaam:emo) unless it is here already.

    progress: told bytes that have come, and of how many, by engines that tell. Raises
    ConfigurationError when the model cannot be had or the name is none.
    """
    engine, _, model = name.partition(":")
    if engine not in _FETCH or not model:
        raise ConfigurationError(f"there is no model {name!r}: write {', '.join(EXAMPLES)}")
    return _FETCH[engine](model, token, progress)


EXAMPLES = ("whisper:small", "pyannote:pyannote/speaker-diarization-community-1", "gigaam:emo")


def _whisper(model: str, _: SecretStr | None, __: Progress) -> EngineInfo:
    from sensory_pipeline.engines.stt.whisper_models import resolve

    found = resolve(model)
    return EngineInfo(engine="whisper", model=str(found.path), revision=found.revision, algorithm=1)


def _pyannote(model: str, token: SecretStr | None, _: Progress) -> EngineInfo:
    from sensory_pipeline.engines.diarization.pyannote_audio import PyannoteDiarizer

    return PyannoteDiarizer(model, cache=ModelCache(CacheSettings()), token=token).info


def _gigaam(model: str, _: SecretStr | None, progress: Progress) -> EngineInfo:
    from sensory_pipeline.engines.emotion.published import EMO

    if model != "emo":
        raise ConfigurationError(f"there is no GigaAM model {model!r} for emotions: write gigaam:emo")
    path = EMO.fetch(Path.home() / ".cache", progress)
    return EngineInfo(engine="gigaam", model=str(path), revision=EMO.md5, algorithm=1)


_FETCH: Mapping[str, Callable[[str, SecretStr | None, Progress], EngineInfo]] = {
    "whisper": _whisper,
    "pyannote": _pyannote,
    "gigaam": _gigaam,
}
