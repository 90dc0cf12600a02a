"""What a cache of models has done, and what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentModel:
    """A loaded model.

    Attributes:
        key: Its key in the cache.
        size_bytes: Device memory it takes.
        leases: How many use it now.
        age_s: Seconds since it was loaded.
        idle_s: Seconds since its last use; 0 while it is leased.
    """

    key: str
    size_bytes: int
    leases: int
    age_s: float
    idle_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """The state of a cache at one moment. Counts are since the cache was made.

    Attributes:
        hits: Leases that found the model loaded.
        misses: Leases that loaded the model or waited for that.
        loads: Successful loads.
        evictions: Models unloaded, for any reason; loads - evictions models are resident.
        load_s: Seconds that the successful loads took.
        resident: The loaded models, least recently used first.
    """

    hits: int
    misses: int
    loads: int
    evictions: int
    load_s: float
    resident: tuple[ResidentModel, ...]

    @property
    def size_bytes(self) -> int:
        return sum(model.size_bytes for model in self.resident)


def together(caches: Sequence[CacheStats]) -> CacheStats:
    """Return the sums over several caches, and the models of all of them."""
    return CacheStats(
        hits=sum(cache.hits for cache in caches),
        misses=sum(cache.misses for cache in caches),
        loads=sum(cache.loads for cache in caches),
        evictions=sum(cache.evictions for cache in caches),
        load_s=sum(cache.load_s for cache in caches),
        resident=tuple(model for cache in caches for model in cache.resident),
    )
