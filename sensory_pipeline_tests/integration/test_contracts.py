"""What `make check` forbids is found when somebody does it, in a copy of the project."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sensory_pipeline_tests import places
from sensory_pipeline_tests.command import environment

ROOT = places.ROOT
BIN = Path(sys.executable).parent
IMPORTS = (str(BIN / "lint-imports"), "--no-cache")
STYLE = (str(BIN / "ruff"), "check", "--no-cache", "sensory_pipeline")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("not a checkout")
    for package in ("sensory_pipeline", "resources"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def checked(project: Path, command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    with_path = environment(PYTHONPATH=str(project))
    return subprocess.run(command, cwd=project, env=with_path, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("module", "planted", "command", "told"),
    [
        pytest.param(
            "processing/workers/messages.py",
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n"
            "    from sensory_pipeline.processing.workers.dispatcher import Dispatcher\n",
            IMPORTS,
            "No cycles are allowed in sensory_pipeline.processing.workers",
            id="circle",
        ),
        pytest.param(
            "core/spans.py",
            "import sensory_pipeline.lake.lake\n",
            IMPORTS,
            "sensory_pipeline.core is not allowed to import sensory_pipeline.lake",
            id="upward import",
        ),
        pytest.param(
            "processing/tasks/task.py",
            "import sensory_pipeline.processing.runs.runner\n",
            IMPORTS,
            "sensory_pipeline.processing.tasks is not allowed to import sensory_pipeline.processing.runs",
            id="upward import within processing",
        ),
        pytest.param(
            "lake/lake.py",
            "import os\nHOME = os.environ['HOME']\n",
            STYLE,
            "settings are read by settings.py and service_settings.py alone",
            id="second reader of the environment",
        ),
        pytest.param(
            "assets/checks.py",
            "from dagster._core.storage.tags import WILL_RETRY_TAG\nTAG = WILL_RETRY_TAG\n",
            STYLE,
            "dagster_internals.py is the only user of Dagster's inside",
            id="second user of Dagster's inside",
        ),
    ],
)
def test_planted_violations_are_found(
    module: str, planted: str, command: tuple[str, ...], told: str, project: Path
) -> None:
    before = checked(project, command)
    assert before.returncode == 0, before.stdout
    with (project / "sensory_pipeline" / module).open("a") as file:
        file.write(planted)
    after = checked(project, command)
    assert after.returncode == 1
    assert told in after.stdout
