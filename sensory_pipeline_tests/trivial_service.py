"""A service in a process of its own: `python -m ... SPOOL PORT ENGINES`, engines of trivial_engines.py."""

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
    spool, port, engines = sys.argv[1:]
    uvicorn.run(
        application(Settings(workers=1), ServiceSettings(spool=Path(spool)), engines=getattr(trivial_engines, engines)),
        port=int(port),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=75,  # as `sensory serve`
    )
