"""Processes that lock the same file wait for each other, and say so if that takes long."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sensory_pipeline.storage.lock import held


def test_a_short_wait_is_silent_and_a_long_one_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def wait() -> list[str]:
        with held(tmp_path / "lock", what="it"):
            return caplog.messages

    with ThreadPoolExecutor() as threads:
        with held(tmp_path / "lock", what="it"):
            waiting = threads.submit(wait)
            time.sleep(0.1)
            assert not waiting.done()
        assert waiting.result(10) == []
        with held(tmp_path / "lock", what="it"):
            waiting = threads.submit(wait)
            while not caplog.messages:
                time.sleep(0.05)
            assert not waiting.done()
        assert waiting.result(10) == ["waiting for another process to finish with it"]


def test_who_does_not_wait_gets_an_error(tmp_path: Path) -> None:
    with (
        held(tmp_path / "lock", what="it"),
        pytest.raises(BlockingIOError),
        held(tmp_path / "lock", what="it", wait=False),
    ):
        pass
