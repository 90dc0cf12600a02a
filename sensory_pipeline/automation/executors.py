"""Where the steps of a run are executed: in its process, in a process each, by Celery or in Kubernetes.

The tags of the assets say which steps need a device. Results are passed on in the lake, so every host needs the lake's
folder at the same path and, if there are several hosts, PostgreSQL.
"""

import dagster as dg

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.settings import Settings

LONGEST_STEP_S = 24 * 3600
"""Seconds after which Redis gives an unconfirmed message to another worker."""


def executor(settings: Settings) -> dg.ExecutorDefinition:
    """Return the executor that the settings choose.

    Raises:
        ConfigurationError: Its package or its broker is missing.
    """
    match settings.executor:
        case "in_process":
            return dg.in_process_executor
        case "multiprocess":
            one_gpu = {"key": "sensory/res", "value": "gpu", "limit": 1}
            return dg.multiprocess_executor.configured({"tag_concurrency_limits": [one_gpu]}, name="multiprocess")
        case "celery":
            try:
                from dagster_celery import celery_executor
            except ModuleNotFoundError as error:
                raise _missing("celery", error) from error
            chosen: dg.ExecutorDefinition = celery_executor.configured(celery_config(settings), name="celery")
            return chosen
        case "k8s":
            try:
                from dagster_k8s import k8s_job_executor
            except ModuleNotFoundError as error:
                raise _missing("k8s", error) from error
            return k8s_job_executor


def celery_config(settings: Settings) -> dict[str, object]:
    """Return the configuration that the executor shares with its workers.

    Raises:
        ConfigurationError: There is no broker.
    """
    if settings.celery_broker is None:
        raise ConfigurationError(
            "SENSORY_EXECUTOR is celery, and SENSORY_CELERY_BROKER is not set: give the broker's URL, "
            "as in redis://:password@host:6379/0"
        )
    broker = settings.celery_broker.get_secret_value()
    return {
        "broker": broker,
        "backend": broker if broker.startswith("redis") else "rpc://",
        "config_source": {
            "broker_transport_options": {"visibility_timeout": LONGEST_STEP_S},
            # a busy worker reserves no further step, which would otherwise wait there while another worker is idle
            "worker_prefetch_multiplier": 1,
            "worker_disable_prefetch": True,
        },
    }


def _missing(extra: str, error: ModuleNotFoundError) -> ConfigurationError:
    return ConfigurationError(
        f"SENSORY_EXECUTOR is {extra}, and {error.name} is not installed: pip install 'sensory-pipeline[{extra}]'"
    )
