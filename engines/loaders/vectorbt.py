"""vectorbt: the closes as a portfolio, and the backtest of the docs as it stands. Not here: what is expected."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import vectorbt as vbt

from engines.loaders.bars import read

bars = read(sys.argv[1])
one_day = bars["close"][bars.index.date == bars.index[0].date()]
without = one_day.drop(one_day.index[100:110])


def sharpe(closes: object, **more: str) -> str:
    try:
        vbt.Portfolio.from_holding(closes, **more).sharpe_ratio()
    except ValueError as error:
        return str(error)[:23]
    return "a number"


page = Path("docs/backtests.md").read_text(encoding="utf-8").split("## A VWAP backtest in vectorbt\n")[1]
block = page.split("```python\n")[1].split("```")[0]
names: dict[str, Any] = {}
with redirect_stdout(StringIO()) as printed:
    exec(compile(block.replace("~/backtest/AAPL", sys.argv[1]), "docs/backtests.md", "exec"), names)

portfolio = vbt.Portfolio.from_holding(bars["close"], freq="1min")
print(
    json.dumps(
        {
            "rows": len(bars),
            "first": bars.index[0].isoformat(),
            "last": bars.index[-1].isoformat(),
            "total return": round(float(portfolio.total_return()), 10),
            "Sharpe ratio of a day": sharpe(one_day),
            "Sharpe ratio of a day with a stretch missing": sharpe(without),
            "Sharpe ratio over nights": sharpe(bars["close"]),
            "Sharpe ratio with freq": sharpe(bars["close"], freq="1min"),
            "return of the VWAP backtest in the docs": round(float(names["portfolio"].total_return()), 8),
            "its trades": int(names["portfolio"].trades.count()),
            "numbers that it prints": len(printed.getvalue().split()),
        }
    )
)
