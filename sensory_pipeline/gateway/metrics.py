"""Metrics for Prometheus: counts and times, with a bounded number of labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.cache_stats import CacheStats, together

_METHODS = frozenset({"GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"})
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
_FACTORS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics:
    """The metrics of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "sensory_requests", "Requests by route and status.", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "sensory_request_seconds", "Seconds to the answer.", ["route"], buckets=_SECONDS, registry=self._registry
        )
        self._limited = Counter(
            "sensory_limited_requests", "Requests refused by a limit of their key.", ["limit"], registry=self._registry
        )
        self._queued = Histogram(
            "sensory_queue_seconds", "Seconds that recordings waited.", buckets=_SECONDS, registry=self._registry
        )
        self._factor = Histogram(
            "sensory_real_time_factor",
            "Seconds at work for a second of audio.",
            buckets=_FACTORS,
            registry=self._registry,
        )
        self._received = Counter(
            "sensory_audio_received_seconds", "Seconds of audio received.", registry=self._registry
        )
        self._done = Counter(
            "sensory_audio_done_seconds", "Seconds of audio done by a stage.", ["stage"], registry=self._registry
        )
        self._jobs = Gauge("sensory_jobs", "Background jobs by state.", ["state"], registry=self._registry)
        self._webhooks = Counter(
            "sensory_webhooks", "Attempts to send webhooks by outcome.", ["outcome"], registry=self._registry
        )
        self._cache = Gauge("sensory_models", "Models of the engines.", ["count", "device"], registry=self._registry)
        self._models = Gauge("sensory_model_bytes", "Memory that models take.", ["device"], registry=self._registry)
        Info("sensory_build", "What runs.", registry=self._registry).info({"version": version("sensory-pipeline")})

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Add a gauge whose value is read at each scrape.

        Args:
            name: Name of the gauge.
            meaning: Its help text.
            value: Returns the current value.
        """
        Gauge(name, meaning, registry=self._registry).set_function(value)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            method: HTTP method.
            route: Path template of the route, such as `/v1/jobs/{job_id}`.
            status: HTTP status; 0 if no response was started.
            seconds: Time to the end of the response.
        """
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def limited(self, limit: str) -> None:
        """Count a request that exceeds a limit of its client, by the name of the limit."""
        self._limited.labels(limit).inc()

    def received(self, audio_s: float) -> None:
        """Count a received recording, by its seconds of audio."""
        self._received.inc(audio_s)

    def stage_done(self, stage: Stage, audio_s: float) -> None:
        """Count a processed stage of a recording, by the recording's seconds of audio."""
        self._done.labels(stage.value).inc(audio_s)

    def recognised(self, audio_s: float, waited_s: float, work_s: float) -> None:
        """Count a processed recording.

        Args:
            audio_s: Seconds of audio.
            waited_s: Seconds in the queue.
            work_s: Seconds in the engines.
        """
        self._queued.observe(waited_s)
        self._factor.observe(work_s / max(audio_s, 0.001))

    def webhook(self, outcome: str) -> None:
        """Count an attempt to send a webhook, by its outcome."""
        self._webhooks.labels(outcome).inc()

    def page(self, jobs: Mapping[str, int], caches: Mapping[str, Sequence[CacheStats]]) -> bytes:
        """All metrics in Prometheus's text format.

        Args:
            jobs: Number of background jobs in each state.
            caches: Model caches of the engine processes on each device.
        """
        for state, count in jobs.items():
            self._jobs.labels(state).set(count)
        for device, of_device in caches.items():
            total = together(of_device)
            for name in ("hits", "misses", "loads", "evictions"):
                self._cache.labels(name, device).set(getattr(total, name))
            self._models.labels(device).set(total.size_bytes)
        return generate_latest(self._registry)
