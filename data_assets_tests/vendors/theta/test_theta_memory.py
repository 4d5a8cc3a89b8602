from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from data_assets.sandbox.faults import Fault
from data_assets.sandbox.serving import SandboxTheta
from data_assets.vendors.theta.schema import QUOTES

pytestmark = pytest.mark.slow

MINUTES = [f"{minute // 60:02}:{minute % 60:02}" for minute in range(9 * 60 + 30, 16 * 60 + 16)]
CONTRACTS_PER_EXPIRATION = 60
FETCH = """
import asyncio, json, resource, sys
from datetime import date
from data_assets.lake.lake import Lake
from data_assets.vendors.theta.client import ThetaClient
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.day import ThetaSource
from data_assets.vendors.theta.terminal import Terminal

class Meter:
    def received(self, size): pass
    def parsed(self, rows): pass

async def main(base_url, folder):
    async with ThetaClient(base_url, max_concurrent=1) as client:
        dataset = OptionDataset("theta/option_quotes/QQQ", "QQQ")
        source = ThetaSource(dataset, lake=Lake(folder, synthetic=True), bodies=Terminal(client))
        stored = (await source.fetch(date(2024, 1, 3), Meter())).publish()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        print(json.dumps({"peak": peak, **stored.metadata}))

asyncio.run(main(*sys.argv[1:]))
"""


def write_body(path: Path, expirations: int) -> None:
    lines = [
        f"QQQ,EXPIRATION,{300 + number}.000,CALL,2024-01-03T{minute}:00,1,5,{number}.05,50,2,9,{number}.10,50\r\n"
        for number in range(CONTRACTS_PER_EXPIRATION)
        for minute in MINUTES
    ]
    block = "".join(lines)
    with path.open("w", newline="") as file:
        file.write(",".join(QUOTES.columns) + "\r\n")
        for week in range(expirations):
            file.write(block.replace("EXPIRATION", str(date(2024, 1, 5) + timedelta(weeks=week))))


def fetched(tmp_path: Path, expirations: int) -> dict[str, float]:
    body = tmp_path / "body.csv"
    write_body(body, expirations)
    no_list = Fault(kind="status", status=471, endpoint="option/list/contracts/quote")
    with SandboxTheta(body_file=body, framing="content-length", faults=[no_list]) as theta:
        command = [sys.executable, "-c", FETCH, theta.base_url, str(tmp_path / f"lake{expirations}")]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout)


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
def test_memory_does_not_grow_with_the_day(tmp_path: Path):
    # Below some 200 MB the buffers between download and file have not all been filled once.
    small, large = fetched(tmp_path, 120), fetched(tmp_path, 240)
    assert small["contracts"] == 120 * CONTRACTS_PER_EXPIRATION
    assert large["contracts"] == 240 * CONTRACTS_PER_EXPIRATION
    assert large["raw_megabytes"] > 1.9 * small["raw_megabytes"]
    assert large["peak"] - small["peak"] < 60e6, (small, large)
