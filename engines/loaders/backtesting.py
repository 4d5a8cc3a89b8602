"""backtesting.py: a strategy that buys and holds. Not here: what is expected."""

from __future__ import annotations

import json
import sys
import warnings

from backtesting import Backtest, Strategy

from engines.loaders.bars import read

warnings.simplefilter("ignore")


class Hold(Strategy):
    """Buys at the first bar that it can."""

    def init(self) -> None:
        """Nothing to prepare."""

    def next(self) -> None:
        """One share, once."""
        if not self.position:
            self.buy(size=1)


def refusal(frame: object) -> str:
    try:
        Backtest(frame, Hold, cash=1e6)
    except ValueError as error:
        return str(error)[:40]
    return "taken"


lower = read(sys.argv[1])
bars = lower.rename(columns=str.capitalize)
ended = Backtest(bars, Hold, cash=1e6, finalize_trades=True).run()
trade = ended["_trades"].iloc[0]
print(
    json.dumps(
        {
            "rows": len(bars),
            "first": ended["Start"].isoformat(),
            "last": ended["End"].isoformat(),
            "bought at": float(trade["EntryPrice"]),
            "sold at": float(trade["ExitPrice"]),
            "lower-case names": refusal(lower),
            "a bar twice": refusal(bars.iloc[[0, 0, 1]]),
        }
    )
)
