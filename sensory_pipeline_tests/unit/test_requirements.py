"""What `make` installs: each package in one version, with hashes that pip checks."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from scripts.requirements import BASES, EXTRAS, FOLDER, ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONSTRAINTS = {
    canonicalize_name(line.partition("==")[0]): line.partition("==")[2]
    for line in (ROOT / "constraints.txt").read_text().splitlines()
}


def pins(name: str) -> dict[NormalizedName, tuple[Requirement, list[str]]]:
    """Each package of a file and of those that it includes, with its hashes."""
    found: dict[NormalizedName, tuple[Requirement, list[str]]] = {}
    for line in (FOLDER / f"{name}.txt").read_text().replace("\\\n", " ").splitlines():
        if line.startswith("-r "):
            found |= pins(Path(line.removeprefix("-r ")).stem)
            continue
        requirement = Requirement(line.partition("--hash")[0])
        found[canonicalize_name(requirement.name)] = requirement, re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line)
    return found


def wanted(name: str) -> set[Requirement]:
    """What pyproject.toml asks for."""
    extras = {extra for each in (name, *BASES[name]) for extra in EXTRAS[each]}
    asked = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["build-system"]["requires"]]
    while extras:
        for text in PYPROJECT["project"]["optional-dependencies"][extras.pop()]:
            requirement = Requirement(text)
            if requirement.name == PYPROJECT["project"]["name"]:
                extras |= requirement.extras
            else:
                asked.append(text)
    return set(map(Requirement, asked))


@pytest.mark.parametrize("name", EXTRAS)
def test_every_package_has_one_version_and_hashes(name: str) -> None:
    for package, (requirement, hashes) in pins(name).items():
        assert str(requirement.specifier) == f"=={CONSTRAINTS[package]}"
        assert hashes, package


@pytest.mark.parametrize("name", EXTRAS)
def test_what_the_project_asks_for_is_pinned(name: str) -> None:
    pinned = pins(name)
    for requirement in wanted(name):
        version = str(pinned[canonicalize_name(requirement.name)][0].specifier).removeprefix("==")
        assert requirement.specifier.contains(version), requirement


def test_make_installs_nothing_else() -> None:
    commands = [line for line in (ROOT / "Makefile").read_text().splitlines() if "pip install" in line]
    assert len(commands) == 2
    assert {"--require-hashes", "--no-deps"} <= set(commands[0].split())
    assert {"--no-deps", "--no-build-isolation"} <= set(commands[1].split())
