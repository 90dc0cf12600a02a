"""Models for tests of the cache, which know whether they may be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sensory_pipeline.engines.cache import CacheSettings, LoadedModel, ModelCache

KEYS = "abcdef"


@dataclass(eq=False)
class Weights:
    """A model that knows whether it may be used."""

    key: str
    usable: bool = True

    def unload(self) -> None:
        assert self.usable, f"{self.key} was unloaded twice"
        self.usable = False


@dataclass
class Clock:
    """A clock that a test sets."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Library:
    """Makes models; made: all of them, in order."""

    size_bytes: int = 1
    made: list[Weights] = field(default_factory=list)

    def loader(self, key: str) -> Callable[[], LoadedModel[Weights]]:
        def load() -> LoadedModel[Weights]:
            weights = Weights(key)
            self.made.append(weights)
            return LoadedModel(model=weights, size_bytes=self.size_bytes, unload=weights.unload)

        return load

    @property
    def usable(self) -> list[str]:
        return sorted(weights.key for weights in self.made if weights.usable)


def unlimited() -> CacheSettings:
    return CacheSettings(max_models=None, max_bytes=None, ttl_s=None)


def at_most(models: int) -> CacheSettings:
    return CacheSettings(max_models=models, max_bytes=None, ttl_s=None)


def resident(cache: ModelCache) -> list[str]:
    """Least recently used first."""
    return [model.key for model in cache.stats().resident]
