"""Settings as variables: of the environment, and of `.env` in the folder one is in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from stat import S_IWOTH

from pydantic_settings import BaseSettings, DotEnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from sensory_pipeline.core.errors import ConfigurationError

ENV_FILE = Path(".env")
"""Of the folder one is in."""
RUNS_CODE = "PYANNOTE_TRUSTED_CLASSES"
"""The variable that names code to run, which no file may set."""


class OwnEnvFile(DotEnvSettingsSource):
    """`.env`, which a folder may hold that somebody else has filled."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        try:
            about = ENV_FILE.stat()
        except OSError:
            return super()._load_env_vars()  # which knows what to do without one
        if about.st_uid not in (0, os.geteuid()) or about.st_mode & S_IWOTH:
            raise ConfigurationError(
                f"{ENV_FILE.absolute()} belongs to another user, or anybody may write to it, and it would change what "
                "this command does: chown and chmod 600 it, or run the command in another folder"
            )
        found = super()._load_env_vars()
        if (found.get(RUNS_CODE.lower()) or "[]") != "[]":
            raise ConfigurationError(
                f"{ENV_FILE.absolute()} sets {RUNS_CODE}, whose modules would be run: set it in the environment alone"
            )
        return found


class Variables(BaseSettings):
    """Each field is a variable, SENSORY_ and its name where it has no other."""

    model_config = SettingsConfigDict(
        env_prefix="SENSORY_",
        env_file=ENV_FILE,
        env_ignore_empty=True,
        env_parse_none_str="none",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # it would show the hub's token
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
        """Environment variable -> meaning."""
        return {cls.variable(name): field.description or "" for name, field in cls.model_fields.items()}

    @classmethod
    def variable(cls, name: str) -> str:
        """Of the field of that name."""
        return str(cls.model_fields[name].validation_alias or f"SENSORY_{name.upper()}")
