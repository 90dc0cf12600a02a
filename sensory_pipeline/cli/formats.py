"""How a result is printed."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """How the result of one recording is printed."""

    JSON = "json"
    TEXT = "text"
