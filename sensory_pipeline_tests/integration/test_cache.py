"""Models are loaded once and shared."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import ValidationError

from sensory_pipeline.engines.cache import CacheSettings, LoadedModel, ModelCache
from sensory_pipeline_tests.cached_models import Clock, Library, Weights, at_most, resident, unlimited
from sensory_pipeline_tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("cheap_collection")


def test_a_second_lease_finds_the_model_loaded() -> None:
    cache, library = ModelCache(unlimited()), Library()
    with cache.lease("a", library.loader("a")) as first, cache.lease("a", library.loader("a")) as second:
        assert first is second
    with cache.lease("a", library.loader("a")) as third:
        assert third is first
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.loads, stats.evictions) == (2, 1, 1, 0)


def test_concurrent_leases_load_once() -> None:
    cache, library = ModelCache(unlimited()), Library()
    everyone = threading.Barrier(32)
    held = threading.Barrier(32)

    def load() -> LoadedModel[Weights]:
        time.sleep(0.05)
        return library.loader("a")()

    def use() -> Weights:
        everyone.wait()
        with cache.lease("a", load) as weights:
            held.wait(timeout=10)
            return weights

    with ThreadPoolExecutor(32) as threads:
        models = {id(future.result()) for future in [threads.submit(use) for _ in range(32)]}
    stats = cache.stats()
    assert len(models) == len(library.made) == stats.loads == 1
    assert (stats.misses, stats.hits) == (32, 0), "those who waited for the load did not find it loaded"
    assert stats.resident[0].leases == 0


def test_different_models_load_side_by_side() -> None:
    cache, library = ModelCache(at_most(1)), Library()
    both = threading.Barrier(2)

    def use(key: str) -> None:
        def load() -> LoadedModel[Weights]:
            both.wait(timeout=10)
            return library.loader(key)()

        with cache.lease(key, load):
            pass

    with ThreadPoolExecutor(2) as threads:
        for future in [threads.submit(use, key) for key in "ab"]:
            future.result()
    assert len(library.usable) == 1


def test_a_loader_may_lease_another_model() -> None:
    cache, library = ModelCache(at_most(1)), Library()

    def load() -> LoadedModel[Weights]:
        with cache.lease("base", library.loader("base")):
            return library.loader("head")()

    with cache.lease("head", load):
        assert library.usable == ["head"]


def test_a_failed_load_fails_for_all_waiting_threads_and_is_tried_again() -> None:
    cache, library = ModelCache(unlimited()), Library()
    attempts: Counter[str] = Counter()
    waiting = threading.Event()

    def fail() -> LoadedModel[Weights]:
        attempts["a"] += 1
        assert waiting.wait(10)
        raise OSError("no weights")

    def use() -> str:
        with pytest.raises(OSError, match="no weights"), cache.lease("a", fail):
            raise AssertionError("leased what did not load")
        return "failed"

    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(use) for _ in range(8)]
        eventually(lambda: cache.stats().misses == 8)
        waiting.set()
        assert [future.result() for future in futures] == ["failed"] * 8
    assert attempts["a"] == 1
    assert (cache.stats().loads, resident(cache)) == (0, [])
    with cache.lease("a", library.loader("a")) as weights:
        assert weights.usable
    assert cache.stats().loads == 1


def test_a_lease_that_fails_after_its_load_holds_nothing() -> None:
    cache = ModelCache(CacheSettings(max_models=None, max_bytes=10, ttl_s=None))

    def unload() -> None:
        raise OSError("the device is gone")

    with cache.lease("a", lambda: LoadedModel(model="a", size_bytes=6, unload=unload)):
        pass
    larger_than_said = Library(size_bytes=6).loader("b")
    with pytest.raises(OSError, match="device is gone"), cache.lease("b", larger_than_said):
        raise AssertionError("leased without the room for it")
    assert [(model.key, model.leases) for model in cache.stats().resident] == [("b", 0)]


def test_an_error_while_using_a_model_ends_the_lease() -> None:
    cache, library = ModelCache(unlimited()), Library()
    with pytest.raises(ZeroDivisionError), cache.lease("a", library.loader("a")):
        _ = 1 / 0
    assert [model.leases for model in cache.stats().resident] == [0]


def test_stats_show_ages_and_loading_time() -> None:
    clock, library = Clock(), Library(size_bytes=7)
    cache = ModelCache(unlimited(), clock=clock)

    def load() -> LoadedModel[Weights]:
        clock.now += 2.5
        return library.loader("a")()

    with cache.lease("a", load):
        clock.now += 10
        [leased] = cache.stats().resident
        assert (leased.leases, leased.age_s, leased.idle_s, leased.size_bytes) == (1, 10, 0, 7)
    clock.now += 3
    [idle] = cache.stats().resident
    assert (idle.leases, idle.age_s, idle.idle_s) == (0, 13, 3)
    assert cache.stats().load_s == 2.5
    assert cache.stats().size_bytes == 7


@pytest.mark.parametrize("wrong", [{"max_models": 0}, {"max_bytes": 0}, {"ttl_s": 0}, {"ttl_s": float("inf")}])
def test_invalid_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        CacheSettings.model_validate(wrong)
