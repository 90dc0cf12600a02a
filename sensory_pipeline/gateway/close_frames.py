"""The frame that closes a WebSocket."""

from __future__ import annotations

_BYTES = 123  # a control frame holds 125 (RFC 6455, section 5.5), two of which are the code


def close_reason(text: str) -> str:
    """Return as much of a text as the frame holds.

    >>> len(close_reason("1" * 200)), len(close_reason("ü" * 200))
    (123, 61)
    """
    return text.encode()[:_BYTES].decode(errors="ignore")
