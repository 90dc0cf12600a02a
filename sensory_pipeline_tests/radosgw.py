"""Ceph's S3 server on loopback: a monitor, a store in memory and the gateway, gone with the `with`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import which
from uuid import uuid4

from sensory_pipeline_tests.ports import free_port, wait_for
from sensory_pipeline_tests.s3_servers import Server
from sensory_pipeline_tests.waiting import eventually

PACKAGES = "ceph-mon ceph-osd radosgw ceph-common"
"""Debian's, that bring it."""
INSTALLED = all(map(which, ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool")))

_CONFIG = """
[global]
fsid = {fsid}
mon initial members = a
mon host = {address}
auth cluster required = none
auth service required = none
auth client required = none
run dir = {home}
admin socket = {home}/$name.asok
crash dir = {home}
log file = {home}/$name.log
# one disk, one copy, and no manager that would choose better figures
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
mon data avail warn = 1
ms bind ipv6 = false
ms mon client mode = crc
[mon]
mon data = {home}/mon
[osd]
osd data = {home}/osd
osd objectstore = memstore
memstore device bytes = 1073741824
osd class load list = *
[client]
rgw data = {home}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw dynamic resharding = false
"""


@contextmanager
def radosgw(home: Path) -> Iterator[Server]:
    """home: an empty folder with a short path, for it holds sockets."""
    server = Server(port=free_port())
    address = f"[v2:127.0.0.1:{free_port()},v1:127.0.0.1:{free_port()}]"
    fsid = str(uuid4())
    for name in ("mon", "osd", "rgw"):
        (home / name).mkdir()
    config = home / "ceph.conf"
    config.write_text(_CONFIG.format(fsid=fsid, address=address, home=home, port=server.port))
    environment = {**os.environ, "CEPH_CONF": str(config)}  # noqa: TID251

    def run(*command: str) -> bool:
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        with (home / "commands.log").open("ab") as log:
            log.write(done.stdout)
        return done.returncode == 0

    def must(*command: str) -> None:
        if not run(*command):
            raise RuntimeError(f"{' '.join(command)} failed: see {home}/commands.log")

    with ExitStack() as running:

        def start(*command: str) -> None:
            with (home / f"{command[0]}.out").open("wb") as log:
                process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            running.callback(process.wait)
            running.callback(process.kill)  # nothing in it is worth a good end

        map_file = str(home / "monmap")
        must("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, map_file)
        must("ceph-mon", "--mkfs", "-i", "a", "--monmap", map_file)
        start("ceph-mon", "-f", "-i", "a")
        disk = str(uuid4())
        eventually(lambda: run("ceph", "--connect-timeout", "10", "osd", "new", disk))
        must("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", disk)
        start("ceph-osd", "-f", "-i", "0")
        start("radosgw", "-f", "-n", "client.rgw")
        wait_for(server.port)
        owner = ("--uid=test", "--display-name=test", f"--access-key={server.key}", f"--secret-key={server.secret}")
        must("radosgw-admin", "user", "create", *owner)
        yield server
