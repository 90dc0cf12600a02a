"""The models that are known by name, as `models.toml` lists them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sensory_pipeline.core.errors import ConfigurationError

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
"""Name of a file, without a folder."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Entry):
    """Some bytes of a file.

    Attributes:
        carrier: The wheel that holds them.
        path: Where they are in the wheel.
    """

    carrier: str
    path: str


class ModelFile(_Entry):
    """What a file must be, and where it can be had besides the hub.

    Attributes:
        bytes: Its size; None if its makers do not publish it.
        sha256: Of the whole file, hexadecimal.
        md5: Instead, if its makers publish no other digest.
        parts: Its bytes in carriers, in order.
        url: Where it is published by itself.
    """

    bytes: int | None = Field(None, gt=0)
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    md5: str | None = Field(None, pattern="^[0-9a-f]{32}$")
    parts: tuple[Part, ...] = ()
    url: str | None = Field(None, pattern="^https?://")

    @model_validator(mode="after")
    def _has_one_digest(self) -> Self:
        if (self.sha256 is None) == (self.md5 is None):
            raise ValueError("a file has either a sha256 or an md5")
        return self

    @property
    def digest(self) -> tuple[str, str]:
        """Name of the algorithm, as in hashlib, and hexadecimal value."""
        return ("sha256", self.sha256) if self.sha256 else ("md5", str(self.md5))


class Build(_Entry):
    """The Python and the platform a wheel was built for. Any machine can read it."""

    python: str
    platform: str


class Carrier(_Entry):
    """A wheel on the package index that holds files of models.

    Attributes:
        version: Its version.
        bytes: Its size.
        built_for: None if it fits any machine.
    """

    version: str
    bytes: int = Field(gt=0)
    built_for: Build | None = None


class Model(_Entry):
    """One model. Its weights are those of `revision` on the hub, wherever they are taken from."""

    name: str
    task: str
    about: str
    languages: str
    licence: str
    files: Mapping[FileName, ModelFile] = Field(min_length=1)
    hub: str | None = Field(None, pattern="^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$")
    revision: str | None = Field(None, pattern="^[0-9a-f]{40}$")
    origin: str | None = Field(None, pattern="^https://")

    @model_validator(mode="after")
    def _hub_is_pinned(self) -> Self:
        if (self.hub is None) != (self.revision is None):
            raise ValueError("a hub's repository and its revision go together")
        return self

    @property
    def size_bytes(self) -> int | None:
        """The size of all files; None if that of one is unknown."""
        sizes = [file.bytes for file in self.files.values() if file.bytes is not None]
        return sum(sizes) if len(sizes) == len(self.files) else None

    @property
    def carriers(self) -> tuple[str, ...]:
        """Names of the wheels that together hold all of it; empty if no wheels do."""
        if not all(file.parts for file in self.files.values()):
            return ()
        return tuple(dict.fromkeys(part.carrier for file in self.files.values() for part in file.parts))


class Catalogue(_Entry):
    """All of `models.toml`."""

    models: Mapping[str, Model]
    carriers: Mapping[str, Carrier]

    @model_validator(mode="after")
    def _carriers_are_known(self) -> Self:
        for model in self.models.values():
            if unknown := set(model.carriers) - self.carriers.keys():
                raise ValueError(f"{model.name} names carriers that are not listed: {', '.join(sorted(unknown))}")
        return self

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the catalogue from TOML.

        Raises:
            ValidationError: It is not valid.
        """
        found = tomllib.loads(text)
        carriers = found.pop("carriers", {})
        return cls.model_validate(
            {"models": {name: {"name": name, **entry} for name, entry in found.items()}, "carriers": carriers}
        )

    def find(self, name: str) -> Model | None:
        """The model with that name, or with that repository on the hub; None if there is none.

        >>> catalogue().find("Systran/faster-whisper-base").name
        'whisper-base'
        """
        return self.models.get(name) or next((model for model in self.models.values() if model.hub == name), None)

    def known(self, name: str) -> Model:
        """The model with that name.

        Raises:
            ConfigurationError: There is none; the message names those there are.
        """
        model = self.find(name)
        if model is None:
            raise ConfigurationError(f"there is no model {name!r}: there are {', '.join(self.models)}")
        return model


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """The models this version knows."""
    return Catalogue.parse(files(__package__).joinpath("models.toml").read_text(encoding="utf-8"))
