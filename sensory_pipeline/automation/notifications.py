"""Reports failures to a webhook in the format of Slack's incoming webhooks: {"text": ...}.

Each cause is reported once: a missing model fails every run of a night, and is one message.
"""

import hashlib
import html
import json
import logging
import re
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPException, InvalidURL
from urllib.request import Request, urlopen

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from sensory_pipeline.automation.runs import partition_of
from sensory_pipeline.core.errors import SensoryError, without_class
from sensory_pipeline.dagster_internals import WILL_RETRY_TAG
from sensory_pipeline.settings import Settings

TRIES = 3
TIMEOUT_S = 2.0
"""Short, because a sensor has a minute for all the runs that it reports."""

CAUSE_TAG = "sensory/told"
"""Tag of a reported run: its cause, so that runs with the same cause can be recognised."""
SILENCE = timedelta(hours=12)
"""How long a cause is not reported again."""

_CHECKS = ("invariants", "error_share")


def failures(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that reports failed runs."""

    @dg.run_failure_sensor(
        name="failures",
        default_status=_status(settings),
        minimum_interval_seconds=30,
        description="Reports to SENSORY_WEBHOOK_URL the failed runs that Dagster does not repeat itself.",
    )
    def sensor(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
        run = context.dagster_run
        if run.tags.get(WILL_RETRY_TAG) == "true":
            return dg.SkipReason("it is run again")
        return _tell(
            settings,
            context.instance,
            run,
            causes(context.instance, run.run_id),
            "Finished work is kept. Fix the cause, then materialise the partition again, or wait for the nightly run.",
            context.log,
        )

    return sensor


def doubts(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that reports runs whose published tables fail a check."""

    @dg.run_status_sensor(
        name="doubts",
        run_status=dg.DagsterRunStatus.SUCCESS,
        default_status=_status(settings),
        minimum_interval_seconds=30,
        description="Reports to SENSORY_WEBHOOK_URL the runs that succeeded, but with too many failed recordings or "
        "broken tables.",
    )
    def sensor(context: dg.RunStatusSensorContext) -> dg.SkipReason | None:
        run = context.dagster_run
        evaluations = [
            entry.dagster_event.asset_check_evaluation_data
            for entry in context.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
            if entry.dagster_event is not None
        ]
        what = [
            f"check {check.check_name}: {check.description or 'not passed'}"
            for check in evaluations
            if not check.passed and check.check_name in _CHECKS
        ]
        if not what:
            return dg.SkipReason("nothing to report")
        advice = "`sensory sql` on `recordings` shows which recordings, and why."
        return _tell(settings, context.instance, run, what, advice, context.log)

    return sensor


def _status(settings: Settings) -> dg.DefaultSensorStatus:
    return dg.DefaultSensorStatus.RUNNING if settings.webhook_url else dg.DefaultSensorStatus.STOPPED


def post(url: str, text: str, log: logging.Logger) -> bool:
    """Send a text to a webhook; try a few times and never raise.

    Args:
        url: The webhook; no part of it is logged.
        text: The text.
        log: For warnings.

    Returns:
        Whether the webhook has accepted it.
    """
    body = json.dumps({"text": html.escape(text, quote=False)}).encode()
    for attempt in range(TRIES):
        if attempt:
            time.sleep(0.5 * 2**attempt)
        try:
            # the setting allows only http and https
            request = Request(url, body, {"Content-Type": "application/json"})  # noqa: S310
            with urlopen(request, timeout=TIMEOUT_S):  # noqa: S310
                return True
        except (OSError, HTTPException, ValueError) as error:  # some messages contain the url
            reason = getattr(error, "code", None) or type(getattr(error, "reason", error)).__name__
            log.warning(f"the webhook did not take the message: {reason}")
            if isinstance(error, ValueError | InvalidURL):  # another attempt would fail too
                break
    return False


def causes(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """Return why a run failed: a line for each failed step, or one for the run itself."""
    steps = [
        f"{event.step_key} failed: {_first_line(event.step_failure_data.error, event.message)}"
        for event in _events(instance, run_id, dg.DagsterEventType.STEP_FAILURE)
    ]
    return steps or [
        f"the run failed: {_first_line(_of_run(event), event.message)}"
        for event in _events(instance, run_id, dg.DagsterEventType.RUN_FAILURE)
    ]


def _events(instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType) -> Iterator[dg.DagsterEvent]:
    return (entry.dagster_event for entry in instance.all_logs(run_id, of_type=kind) if entry.dagster_event)


def _tell(
    settings: Settings,
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    what: list[str],
    advice: str,
    log: logging.Logger,
) -> dg.SkipReason | None:
    url = settings.webhook_url
    if url is None:
        return dg.SkipReason("SENSORY_WEBHOOK_URL is not set")
    cause = _cause(what)
    since = datetime.now(UTC) - SILENCE
    alike = instance.get_runs(dg.RunsFilter(tags={CAUSE_TAG: cause}, created_after=since), limit=1)
    if alike:
        return dg.SkipReason(f"run {alike[0].run_id[:8]} was already reported, with the same cause")
    partition = partition_of(run.tags) or "unknown"
    text = "\n".join(
        [
            f"Partition {partition}, run {run.run_id[:8]}",
            *([f"{settings.ui_url.rstrip('/')}/runs/{run.run_id}"] if settings.ui_url else []),
            *what,
            advice,
            f"Runs with the same cause are not reported for {SILENCE.total_seconds() / 3600:g} hours.",
        ]
    )
    if not post(url.get_secret_value(), text, log):
        return dg.SkipReason("the webhook did not take the message")
    instance.add_run_tags(run.run_id, {CAUSE_TAG: cause})
    return None


def _cause(what: Iterable[str]) -> str:
    """Return a key that is the same for reasons that differ only in numbers."""
    plain = sorted({re.sub(r"[0-9a-f]*\d[0-9a-f|:.-]*", "#", line) for line in what})
    return hashlib.sha256("\n".join(plain).encode()).hexdigest()[:16]


def _of_run(event: dg.DagsterEvent) -> SerializableErrorInfo | None:
    """Return why a run without a failed step has failed; None if it was killed."""
    return event.job_failure_data.error if event.event_specific_data is not None else None


def _first_line(error: SerializableErrorInfo | None, otherwise: str | None) -> str:
    """Return the first line of our own error, which says what to do, or else of the root cause; without its class."""
    chain: list[str] = []
    while error is not None:
        chain.append(error.message)
        error = error.cause
    ours = [message for message in chain if message.startswith(SensoryError.__module__)]
    message = (ours or chain[-1:] or [otherwise or ""])[0].strip()
    return without_class(next(iter(message.splitlines()), "no reason is known"))
