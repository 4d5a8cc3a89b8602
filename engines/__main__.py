"""`python -m engines`: fill a year of a ticker, export it, let every engine load it, and exit with 1 on a difference.

nautilus_trader needs Python 3.12: ``NAUTILUS_PYTHON`` names one, if this is older and none is found on the path.
With ``LEAN_DATA`` naming the folder `Data` of a checkout of LEAN, its sample days are read and written again too.
DuckDB's extensions are installed as packages, which there are for 1.5.5 and not for 2.0.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from pathlib import Path
from typing import Any

import boto3
import polars as pl

from benchmarks.results import print_table
from data_assets.export.frame import BarShape, bar_frame
from data_assets.lake.bar_columns import IB_BARS
from data_assets.lake.lake import Lake
from data_assets.trading_calendar import session, sessions
from data_assets_tests.lake.conftest import s3_server
from engines.lean_samples import differing_samples
from readers.environments import PROJECT, environment
from readers.synthetic_lake import new_project, run_command

FIRST, LAST = date(2023, 7, 3), date(2024, 6, 28)  # 249 sessions, early closes and both changes of the clocks
DATASET = f"{IB_BARS}/AAPL"
CHAIN, CHAIN_DAY = "theta/option_quotes/QQQ", date(2024, 6, 28)
PYARROW = "pyarrow==26.0.1"
PANDAS = ("pandas==3.1.1", PYARROW)
NEEDS = (3, 12)
"""The oldest Python that nautilus_trader is built for."""

BUCKET, SECRET = "lake", "a-secret-of-the-bucket"


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine, or one version of it.

    Attributes:
        packages: the pinned packages of its environment, the engine first.
        loader: its module in `engines.loaders`.
        reads: which of the places that are made for it.
        with_project: whether the loader uses this project too, whose other packages are then those of this environment.
    """

    packages: tuple[str, ...]
    loader: str
    reads: str
    with_project: bool = False

    @property
    def name(self) -> str:
        """With its version, and what it reads."""
        return f"{self.packages[0].replace('==', ' ')}, {self.reads}"


def _duckdb_with(*extensions: str) -> tuple[str, ...]:
    version = "1.5.5"
    named = (f"duckdb-extension-{name}=={version}" for name in extensions)
    return (f"duckdb=={version}", *named, f"duckdb-extensions=={version}", "pytz==2026.6")


FRAMES, CATALOG, LAKE, TABLE, VIEWS = "frames", "catalog", "the lake", "table", "views of a bucket"
ENGINES = (
    Engine(("vectorbt==1.2.0", *PANDAS), "vectorbt", FRAMES),
    Engine(("backtesting==0.6.6", *PANDAS), "backtesting", FRAMES),
    Engine(("backtrader==1.9.78.123", *PANDAS), "backtrader", FRAMES),
    Engine(("nautilus_trader==1.231.0", *PANDAS), "nautilus", CATALOG),
    Engine(("pandas==2.3.3", PYARROW), "pandas", FRAMES),
    Engine(PANDAS, "pandas", FRAMES),
    Engine(("duckdb==1.4.4", "pytz==2026.6"), "duckdb_lake", LAKE),
    Engine(("duckdb==2.0.0", "pytz==2026.6"), "duckdb_lake", LAKE),
    Engine(("pyspark==4.3.0",), "spark", LAKE),
    Engine(("pyiceberg==0.12.0", PYARROW), "iceberg_pyiceberg", TABLE),
    Engine(("polars==2.1.0", "pyiceberg==0.12.0", PYARROW), "iceberg_polars", TABLE),
    Engine(_duckdb_with("iceberg", "avro", "httpfs"), "iceberg_duckdb", TABLE),
    Engine(_duckdb_with("httpfs"), "views_of_bucket", VIEWS, with_project=True),
)


def expected(bars: pl.DataFrame, day: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """What each loader has to find, silent traps included.

    Args:
        bars: of the year, labelled by their ends, in New York time.
        day: the quotes of one day.
    """
    quotes = day.filter(pl.col("ask") > 0)
    first, last = bars["timestamp"][0], bars["timestamp"][-1]
    closes = bars["close"]
    of_all = {"rows": bars.height, "first": first.isoformat(), "last": last.isoformat()}
    error = "Index frequency is None"
    minute = timedelta(minutes=1)
    stored = {
        "rows": bars.height,
        "first": (first - minute).astimezone(UTC).isoformat(),  # the lake's own labels are starts
        "last": (last - minute).astimezone(UTC).isoformat(),
        "sum of closes": round(sum(closes), 4),
        "days": len(sessions(FIRST, LAST)),
        "bars of a day, the other days unreadable": session(FIRST).minutes,
    }
    return {
        **dict.fromkeys(("duckdb_lake", "spark", "iceberg_pyiceberg", "iceberg_polars", "iceberg_duckdb"), stored),
        "views_of_bucket": {
            "rows": day.height,
            "views": [CHAIN.replace("/", "_")],
            "sum of bids": round(sum(day["bid"]), 2),
            "contracts of a minute": day.select("expiration", "strike", "right").n_unique(),
            "days": [[str(CHAIN_DAY), day.height]],
            "the secret stands in the file": False,
        },
        "pandas": {
            **of_all,
            "zone": "America/New_York",
            "sum of closes": round(sum(closes), 4),
            "bars of the first day": session(FIRST).minutes,
        },
        "vectorbt": {
            **of_all,
            "total return": round(closes[-1] / closes[0] - 1, 10),
            "Sharpe ratio of a day": "a number",
            "Sharpe ratio of a day with a stretch missing": error,
            "Sharpe ratio over nights": error,
            "Sharpe ratio with freq": "a number",
            **_vwap_backtest(bars),
            "numbers that it prints": 3,
        },
        "backtesting": {
            **of_all,
            "bought at": bars["open"][2],
            "sold at": bars["open"][-1],  # what is open at the end is sold at the last bar's open
            "lower-case names": "`data` must be a pandas.DataFrame with c",
            "a bar twice": "taken",
        },
        "backtrader": {
            "rows": bars.height,
            "first": f"{first:%Y-%m-%dT%H:%M}",
            "last": f"{last:%Y-%m-%dT%H:%M}",
            "sum of closes": round(sum(closes), 4),
            "five-minute bars by ends": [
                session(FIRST).minutes // 5,
                "09:35",
                f"{session(FIRST).close.astimezone(first.tzinfo):%H:%M}",
            ],
            "five-minute bars by starts": session(FIRST).minutes // 5 + 1,
            "first time of an aware index": f"{first.astimezone(tz=None):%Y-%m-%d}T13:31",
        },
        "nautilus": {
            "rows": bars.height,
            "first": first.astimezone(UTC).isoformat(),
            "last": last.astimezone(UTC).isoformat(),
            "sum of closes": round(sum(closes), 4),
            "sum of volumes": int(bars["volume"].round().sum()),
            "bars of the first day": session(FIRST).minutes,
            "contracts described and quoted": [quotes.select("expiration", "strike", "right").n_unique()] * 2,
            "quotes": quotes.height,
            "sum of bids": round(sum(quotes["bid"]), 2),
            "events of a backtest node": bars.height + quotes.height,
            "a day written again by the catalog itself": "Writing file",
        },
    }


def _vwap_backtest(bars: pl.DataFrame) -> dict[str, Any]:
    """What the backtest of docs/backtests.md earns: from open to open, while it is long.

    The sums are those of pandas, which compensates for rounding: a close that is the average to the last digit is above
    it or not by nothing else.
    """
    table = bars.to_pandas()
    day = table["timestamp"].dt.date
    typical, volume = (table["high"] + table["low"] + table["close"]) / 3, table["volume"]
    vwap = (typical * volume).groupby(day).cumsum() / volume.groupby(day).cumsum()
    above = (table["close"] > vwap).tolist()
    opens, days = table["open"].tolist(), day.tolist()
    total, trades, was_long = 1.0, 0, False
    for row, this_day in enumerate(days[:-1]):
        signalled = row > 0 and days[row - 1] == this_day and above[row - 1]
        is_long = signalled and days[row + 1] == this_day
        total *= opens[row + 1] / opens[row] if is_long else 1.0
        trades, was_long = trades + (is_long and not was_long), is_long
    return {"return of the VWAP backtest in the docs": round(total - 1, 8), "its trades": trades}


def main() -> None:
    """Print a table of engines, and a line for each difference."""
    started = time.perf_counter()
    wrong: list[str] = []
    rows = []
    with tempfile.TemporaryDirectory(prefix="engines-") as name:
        project = new_project(Path(name))
        places = _made_in(project)
        lake = Lake(str(project / "lake" / "sandbox"), synthetic=True)
        bars = bar_frame(lake, "AAPL", FIRST, LAST, BarShape(label="end"), dataset=IB_BARS)
        wanted_by = expected(bars, lake.scan(CHAIN, CHAIN_DAY, CHAIN_DAY).collect())
        with _bucket_of(project / "lake" / "sandbox") as variables:
            for engine in ENGINES:
                print(f"loading with {engine.name}", flush=True)
                result = "as expected"
                found: dict[str, Any] = {}
                if (python := _python(engine)) is None:
                    result = "not loaded: name a Python 3.12 with NAUTILUS_PYTHON"
                elif engine.loader == "spark" and not _has_java():
                    result = "not loaded: it needs Java 17"
                else:
                    wanted, found = wanted_by[engine.loader], _load(engine, places[engine.reads], python, variables)
                    differing = {what: found.get(what) for what, value in wanted.items() if found.get(what) != value}
                    wrong += [
                        f"{engine.name}, {what}: {each!r} instead of {wanted[what]!r}"
                        for what, each in differing.items()
                    ]
                    result = "differs" if differing else result
                rows.append([engine.name, f"{found.get('rows', 0):,}", result])
    print_table(["engine", "rows", "result"], rows)
    if samples := os.environ.get("LEAN_DATA"):
        same, different = differing_samples(Path(samples))
        print(f"LEAN's own samples: {same} files are written as they are, {len(different)} are not")
        wrong += different
    else:
        print("not compared: LEAN's own samples, for want of LEAN_DATA, the folder Data of a checkout of LEAN")
    print(f"Python {sys.version.split()[0]}, took {time.perf_counter() - started:.0f} s")
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


def _made_in(project: Path) -> dict[str, tuple[str, ...]]:
    """Fill the lake and export it; what each kind of loader is told."""
    span = ("--from", str(FIRST), "--to", str(LAST))
    run_command(project, "backfill", DATASET, *span)
    run_command(project, "export", "frame", DATASET, *span, "--label", "end", "--into", str(project / "out"))
    run_command(project, "export", "iceberg", DATASET, *span, "--into", str(project / "warehouse"))
    run_command(project, "backfill", CHAIN, "--from", str(CHAIN_DAY), "--to", str(CHAIN_DAY))
    for dataset in (DATASET, CHAIN):
        run_command(project, "export", "nautilus", dataset, "--into", str(project / "catalog"))
    return {
        FRAMES: (str(project / "out" / "AAPL"),),
        CATALOG: (str(project / "catalog"),),
        LAKE: (str(project / "lake" / "sandbox" / DATASET), str(FIRST)),
        TABLE: (str(project / "warehouse" / "ib" / "bars_1m_AAPL"), str(FIRST)),
        VIEWS: (f"s3://{BUCKET}/some/prefix", str(CHAIN_DAY)),
    }


@contextmanager
def _bucket_of(lake: Path) -> Iterator[Mapping[str, str]]:
    """The lake's marker and its day of options in a bucket on this machine, and the variables that lead there."""
    with s3_server() as endpoint:
        variables = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id="somebody",
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=BUCKET)
        for path in [lake / "_lake.json", *(lake / CHAIN).rglob("*.parquet")]:
            client.upload_file(str(path), BUCKET, f"some/prefix/{path.relative_to(lake)}")
        yield variables


def _python(engine: Engine) -> str | None:
    """The Python that an engine's environment is made by, if there is one that is new enough."""
    if engine.loader != "nautilus" or sys.version_info >= NEEDS:
        return sys.executable
    for name in (os.environ.get("NAUTILUS_PYTHON"), "python3.13", "python3.12"):
        if name and (path := shutil.which(name)) and subprocess.run([path, "-V"], capture_output=True).returncode == 0:
            return path
    return None


def _has_java() -> bool:
    return shutil.which("java") is not None


def _load(engine: Engine, told: tuple[str, ...], made_by: str, variables: Mapping[str, str]) -> dict[str, Any]:
    home = PROJECT / ".engines" / engine.packages[0].replace("==", "-") / engine.loader
    python = environment(home, engine.packages, made_by)
    if engine.with_project:  # behind its own packages, so that those win
        packages = sysconfig.get_path("purelib")
        own = subprocess.run(
            [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        Path(own.stdout.strip(), "project.pth").write_text(f"{packages}\n")
    done = subprocess.run(
        [str(python), "-m", f"engines.loaders.{engine.loader}", *told],
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        env=os.environ | variables if engine.with_project else None,
    )
    if done.returncode:
        return {}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
