"""Sends one webhook, signed as https://www.standardwebhooks.com specifies.

A client of the service chooses the address, so it must not reach what only the service can reach: the name is resolved
here, all its addresses are checked, and the connection goes to one of these. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import socket
import time
from collections.abc import Callable, Iterable

import httpcore2

from sensory_pipeline.core.hosts import is_public

SECRET_PREFIX = "whsec_"  # noqa: S105 - of the standard

_TIMEOUT_S = 15.0
_FAILURES = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
    httpcore2.UnsupportedProtocol,
    OSError,  # also ssl.SSLError and TimeoutError
    UnicodeError,  # the name of the host cannot be looked up, such as a..b
)


class NotDelivered(Exception):
    """The receiver has not accepted a webhook. The message has no part of its address, which may be secret."""


def signature(secret: str, identity: str, timestamp: int, body: bytes) -> str:
    """The header webhook-signature: an HMAC-SHA256.

    Args:
        secret: `whsec_` and the Base64 of the key.
        identity: The header webhook-id.
        timestamp: The header webhook-timestamp, in seconds since 1970.
        body: The body.
    """
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{identity}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


class WebhookSender:
    """Sends webhooks.

    Args:
        secret: Secret to sign with.
        allowed: Whether an IP address may be connected to.
        clock: Returns the seconds since 1970.
    """

    def __init__(
        self, secret: str, *, allowed: Callable[[str], bool] = is_public, clock: Callable[[], float] = time.time
    ) -> None:
        self._secret = secret
        self._network = _CheckedNetwork(allowed)
        self._tls = httpcore2.default_ssl_context()
        self._clock = clock

    async def send(self, identity: str, url: str, body: bytes) -> None:
        """Send a webhook.

        Args:
            identity: Identifier of the webhook, the same for each attempt.
            url: Where to send it.
            body: The body, JSON.

        Raises:
            NotDelivered: The receiver was not reached within 15 s, or did not answer with a status of 200 to 299.
        """
        timestamp = int(self._clock())
        headers = {
            "content-type": "application/json",
            "user-agent": "sensory",
            "webhook-id": identity,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._secret, identity, timestamp, body),
        }
        try:
            async with (
                asyncio.timeout(_TIMEOUT_S),
                httpcore2.AsyncConnectionPool(ssl_context=self._tls, network_backend=self._network) as pool,
                pool.stream("POST", url, headers=list(headers.items()), content=body) as response,
            ):
                status = response.status
        except _FAILURES as error:
            raise NotDelivered(type(error).__name__) from error
        if not 200 <= status < 300:
            raise NotDelivered(f"status {status}")


class _CheckedNetwork(httpcore2.AnyIOBackend):
    """Connects to an address that was checked. A host's certificate is still checked for its name."""

    def __init__(self, allowed: Callable[[str], bool]) -> None:
        self._allowed = allowed

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address of the host that answers.

        Raises:
            NotDelivered: One of its addresses is not allowed.
        """
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
        if not all(map(self._allowed, addresses)):
            raise NotDelivered("its address is not public: SENSORY_JOB_WEBHOOK_ANY_ADDRESS allows it")
        for address in addresses[:-1]:
            try:
                return await super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await super().connect_tcp(addresses[-1], port, timeout, local_address, socket_options)
