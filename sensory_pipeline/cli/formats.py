"""How a result is printed."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    JSON = "json"
    TEXT = "text"
