"""Models are kept within limits, and a model in use is never unloaded."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import pytest

from sensory_pipeline.engines.cache import CacheSettings, LoadedModel, ModelCache
from sensory_pipeline_tests.cached_models import Clock, Library, Weights, at_most, resident, unlimited
from sensory_pipeline_tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("cheap_collection")


@pytest.fixture
def reapers() -> Callable[[], set[threading.Thread]]:
    """Returns the reapers that were started since the test began; caches of other tests may still have theirs."""
    before = set(threading.enumerate())
    return lambda: {thread for thread in threading.enumerate() if thread.name == "model-cache-reaper"} - before


def test_the_least_recently_used_goes_first() -> None:
    cache, library = ModelCache(at_most(2)), Library()
    for key in "aba":
        with cache.lease(key, library.loader(key)):
            pass
    with cache.lease("c", library.loader("c")):
        assert library.usable == ["a", "c"]
    assert resident(cache) == ["a", "c"]
    assert cache.stats().evictions == 1


def test_use_counts_to_the_end_of_the_lease() -> None:
    cache, library = ModelCache(at_most(2)), Library()
    with cache.lease("a", library.loader("a")), cache.lease("b", library.loader("b")):
        pass
    with cache.lease("c", library.loader("c")):
        assert library.usable == ["a", "c"], "b's lease ended first"


def test_bytes_are_a_limit_too() -> None:
    cache = ModelCache(CacheSettings(max_models=None, max_bytes=100, ttl_s=None))
    library = Library(size_bytes=40)
    for key in "abc":
        with cache.lease(key, library.loader(key)):
            pass
    assert resident(cache) == ["b", "c"]
    assert cache.stats().size_bytes == 80


def test_room_is_made_before_a_model_of_known_size_loads() -> None:
    cache = ModelCache(CacheSettings(max_models=None, max_bytes=100, ttl_s=None))
    library = Library(size_bytes=60)
    with cache.lease("a", library.loader("a")):
        pass

    def load() -> LoadedModel[Weights]:
        assert library.usable == [], "two models of 60 bytes do not fit into 100"
        return library.loader("b")()

    with cache.lease("b", load, size_bytes=60):
        assert library.usable == ["b"]


def test_a_model_above_the_limit_lives_for_its_lease() -> None:
    cache = ModelCache(CacheSettings(max_models=None, max_bytes=100, ttl_s=None))
    with cache.lease("huge", Library(size_bytes=101).loader("huge")) as weights:
        assert weights.usable
    assert not weights.usable
    assert resident(cache) == []


def test_leased_models_are_kept_and_the_surplus_is_evicted_as_leases_end() -> None:
    cache, library = ModelCache(at_most(1)), Library()
    with ExitStack() as leases:
        for key in "abc":
            leases.enter_context(cache.lease(key, library.loader(key)))
        assert library.usable == ["a", "b", "c"]
    assert library.usable == ["a"], "c and b ended first and were too many"


def test_unused_models_expire() -> None:
    clock, library = Clock(), Library()
    cache = ModelCache(CacheSettings(max_models=None, max_bytes=None, ttl_s=60), clock=clock)
    with cache.lease("a", library.loader("a")):
        with cache.lease("b", library.loader("b")):
            clock.now += 100
        cache.evict_expired()
        assert library.usable == ["a", "b"], "one is leased, the other was until now"
        clock.now += 59
        cache.evict_expired()
        assert library.usable == ["a", "b"]
        clock.now += 1
        cache.evict_expired()
        assert library.usable == ["a"]
    cache.close()


def test_the_reaper_evicts_by_itself_and_ends_when_nothing_is_left(
    reapers: Callable[[], set[threading.Thread]],
) -> None:
    library = Library()
    cache = ModelCache(CacheSettings(max_models=None, max_bytes=None, ttl_s=0.05))
    for round_ in (1, 2):
        with cache.lease("a", library.loader("a")):
            assert reapers()
            time.sleep(0.1)
            assert library.usable == ["a"]
        eventually(lambda: library.usable == [])
        eventually(lambda: not reapers())
        assert len(library.made) == round_
    assert cache.stats().evictions == 2


def test_without_a_time_to_live_there_is_no_reaper(reapers: Callable[[], set[threading.Thread]]) -> None:
    cache = ModelCache(unlimited())
    with cache.lease("a", Library().loader("a")):
        assert not reapers()


@dataclass
class SlowUnload:
    """A model whose unload takes until `resume` is set."""

    begun: threading.Event = field(default_factory=threading.Event)
    resume: threading.Event = field(default_factory=threading.Event)
    done: bool = False

    def unload(self) -> None:
        self.begun.set()
        assert self.resume.wait(10)
        self.done = True

    def load(self) -> LoadedModel[SlowUnload]:
        return LoadedModel(model=self, size_bytes=1, unload=self.unload)


def test_nothing_loads_into_memory_that_is_still_being_freed() -> None:
    cache, slow, library = ModelCache(at_most(1)), SlowUnload(), Library()

    def use(key: str) -> bool:
        with cache.lease(key, library.loader(key)):
            return slow.done

    with cache.lease("a", slow.load):
        pass
    with ThreadPoolExecutor(3) as threads:
        evicting = threads.submit(use, "b")
        assert slow.begun.wait(10)
        again, another = threads.submit(use, "a"), threads.submit(use, "c")
        time.sleep(0.05)
        assert library.made == []
        assert resident(cache) == []
        slow.resume.set()
        assert evicting.result() and again.result() and another.result()
    assert len(library.made) == 3


def test_a_model_being_unloaded_counts_as_free_memory() -> None:
    cache, slow, library = ModelCache(at_most(2)), SlowUnload(), Library()
    with cache.lease("a", slow.load):
        pass
    with cache.lease("b", library.loader("b")):
        pass
    with ThreadPoolExecutor(1) as threads:

        def use() -> None:
            with cache.lease("c", library.loader("c")):
                pass

        evicting = threads.submit(use)
        assert slow.begun.wait(10)
        with cache.lease("b", library.loader("b")):
            pass
        assert library.usable == ["b"], "a goes for c; b may stay"
        slow.resume.set()
        evicting.result()
    assert resident(cache) == ["b", "c"]


def test_close_waits_for_an_unload_under_way() -> None:
    cache, slow, library = ModelCache(at_most(1)), SlowUnload(), Library()
    with cache.lease("a", slow.load):
        pass

    def use() -> None:
        with cache.lease("b", library.loader("b")):
            pass

    with ThreadPoolExecutor(2) as threads:
        evicting = threads.submit(use)
        assert slow.begun.wait(10)
        closing = threads.submit(cache.close)
        time.sleep(0.05)
        assert not closing.done()
        slow.resume.set()
        closing.result()
        assert slow.done
        evicting.result()
    assert library.usable == [], "it was being loaded when the cache closed"


def test_an_unload_that_raises_leaves_the_cache_usable() -> None:
    cache, library = ModelCache(at_most(1)), Library()

    def unload() -> None:
        raise OSError("the device is gone")

    with cache.lease("a", lambda: LoadedModel(model="a", size_bytes=1, unload=unload)):
        pass
    with pytest.raises(OSError, match="device is gone"), cache.lease("b", library.loader("b")):
        raise AssertionError("leased without the room for it")
    assert resident(cache) == []
    with cache.lease("a", library.loader("a")):
        assert library.usable == ["a"]


@pytest.mark.parametrize("initialized", [True, False])
def test_pytorch_frees_the_memory_it_keeps_on_a_gpu(initialized: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    torch = ModuleType("torch")
    cuda = SimpleNamespace(is_initialized=lambda: initialized, empty_cache=lambda: done.append("emptied"))
    monkeypatch.setattr(torch, "cuda", cuda, raising=False)
    monkeypatch.setitem(sys.modules, "torch", torch)
    cache = ModelCache(unlimited())

    def load() -> LoadedModel[str]:
        return LoadedModel(model="a", size_bytes=1, unload=lambda: done.append("unloaded"))

    with cache.lease("a", load):
        pass
    cache.close()
    assert done == (["unloaded", "emptied"] if initialized else ["unloaded"])


def test_closing_unloads_idle_models_at_once_and_leased_ones_later(
    reapers: Callable[[], set[threading.Thread]],
) -> None:
    cache, library = ModelCache(CacheSettings(max_models=None, max_bytes=None, ttl_s=60)), Library()
    with cache.lease("idle", library.loader("idle")):
        pass
    with cache.lease("leased", library.loader("leased")) as weights:
        cache.close()
        cache.close()
        assert weights.usable
        assert library.usable == ["leased"]
        assert not reapers()
        with pytest.raises(RuntimeError, match="closed"), cache.lease("leased", library.loader("leased")):
            raise AssertionError("leased from a closed cache")
    assert library.usable == []
    assert (cache.stats().loads, cache.stats().evictions) == (2, 2)
