"""`sensory status`: the state of a lake."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb

from sensory_pipeline.cli.console import counted, length, output, reader_may_leave
from sensory_pipeline.cli.lake_option import LakeOption, settings_of
from sensory_pipeline.cli.settings_prompt import written
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.missing_models import missing
from sensory_pipeline.lake import own_settings
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.views import connect
from sensory_pipeline.lake_settings import LakeSettings
from sensory_pipeline.processing.effective_settings import changed, redone
from sensory_pipeline.processing.setup import choices, current_plans
from sensory_pipeline.settings import Settings, dagster_home


def status(lake: LakeOption = None) -> None:
    """Show the state of a lake.

    What is done, waits or failed and why, the last runs, what runs now and when the next night is, what would be
    processed again, and the lake's settings. Changes nothing.
    """
    settings = settings_of(lake)
    opened = Lake.open(settings.lake, ledger=settings.ledger)
    home = dagster_home(opened.root)
    with reader_may_leave():
        output.print(f"lake {opened.root}", style="bold", soft_wrap=True)
        for part in (_recordings(opened), _again(opened, settings), _runs(home, settings), _settings(opened, settings)):
            for line in part:
                output.print(line, soft_wrap=True)


def _recordings(lake: Lake) -> Iterator[str]:
    with connect(lake, include_missing=True) as db:
        ((done, damaged, failed, hours, gone),) = _asked(
            db,
            "SELECT count(*) FILTER (status IN ('ok', 'partial')), count(*) FILTER (status = 'partial'),"
            " count(*) FILTER (status = 'failed'), coalesce(sum(duration_s) / 3600, 0), count(*) FILTER (NOT present)"
            " FROM recordings",
        )
        ((waiting, size, partitions, deferred),) = _asked(
            db,
            "SELECT count(*), coalesce(sum(size_bytes), 0), count(DISTINCT (date, shard)), count(error_message)"
            " FROM recordings WHERE status = 'pending' AND present",
        )
        reasons = _asked(
            db,
            "SELECT error_class, count(*), min(error_message) FROM recordings WHERE status = 'failed' AND present"
            " GROUP BY ALL ORDER BY count(*) DESC, error_class",
        )
    yield (
        f"{counted(done, 'recording')} processed, {length(hours)} of audio"
        + (f"; {damaged} damaged and partly processed" if damaged else "")
        + (f"; {gone} are missing" if gone else "")
    )
    yield (
        f"{waiting} waiting, {size / 1e9:.3f} GB in {counted(partitions, 'partition')}"
        + (f"; {deferred} were tried and could not be worked on" if deferred else "")
        if waiting
        else "nothing is waiting"
    )
    yield f"{failed} failed" + (":" if reasons else "")
    for kind, count, example in reasons:
        yield f"  {count} {kind}, for example: {example}"


def _asked(db: duckdb.DuckDBPyConnection, statement: str) -> list[tuple[Any, ...]]:
    return db.execute(statement).fetchall()


def _again(lake: Lake, settings: Settings) -> Iterator[str]:
    differing = changed(lake, settings)
    if differing:
        yield "settings given that differ from the lake's:"
        for name, (was, given) in differing.items():
            yield f"  {name}: {written(was)} in the lake, {written(given)} given"
    try:
        lacking = {needed.name for choice in choices(settings) for needed in missing(choice)}
        again = [] if lacking else redone(lake, current_plans(settings))
    except ConfigurationError as error:
        yield f"what would be processed again is not known: {error}"
        return
    if lacking:
        yield f"what would be processed again is not known without {', '.join(sorted(lacking))}: sensory models fetch"
    if again:
        yield f"{counted(len(again), 'recording')} would be processed again by the next ingest or sweep"


def _runs(home: Path, settings: Settings) -> Iterator[str]:
    if not (home / "dagster.yaml").exists():
        yield "no run yet"
        return
    from sensory_pipeline.automation.run_history import history, next_night  # Dagster takes two seconds

    found = history(home)
    for run in found.now:
        yield f"now: run {run.run_id[:8]}, partition {run.partition}, {run.status} for {_time(run.seconds)}"
    if not found.now:
        yield "nothing is running"
    yield "last runs:" if found.last else "no run yet"
    for run in found.last:
        yield f"  {run.began:%Y-%m-%d %H:%M} UTC, partition {run.partition}, {run.status} after {_time(run.seconds)}"
        yield from (f"    {why}" for why in run.why)
    if not settings.sources:
        yield "no sources are watched (SENSORY_SOURCES)"
    else:
        night = f"next night: {next_night(settings):%Y-%m-%d %H:%M} {settings.time_zone}"
        yield night if found.served else f"{night}, if sensory dev runs by then: it does not now, on this host"


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _settings(lake: Lake, settings: Settings) -> Iterator[str]:
    kept = own_settings.read(lake.root)
    if kept is None:
        yield "the lake keeps no settings yet; the next ingest makes it"
        return
    engines = {Settings.variable(name) for name in ("stt", "diarization", "emotion")}
    default = own_settings.values(LakeSettings())
    yield "settings of the lake that are not the defaults, and its engines (all: sensory configure):"
    for name, value in own_settings.values(kept).items():
        if name in engines or value != default[name]:
            yield f"  {name}={written(value)}"
