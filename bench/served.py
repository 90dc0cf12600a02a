"""The service in a separate process, with real weights."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2

from sensory_pipeline.settings import environment_with

_START = "import sys; from sensory_pipeline.cli import main; sys.argv[0] = 'sensory'; main()"


@contextmanager
def served(whisper: str, **variables: str) -> Iterator[str]:
    """Start the service and yield its URL once its models are ready.

    Args:
        whisper: The Whisper model.
        variables: Further environment variables.
    """
    with TemporaryDirectory() as folder, Path(folder, "log").open("w+b") as log:
        variables = {"WHISPER_MODEL_SIZE": whisper, "SENSORY_SPOOL": f"{folder}/spool", **variables}
        process = subprocess.Popen(
            [sys.executable, "-c", _START, "serve", "--port", "0"], env=environment_with(**variables), stderr=log
        )
        try:
            url = _url(process, Path(folder, "log"))
            while httpx2.get(f"{url}/health/ready").status_code != httpx2.codes.OK:
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()
            process.wait()


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    while True:
        text = log.read_text(errors="replace")
        if found := re.search(r"http://[0-9.:]+(?=/docs)", text):
            return found[0]
        if process.poll() is not None:
            raise RuntimeError(f"the service ended: {text[-2000:]}")
        time.sleep(0.1)
