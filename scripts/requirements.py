"""Writes requirements/: what each `make` target installs, in the versions of constraints.txt and with hashes.

pip checks each file that it downloads against these hashes. Run this after a change of pyproject.toml or
constraints.txt. uv reads the hashes from PyPI, or from the index that UV_DEFAULT_INDEX names, and downloads no package.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "requirements"
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "demo": ("pipeline", "server", "client"),
    "gpu": ("gpu",),
    "models": ("models",),
    "unit": ("dev",),
    "dev": ("models", "dev", "celery", "k8s", "postgres"),
}
"""The extras of pyproject.toml in each file."""
BASES: Mapping[str, tuple[str, ...]] = {
    "demo": (),
    "gpu": ("demo",),
    "models": ("demo",),
    "unit": ("demo",),
    "dev": ("models", "unit"),
}
"""The files that each file includes; it has only what they lack."""


def main() -> None:
    """Write all files."""
    written: dict[str, frozenset[str]] = {}
    for name, bases in BASES.items():
        included = frozenset[str]().union(*(written[base] for base in bases))
        pins = {pin: text for pin, text in _pins(name).items() if pin not in included}
        lines = [*(f"-r {base}.txt\n" for base in bases), *pins.values()]
        (FOLDER / f"{name}.txt").write_text("".join(lines))
        written[name] = included | pins.keys()


def _pins(name: str) -> dict[str, str]:
    """Return what a file needs, with the files that it includes: the lines of each package, by its name."""
    extras = {extra for each in _closure(name) for extra in EXTRAS[each]}
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--quiet", "--universal"]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--constraints=constraints.txt"]
    command += [f"--extra={extra}" for extra in sorted(extras)]
    builds = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    done = subprocess.run(
        [*command, "-"], cwd=ROOT, input="\n".join(builds), stdout=subprocess.PIPE, text=True, check=True
    )
    blocks = re.findall(r"^\S.*\n(?:[ ].*\n)*", done.stdout, re.MULTILINE)
    return {re.split(r"[=\[ ]", block, maxsplit=1)[0]: block for block in blocks}


def _closure(name: str) -> set[str]:
    return {name}.union(*(_closure(base) for base in BASES[name]))


if __name__ == "__main__":
    main()
