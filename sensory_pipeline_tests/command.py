"""The real command, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SENSORY = str(Path(sys.executable).with_name("sensory"))


def sensory(*arguments: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """It has run. variables: of its environment, which has no setting otherwise."""
    return subprocess.run(
        [SENSORY, *map(str, arguments)],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=300,
    )


def environment(**variables: str) -> dict[str, str]:
    """A wide screen, and no setting but these."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SENSORY_", "DAGSTER_"))}  # noqa: TID251
    return {**clean, "COLUMNS": "200", **variables}
