"""PostgreSQL on loopback, gone with the `with`.

Debian: apt-get install --no-install-recommends postgresql
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from tempfile import TemporaryDirectory
from uuid import uuid4

from sensory_pipeline_tests.ports import free_port, wait_for

_DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))  # not on the path there
_PROGRAM = shutil.which("postgres") or (str(_DEBIAN[-1]) if _DEBIAN else None)
INSTALLED = _PROGRAM is not None

USER, PASSWORD = "sensory", "hush-hush"


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """Where it is, and as whom it is asked."""

    port: int

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """URL of one that is empty."""
        import psycopg2  # `make unit` runs without it

        name = f"test_{uuid4().hex[:8]}"
        with closing(psycopg2.connect(self.url())) as db:
            db.autocommit = True
            with db.cursor() as statements:
                statements.execute(f"CREATE DATABASE {name}")
        return self.url(name)


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """A server of its own, without fsync: what is in it need not survive a power cut."""
    assert _PROGRAM is not None
    server = PostgresServer(port=free_port())
    programs = Path(_PROGRAM).resolve().parent
    # it refuses to run as root
    user = "nobody" if os.geteuid() == 0 else None
    with TemporaryDirectory(prefix="pg-") as folder:
        home = Path(folder)
        password = home / "password"
        password.write_text(PASSWORD)
        if user:
            owner = pwd.getpwnam(user)
            for path in (home, password):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        init = [f"--username={USER}", f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"]
        command = [str(programs / "initdb"), "-D", str(home / "data"), "--locale=C.UTF-8", *init]
        subprocess.run(command, user=user, cwd=home, check=True, stdout=subprocess.DEVNULL)
        options = {"listen_addresses": "127.0.0.1", "port": server.port, "unix_socket_directories": "", "fsync": "off"}
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(programs / "postgres"), "-D", str(home / "data"), *settings],
                user=user,
                cwd=home,
                stdout=log,
                stderr=log,
            )
        try:
            wait_for(server.port)
            yield server
        finally:
            process.send_signal(SIGINT)  # SIGTERM would wait for open connections
            process.wait()
