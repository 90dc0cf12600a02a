"""Every test starts from a clean environment and leaves nothing behind."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr

from sensory_pipeline.engines.cache import CacheSettings, ModelCache
from sensory_pipeline.engines.diarization.open_networks import EMBEDDING, FILES, SEGMENTATION
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests import miniature_whisper
from sensory_pipeline_tests import postgres as postgresql
from sensory_pipeline_tests.places import TESTS
from sensory_pipeline_tests.published_models import REAL_MODELS, published


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="Run the long tests at full length.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test has the mark of its folder: `pytest -m "not browser"`."""
    for item in items:
        if item.path.is_relative_to(TESTS) and item.path.parent != TESTS:
            item.add_marker(item.path.relative_to(TESTS).parts[0])


@pytest.fixture
def soak(request: pytest.FixtureRequest) -> bool:
    """Whether long tests run at full length."""
    return bool(request.config.getoption("--soak"))


@pytest.fixture(autouse=True, scope="session")
def clean_shell() -> None:
    """No setting of the developer's shell reaches a test, or a fixture that several tests share."""
    for name in list(os.environ):  # noqa: TID251
        if name in Settings.names() or name.startswith(("SENSORY_", "DAGSTER_")):
            del os.environ[name]  # noqa: TID251


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No .env of the developer reaches a test.

    All stages share one engine process unless a test is about several, each of which loads its own models.
    """
    # Dagster leaves SIGTERM handled as SIGINT, which a job in the background ignores, and processes inherit that
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    monkeypatch.setenv("SENSORY_SIDE_BY_SIDE", "false")
    monkeypatch.chdir(tmp_path)
    yield


@pytest.fixture(autouse=True)
def no_other_instance() -> Iterator[None]:
    """No Dagster instance of another test is in use.

    Dagster takes the storage of the instance that was entered last for all definitions of the process. The garbage
    collector closes contexts of sensors out of order, which brings back an instance that is gone.
    """
    if "dagster" not in sys.modules:
        yield
        return
    from dagster._core.storage.defs_state.base import set_defs_state_storage  # noqa: TID251 - to unset it

    with set_defs_state_storage(None):
        yield


@pytest.fixture(scope="session")
def pyannote_audio() -> None:
    """Skips without it; not imported before, because it takes three seconds of every test process."""
    pytest.importorskip("pyannote.audio", reason="pyannote.audio is not installed: make models")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For torch: sounds as short as tests have are through sooner than threads have met."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def cheap_collection() -> Iterator[None]:
    """Every unload of a model collects garbage; the objects of earlier tests are left out of that."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def cache() -> Iterator[ModelCache]:
    """For all models that a module's tests load."""
    with closing(ModelCache(CacheSettings(max_models=None, ttl_s=None))) as models:
        yield models


@pytest.fixture(scope="session")
def whisper() -> Path:
    """The miniature's folder."""
    if not miniature_whisper.MINIATURE.is_dir():
        pytest.skip("the miniature Whisper is not there: scripts/train_miniatures.py makes it")
    return miniature_whisper.MINIATURE


@pytest.fixture
def real_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings' engines with real weights, the smallest of Whisper's."""
    for name in REAL_MODELS:
        published(name)
    monkeypatch.setenv("WHISPER_MODEL_SIZE", "tiny.en")


@pytest.fixture(scope="session")
def open_models() -> tuple[Path, Path]:
    """The checkpoints of segmentation-3.0 and CAM++."""
    return published(SEGMENTATION) / FILES[SEGMENTATION], published(EMBEDDING) / FILES[EMBEDDING]


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgresql.PostgresServer]:
    """One for all tests, with a database for each that asks."""
    if not postgresql.INSTALLED:
        pytest.skip("PostgreSQL is not installed: apt install postgresql")
    with postgresql.postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> SecretStr | None:
    """Where the ledger of the test's lakes is, in the settings too: in SQLite, and in PostgreSQL."""
    if request.param == "sqlite":
        return None
    server: postgresql.PostgresServer = request.getfixturevalue("postgres")
    url = server.new_database()
    monkeypatch.setenv("SENSORY_LEDGER", url)
    return SecretStr(url)
