"""API keys. Only their SHA-256 is stored, which is enough for keys of 256 random bits."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable

_PREFIX = "sensory_"  # lets secret scanners find a leaked key


def new_key() -> str:
    """A new random key."""
    return _PREFIX + secrets.token_urlsafe(32)


def digest(key: str) -> str:
    """The SHA-256 of a key, in hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()


class Keys:
    """The keys of all clients.

    Args:
        listed: Items of SENSORY_API_KEYS, each `owner=digest`.

    >>> keys = Keys([f"anna={digest('secret')}"])
    >>> keys.owner("Bearer secret"), keys.owner("Bearer other"), keys.owner(None)
    ('anna', None, None)
    """

    def __init__(self, listed: Iterable[str]) -> None:
        self._owners = [(owner, wanted) for owner, _, wanted in (item.partition("=") for item in listed)]

    def __bool__(self) -> bool:
        return bool(self._owners)

    def owner(self, authorization: str | None) -> str | None:
        """The owner of the key in an Authorization header, or None; in constant time."""
        scheme, _, key = (authorization or "").partition(" ")
        given = digest(key.strip())
        found = [owner for owner, wanted in self._owners if hmac.compare_digest(given, wanted)]
        return found[0] if found and scheme.lower() == "bearer" else None
