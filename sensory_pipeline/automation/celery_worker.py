"""The Celery app for the workers.

Start one with `celery -A sensory_pipeline.automation.celery_worker worker ...`. There is one worker per device, which
executes one step at a time; docs/automation.md has the whole command.
"""

from dagster_celery.executor import CeleryExecutor
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task

from sensory_pipeline.automation.executors import celery_config
from sensory_pipeline.settings import Settings

app = make_app(CeleryExecutor.for_cli(**celery_config(Settings())).app_args())  # type: ignore[no-untyped-call]
execute_plan = create_task(app)  # type: ignore[no-untyped-call]
