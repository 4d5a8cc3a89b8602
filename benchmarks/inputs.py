"""The days that are measured, and the server that serves them, in a process of its own.

Here: making what is read once, in `.state/bench` of the project folder, and starting the server. Not here: the server's
own process (`theta_process`), and what is done with a day. Imports nothing heavy, because measured processes import it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1]
CACHE = SOURCES / ".state" / "bench"
DATASET, SYMBOL, DAY = "theta/option_quotes/QQQ", "QQQ", date(2024, 1, 3)
ONE_DAY = (DAY.isoformat(), DAY.isoformat())

_QUOTES = "option/history/quote?expiration=*&interval=1m&start_time=09:30:00&end_time=16:15:00&format=csv"


@dataclass(frozen=True, slots=True)
class QuoteDay:
    """A day's body on disk: a synthetic QQQ chain in the vendor's text.

    Attributes:
        csv: the file.
        rows: its lines without the header.
    """

    csv: Path
    rows: int

    @property
    def megabytes(self) -> float:
        """Of the CSV, in millions of bytes."""
        return self.csv.stat().st_size / 1e6


def quote_day(contracts: int, day: date = DAY) -> QuoteDay:
    """A day of a chain of ``contracts``, made at the first call: 5,972 are 2.4 million rows and 190 MB."""
    path = CACHE / f"{SYMBOL}-{contracts}" / f"{day}.csv"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        print(f"making {path.relative_to(SOURCES)}", flush=True)
        with (
            theta_server(contracts) as base_url,
            urllib.request.urlopen(f"{base_url}/{_QUOTES}&symbol={SYMBOL}&date={day:%Y%m%d}") as body,
            unfinished.open("wb") as file,
        ):
            shutil.copyfileobj(body, file, 1 << 20)
        unfinished.rename(path)
    with path.open("rb") as file:
        lines = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 24), b""))
    return QuoteDay(path, lines - 1)


@dataclass(frozen=True, slots=True)
class FlatFileDay:
    """A day of the whole stock market on disk: a folder laid out as Polygon's bucket is, with one file in it.

    Attributes:
        day: the trading day.
        mirror: the folder.
        file: the compressed CSV in it.
        rows: its lines without the header.
        raw_bytes: of its text.
    """

    day: date
    mirror: Path
    file: Path
    rows: int
    raw_bytes: int


def flat_file_day(style: str, day: date, tickers: int = 11_500) -> FlatFileDay:
    """A synthetic file in one style of text, made at the first call: 11,500 tickers are some 1.9 million rows."""
    import gzip

    from data_assets.sandbox.flat_files.files import FlatFiles, key

    mirror = CACHE / f"flat-files-{tickers}-{style}"
    if not (mirror / key(day)).exists():
        print(f"making {(mirror / key(day)).relative_to(SOURCES)}", flush=True)
        files = FlatFiles(tickers=tickers, style=style, says_synthetic=False)  # type: ignore[arg-type]
        files.write_folder(mirror, [day])
    text = gzip.decompress((mirror / key(day)).read_bytes())
    return FlatFileDay(day, mirror, mirror / key(day), text.count(b"\n") - 1, len(text))


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder on the disk of the project, removed afterwards."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        yield Path(folder)


@contextmanager
def theta_server(contracts: int, csv: Path | None = None, bytes_per_second: float | None = None) -> Iterator[str]:
    """A Theta-compatible server in its own process.

    Args:
        contracts: of the chain that is quoted, and listed for the completeness audit.
        csv: a body with that chain, sent as it is for every request for quotes, or the folder of `quote_day` with one
            for each day; made for each request if None.
        bytes_per_second: pace of each answer; None for as fast as it goes.

    Yields:
        Its base URL.
    """
    arguments = (str(contracts), str(csv or ""), str(bytes_per_second or ""))
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.theta_process", *arguments]
    with subprocess.Popen(command, cwd=SOURCES, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            base_url = process.stdout.readline().strip()
            if not base_url:
                raise RuntimeError("the server did not start; what it said stands above")
            yield base_url
        finally:
            process.terminate()
