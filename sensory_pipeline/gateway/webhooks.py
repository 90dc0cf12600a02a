"""Tells the clients of background jobs that their jobs are finished; at least once, also after a crash."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog

from sensory_pipeline.core.hosts import is_address, is_public
from sensory_pipeline.gateway.problems import refused
from sensory_pipeline.gateway.request_json import RequestJson
from sensory_pipeline.gateway.webhook_sender import NotDelivered, WebhookSender
from sensory_pipeline.gateway.webhook_store import Webhook, WebhookStore
from sensory_pipeline.service_settings import ServiceSettings

log = structlog.get_logger()

_PAUSES_S = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800)
"""Before each further attempt; the last is after 16 hours."""
_AT_ONCE = 16
_BROKEN_S = 60.0  # before the next round if one failed


class Webhooks:
    """Sends the webhooks of finished jobs, on the event loop of the service.

    Args:
        store: The webhooks.
        sender: Sends one.
        told: Called with the outcome of each attempt: delivered, failed or given_up.
        clock: Returns the seconds since 1970.
    """

    def __init__(
        self,
        store: WebhookStore,
        sender: WebhookSender,
        *,
        told: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._sender = sender
        self._told = told
        self._clock = clock
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look now whether a job is finished."""
        self._woken.set()

    async def run(self) -> None:
        """Send webhooks until cancelled."""
        while True:
            self._woken.clear()
            try:
                wait_s = await self.round()
            except Exception:  # a full disk, a damaged database or anything else: it may pass
                log.exception("webhooks_failed")
                wait_s = _BROKEN_S
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()

    async def round(self) -> float | None:
        """Send all webhooks that are due. Returns the seconds until the next is; None if there is none."""
        while due := await asyncio.to_thread(self._store.due, self._clock(), _AT_ONCE):
            # all end before an error of one is raised, so that the next round sends none that is still on its way
            for error in await asyncio.gather(*map(self._deliver, due), return_exceptions=True):
                if error is not None:
                    raise error
        next_s = await asyncio.to_thread(self._store.next_s)
        return None if next_s is None else max(0.0, next_s - self._clock())

    async def _deliver(self, webhook: Webhook) -> None:
        outcome, reason = "delivered", None
        try:
            await self._sender.send(webhook.job_id, webhook.url, webhook.body)
        except Exception as error:  # noqa: BLE001 - clients choose the addresses, and one must not stop the others
            outcome = "failed" if webhook.tries < len(_PAUSES_S) else "given_up"
            if isinstance(error, NotDelivered):
                reason = str(error)
            else:  # where in the code, but not the message, which may contain the address
                reason = type(error).__name__
                log.error("webhook_error", error=reason, trace=traceback.format_tb(error.__traceback__))
        if outcome == "failed":
            next_s = self._clock() + _PAUSES_S[webhook.tries]
            await asyncio.to_thread(self._store.postpone, webhook.job_id, next_s)
        else:
            await asyncio.to_thread(self._store.remove, webhook.job_id)
        log.info("webhook", job_id=webhook.job_id, outcome=outcome, reason=reason, attempt=webhook.tries + 1)
        self._told(outcome)


@asynccontextmanager
async def delivered(
    path: Path, settings: ServiceSettings, told: Callable[[str], None]
) -> AsyncIterator[Callable[[], None]]:
    """Send webhooks for the duration of the `with` block, if there is a secret to sign them with.

    Args:
        path: The database of the jobs.
        settings: Settings of the service.
        told: Called with the outcome of each attempt.

    Yields:
        A function to call when a job is finished.
    """
    if settings.job_webhook_secret is None:
        yield lambda: None
        return
    secret = settings.job_webhook_secret.get_secret_value()
    sender = WebhookSender(secret, allowed=(lambda _: True) if settings.job_webhook_any_address else is_public)
    webhooks = Webhooks(await asyncio.to_thread(WebhookStore, path), sender, told=told)
    running = asyncio.create_task(webhooks.run())
    try:
        yield webhooks.wake
    finally:
        running.cancel()
        await asyncio.wait({running})


def check(asked: RequestJson, settings: ServiceSettings) -> None:
    """Check that the webhook of a request can be sent, as far as its address says.

    Raises:
        Problem: It cannot.
    """
    url = asked.webhook_url
    if url is None:
        return
    host = (url.host or "").strip("[]")
    why = None
    if not asked.async_process:
        why = "only background jobs have one: send async_process too"
    elif settings.job_webhook_secret is None:
        why = "the service has no secret to sign it with, SENSORY_JOB_WEBHOOK_SECRET: ask GET /v1/jobs/{job_id} instead"
    elif url.username is not None or url.password is not None:
        why = "it must not contain a user name or a password: its signature shows who sent it"
    elif not _can_be_looked_up(host):
        why = "its host has no valid name"
    elif settings.job_webhook_any_address:
        return
    elif url.scheme != "https":
        why = "it must begin with https://"
    elif host == "localhost" or (is_address(host) and not is_public(host)):
        why = "its address is not public: SENSORY_JOB_WEBHOOK_ANY_ADDRESS allows it"
    if why is not None:
        raise refused({"webhook_url": why})


def _can_be_looked_up(host: str) -> bool:
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True
