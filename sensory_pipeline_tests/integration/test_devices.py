"""Which devices there are, which one a setting chooses, with which precision, and that two runs never share one."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines import device_discovery
from sensory_pipeline.engines.device_discovery import nvidia_smi_gpus
from sensory_pipeline.engines.device_lock import device_lock
from sensory_pipeline.engines.devices import (
    COMPUTE_TYPES,
    CPU,
    ComputeType,
    Device,
    DeviceKind,
    choose,
    choose_compute_type,
)

THREE_GPUS = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11111111-aaaa-0000-0000-000000000000)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-22222222-aaaa-0000-0000-000000000000)
  MIG 3g.40gb     Device  0: (UUID: MIG-44444444-aaaa-0000-0000-000000000000)
GPU 2: NVIDIA A10 (UUID: GPU-33333333-aaaa-0000-0000-000000000000)
"""


def gpus(count: int) -> tuple[Device, ...]:
    return tuple(Device(kind=DeviceKind.CUDA, index=index) for index in range(count))


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name, first on PATH, that lists three GPUs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "nvidia-smi"
    listing = tmp_path / "gpus.txt"
    listing.write_text(THREE_GPUS)
    program.write_text(f'#!/bin/sh\n[ "$1" = -L ] && cat {listing}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return program


@pytest.mark.parametrize("name", ["cpu", "cpu:0", "cpu:7", "cuda:0", "cuda:11"])
def test_a_name_is_parsed_to_the_same_device(name: str) -> None:
    assert Device.parse(name).name == name


def test_case_and_spaces_of_names_are_ignored() -> None:
    assert Device.parse(" CUDA ") == Device(kind=DeviceKind.CUDA, index=0)


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:-1", "cuda:a", "0", "cpu,cuda", "cuda:²"])
def test_the_error_about_a_wrong_name_lists_the_right_ones(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a device; write cpu, cuda"):
        Device.parse(name)


def test_a_gpu_needs_a_number() -> None:
    with pytest.raises(ValueError, match="index"):
        Device(kind=DeviceKind.CUDA)


def test_libraries_see_virtual_cpus_as_the_cpu() -> None:
    virtual, gpu = Device.parse("cpu:3"), Device.parse("cuda:3")
    assert virtual != CPU
    assert (virtual.torch_name, str(virtual.kind), virtual.ordinal) == ("cpu", "cpu", 0)
    assert (gpu.torch_name, str(gpu.kind), gpu.ordinal) == ("cuda:3", "cuda", 3)


@pytest.mark.parametrize(
    ("visible", "count"),
    [
        (None, 3),
        ("0,1,2", 3),
        ("2,0", 2),
        (" 1 , 2 ", 2),
        ("", 0),
        ("-1", 0),
        ("0,-1,2", 1),
        ("0,7,1", 1),
        ("1,1", 0),
        ("GPU-2222", 1),
        ("GPU-33333333-aaaa-0000-0000-000000000000,GPU-1111", 2),
        ("GPU-", 0),
        ("GPU-9", 0),
        ("GPU-1111,GPU-11111111", 0),
        ("MIG-44444444-aaaa-0000-0000-000000000000", 1),
        ("none", 0),
    ],
)
def test_visible_gpus_are_numbered_from_zero(nvidia_smi: Path, visible: str | None, count: int) -> None:
    assert nvidia_smi_gpus(visible) == gpus(count)


def test_without_nvidia_smi_there_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nvidia_smi_gpus(None) == ()


def test_a_failing_nvidia_smi_is_logged(nvidia_smi: Path, caplog: pytest.LogCaptureFixture) -> None:
    nvidia_smi.write_text("#!/bin/sh\necho could not talk to the NVIDIA driver >&2\nexit 9\n")
    with caplog.at_level(logging.WARNING):
        assert nvidia_smi_gpus(None) == ()
    assert "could not talk to the NVIDIA driver" in caplog.text


def test_a_hanging_nvidia_smi_does_not_hang_us(
    nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nvidia_smi.write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(device_discovery, "NVIDIA_SMI_LIMIT_S", 0.2)
    with caplog.at_level(logging.WARNING):
        assert nvidia_smi_gpus(None) == ()
    assert "no answer" in caplog.text


@pytest.mark.parametrize(
    ("requested", "available", "chosen"),
    [
        ("auto", "cuda:0 cuda:1 cpu", "cuda:0"),
        ("auto", "cpu", "cpu"),
        ("auto", "cuda:1", "cuda:1"),
        ("auto", "cpu:1", "cpu:1"),
        ("cuda", "cuda:1 cpu", "cuda:1"),
        ("CUDA:1", "cuda:0 cuda:1 cpu", "cuda:1"),
        ("cpu", "cuda:0 cpu", "cpu"),
        ("cpu", "cuda:0", "cpu"),
        ("cpu", "cpu:1", "cpu:1"),
        ("cpu:4", "cuda:0 cpu", "cpu:4"),
    ],
)
def test_a_setting_chooses_its_device(requested: str, available: str, chosen: str) -> None:
    assert choose(requested, [Device.parse(name) for name in available.split()]).name == chosen


@pytest.mark.parametrize(
    ("requested", "available", "message"),
    [
        ("cuda", "cpu", "there is no GPU for this process, only cpu: ask for auto or cpu"),
        ("cuda:2", "cuda:0 cpu", "there is no cuda:2 for this process, only cuda:0, cpu: ask"),
        ("gpu", "cuda:0 cpu", "'gpu' is not a device"),
    ],
)
def test_a_missing_gpu_is_never_replaced_silently(requested: str, available: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        choose(requested, [Device.parse(name) for name in available.split()])


def test_every_device_has_a_default_compute_type() -> None:
    assert choose_compute_type("auto", Device.parse("cuda")) is ComputeType.FLOAT16
    assert choose_compute_type("auto", Device.parse("cpu:1")) is ComputeType.INT8


@pytest.mark.parametrize(("name", "kind"), [("cpu", DeviceKind.CPU), ("cuda", DeviceKind.CUDA)])
def test_a_compute_type_is_taken_or_refused_by_name(name: str, kind: DeviceKind) -> None:
    device = Device.parse(name)
    for compute_type in ComputeType:
        if compute_type in COMPUTE_TYPES[kind]:
            assert choose_compute_type(compute_type.upper(), device) is compute_type
        else:
            with pytest.raises(ConfigurationError, match=f"does not support '{compute_type}', only int8, float32"):
                choose_compute_type(compute_type, device)


def test_an_unknown_compute_type_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cuda:0 does not support 'fp16', only float16, int8_float16"):
        choose_compute_type("fp16", Device.parse("cuda"))


def test_ctranslate2_supports_our_compute_types_on_a_cpu() -> None:
    ctranslate2 = pytest.importorskip("ctranslate2")
    assert set(COMPUTE_TYPES[DeviceKind.CPU]) <= ctranslate2.get_supported_compute_types("cpu")
    assert not {"float16", "int8_float16"} & ctranslate2.get_supported_compute_types("cpu")


HOLD = """
import sys
from pathlib import Path
from sensory_pipeline.engines.device_lock import device_lock
from sensory_pipeline.engines.devices import Device
name, folder, visible = sys.argv[1:]
with device_lock(Device.parse(name), Path(folder), visible=visible or None):
    print("has it", flush=True)
    sys.stdin.read()
"""


class Run:
    """Another process that locks a device until it is ended."""

    def __init__(self, name: str, folder: Path, *, visible: str = "") -> None:
        command = [sys.executable, "-c", HOLD, name, str(folder), visible]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def wait_for_device(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"has it\n"

    def wait_for_queue(self) -> None:
        assert self.process.stderr is not None
        assert b"waiting for another process to finish with device" in self.process.stderr.readline()

    def finish(self) -> None:
        self.process.communicate(timeout=10)


def test_two_runs_never_share_a_device(tmp_path: Path) -> None:
    first, second, third = Run("cuda:0", tmp_path), Run("cuda:1", tmp_path), Run("cpu:0", tmp_path)
    for run in (first, second, third):
        run.wait_for_device()
    waiting = Run("cuda:0", tmp_path)
    waiting.wait_for_queue()
    first.process.send_signal(signal.SIGKILL)
    waiting.wait_for_device()
    for run in (first, second, third, waiting):
        run.finish()


def test_one_gpu_under_two_numbers_is_still_one(tmp_path: Path) -> None:
    holder = Run("cuda:1", tmp_path, visible="5,3")
    holder.wait_for_device()
    with device_lock(Device.parse("cuda:0"), tmp_path, visible="5"):
        pass  # the same number, another GPU
    waiting = Run("cuda:3", tmp_path)
    waiting.wait_for_queue()
    holder.finish()
    waiting.wait_for_device()
    waiting.finish()


def test_a_hidden_gpu_cannot_be_used(tmp_path: Path) -> None:
    lock = device_lock(Device.parse("cuda:1"), tmp_path, visible="0")
    with pytest.raises(ConfigurationError, match="hidden by CUDA_VISIBLE_DEVICES"), lock:
        raise AssertionError("had a device that is not there")
