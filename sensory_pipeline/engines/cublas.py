"""Loads cuBLAS for CTranslate2 from the wheel that pip installs.

Besides the driver, the only part of CUDA that CTranslate2 needs at run time is cuBLAS 12. It asks the dynamic linker
for it by name when it first computes on a GPU. NVIDIA's wheel puts the library into site-packages, where the linker
does not look. But the linker finds a library by its name if the process has loaded it already, so it is loaded here
first.
"""

from __future__ import annotations

import ctypes
from importlib.metadata import PackageNotFoundError, distribution

from sensory_pipeline.core.errors import ConfigurationError

PACKAGE = "nvidia-cublas-cu12"
LIBRARIES = ("libcublasLt.so.12", "libcublas.so.12")
"""In loading order: the second needs the first, in the same version."""


def load_cublas() -> str:
    """Load cuBLAS 12 into this process: the wheel's if it is installed, else the system's.

    Needs neither a GPU nor a driver.

    Returns:
        Its version, such as "12.8.4".

    Raises:
        ConfigurationError: It cannot be loaded.
    """
    try:
        *_, cublas = (ctypes.CDLL(_path(name), mode=ctypes.RTLD_GLOBAL) for name in LIBRARIES)
    except OSError as error:
        raise ConfigurationError(
            f"Whisper on a GPU needs cuBLAS 12, which cannot be loaded ({error}): run `make gpu` (or `make models`, "
            "which brings it with torch), or set WHISPER_DEVICE=cpu"
        ) from error
    return ".".join(str(_property(cublas, number)) for number in range(3))


def _path(name: str) -> str:
    """The path of the wheel's library; without the wheel, the bare name, for the linker's own search."""
    try:
        path = distribution(PACKAGE).locate_file(f"nvidia/cublas/lib/{name}")
    except PackageNotFoundError:
        return name
    return str(path)


def _property(cublas: ctypes.CDLL, number: int) -> int:
    """CUDA's libraryPropertyType: 0 is the major version, 1 the minor one, 2 the patch level."""
    value = ctypes.c_int()
    cublas.cublasGetProperty(number, ctypes.byref(value))
    return value.value
