"""Getting models before they are needed, as for a machine without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import SecretStr

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.base import EngineInfo
from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.selection import EngineChoice

Progress = Callable[[int, int | None], None]

_CACHES = Path.home() / ".cache"


def fetch(name: str, *, token: SecretStr | None, progress: Progress = lambda _come, _all: None) -> EngineInfo:
    """Download `ENGINE:MODEL` (whisper:small, pyannote:OWNER/NAME, gigaam:emo) unless it is here already.

    progress: told bytes that have come, and of how many, by engines that tell. Raises
    ConfigurationError when the model cannot be had or the name is none.
    """
    engine, _, model = name.partition(":")
    if engine not in _FETCH or not model:
        raise ConfigurationError(f"there is no model {name!r}: write {', '.join(EXAMPLES)}")
    return _FETCH[engine](model, token, progress)


def missing(engine: str, model: str) -> bool:
    """Whether a model would have to be downloaded; no network is asked.

    Raises ConfigurationError for what names no model. An engine without models misses none.
    """
    return engine in _MISSING and _MISSING[engine](model)


def fetch_missing(choice: EngineChoice) -> None:
    """Download what the chosen engines need and do not have. Raises ConfigurationError when it cannot be had."""
    models = {
        choice.stt: choice.whisper_model,
        choice.diarization: choice.pyannote_model,
        choice.emotion: choice.gigaam_model,
    }
    for engine, model in models.items():
        if missing(engine, model):
            fetch(f"{engine}:{model}", token=choice.pyannote_token)


EXAMPLES = ("whisper:small", "pyannote:pyannote/speaker-diarization-community-1", "gigaam:emo")


def _whisper(model: str, _: SecretStr | None, __: Progress) -> EngineInfo:
    from sensory_pipeline.engines.stt import whisper_models

    try:
        found = whisper_models.resolve(model)
    except ConfigurationError as error:
        if error.__cause__ is None or isinstance(error.__cause__, ValueError):
            raise
        # its own words advise to fetch the model, which is what was tried
        reason = str(error.__cause__).partition("\n")[0]
        raise ConfigurationError(
            f"the hub does not give the Whisper model {model!r} ({reason}). Fetch it on a machine that has a "
            "network, copy its folder here and set WHISPER_MODEL_SIZE=/path/to/folder"
        ) from error
    return EngineInfo(engine="whisper", model=str(found.path), revision=found.revision, algorithm=1)


def _pyannote(model: str, token: SecretStr | None, _: Progress) -> EngineInfo:
    from sensory_pipeline.engines.diarization.pyannote_audio import PyannoteDiarizer

    return PyannoteDiarizer(model, cache=ModelCache(CacheSettings()), token=token).info


def _gigaam(model: str, _: SecretStr | None, progress: Progress) -> EngineInfo:
    from sensory_pipeline.engines.emotion.published import EMO

    if model != "emo":
        raise ConfigurationError(f"there is no GigaAM model {model!r} for emotions: write gigaam:emo")
    path = EMO.fetch(_CACHES, progress)
    return EngineInfo(engine="gigaam", model=str(path), revision=EMO.md5, algorithm=1)


def _whisper_missing(model: str) -> bool:
    from sensory_pipeline.engines.stt.whisper_models import local

    return local(model) is None


def _pyannote_missing(model: str) -> bool:
    from sensory_pipeline.engines.diarization.hub import local
    from sensory_pipeline.engines.diarization.open_pipeline import OPEN

    return model != OPEN and local(model) is None


def _gigaam_missing(model: str) -> bool:
    from sensory_pipeline.engines.emotion.published import EMO

    return model == "emo" and not (_CACHES / EMO.place).is_file()


_MISSING: Mapping[str, Callable[[str], bool]] = {
    "whisper": _whisper_missing,
    "pyannote": _pyannote_missing,
    "gigaam": _gigaam_missing,
}
_FETCH: Mapping[str, Callable[[str, SecretStr | None, Progress], EngineInfo]] = {
    "whisper": _whisper,
    "pyannote": _pyannote,
    "gigaam": _gigaam,
}
