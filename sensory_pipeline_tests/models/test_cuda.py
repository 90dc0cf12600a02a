"""Whisper on a GPU: one CUDA for all that is installed, and a library that is loaded before it is asked for."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from sensory_pipeline.engines.cublas import LIBRARIES, PACKAGE
from sensory_pipeline_tests import places
from sensory_pipeline_tests.command import environment

ROOT = places.ROOT
DRIVER = "libcuda.so.1"
"""Comes with the GPU, not with a wheel."""
GPUS = "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11111111-aaaa-0000-0000-000000000000)\n"


def python(code: str, *options: str, **variables: str) -> str:
    """What a fresh process says. Where its linker finds a cuBLAS by itself, ours would prove nothing."""
    linker = "import ctypes; ctypes.CDLL('libcublas.so.12')"
    if not subprocess.run([sys.executable, "-c", linker], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this system has a cuBLAS 12 of its own")
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        env=environment(**{"PYTHONPATH": str(ROOT), **variables}),
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stderr
    return done.stdout.strip()


def pins(requirements: Iterable[str]) -> dict[str, Requirement]:
    return {found.name: found for found in map(Requirement, requirements)}


def nvidia(requirements: dict[str, Requirement]) -> dict[str, Requirement]:
    return {name: found for name, found in requirements.items() if name.startswith("nvidia-")}


def test_all_extras_resolve_to_one_cuda() -> None:
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("not a checkout")
    pytest.importorskip("torch")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    models, gpu = pins(extras["models"]), pins(extras["gpu"])
    torch = nvidia(pins(requires("torch") or ()))
    assert version("torch") in models["torch"].specifier
    assert str(pins(extras["engines"])["ctranslate2"].specifier) == f"=={version('ctranslate2')}"
    assert PACKAGE in gpu
    assert nvidia(gpu).items() <= torch.items()
    constraints = nvidia(pins((ROOT / "constraints.txt").read_text().splitlines()))
    assert {name: found.specifier for name, found in constraints.items()} == {
        name: found.specifier for name, found in torch.items()
    }
    assert all(name.endswith("-cu12") for name in torch)


def test_ctranslate2_needs_only_the_libraries_that_are_loaded() -> None:
    (library,) = (path for path in distribution("ctranslate2").files or () if path.name.startswith("libctranslate2"))
    wanted = re.findall(rb"\blibcu[A-Za-z]+\.so\.\d+\b", Path(str(library.locate())).read_bytes())
    assert {name.decode() for name in wanted} - {DRIVER} == {LIBRARIES[-1]}


def test_what_was_loaded_is_found_by_its_name() -> None:
    pytest.importorskip("torch")  # whose wheels it comes with
    code = """
import ctypes, sys
from sensory_pipeline.engines.cublas import load_cublas
found = load_cublas()
ctypes.CDLL("libcublas.so.12").cublasCreate_v2  # as CTranslate2 looks for it
print(found, "torch" in sys.modules)
"""
    assert python(code) == f"{'.'.join(version(PACKAGE).split('.')[:3])} False"


@pytest.mark.parametrize(("device", "loaded"), [("cuda:0", True), ("cpu", False)])
def test_whisper_loads_it_for_a_gpu_alone(device: str, loaded: bool, whisper: Path) -> None:
    pytest.importorskip("torch")
    code = f"""
from pathlib import Path
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.devices import ComputeType, Device
from sensory_pipeline.engines.stt.whisper_models import load, resolve
try:
    load(resolve({str(whisper)!r}), Device.parse({device!r}), ComputeType.FLOAT32, 1, workers=False)
except ConfigurationError:  # there is no GPU
    pass
maps = Path("/proc/self/maps").read_text()
print([name in maps for name in {LIBRARIES!r}])
"""
    assert python(code, CUDA_VISIBLE_DEVICES="") == str([loaded] * len(LIBRARIES))


@pytest.fixture
def without_nvidia(tmp_path: Path) -> Path:
    """What is installed, without NVIDIA's wheels."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    for path in Path(str(distribution("ctranslate2").locate_file(""))).iterdir():
        if not path.name.startswith("nvidia"):
            (folder / path.name).symlink_to(path)
    return folder


def doctor(*options: str, gpus: str, folder: Path, **variables: str) -> str:
    """What it says, on a machine with these GPUs, without blanks and frames."""
    program = folder / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat <<END\n{gpus}END\n")
    program.chmod(0o755)
    path = f"{program.parent}:/usr/bin:/bin"
    code = "import sys; sys.argv[1:] = ['doctor']; from sensory_pipeline.cli import main; main()"
    return re.sub(r"[\s│]+", " ", python(code, *options, PATH=path, **variables))


def test_doctor_shows_the_version_that_loads(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    found = ".".join(version(PACKAGE).split(".")[:3])
    assert f"cuBLAS 12 (whisper on a GPU) loads, {found}" in doctor(gpus="", folder=tmp_path)


def test_doctor_says_what_to_install_if_there_is_a_gpu(tmp_path: Path, without_nvidia: Path) -> None:
    said = doctor("-S", gpus=GPUS, folder=tmp_path, PYTHONPATH=f"{ROOT}:{without_nvidia}")
    assert "cuBLAS 12 (whisper on a GPU) cannot be loaded Whisper on a GPU needs" in said
    assert "make gpu" in said


def test_doctor_asks_for_nothing_without_a_gpu(tmp_path: Path, without_nvidia: Path) -> None:
    said = doctor("-S", gpus="", folder=tmp_path, PYTHONPATH=f"{ROOT}:{without_nvidia}")
    assert "cannot be loaded; not needed without a GPU" in said
    assert "make gpu" not in said
