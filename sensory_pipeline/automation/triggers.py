"""Runs for new recordings: a sensor that watches the sources all day, and a schedule for the night.

Both sweep every source into the ledger and request a run for each partition that has pending recordings. The sensor
waits until some have gathered, because a run for each file would load the models each time.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice

import dagster as dg

from sensory_pipeline.assets.partitions import first_date, partition_key
from sensory_pipeline.automation.discovery import sweep_all
from sensory_pipeline.automation.jobs import SOURCE_TAG, process_recordings
from sensory_pipeline.automation.runs import UNFINISHED
from sensory_pipeline.core.errors import SensoryError
from sensory_pipeline.core.recordings import Partition
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.ledger_entries import Backlog
from sensory_pipeline.processing.effective_settings import unattended
from sensory_pipeline.processing.plans import Plans
from sensory_pipeline.processing.setup import arrival_wait_s, current_plans
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.s3_access import AS_FOUND, S3Access
from sensory_pipeline.storage.sources import prefix_of

MOST_RUNS = 50
"""Maximum number of runs requested at once; the others follow in the next tick."""

SWEEP_S = 20.0
"""Seconds for listing, of the 60 that Dagster gives a tick; a million keys take several ticks."""

EVENTS_S = 10.0
"""Seconds for the queue's messages, of the same 60."""


def arrivals(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that watches the sources."""
    watches = bool(settings.sources) and settings.arrivals
    begins = first_date(settings)

    @dg.sensor(
        name="arrivals",
        job=process_recordings,
        required_resource_keys=_resources(settings),
        minimum_interval_seconds=30 if settings.in_s3 else 10,  # every listing of S3 costs money
        default_status=dg.DefaultSensorStatus.RUNNING if watches else dg.DefaultSensorStatus.STOPPED,
        description="Sweeps SENSORY_SOURCES and runs partitions after SENSORY_ARRIVAL_GB or SENSORY_ARRIVAL_WAIT_S.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        lake = _swept(settings, context, begins)
        now = datetime.now(UTC)
        backlog = _backlog(lake, begins, context.log)
        wait_s = arrival_wait_s(settings)
        resting = _resting(backlog, context.instance, now)
        ripe = [
            item
            for item in backlog
            if (item.size_bytes >= settings.arrival_gb * 1e9 or (now - item.since).total_seconds() >= wait_s)
            and item.partition not in resting
        ]
        requests = list(islice(_requests(lake, settings, ripe, now, context.instance), MOST_RUNS))
        yield from requests
        if not requests:
            waiting = sum(item.recordings for item in backlog)
            reason = "recordings wait for more, are in progress, or failed within the hour"
            yield dg.SkipReason(f"{waiting} {reason}" if waiting else "nothing new")

    return sensor


def nightly(settings: Settings) -> dg.ScheduleDefinition:
    """Return the schedule that runs everything pending."""
    begins = first_date(settings)

    @dg.schedule(
        name="nightly",
        job=process_recordings,
        required_resource_keys=_resources(settings),
        cron_schedule=settings.nightly,
        execution_timezone=settings.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING if settings.sources else dg.DefaultScheduleStatus.STOPPED,
        description="Sweeps SENSORY_SOURCES and runs everything pending.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        lake = _swept(settings, context, begins)
        waiting = _backlog(lake, begins, context.log)
        yield from _requests(lake, settings, waiting, datetime.now(UTC), context.instance)

    return schedule


def _resources(settings: Settings) -> set[str]:
    return {"s3"} if settings.in_s3 else set()


def _swept(
    settings: Settings, context: dg.SensorEvaluationContext | dg.ScheduleEvaluationContext, begins: date
) -> Lake:
    """Return the lake after sweeping the sources into its ledger, as far as time allows.

    Args:
        settings: The settings.
        context: Of the tick.
        begins: The first date that Dagster knows; an older new recording gets it.
    """
    log = context.log
    access = context.resources.s3.access if settings.in_s3 else AS_FOUND
    lake = Lake.create(settings.lake, shards=settings.shards, start_date=settings.start_date, ledger=settings.ledger)
    unattended(lake, settings)
    lake = replace(lake, start_date=max(lake.start_date, begins))
    plans = current_plans(settings)
    sources = [source.uri for source in settings.sources]
    if settings.sqs_queue:
        _consume_events(lake, plans, settings.sqs_queue, sources, access, log)
    for source, swept in sweep_all(lake, plans, sources, access, seconds=SWEEP_S):
        if isinstance(swept, SensoryError):
            log.error(f"{source}: {swept}")
            continue
        found = swept.registration
        if swept.emptied:
            log.warning(
                f"{source} is empty, but had {swept.emptied} recordings: is it mounted? Nothing is marked as missing; "
                f"if they were deleted, run sensory ingest {source} --confirm-missing"
            )
        log.info(
            f"{source}: {found.new} new, {found.changed} changed, {found.stale} to redo, "
            f"{found.unchanged} unchanged, "
            + (f"{swept.missing} missing" if swept.complete else "more to list: the next tick continues")
            + (f"; skipped: {dict(swept.skipped)}" if swept.skipped else "")
        )
    return lake


def _consume_events(
    lake: Lake, plans: Plans, queue: str, sources: list[str], access: S3Access, log: logging.Logger
) -> None:
    # imported late, as S3 is
    from sensory_pipeline.automation.events import consume_events

    try:
        consumed = consume_events(lake, plans, queue, sources, access, seconds=EVENTS_S)
    except SensoryError as error:  # the sweep finds everything too, only later
        log.error(str(error))
    else:
        left = f"; {consumed.left} messages could not be handled and will come again" if consumed.left else ""
        log.info(f"the queue named {consumed.objects} objects{left}")


def _backlog(lake: Lake, begins: date, log: logging.Logger) -> tuple[Backlog, ...]:
    """Return what waits in the partitions that Dagster knows; a warning names the others."""
    waiting = lake.ledger.backlog()
    if before := [item.partition.key for item in waiting if item.partition.date < begins]:
        log.warning(
            f"recordings wait in {', '.join(before)}, before the first date that the UI knows: reload definitions "
            "(Deployment), or run sensory ingest again"
        )
    return tuple(item for item in waiting if item.partition.date >= begins)


def _resting(backlog: Iterable[Backlog], instance: dg.DagsterInstance, now: datetime) -> set[Partition]:
    """Return the partitions whose last run, within the hour, failed or put off everything that is left.

    Another run would most likely fail too, and runs would follow one another all day.
    """
    last: dict[str | None, dg.DagsterRunStatus] = {}
    for run in instance.get_runs(filters=dg.RunsFilter(updated_after=now - timedelta(hours=1))):  # the newest first
        last.setdefault(run.tags.get("dagster/partition"), run.status)
    return {
        item.partition
        for item in backlog
        if (status := last.get(item.partition.key))
        and (status is dg.DagsterRunStatus.FAILURE or item.deferred == item.recordings)
    }


def _requests(
    lake: Lake, settings: Settings, backlog: Iterable[Backlog], now: datetime, instance: dg.DagsterInstance
) -> Iterator[dg.RunRequest]:
    """Request a run for each partition that has none in progress."""
    busy = {run.tags.get("dagster/partition") for run in instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED))}
    for item in backlog:
        partition = item.partition
        if partition.key not in busy:
            yield dg.RunRequest(
                # with the hour, so that a failed run is tried again once per hour and not in every tick
                run_key=f"{partition.key}|{item.recordings}|{item.changed.isoformat()}|{now:%Y-%m-%dT%H}",
                partition_key=partition_key(partition),
                tags=_source_tag(lake, settings, partition),
            )


def _source_tag(lake: Lake, settings: Settings, partition: Partition) -> dict[str, str]:
    uris = [item.recording.uri for item in lake.ledger.pending(partition)]
    prefixes = {source.uri: prefix_of(source.uri) for source in settings.sources}
    named = [source for source, prefix in prefixes.items() if any(uri.startswith(prefix) for uri in uris)]
    return {SOURCE_TAG: ", ".join(named)} if named else {}
