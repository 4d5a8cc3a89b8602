"""Hosts on this machine: network namespaces on one bridge, each with a folder of its own.

Here: making them, running programs in them, cutting them off, killing them, and letting them reach servers that listen
on loopback. Not here: any expectation.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from data_assets_tests.cluster.afterwards import TIED, afterwards, free_port

FORWARD = """
import asyncio, sys
async def pipe(source, sink):
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.close()
async def main(address, port):
    async def connected(reader, writer):
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pipe(reader, inner_writer), pipe(inner_reader, writer))
    server = await asyncio.start_server(connected, address, port)
    print("ready", flush=True)
    await server.serve_forever()
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""
"""Lets the hosts reach a server of this machine that listens on loopback alone."""


REMOVE = """
for each in $(ip netns list | cut -d ' ' -f 1 | grep -x "$1[a-z].*"); do
  while pids=$(ip netns pids "$each") && [ -n "$pids" ]; do kill -KILL $pids; sleep 0.1; done
  ip netns del "$each"
done
ip link del "$1"
"""
"""Of a bridge: kill all that runs on its hosts, and leave nothing of it and of them."""


def run(*command: str) -> str:
    """Run a program of the system to its end; it has to succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Host:
    """One machine.

    Attributes:
        name: of its network namespace.
        folder: what is on its own disk.
        worker: what it was made for; None before it was started.
    """

    def __init__(self, name: str, folder: Path, bridge: str, address: str) -> None:
        self.name, self.folder = name, folder
        self._outside = f"{name}-o"
        folder.mkdir(parents=True)
        run("ip", "netns", "add", name)
        run("ip", "link", "add", self._outside, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", self._outside, "master", bridge, "up")
        for command in (f"addr add {address}/24 dev eth0", "link set eth0 up", "link set lo up"):
            run("ip", "-n", name, *command.split())
        self.log = folder / "log"
        self.worker: subprocess.Popen[bytes] | None = None

    def start(self, *command: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a program of this environment on it."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        with self.log.open("ab") as output:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.name, *command],
                cwd=self.folder,
                env={**os.environ, "PATH": path, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def pids(self) -> list[int]:
        """Everything that runs on it."""
        return [int(pid) for pid in run("ip", "netns", "pids", self.name).split()]

    def kill(self) -> None:
        """Kill everything that runs on it at once, as a power cut does."""
        while pids := self.pids():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass

    def cut_off(self) -> None:
        """Take its network away; nothing on it is told."""
        run("ip", "link", "set", self._outside, "down")

    def reconnect(self) -> None:
        """Give its network back."""
        run("ip", "link", "set", self._outside, "up")


class Network:
    """A bridge that hosts are on.

    Attributes:
        address: of this machine, as the hosts reach it.
        hosts: that were added.
        forwarders: the processes that let them reach this machine's servers.
    """

    def __init__(self, folder: Path, bridge: str) -> None:
        self._folder, self._bridge = folder, bridge
        taken = run("ip", "-4", "-brief", "address")
        self._subnet = next(each for each in (f"10.231.{number}" for number in range(250)) if f" {each}." not in taken)
        self.address = f"{self._subnet}.1"
        self.hosts: list[Host] = []
        self.forwarders: list[subprocess.Popen[str]] = []
        run("ip", "link", "add", self._bridge, "type", "bridge")
        run("ip", "addr", "add", f"{self.address}/24", "dev", self._bridge)
        run("ip", "link", "set", self._bridge, "up")

    def host(self, name: str) -> Host:
        """Add a host."""
        address = f"{self._subnet}.{len(self.hosts) + 2}"
        made = Host(f"{self._bridge}{name}", self._folder / name, self._bridge, address)
        self.hosts.append(made)
        return made

    def forward(self, port: int) -> None:
        """Let the hosts reach a port of loopback under `address`."""
        command = [*TIED, sys.executable, "-c", FORWARD, self.address, str(port)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.forwarders.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"


def refusal() -> str | None:
    """Why there can be no hosts here, in the words of what refused; None where there can."""
    bridge = f"da{os.getpid()}"
    for command in (
        ("ip", "link", "add", bridge, "type", "bridge"),
        ("ip", "link", "del", bridge),
        ("ip", "netns", "add", bridge),
        ("ip", "netns", "exec", bridge, "true"),
        ("ip", "netns", "del", bridge),
    ):
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            return "ip is not installed"
        except subprocess.CalledProcessError as error:
            subprocess.run(["ip", "netns", "del", bridge], check=False, capture_output=True)
            return f"{' '.join(command)}: {error.stderr.strip()}"
    return None


@contextmanager
def network(folder: Path) -> Iterator[Network]:
    """A network that is removed at the end, with all that runs on it."""
    bridge = f"da{os.getpid()}"
    with afterwards(REMOVE, bridge):
        made = Network(folder, bridge)
        try:
            yield made
        finally:
            for process in made.forwarders:
                process.kill()
                process.communicate()


@contextmanager
def redis(folder: Path) -> Iterator[int]:
    """A redis of its own on loopback; its port."""
    port = free_port()
    command = [*TIED, "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any("Ready to accept connections" in line for line in iter(process.stdout.readline, ""))
    try:
        yield port
    finally:
        process.kill()
        process.wait()
