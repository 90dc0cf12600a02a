"""Dagster's three services as child processes: the code server, which starts the runs; the daemon; the UI.

A service that dies is started again, and runs continue when the code server that started them has died. At the end all
of them are stopped, runs included.
"""

import ctypes
import logging
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import yaml

from sensory_pipeline.automation.instance import open_instance
from sensory_pipeline.automation.orphans import fail_launched, fail_unlaunched
from sensory_pipeline.automation.run_history import ended_since
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.dagster_internals import DAEMON, RETRY_CHANGED_DEFINITIONS
from sensory_pipeline.storage.lock import held

log = logging.getLogger(__name__)

DEFINITIONS = "sensory_pipeline.definitions"
WEBSERVER = "sensory_pipeline.automation.webserver"
MOST_DEATHS = 5
"""A service that dies this often within a minute is given up."""
END_LIMIT_S = 30.0
"""Seconds that services and runs have to end by themselves."""
_POLL_S = 0.5
_LOOK_S = 5.0
"""Seconds between two looks at the runs that have ended."""
_SET_DEATH_SIGNAL, _ADOPT_ORPHANS = 1, 36  # <linux/prctl.h>


@dataclass(slots=True, kw_only=True)
class Service:
    """One of the services.

    Attributes:
        name: Its name in messages.
        command: What follows `python -m`.
        environment: Its environment.
        prepare: Called before each start.
        process: Its process; None before the first start.
        deaths: When it last died, in monotonic seconds.
    """

    name: str
    command: list[str]
    environment: Mapping[str, str]
    prepare: Callable[[], None] = lambda: None
    process: subprocess.Popen[bytes] | None = None
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_DEATHS))

    def keep_up(self) -> None:
        """Start the service if it is not running.

        Raises:
            ConfigurationError: It dies again and again.
        """
        if self.process is not None:
            if self.process.poll() is None:
                return
            log.warning("Dagster's %s has ended with code %d; starting it again", self.name, self.process.returncode)
            self.deaths.append(time.monotonic())
            if len(self.deaths) == MOST_DEATHS and self.deaths[-1] - self.deaths[0] < 60:
                raise ConfigurationError(f"Dagster's {self.name} does not stay up: its last output says why")
        self.prepare()
        self.process = subprocess.Popen(
            # -P: do not import from the current directory, where a file may have the name of a package
            [sys.executable, "-P", "-m", *self.command],
            env=self.environment,
            preexec_fn=_end_with_parent,
        )


def serve(
    home: Path,
    environment: Mapping[str, str],
    *,
    host: str,
    port: int,
    definitions: str = DEFINITIONS,
    log_level: str = "WARNING",
    report: Callable[[str], None] = lambda _: None,
) -> None:
    """Keep the services running until SIGINT or SIGTERM.

    Args:
        home: Folder of the Dagster instance.
        environment: Environment of the services.
        host: Address of the UI.
        port: Port of the UI.
        definitions: Module with Dagster's definitions.
        log_level: Lowest level of the services' lines that are shown.
        report: Called with a line for each run that ends.

    Raises:
        ConfigurationError: A service dies again and again.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        # a shell without job control starts background processes that ignore SIGINT
        signal.signal(number, signal.default_int_handler)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_ADOPT_ORPHANS, 1)  # runs of a code server that died
    with (
        held(home / "services.lock", what="Dagster on this lake"),
        TemporaryDirectory(prefix="sensory-") as folder,
    ):
        with open_instance(home) as instance:
            fail_launched(instance, home)
        socket = Path(folder) / "code.sock"
        workspace = Path(folder) / "workspace.yaml"
        server = {"socket": str(socket), "location_name": definitions}
        workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
        code_server = ["dagster", "api", "grpc", "--socket", str(socket), "--lazy-load-user-code", "--module-name"]
        level = ["--log-level", log_level.lower()]
        known = ["--workspace", str(workspace), *level]
        # otherwise a backfill and its queued runs fail for good if the code server is restarting at that moment
        patient = {**environment, RETRY_CHANGED_DEFINITIONS: "1"}
        code = Service(
            name="code server",
            command=[*code_server, definitions, "--location-name", definitions, *level],
            environment=patient,
        )
        daemon = Service(
            name="daemon",
            command=[DAEMON, "run", *known],
            environment=patient,
            prepare=partial(_clear_starting, home),
        )
        webserver = Service(
            name="webserver",
            command=[WEBSERVER, "--host", host, "--port", str(port), "--workspace", str(workspace), *level],
            environment=patient,
        )
        reported, looked = datetime.now(UTC), time.monotonic()
        try:
            while True:
                code.keep_up()
                if socket.exists():  # so that the others find the code server at once
                    daemon.keep_up()
                    webserver.keep_up()
                _reap({service.process.pid for service in (code, daemon, webserver) if service.process})
                if time.monotonic() - looked > _LOOK_S:
                    reported, looked = _report_ended(home, reported, report), time.monotonic()
                time.sleep(_POLL_S)
        except KeyboardInterrupt:
            log.info("ending Dagster's services")
        finally:
            _end_family()


def _report_ended(home: Path, since: datetime, report: Callable[[str], None]) -> datetime:
    """Report the runs that ended after a moment, and return when the last of them ended."""
    with open_instance(home) as instance:
        runs = ended_since(instance, since)
    for run in runs:
        report(run.line())
    return runs[-1].ended if runs else since


def _clear_starting(home: Path) -> None:
    with open_instance(home) as instance:
        fail_unlaunched(instance)


def _reap(services: set[int]) -> None:
    """Collect the exit codes of adopted runs that have ended, so that they do not stay zombies."""
    adopted = [child for child in psutil.Process().children() if child.pid not in services]
    psutil.wait_procs(adopted, timeout=0)


def _end_family() -> None:
    family = psutil.Process().children(recursive=True)
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT)
    _, alive = psutil.wait_procs(family, timeout=END_LIMIT_S)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive)


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
