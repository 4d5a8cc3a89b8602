"""(j) What a day of IB's minute bars costs beyond what cannot be saved: the vendor's answer, and Dagster's event log.

Real runs of twenty days for each of ten tickers, through ib_async against a TWS on loopback, timed from inside. Beside
them what a user would write instead: ib_async in a loop, and pandas' `to_parquet`, which audits, hashes, syncs and
remembers nothing, and waits for no budget.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from statistics import median

from benchmarks.inputs import SOURCES, scratch_folder
from benchmarks.results import Result, at_most, print_table
from benchmarks.work import Worker, dagster_folder
from data_assets.orchestration.partitions import partition_keys

TICKERS = ("AAPL", "AMZN", "GOOGL", "IWM", "META", "MSFT", "NVDA", "QQQ", "SPY", "TSLA")
DAYS = partition_keys(date(2024, 1, 2))[:20]
BOUND_MILLISECONDS = 50.0

_CSV = "symbol,secType,exchange,currency\n" + "".join(f"{ticker},STK,SMART,USD\n" for ticker in TICKERS)


def run() -> list[Result]:
    """The runs and the loop take turns, ticker by ticker."""
    with scratch_folder() as folder, _tws() as port, dagster_folder(folder / "project") as project:
        _never_asked_yet(project)
        (project / "defs" / "ib" / "bars_1m" / "tickers.csv").write_text(_CSV)
        environment = {
            "DATA_ASSETS_PROFILE": "live",
            "DAGSTER_HOME": str(project),
            "IB_PORT": port,
            "IB_SECONDS_BETWEEN_REQUESTS": "0",
            "IB_MAX_REQUESTS_PER_10_MIN": "10000",
        }
        with (
            Worker("ib_recorded", DAYS[0], DAYS[-1], *TICKERS, folder=project, **environment) as ours,
            Worker("ib_loop", port, DAYS[0], DAYS[-1], *TICKERS, folder=folder) as loop,
        ):
            rounds = [(ours.once(), loop.once()) for _ in TICKERS]

    count = len(DAYS)
    answers = {(each["answers"], instead["answers"]) for each, instead in rounds}
    if answers != {(count, count)}:
        raise RuntimeError(f"not every day was one answer for both: {answers} instead of {count}")

    def ours_per_day(*names: str) -> float:
        return median(sum(each[name] for name in names) for each, _ in rounds) * 1000 / count

    parts = {
        "beyond the vendor's answer and the event log": ours_per_day("own"),
        "  the turn in the budget's file": ours_per_day("pacing"),
        "  decoding, by ib_async": ours_per_day("decoding"),
        "  frame, rules, Parquet under a temporary name": median(
            each["fetching"] - each["pacing"] - each["vendor"] - each["decoding"] for each, _ in rounds
        )
        * (1000 / count),
        "  sync and final name": ours_per_day("publishing"),
        "  beyond that: the file read back, judged and shown": median(
            each["recording"] - each["events"] for each, _ in rounds
        )
        * (1000 / count),
        "the vendor's answer": ours_per_day("vendor"),
        "the event log": ours_per_day("events"),
        "a run, all of it and its start": ours_per_day("seconds"),
        "instead: a loop of ib_async and to_parquet, beyond the vendor's answer": median(
            instead["seconds"] - instead["vendor"] for _, instead in rounds
        )
        * (1000 / count),
        "instead, all of it": median(instead["seconds"] for _, instead in rounds) * (1000 / count),
    }
    print(f"{len(TICKERS)} tickers x {count} days of 390 bars; medians over the tickers")
    print_table(["per day", "milliseconds"], [[name, f"{value:.1f}"] for name, value in parts.items()])
    ratio = median(each["own"] / (instead["seconds"] - instead["vendor"]) for each, instead in rounds)
    whole = median(each["seconds"] / instead["seconds"] for each, instead in rounds)
    return [
        at_most(
            "(j) a day of 390 IB bars, beyond the vendor's answer and the event log",
            parts["beyond the vendor's answer and the event log"],
            BOUND_MILLISECONDS,
            "{:.1f} ms",
        ),
        Result("(j) the same over ib_async and to_parquet in a loop", f"{ratio:.1f}"),
        Result("(j) a whole run over that loop, event log included", f"{whole:.1f}"),
    ]


@contextmanager
def _tws() -> Iterator[str]:
    """A TWS in its own process; its port."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.tws_process"]
    with subprocess.Popen(command, cwd=SOURCES, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port:
                raise RuntimeError("the server did not start; what it said stands above")
            yield port
        finally:
            process.terminate()


def _never_asked_yet(project: Path) -> None:
    """What a run of last week leaves: nothing is waited for that the budget of head timestamps would ask for."""
    from data_assets.sandbox.tws.stocks import STOCKS

    state = project / ".state" / "vendors" / "live"
    state.mkdir(parents=True)
    heads = {str(stock.con_id): "2016-01-04T14:30:00+00:00" for stock in STOCKS}
    (state / "ib_head_timestamps.json").write_text(json.dumps(heads))
    past = {"format": "data_assets ib pacing 1", "requests": [], "refused": []}
    (state / "ib_pacing.json").write_text(json.dumps(past))
