"""What the tests of several machines start is gone once they are, however they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_assets_tests.cluster.hosts import refusal

HOLDS = """
import sys
from pathlib import Path
from data_assets_tests.cluster.hosts import network
from data_assets_tests.cluster.postgres import postgres_server
with postgres_server() as server, network(Path(sys.argv[1])) as net:
    net.forward(server.port)
    host = net.host("a")
    host.start("sleep", "infinity", environment={})
    print(server.folder, host.name, flush=True)
    sys.stdin.read()
"""
PATIENCE = 300


@pytest.mark.parametrize("ends", [signal.SIGKILL, signal.SIGINT])
def test_hosts_and_servers_go_with_the_process_that_made_them(tmp_path: Path, ends: signal.Signals) -> None:
    if refused := refusal():
        pytest.skip(f"no hosts can be made here: {refused}")
    holds = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path / "hosts")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holds.stdout is not None
    folder, host = holds.stdout.readline().split()
    bridge = host[:-1]

    def left() -> list[str]:
        command = ["sh", "-c", f"ip netns list; ip -brief link; pgrep --full --list-full {folder}"]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
        mine = [line for line in said if bridge in line or (folder in line and "pgrep" not in line)]
        return [*mine, *filter(os.path.exists, [folder])]

    assert len(left()) >= 4, "two ends of the network, a server, its folder"
    holds.send_signal(ends)
    holds.communicate()

    give_up = time.monotonic() + PATIENCE
    while left():
        assert time.monotonic() < give_up, left()
        time.sleep(0.1)
