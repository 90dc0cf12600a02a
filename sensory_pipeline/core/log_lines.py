"""How this project's processes log: lines on standard error, without control characters."""

from __future__ import annotations

import logging

from sensory_pipeline.core.escaping import visible


class PlainFormatter(logging.Formatter):
    """Shows control characters instead of sending them: anybody may have written what is logged."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, or several with a traceback."""
        return visible(super().format(record))


def configure(level: str) -> None:
    """Log from a level on to standard error, unless logging is configured already."""
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
