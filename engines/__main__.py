"""`python -m engines`: fill a year of a ticker, export it, let every engine load it, and exit with 1 on a difference.

nautilus_trader needs Python 3.12: ``NAUTILUS_PYTHON`` names one, if this is older and none is found on the path.
With ``LEAN_DATA`` naming the folder `Data` of a checkout of LEAN, its sample days are read and written again too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.results import print_table
from data_assets.export.frame import BarShape, bar_frame
from data_assets.lake.bar_columns import IB_BARS
from data_assets.lake.lake import Lake
from data_assets.trading_calendar import session, sessions
from engines.lean_samples import differing_samples
from readers.environments import PROJECT, environment
from readers.synthetic_lake import new_project, run_command

FIRST, LAST = date(2023, 7, 3), date(2024, 6, 28)  # 249 sessions, early closes and both changes of the clocks
DATASET = f"{IB_BARS}/AAPL"
PANDAS = ("pandas==3.1.1", "pyarrow==26.0.1")
ENGINES = {
    "vectorbt": ("vectorbt==1.2.0", *PANDAS),
    "backtesting": ("backtesting==0.6.6", *PANDAS),
    "backtrader": ("backtrader==1.9.78.123", *PANDAS),
    "nautilus": ("nautilus_trader==1.231.0", *PANDAS),
}
CHAIN, CHAIN_DAY = "theta/option_quotes/QQQ", date(2024, 6, 28)
NEEDS = (3, 12)
"""The oldest Python that nautilus_trader is built for."""


def expected(bars: pl.DataFrame, quotes: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """What each engine has to find, silent traps included: bars labelled by their ends, in New York time.

    Args:
        bars: of the year.
        quotes: of one day, those with an ask.
    """
    first, last = bars["timestamp"][0], bars["timestamp"][-1]
    closes = bars["close"]
    of_all = {"rows": bars.height, "first": first.isoformat(), "last": last.isoformat()}
    error = "Index frequency is None"
    return {
        "vectorbt": {
            **of_all,
            "total return": round(closes[-1] / closes[0] - 1, 10),
            "Sharpe ratio of a day": "a number",
            "Sharpe ratio of a day with a stretch missing": error,
            "Sharpe ratio over nights": error,
            "Sharpe ratio with freq": "a number",
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


def main() -> None:
    """Print a table of engines, and a line for each difference."""
    started = time.perf_counter()
    wrong: list[str] = []
    rows = []
    with tempfile.TemporaryDirectory(prefix="engines-") as name:
        project = new_project(Path(name))
        span = ("--from", str(FIRST), "--to", str(LAST))
        run_command(project, "backfill", DATASET, *span)
        run_command(project, "export", "frame", DATASET, *span, "--label", "end", "--into", str(project / "out"))
        run_command(project, "backfill", CHAIN, "--from", str(CHAIN_DAY), "--to", str(CHAIN_DAY))
        for dataset in (DATASET, CHAIN):
            run_command(project, "export", "nautilus", dataset, "--into", str(project / "catalog"))
        lake = Lake(str(project / "lake" / "sandbox"), synthetic=True)
        bars = bar_frame(lake, "AAPL", FIRST, LAST, BarShape(label="end"), dataset=IB_BARS)
        quotes = lake.scan(CHAIN, CHAIN_DAY, CHAIN_DAY).filter(pl.col("ask") > 0).collect()
        days = len(sessions(FIRST, LAST))
        for engine, wanted in expected(bars, quotes).items():
            print(f"loading with {ENGINES[engine][0]}", flush=True)
            if (python := _python(engine)) is None:
                rows.append([ENGINES[engine][0], "", "", "not loaded: name a Python 3.12 with NAUTILUS_PYTHON"])
                continue
            found = _load(engine, project / "catalog" if engine == "nautilus" else project / "out" / "AAPL", python)
            differing = {what: found.get(what) for what, value in wanted.items() if found.get(what) != value}
            wrong += [f"{engine}, {what}: {value!r} instead of {wanted[what]!r}" for what, value in differing.items()]
            rows.append(
                [ENGINES[engine][0], f"{days}", f"{found.get('rows', 0):,}", "differs" if differing else "as expected"]
            )
    print_table(["engine", "sessions", "bars", "result"], rows)
    if samples := os.environ.get("LEAN_DATA"):
        same, different = differing_samples(Path(samples))
        print(f"LEAN's own samples: {same} files are written as they are, {len(different)} are not")
        wrong += different
    else:
        print("not compared: LEAN's own samples, for want of LEAN_DATA, the folder Data of a checkout of LEAN")
    print(f"took {time.perf_counter() - started:.0f} s")
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


def _python(engine: str) -> str | None:
    """The Python that an engine's environment is made by, if there is one that is new enough."""
    if engine != "nautilus" or sys.version_info >= NEEDS:
        return sys.executable
    for name in (os.environ.get("NAUTILUS_PYTHON"), "python3.13", "python3.12"):
        if name and (path := shutil.which(name)) and subprocess.run([path, "-V"], capture_output=True).returncode == 0:
            return path
    return None


def _load(engine: str, folder: Path, made_by: str) -> dict[str, Any]:
    python = environment(PROJECT / ".engines" / engine, ENGINES[engine], made_by)
    done = subprocess.run(
        [str(python), "-m", f"engines.loaders.{engine}", str(folder)], stdout=subprocess.PIPE, text=True, cwd=PROJECT
    )
    if done.returncode:
        return {}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
