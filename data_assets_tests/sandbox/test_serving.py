"""Starting and stopping the simulated terminal."""

import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest

from data_assets.sandbox.loopback import PortTaken
from data_assets.sandbox.serving import SandboxTheta

FOREGROUND = """
from data_assets.sandbox.loopback import wait_for_interrupt
from data_assets.sandbox.serving import SandboxTheta
with SandboxTheta(contracts=4) as theta:
    print(theta.base_url, flush=True)
    wait_for_interrupt()
print("stopped", flush=True)
"""


def test_two_servers_run_side_by_side_on_loopback_only():
    with SandboxTheta(contracts=4) as one, SandboxTheta(contracts=4) as other:
        assert one.base_url != other.base_url
        for theta in (one, other):
            assert theta.base_url.startswith("http://127.0.0.1:")
            assert httpx.get(theta.base_url + "/terminal/mdds/status", verify=False).text == "CONNECTED"


def test_a_closed_server_answers_nothing_and_leaves_no_thread():
    before = set(threading.enumerate())
    with SandboxTheta(contracts=4) as theta:
        httpx.get(theta.base_url + "/option/list/symbols", verify=False)
        assert set(threading.enumerate()) > before
    with pytest.raises(httpx.ConnectError):
        httpx.get(theta.base_url + "/terminal/mdds/status", verify=False)
    assert set(threading.enumerate()) <= before


def test_a_port_can_be_served_again_after_a_server_has_closed():
    with SandboxTheta(contracts=4) as first:
        httpx.get(first.base_url + "/terminal/mdds/status", verify=False)
    port = int(first.base_url.rpartition(":")[2].removesuffix("/v3"))
    with SandboxTheta(contracts=4, port=port) as second:
        assert second.base_url == first.base_url
        assert httpx.get(second.base_url + "/terminal/mdds/status", verify=False).text == "CONNECTED"


def test_a_taken_port_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port} .*stop what listens there"), SandboxTheta(port=port):
            pass


@pytest.mark.timeout(30)
def test_a_server_that_cannot_start_says_why_whatever_the_reason():
    with pytest.raises(OverflowError, match="port must be 0-65535"), SandboxTheta(port=99999):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_foreground_server_ends_cleanly_when_asked_to(number):
    with subprocess.Popen(
        [sys.executable, "-c", FOREGROUND], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        url = process.stdout.readline().strip()
        assert httpx.get(url + "/terminal/mdds/status", verify=False).text == "CONNECTED"
        process.send_signal(number)
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, out, errors) == (0, "stopped\n", "")
