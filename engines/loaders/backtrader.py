"""backtrader: bars resampled to five minutes, by ends and by starts. Not here: what is expected."""

from __future__ import annotations

import json
import sys

import backtrader as bt
import pandas as pd

from engines.loaders.bars import read


class Count(bt.Strategy):
    """Keeps the time and the close of each bar."""

    def __init__(self) -> None:
        self.bars: list[tuple[str, float]] = []

    def next(self) -> None:
        """A bar has ended."""
        self.bars.append((self.data.datetime.datetime(0).isoformat(timespec="minutes"), self.data.close[0]))


def run(frame: pd.DataFrame, minutes: int) -> list[tuple[str, float]]:
    cerebro = bt.Cerebro(stdstats=False)
    data = bt.feeds.PandasData(dataname=frame, timeframe=bt.TimeFrame.Minutes, compression=1)
    if minutes == 1:
        cerebro.adddata(data)
    else:
        cerebro.resampledata(data, timeframe=bt.TimeFrame.Minutes, compression=minutes)
    cerebro.addstrategy(Count)
    return cerebro.run()[0].bars


ends = read(sys.argv[1])
naive = ends.tz_localize(None)
first_day = naive[naive.index.date == naive.index[0].date()]
starts = first_day.set_axis(first_day.index - pd.Timedelta(minutes=1))
every = run(naive, 1)
five, wrong = run(first_day, 5), run(starts, 5)
print(
    json.dumps(
        {
            "rows": len(every),
            "first": every[0][0],
            "last": every[-1][0],
            "sum of closes": round(sum(close for _, close in every), 4),
            "five-minute bars by ends": [len(five), five[0][0][-5:], five[-1][0][-5:]],
            "five-minute bars by starts": len(wrong),
            "first time of an aware index": run(ends.head(5), 1)[0][0],
        }
    )
)
