"""A service in a separate process, with real weights: ours, or the plain one to compare with."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2

from sensory_pipeline.settings import environment_with

_START = "import sys; from sensory_pipeline.cli import main; sys.argv[0] = 'sensory'; main()"


@contextmanager
def served(whisper: str, **variables: str) -> Iterator[str]:
    """Start our service and yield its URL once its models are ready.

    Args:
        whisper: The Whisper model.
        variables: Further environment variables.
    """
    with TemporaryDirectory() as folder:
        variables = {"WHISPER_MODEL_SIZE": whisper, "SENSORY_SPOOL": f"{folder}/spool", **variables}
        with _running([sys.executable, "-c", _START, "serve", "--port", "0"], variables) as url:
            yield url


@contextmanager
def served_plainly(whisper: str) -> Iterator[str]:
    """Start the plain server and yield its URL.

    Args:
        whisper: Name of the Whisper model.
    """
    with _running([sys.executable, "-m", "bench.plain_server", whisper], {}) as url:
        yield url


@contextmanager
def _running(command: Sequence[str], variables: Mapping[str, str]) -> Iterator[str]:
    with TemporaryDirectory() as folder, Path(folder, "log").open("w+b") as log:
        process = subprocess.Popen(command, env=environment_with(**variables), stderr=log)
        try:
            url = _url(process, Path(folder, "log"))
            while httpx2.get(f"{url}/health/ready").status_code != httpx2.codes.OK:
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()
            process.wait()


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    """The first address in the log; what follows it shows that the port is complete."""
    while True:
        text = log.read_text(errors="replace")
        if found := re.search(r"http://[0-9.:]+(?=[/ ])", text):
            return found[0]
        if process.poll() is not None:
            raise RuntimeError(f"the service ended: {text[-2000:]}")
        time.sleep(0.1)
