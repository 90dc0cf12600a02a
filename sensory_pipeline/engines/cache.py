"""A cache of models: each is loaded once for a process, shared by all who use it, and unloaded when memory is needed.

The memory counted is that of the process's one device (docs/decisions.md: one GPU, one run). A cached model lives at
most as long as that process, which works for one run or for the service.
"""

from __future__ import annotations

import gc
import importlib
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from sensory_pipeline.engines.cache_stats import CacheStats, ResidentModel

Model = TypeVar("Model")


class CacheSettings(BaseModel):
    """How much may stay loaded, and for how long. None means no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_models: int | None = Field(4, ge=1, description="Models kept loaded at once.")
    max_bytes: int | None = Field(None, ge=1, description="Bytes of device memory they take together.")
    ttl_s: float | None = Field(
        300, gt=0, allow_inf_nan=False, description="Seconds after its last use at which a model is unloaded."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel(Generic[Model]):
    """A model as its loader returns it.

    Attributes:
        model: The model.
        size_bytes: Device memory it takes, measured after loading.
        unload: Makes the model release that memory even if something still refers to it (CTranslate2's `unload_model`,
            a torch module's `to("meta")`). It must not raise.
    """

    model: Model
    size_bytes: int
    unload: Callable[[], object]


@dataclass(slots=True, kw_only=True, eq=False)
class _Entry:
    """One model from before its load to after its unload. `size_bytes` is an estimate, then measured."""

    key: str
    size_bytes: int
    loading: Future[None] = field(default_factory=Future)
    loaded: LoadedModel[Any] | None = None
    unloading: bool = False
    leases: int = 0
    loaded_at: float = 0.0
    last_used: float = 0.0

    @property
    def resident(self) -> bool:
        return self.loading.done() and not self.unloading

    @property
    def idle(self) -> bool:
        return self.resident and not self.leases

    def seen(self, now: float) -> ResidentModel:
        return ResidentModel(
            key=self.key,
            size_bytes=self.size_bytes,
            leases=self.leases,
            age_s=now - self.loaded_at,
            idle_s=0.0 if self.leases else now - self.last_used,
        )


class ModelCache:
    """Leases models, and unloads models that nobody uses.

    If there are too many models, or they take too much memory, the least recently used are unloaded first; any model is
    unloaded when it was not used for `ttl_s`.

    A leased model is never unloaded. So if all loaded models are leased, another is loaded above the limits, rather
    than waiting for leases that may never end, and the surplus is unloaded as leases end. A model larger than
    `max_bytes` lives as long as its lease. Models load in parallel; a model that is being unloaded is loaded again only
    after that.

    Args:
        settings: The limits.
        clock: Monotonic seconds.
    """

    def __init__(self, settings: CacheSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._changed = threading.Condition()
        self._entries: dict[str, _Entry] = {}  # least recently used first
        self._reaper: threading.Thread | None = None
        self._closed = False
        self._hits = self._misses = self._loads = self._evictions = 0
        self._load_s = 0.0

    @contextmanager
    def lease(self, key: str, load: Callable[[], LoadedModel[Model]], *, size_bytes: int = 0) -> Iterator[Model]:
        """The model, loaded if needed; it must not be used after the `with`.

        Args:
            key: Identifies weights, device and compute type: everything by which loaded models differ.
            load: Runs in one of the threads that ask, while the others wait. What it raises is raised in all of them,
                and the next lease tries again.
            size_bytes: Memory the model is expected to take; as much is freed before it loads.

        Raises:
            RuntimeError: The cache is closed.
        """
        entry = self._acquire(key, load, size_bytes)
        try:
            assert entry.loaded is not None
            yield entry.loaded.model
        finally:
            self._release(entry)

    def stats(self) -> CacheStats:
        """What the cache has done, and what it holds now."""
        with self._changed:
            now = self._clock()
            return CacheStats(
                hits=self._hits,
                misses=self._misses,
                loads=self._loads,
                evictions=self._evictions,
                load_s=self._load_s,
                resident=tuple(entry.seen(now) for entry in self._entries.values() if entry.resident),
            )

    def evict_expired(self) -> None:
        """Unload models not used for `ttl_s`; a thread calls this in time."""
        self._evict(lambda entry: self._remaining_s(entry) <= 0)

    def close(self) -> None:
        """Unload all models, leased ones as soon as their leases end. No further lease is given.

        A second call has no effect. `contextlib.closing` makes a context manager of the cache.
        """
        with self._changed:
            self._closed = True
            reaper = self._reaper
            self._changed.notify_all()
        self._evict_surplus()
        with self._changed:
            self._changed.wait_for(lambda: not self._unloading())
        if reaper is not None:
            reaper.join()

    def _acquire(self, key: str, load: Callable[[], LoadedModel[Model]], size_bytes: int) -> _Entry:
        with self._changed:
            self._changed.wait_for(lambda: key not in self._entries or not self._entries[key].unloading)
            if self._closed:
                raise RuntimeError(f"no lease of {key}: the model cache is closed")
            first = key not in self._entries
            entry = self._entries.setdefault(key, _Entry(key=key, size_bytes=size_bytes))
            entry.leases += 1
            if entry.resident:
                self._hits += 1
            else:
                self._misses += 1
        try:
            if first:
                self._load(entry, load)
            entry.loading.result()
        except BaseException:
            self._release(entry)
            raise
        return entry

    def _load(self, entry: _Entry, load: Callable[[], LoadedModel[Model]]) -> None:
        try:
            self._make_room()
            began = self._clock()
            loaded = load()
        except BaseException as error:
            with self._changed:
                del self._entries[entry.key]
                self._changed.notify_all()
            entry.loading.set_exception(error)
            raise
        with self._changed:
            entry.loaded = loaded
            entry.size_bytes = loaded.size_bytes
            entry.loaded_at = entry.last_used = self._clock()
            self._loads += 1
            self._load_s += entry.loaded_at - began
            entry.loading.set_result(None)
            self._start_reaper()
        self._evict_surplus()

    def _release(self, entry: _Entry) -> None:
        with self._changed:
            entry.leases -= 1
            entry.last_used = self._clock()
            if self._entries.get(entry.key) is entry:
                self._entries[entry.key] = self._entries.pop(entry.key)
        self._evict_surplus()

    def _make_room(self) -> None:
        """Make room for the entry about to load; wait for memory that others are about to free."""
        self._evict_surplus()
        with self._changed:
            self._changed.wait_for(lambda: not self._unloading() or not self._too_much(self._entries.values()))

    def _evict_surplus(self) -> None:
        self._evict(lambda _: self._closed or self._too_much([e for e in self._entries.values() if not e.unloading]))

    def _unloading(self) -> bool:
        return any(entry.unloading for entry in self._entries.values())

    def _too_much(self, entries: Collection[_Entry]) -> bool:
        most, most_bytes = self._settings.max_models, self._settings.max_bytes
        return (most is not None and len(entries) > most) or (
            most_bytes is not None and sum(entry.size_bytes for entry in entries) > most_bytes
        )

    def _evict(self, due: Callable[[_Entry], bool]) -> None:
        """Unload models that nobody uses and that are due, least recently used first; checked again for each."""
        while True:
            with self._changed:
                entry = next((entry for entry in self._entries.values() if entry.idle and due(entry)), None)
                if entry is None:
                    return
                entry.unloading = True
                self._evictions += 1
                loaded, entry.loaded = entry.loaded, None
            try:
                assert loaded is not None
                loaded.unload()
            finally:
                del loaded
                _free_memory()
                with self._changed:
                    del self._entries[entry.key]
                    self._changed.notify_all()

    def _remaining_s(self, entry: _Entry) -> float:
        if self._settings.ttl_s is None:
            return float("inf")
        return self._settings.ttl_s - (self._clock() - entry.last_used if entry.idle else 0.0)

    def _start_reaper(self) -> None:
        if self._settings.ttl_s is not None and (self._reaper is None or not self._reaper.is_alive()):
            self._reaper = threading.Thread(target=self._reap, name="model-cache-reaper", daemon=True)
            self._reaper.start()

    def _reap(self) -> None:
        """Runs until nothing is loaded. The next load starts another thread, so an abandoned cache can be freed."""
        while True:
            self.evict_expired()
            with self._changed:
                if self._closed or not self._entries:
                    self._reaper = None
                    return
                self._changed.wait(timeout=max(0.0, min(map(self._remaining_s, self._entries.values()))))


def _free_memory() -> None:
    # models are full of reference cycles, and PyTorch keeps freed device memory for itself
    gc.collect()
    if "torch" in sys.modules:
        torch = importlib.import_module("torch")  # waits for another thread's import to end
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
