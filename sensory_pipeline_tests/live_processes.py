"""Which processes live, on any machine.

A killed process stays in /proc until its parent asks for it. In a container whose first process asks for nobody's, an
orphan stays there for ever.
"""

from __future__ import annotations

import psutil


def lives(pid: int) -> bool:
    """Whether the process exists and was not killed."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
