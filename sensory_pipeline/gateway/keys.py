"""Who may use the service: keys are kept as SHA-256 alone, which is enough for 256 random bits."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable

_PREFIX = "sensory_"  # by which a key that has leaked is found


def new_key() -> str:
    """A key that nobody can guess."""
    return _PREFIX + secrets.token_urlsafe(32)


def digest(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


class Keys:
    """listed: as SENSORY_API_KEYS has them, owner=digest.

    >>> keys = Keys([f"anna={digest('secret')}"])
    >>> keys.owner("Bearer secret"), keys.owner("Bearer other"), keys.owner(None)
    ('anna', None, None)
    """

    def __init__(self, listed: Iterable[str]) -> None:
        self._owners = [(owner, wanted) for owner, _, wanted in (item.partition("=") for item in listed)]

    def __bool__(self) -> bool:
        return bool(self._owners)

    def owner(self, authorization: str | None) -> str | None:
        """Whose key the header holds, None for nobody's. It takes as long whichever it is."""
        scheme, _, key = (authorization or "").partition(" ")
        given = digest(key.strip())
        found = [owner for owner, wanted in self._owners if hmac.compare_digest(given, wanted)]
        return found[0] if found and scheme.lower() == "bearer" else None
