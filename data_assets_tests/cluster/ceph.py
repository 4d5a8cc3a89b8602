"""A real S3 server besides moto: the gateway of a Ceph of one monitor and one store in memory, from Debian's packages.

It is as strict as what people run: signatures, conditions and listings are its own. It starts in some seconds, listens
on loopback alone, and leaves nothing.

Here: starting and ending it. Not here: any expectation.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from data_assets_tests.cluster.afterwards import TIED, free_port

PATIENCE = 300
ACCESS_KEY = "test"

CONFIGURATION = """
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{port}]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
run_dir = {folder}
admin_socket = {folder}/$name.socket
pid_file =
log_file = {folder}/$name.log
log_to_stderr = false
crash_dir = {folder}/crash
mon_data = {folder}/monitor
osd_data = {folder}/store
rgw_data = {folder}/gateway
osd_objectstore = memstore
memstore_device_bytes = 1073741824
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
"""


@contextmanager
def ceph(folder: Path) -> Iterator[str]:
    """The endpoint of a server that knows one user, `ACCESS_KEY` with the same word as its secret."""
    folder.mkdir()
    fsid, monitor, gateway = str(uuid.uuid4()), free_port(), free_port()
    (folder / "ceph.conf").write_text(CONFIGURATION.format(fsid=fsid, port=monitor, folder=folder))
    (folder / "store").mkdir()

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [program, "-c", folder / "ceph.conf", *arguments], check=True, capture_output=True, timeout=PATIENCE
        )

    with ExitStack() as daemons:

        def start(program: str, *arguments: str) -> None:
            command = [*TIED, program, "-c", str(folder / "ceph.conf"), "-f", *arguments]
            daemon = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            daemons.callback(daemon.wait)
            daemons.callback(daemon.kill)

        run("monmaptool", "--create", "--addv", "a", f"[v2:127.0.0.1:{monitor}]", "--fsid", fsid, str(folder / "map"))
        run("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(folder / "map"))
        start("ceph-mon", "-i", "a")
        store = str(uuid.uuid4())
        run("ceph", "--connect-timeout", str(PATIENCE), "osd", "new", store)
        run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", store)
        start("ceph-osd", "-i", "0")
        user = ("--uid", ACCESS_KEY, "--display-name", ACCESS_KEY, "--access-key", ACCESS_KEY, "--secret", ACCESS_KEY)
        run("radosgw-admin", "user", "create", *user)
        start("radosgw", "-n", "client.admin", "--rgw_frontends", f"beast endpoint=127.0.0.1:{gateway}")
        give_up = time.monotonic() + PATIENCE
        while not _answers(gateway):
            assert time.monotonic() < give_up, "the gateway does not answer"
            time.sleep(0.2)
        yield f"http://127.0.0.1:{gateway}"


def asked_of(endpoint: str, environ: Mapping[str, str], body: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
    """Ask a server what a WSGI application was asked: the line, the headers and the body of its answer."""
    headers = {
        name.removeprefix("HTTP_").replace("_", "-"): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name == "CONTENT_TYPE"
    }
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"))
    try:
        connection.request(environ["REQUEST_METHOD"], environ["RAW_URI"], body, headers)
        answer = connection.getresponse()
        return f"{answer.status} {answer.reason}", answer.getheaders(), answer.read()
    finally:
        connection.close()


def _answers(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
