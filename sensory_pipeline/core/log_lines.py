"""How this project's processes log: lines on standard error, without control characters."""

from __future__ import annotations

import logging

from sensory_pipeline.core.characters import visible


class PlainFormatter(logging.Formatter):
    """Control characters are shown, not sent: anybody may have written what is logged."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, or several with a traceback."""
        return visible(super().format(record))


def configure(level: str) -> None:
    """Log what is of that level or above, unless this process logs somewhere already."""
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
