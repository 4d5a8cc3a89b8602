"""What is no day is rejected while it arrives, in bounded memory, whoever reads it."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from data_assets.ingest.day_bounds import BoundedMeter, DayBounds
from data_assets.ingest.outcome import DayEnded, Rejected
from data_assets.ingest.progress import Progress
from data_assets.lake.lake import Lake
from data_assets.sandbox.flat_files.faults import FlatFileFault
from data_assets.sandbox.flat_files.files import FlatFiles
from data_assets.sandbox.serving import SandboxTheta
from data_assets.vendors.polygon.client import Listed
from data_assets.vendors.polygon.gzip_text import GzipCheck, pieces
from data_assets.vendors.polygon.names import day_key
from data_assets.vendors.polygon.raw_cache import RawCache
from data_assets.vendors.theta.client import ThetaClient
from data_assets.vendors.theta.dataset import OptionDataset, RequestBy
from data_assets.vendors.theta.day import ThetaSource
from data_assets.vendors.theta.legacy import LegacySource
from data_assets.vendors.theta.terminal import Terminal

DAY = date(2024, 7, 1)
HEADER = b"ticker,volume,open,close,high,low,window_start,transactions\n"
ROW = b"SPY,100,1.0,1.0,1.0,1.0,1719840600000000000,3\n"

UNDER_A_LIMIT = """
import resource, sys, zlib
from data_assets.ingest.day_bounds import DayBounds
from data_assets.vendors.polygon.gzip_text import GzipCheck, pieces
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (160 << 20),) * 2)
packer, block = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16), sys.argv[1].encode().decode("unicode_escape")
data = b"".join(packer.compress(block.encode() * (1 << 20)) for _ in range(int(sys.argv[2]))) + packer.flush()
check = GzipCheck(DayBounds(rows=10**9, size=10**12))
check.feed(data)
print(len(data), check.text_size, check.excess or check.problem())
if "\\n" in block:
    print(sum(len(piece) for piece in pieces(data, b"")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process so")
@pytest.mark.parametrize(("block", "megabytes", "said"), [("\\n", 400, "None"), ("\\0", 400, "a line of it is longer")])
def test_a_small_file_of_much_text_is_read_in_little_memory(block: str, megabytes: int, said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", UNDER_A_LIMIT, block, str(megabytes)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    packed, text, why = ended.stdout.splitlines()[0].split(maxsplit=2)
    assert int(packed) < 1_000_000
    assert why.startswith(said)
    if said == "None":
        assert int(text) == megabytes << 20 == int(ended.stdout.splitlines()[1])


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def cache_of(folder: Path, bounds: DayBounds) -> RawCache:
    return RawCache(folder, 10**9, bounds)


async def got(cache: RawCache, data: bytes) -> str:
    """How a file of the vendor's ends: kept, or why not."""

    async def read(_listed: Listed) -> AsyncIterator[bytes]:
        for start in range(0, len(data), 1000):
            yield data[start : start + 1000]

    listed = Listed(DAY, day_key(DAY), f'"{zlib.crc32(data)}"', len(data), datetime(2024, 7, 2, tzinfo=UTC))
    try:
        (await cache.get(listed, read, Progress().day_begun(DAY))).close()
    except DayEnded as ended:
        return f"{ended.outcome.name}: {ended.outcome.reason}"
    return "kept"


async def test_a_file_of_more_rows_or_bytes_than_a_day_has_is_rejected_and_not_kept(tmp_path: Path) -> None:
    data = gzip.compress(HEADER + ROW * 5_000, mtime=0)
    size = len(HEADER) + 5_000 * len(ROW)

    for bounds, says in (
        (DayBounds(4_999, size), "it holds more than 4,999 rows; if that is right, raise max_day_rows in defs.yaml"),
        (DayBounds(5_000, size - 1), "raise max_day_bytes in defs.yaml"),
        (DayBounds(5_000, len(data) - 1), "raise max_day_bytes in defs.yaml"),
    ):
        reason = await got(cache_of(tmp_path / "cache", bounds), data)
        assert says in reason
        assert reason.startswith(
            "Rejected: us_stocks_sip/minute_aggs_v1/2024/07/2024-07-01.csv.gz: the file cannot be a day"
        )
    assert files(tmp_path) == []

    exact = cache_of(tmp_path / "cache", DayBounds(5_000, size))
    assert await got(exact, data) == "kept"
    assert "more than 10 rows" in await got(cache_of(tmp_path / "cache", DayBounds(10, size)), data), "kept before"


async def test_a_gzip_bomb_of_the_sandbox_is_rejected_and_not_kept(tmp_path: Path) -> None:
    """As DATA_ASSETS_SANDBOX_FAULTS switches it on: a small file, valid, of far more text than a day has."""
    fault = FlatFileFault(kind="gzip_bomb", rows=2_000_000)
    plain, bomb = FlatFiles(tickers=45).body(DAY), FlatFiles(tickers=45, faults=(fault,)).body(DAY)
    assert len(bomb) - len(plain) < 500_000
    bounds = DayBounds(rows=100_000, size=10**9)

    assert await got(cache_of(tmp_path / "cache", bounds), plain) == "kept"
    reason = await got(cache_of(tmp_path / "other", bounds), bomb)

    assert "it holds more than 100,000 rows; if that is right, raise max_day_rows in defs.yaml" in reason
    assert files(tmp_path / "other") == []


def test_text_comes_whole_out_of_bounded_pieces() -> None:
    text = b"".join(b"%d,%s\n" % (number, b"x" * (number % 90)) for number in range(700_000))
    assert len(text) > 2 * (1 << 24)
    data = gzip.compress(text[: 1 << 24]) + gzip.compress(text[1 << 24 :]) + b"\0" * 100
    assert b"".join(pieces(data, b"")) == text
    check = GzipCheck()
    check.feed(data)
    assert (check.problem(), check.excess, check.lines, check.text_size) == (None, None, 700_000, len(text))


def test_a_meter_ends_a_day_that_exceeds_its_bounds() -> None:
    meter = BoundedMeter(Progress().day_begun(DAY), DayBounds(rows=10, size=100))
    meter.received(100)
    meter.parsed(10)
    for exceed, says in ((lambda: meter.parsed(1), "more than 10 rows"), (lambda: meter.received(1), "more than 10")):
        with pytest.raises(DayEnded, match=says):
            exceed()


@pytest.mark.parametrize("by", ["day", "expiration"])
async def test_an_answer_of_theta_that_exceeds_the_bound_is_rejected(tmp_path: Path, by: RequestBy) -> None:
    bounds = DayBounds(rows=100, size=10**9)
    dataset = OptionDataset("theta/option_quotes/QQQ", "QQQ", request_by=by, bounds=bounds)
    with SandboxTheta(contracts=8) as theta:
        async with ThetaClient(theta.base_url, max_concurrent=2) as client:
            source = ThetaSource(dataset, lake=Lake(str(tmp_path), synthetic=True), bodies=Terminal(client))
            with pytest.raises(DayEnded, match="the response cannot be a day: it holds more than 100 rows") as caught:
                await source.fetch(DAY, Progress().day_begun(DAY))
    assert isinstance(caught.value.outcome, Rejected)
    assert {path.name for path in files(tmp_path)} == {"_lake.json"}


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
async def test_a_small_file_of_an_older_downloader_that_unpacks_to_no_day_is_rejected(
    tmp_path: Path, suffix: str
) -> None:
    """It holds a real day, whose last row comes four million times more."""
    meter = Progress().day_begun(DAY)
    with SandboxTheta(contracts=8) as theta:
        query = f"symbol=QQQ&expiration=*&date={DAY:%Y%m%d}&interval=1m&format=csv"
        async with httpx.AsyncClient() as asking:
            day = (await asking.get(f"{theta.base_url}/option/history/quote?{query}")).content
        path = tmp_path / f"QQQ_options_{DAY}_1m.csv{suffix}"
        rows = day.splitlines(keepends=True)[-1] * 40_000
        with pa.output_stream(path, compression={".gz": "gzip", ".zst": "zstd"}[suffix]) as packed:
            packed.write(day)
            for _ in range(100):
                packed.write(rows)
        assert path.stat().st_size < 3_000_000
        dataset = OptionDataset("theta/option_quotes/QQQ", "QQQ", bounds=DayBounds(rows=100_000, size=10**9))
        async with ThetaClient(theta.base_url, max_concurrent=1) as client:
            lake = Lake(str(tmp_path / "lake"), synthetic=False)
            source = LegacySource(dataset, lake=lake, files={DAY: path}, terminal=Terminal(client))
            with pytest.raises(DayEnded, match="it holds more than 100,000 rows") as caught:
                await source.fetch(DAY, meter)
    assert isinstance(caught.value.outcome, Rejected)
    assert {found.name for found in files(tmp_path / "lake")} == {"_lake.json"}
