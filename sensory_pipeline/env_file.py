"""Settings from environment variables and from `.env` in the current directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from stat import S_IWOTH

from pydantic_settings import BaseSettings, DotEnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from sensory_pipeline.core.errors import ConfigurationError

ENV_FILE = Path(".env")
"""In the current directory."""
RUNS_CODE = "PYANNOTE_TRUSTED_CLASSES"
"""Variable that names code to run, so no file may set it."""


class OwnEnvFile(DotEnvSettingsSource):
    """Reads `.env`, but only if no other user can have written it."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        try:
            about = ENV_FILE.stat()
        except OSError:
            return super()._load_env_vars()  # which handles a missing file
        if about.st_uid not in (0, os.geteuid()) or about.st_mode & S_IWOTH:
            raise ConfigurationError(
                f"{ENV_FILE.absolute()} belongs to another user, or can be written by anybody, and it would change "
                "what this command does: chown and chmod 600 it, or run the command in another folder"
            )
        found = super()._load_env_vars()
        if (found.get(RUNS_CODE.lower()) or "[]") != "[]":
            raise ConfigurationError(
                f"{ENV_FILE.absolute()} sets {RUNS_CODE}, whose modules would be run: set it only in the environment"
            )
        return found


class Variables(BaseSettings):
    """Base of settings: each field is a variable, SENSORY_ and its name unless it has an alias."""

    model_config = SettingsConfigDict(
        env_prefix="SENSORY_",
        env_file=ENV_FILE,
        env_ignore_empty=True,
        env_parse_none_str="none",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # it would show secrets
        allow_inf_nan=False,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, OwnEnvFile(settings_cls)

    @classmethod
    def names(cls) -> dict[str, str]:
        """Return the meaning of each environment variable."""
        return {cls.variable(name): field.description or "" for name, field in cls.model_fields.items()}

    @classmethod
    def variable(cls, name: str) -> str:
        """Return the environment variable of a field."""
        return str(cls.model_fields[name].validation_alias or f"SENSORY_{name.upper()}")
