"""A service in a process of its own, with engines that take their time: `python -m ... SPOOL PORT`."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from sensory_pipeline.gateway import logs
from sensory_pipeline.gateway.app_factory import application
from sensory_pipeline.service_settings import ServiceSettings
from sensory_pipeline.settings import Settings
from sensory_pipeline_tests import trivial_engines

if __name__ == "__main__":
    logs.configure("INFO")
    app = application(
        Settings(workers=1, side_by_side=False), ServiceSettings(spool=Path(sys.argv[1])), engines=trivial_engines.slow
    )
    uvicorn.run(
        app,
        port=int(sys.argv[2]),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=75,  # as `sensory serve`
    )
