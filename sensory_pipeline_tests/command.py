"""The real command, in a process of its own, with real weights: the smallest of Whisper's."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import pytest

from sensory_pipeline.cli import main
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


def invoked(*arguments: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The same in this process, in a tenth of a second instead of one.

    For commands that start no processes; `serve` changes how this process logs.
    """
    out, err = (TextIOWrapper(BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    code: int | str | None = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", command(*arguments))
        patch.setattr(sys, "stdin", StringIO())
        for name, value in environment(**variables).items():
            patch.setenv(name, value)
        try:
            main()
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    shown = [stream.buffer.getvalue().decode() for stream in (out, err) if isinstance(stream.buffer, BytesIO)]
    return subprocess.CompletedProcess(arguments, code, *shown)


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
