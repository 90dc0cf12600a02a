"""`sensory dev` can be stopped, however it was started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from functools import partial
from pathlib import Path

from sensory_pipeline_tests.command import SENSORY, environment, sensory
from sensory_pipeline_tests.ports import free_port

STARTS_WITHIN_S = 120


def test_it_ends_on_sigterm_where_sigint_was_ignored(tmp_path: Path) -> None:
    port = free_port()
    server = subprocess.Popen(
        [SENSORY, "dev", "--lake", "lake", "--port", str(port)],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        # as a shell without job control does for what is in the background
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_IGN),
    )
    try:
        _wait_for(server, port)
        server.terminate()
        server.wait(timeout=60)
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def test_a_port_in_use_is_reported_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = sensory("dev", "--lake", "lake", "--port", str(port), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"port {port} is in use: choose another with --port\n"


def _wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until:
        assert server.poll() is None, "it ended"
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionError:
            time.sleep(0.5)
    raise TimeoutError(f"nothing listens on port {port} within {STARTS_WITHIN_S} s")
