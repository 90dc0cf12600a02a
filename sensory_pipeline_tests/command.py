"""The real command, in a process of its own, with real weights: the smallest of Whisper's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sensory_pipeline_tests.published_models import REAL_MODELS, published

SENSORY = str(Path(sys.executable).with_name("sensory"))
_WITH_ENGINES = ("ingest", "process", "demo", "reprocess")


def sensory(*arguments: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """It has run. variables: of its environment, which has no setting otherwise. Skips the test where the command
    would have to fetch models."""
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=300,
    )


def command(*arguments: str | Path) -> list[str]:
    """What runs it. Skips the test where it would have to fetch models."""
    if arguments and arguments[0] in _WITH_ENGINES:
        for name in REAL_MODELS:
            published(name)
    return [SENSORY, *map(str, arguments)]


def environment(**variables: str) -> dict[str, str]:
    """A wide screen, Whisper tiny.en, one engine process, one shard, and no setting but these."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SENSORY_", "DAGSTER_"))}  # noqa: TID251
    return {
        **clean,
        "COLUMNS": "200",
        "DEFAULT_MODEL_NAME": "tiny.en",
        "SENSORY_SIDE_BY_SIDE": "false",
        "SENSORY_SHARDS": "1",
        **variables,
    }
