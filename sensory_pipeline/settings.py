"""The only reader of the environment and of `.env`.

Every setting can be given as an environment variable of the name shown by `Settings.names()`;
`.env.example` lists them all with their meaning.
"""

from __future__ import annotations

import os
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import (
    EnvSettingsSource,
    NoDecode,
)

from sensory_pipeline.core.languages import Codes
from sensory_pipeline.core.sources import RecordingSettings, Source
from sensory_pipeline.env_file import RUNS_CODE, OwnEnvFile, Variables

Owner = Annotated[str, Field(pattern=r"^(team:.+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7})$")]
"""As Dagster demands it."""


def _listed(value: Any) -> Any:
    """What stands in place, or in the YAML file of that name."""
    if not isinstance(value, str):
        return value
    try:
        found = yaml.safe_load(value if value.lstrip().startswith("[") else Path(value).read_text())
    except OSError as error:
        raise ValueError(f"it is no list, and no file that can be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"it is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, list):
        raise ValueError('it should hold a list, as in ["/recordings", "s3://bucket/calls"]')
    return found


class Settings(Variables, RecordingSettings):
    """How this installation runs, and what it asks of every recording.

    Every setting of a request is one here too, under the same name.
    """

    model_config = Variables.model_config  # and not that of a request

    # as of a recording, but commas may stand for JSON
    languages: Annotated[Codes, NoDecode] = Field(
        (), description=RecordingSettings.model_fields["languages"].description
    )
    lake: Path = Field(Path("lake"), description="Folder that holds the tables and all state.")
    ledger: SecretStr | None = Field(
        None,
        description="PostgreSQL that holds the ledger, as postgresql://user:password@host/name; unset: SQLite, in the "
        "lake's folder. Frozen once the lake exists.",
    )
    sources: Annotated[tuple[Source, ...], NoDecode, BeforeValidator(_listed)] = Field(
        (),
        description='Folders and S3 prefixes that are watched: ["/recordings", "s3://bucket/calls"], or a YAML file '
        "with such a list, where each may have settings of its own.",
    )
    sqs_queue: str | None = Field(
        None,
        pattern="^https?://",
        description="URL of the SQS queue that S3 tells of new and deleted objects; the sweeps find what it misses.",
    )
    nightly: str = Field("0 2 * * *", description="When all sources are swept and what is pending is run, as cron.")
    time_zone: str = Field("UTC", description="Time zone of SENSORY_NIGHTLY, as in Europe/Berlin.")
    arrivals: bool = Field(True, description="Whether sources are also watched for arrivals all day.")
    arrival_gb: float = Field(1, gt=0, description="Gigabytes pending in a partition from which it is run at once.")
    arrival_wait_s: float | None = Field(
        None,
        ge=0,
        description="Seconds after which what is pending is run, however little; unset: 600, or 10 where no engine "
        "needs torch.",
    )
    owners: tuple[Owner, ...] = Field(
        (), description='Who answers for the tables, shown in Dagster: addresses, or ["team:speech"].'
    )
    price_per_hour: float | None = Field(
        None, gt=0, description="Price of an hour of one device, for the cost of an hour of audio; unset: not shown."
    )
    fresh_hours: float | None = Field(
        None, gt=0, description="Hours without a run after which Dagster shows the tables as overdue; unset: never."
    )
    webhook_url: SecretStr | None = Field(
        None, description="Where failures are told, as Slack's incoming webhooks take it; unset: nowhere."
    )
    keep_runs_days: int = Field(
        90, ge=1, description="Days that Dagster keeps runs and their events, beyond the last of each partition."
    )
    models: Path | None = Field(None, description="Folder of fetched models; unset: ~/.cache/sensory_pipeline/models.")
    shards: int = Field(8, ge=1, le=256, description="Shards of a new lake; frozen once it exists.")
    start_date: date = Field(
        date(2024, 1, 1), description="First date of the lake; older recordings count as of this day."
    )
    run_audio_hours: float = Field(8, gt=0, description="Hours of audio one run takes at most.")
    max_audio_hours: float = Field(12, gt=0, description="Longer recordings are refused as AudioTooLong.")
    audio_cache_gb: float = Field(10, ge=0, description="Gigabytes of decoded audio kept for later stages.")
    devices: str = Field(
        "auto",
        description="Devices that runs are spread over, one run each: auto (every GPU, or the CPU), a number of GPUs, "
        "or names: cuda:0,cuda:1.",
    )
    executor: Literal["in_process", "multiprocess", "celery", "k8s"] = Field(
        "in_process",
        description="Where the steps of a run are executed: in its process, a process each, by Celery, in Kubernetes.",
    )
    celery_broker: SecretStr | None = Field(
        None, description="URL of Celery's broker, as in redis://:password@host:6379/0."
    )
    workers: int | None = Field(
        None,
        ge=1,
        description="Engine processes, of each stage but decoding where those go on side by side; unset: one.",
    )
    side_by_side: bool | None = Field(
        None,
        description="Whether stages go on side by side, each in processes of its own, so that the device does not wait "
        "for disk, network or decoding; unset: where there is memory enough for all models at once.",
    )
    worker_memory_mb: int = Field(8192, ge=128, description="Megabytes of memory at which an engine process is killed.")
    recording_timeout_s: float = Field(
        300,
        gt=0,
        description="Seconds an engine may be silent over a recording before it counts as hung; "
        "ten times the recording's length is added.",
    )

    default_model_name: str = Field(
        "base", validation_alias="DEFAULT_MODEL_NAME", description="Whisper model where WHISPER_MODEL_SIZE is unset."
    )
    whisper_device: str = Field(
        "auto", validation_alias="WHISPER_DEVICE", description="auto, cpu, cuda or cuda:1; auto falls back to the CPU."
    )
    whisper_compute_type: str = Field(
        "auto",
        validation_alias="WHISPER_COMPUTE_TYPE",
        description="auto, float16, int8_float16, int8 or float32; auto: float16 on a GPU, int8 on a CPU.",
    )
    whisper_cpu_threads: int = Field(
        0,
        ge=0,
        validation_alias="WHISPER_CPU_THREADS",
        description="Threads of Whisper on a CPU; four share them, each with clips of its own, unless those go one by "
        "one; 0: as many as suit the cores.",
    )
    whisper_batch_size: int | None = Field(
        None,
        ge=1,
        validation_alias="WHISPER_BATCH_SIZE",
        description="Clips decoded together, of whatever recordings; unset: as many as suit the device; 1: one after "
        "the other, in segments as Whisper cuts them.",
    )
    pyannote_auth_token: SecretStr | None = Field(
        None, validation_alias="PYANNOTE_AUTH_TOKEN", description="Hub token, to download pyannote's gated models."
    )
    pyannote_use_gpu: bool = Field(
        True, validation_alias="PYANNOTE_USE_GPU", description="Whether pyannote takes a GPU where there is one."
    )
    pyannote_window_step: float | None = Field(
        None,
        gt=0,
        le=1,
        validation_alias="PYANNOTE_WINDOW_STEP",
        description="From one of pyannote's windows to the next, as a part of a window; unset: the model's own, 0.1. "
        "0.25 takes half as long and is less exact.",
    )
    pyannote_trusted_classes: frozenset[str] = Field(
        frozenset(),
        validation_alias=RUNS_CODE,
        description='Networks of your own that its checkpoints may be of, as ["module.Class"]; their modules are run. '
        "Read from the environment alone.",
    )
    cache_models: int = Field(4, ge=1, description="Models an engine process keeps loaded at most.")
    cache_gb: float | None = Field(None, gt=0, description="Gigabytes of models it keeps loaded at most.")
    cache_ttl_s: float | None = Field(300, gt=0, description="Seconds after its last use that a model is unloaded.")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "WARNING", validation_alias="LOG_LEVEL", description="How much is logged."
    )

    def of(self, source: Source) -> Settings:
        """These settings, with those that the source gives for its recordings."""
        return self.model_copy(update=source.own)

    @field_validator("webhook_url")
    @classmethod
    def _is_web(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not re.fullmatch(r"https?://[!-~]+", url.get_secret_value()):
            raise ValueError("SENSORY_WEBHOOK_URL has to begin with https:// or http://, and to have no blanks in it")
        return url

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # the last where it names a folder
            raise ValueError("no such time zone is known here; write it as in Europe/Berlin") from None
        return name

    @property
    def steps_elsewhere(self) -> bool:
        """Whether steps are executed on other hosts, which know their own devices."""
        return self.executor in ("celery", "k8s")


def given_variables() -> set[str]:
    """Names of the SENSORY_* variables of the environment and `.env`."""
    given = {**EnvSettingsSource(Settings).env_vars, **OwnEnvFile(Settings).env_vars}
    return {name.upper() for name in given if name.upper().startswith("SENSORY_")}


def dagster_home() -> Path | None:
    """DAGSTER_HOME, where somebody has set one."""
    value = os.environ.get("DAGSTER_HOME")  # noqa: TID251
    return Path(value) if value else None


def environment_with(**variables: str) -> dict[str, str]:
    """The environment for a child process, with these variables set."""
    return {**os.environ, **variables}  # noqa: TID251


def visible_devices() -> str | None:
    """CUDA_VISIBLE_DEVICES, None where it is unset; empty hides all GPUs, so it is no ordinary setting."""
    return os.environ.get("CUDA_VISIBLE_DEVICES")  # noqa: TID251


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0))
