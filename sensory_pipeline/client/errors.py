"""The errors that clients raise."""

from __future__ import annotations


class ServiceError(Exception):
    """The service refused, failed, or could not be reached.

    Attributes:
        status: HTTP status, or close code of a WebSocket; None if there was no answer.
        detail: What failed and what to do next, as the service says.
        retry_after_s: Seconds after which to try again; None if the service does not say.
    """

    def __init__(self, status: int | None, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(detail if status is None else f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.retry_after_s = retry_after_s


class JobFailed(ServiceError):
    """A background job has failed; it would fail again."""


class StreamLost(ServiceError):
    """The connection of a live stream broke and could not be restored in time."""
