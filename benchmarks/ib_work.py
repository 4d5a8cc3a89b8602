"""IB's bars of one ticker, as this project brings them in and as a loop does, in processes that `work` starts."""

from __future__ import annotations

import asyncio
import time
from datetime import date
from pathlib import Path
from typing import Any

_tickers_done: list[str] = []


def _next_ticker(tickers: tuple[str, ...]) -> str:
    """Another one at each repetition: days that are stored already would be something else."""
    _tickers_done.append(tickers[len(_tickers_done)])
    return _tickers_done[-1]


def ib_recorded(first: str, last: str, *tickers: str) -> dict[str, Any]:
    """Ours: IB's bars of the next ticker in one real Dagster run."""
    import dagster as dg

    from benchmarks.ib_stopwatch import timed_ib_days
    from data_assets.cli.local_run import run_range
    from data_assets.cli.project import definitions, open_instance

    definitions()
    key = dg.AssetKey(["ib", "bars_1m", _next_ticker(tickers)])
    with open_instance() as instance, timed_ib_days() as times:
        started = time.perf_counter()
        result = run_range(instance, key, first, last)
        seconds = time.perf_counter() - started
    if not result.success:
        why = [event.step_failure_data.error_display_string for event in result.all_events if event.is_step_failure]
        raise RuntimeError(f"the run failed: {why[0] if why else 'before its step began'}")
    return {"seconds": seconds, **times.totals()}


def ib_loop(port: str, first: str, last: str, *tickers: str) -> dict[str, Any]:
    """The next ticker by ib_async in a loop, and pandas' `to_parquet`.

    Nothing is paced, audited, hashed or synced; connection and contract are paid for outside of the measured time.
    """
    from ib_async import IB, Stock, util

    from benchmarks.ib_stopwatch import VendorTimes, timed_answers
    from data_assets.trading_calendar import session, sessions

    symbol = _next_ticker(tickers)
    ends = {day: session(day).close for day in sessions(date.fromisoformat(first), date.fromisoformat(last))}
    Path("loop").mkdir(exist_ok=True)

    async def run() -> float:
        ib = IB()
        await ib.connectAsync("127.0.0.1", int(port), clientId=9, readonly=True)
        (contract,) = await ib.qualifyContractsAsync(Stock(symbol, "SMART", "USD"))
        started = time.perf_counter()
        for day, end in reversed(ends.items()):
            bars = await ib.reqHistoricalDataAsync(contract, end, "1 D", "1 min", "TRADES", True, formatDate=2)
            util.df(bars).to_parquet(f"loop/{symbol}-{day}.parquet")
        seconds = time.perf_counter() - started
        ib.disconnect()
        return seconds

    times = VendorTimes()
    with timed_answers(times):
        seconds = asyncio.run(run())
    return {"seconds": seconds, "vendor": times.vendor, "answers": times.answers}
