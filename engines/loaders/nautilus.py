"""nautilus_trader: the catalog as it was exported, and a backtest node run over it. Not here: what is expected."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

from nautilus_trader.backtest.node import (
    BacktestDataConfig,
    BacktestEngineConfig,
    BacktestNode,
    BacktestRunConfig,
    BacktestVenueConfig,
)
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.data import Bar, QuoteTick
from nautilus_trader.persistence.catalog import ParquetDataCatalog


def instant(of: Bar) -> datetime:
    return datetime.fromtimestamp(of.ts_event // 10**9, UTC)


def written_again() -> str:
    """What the catalog's own writer does with a day that was fetched again and begins later."""
    try:
        catalog.write_data(first_day[1:])
    except ValueError as error:
        return str(error)[:12]
    return "written"


def venue(name: str) -> BacktestVenueConfig:
    return BacktestVenueConfig(
        name=name, oms_type="NETTING", account_type="MARGIN", base_currency="USD", starting_balances=["1000000 USD"]
    )


catalog = ParquetDataCatalog(sys.argv[1])
bars, ticks = catalog.bars(), catalog.quote_ticks()
midnight = instant(bars[0]).replace(hour=0, minute=0)
first_day = catalog.bars(start=midnight, end=midnight + timedelta(days=1))
instruments = sorted({str(tick.instrument_id) for tick in ticks})
data = [
    BacktestDataConfig(catalog_path=sys.argv[1], data_cls=Bar, bar_types=[str(bars[0].bar_type)]),
    BacktestDataConfig(catalog_path=sys.argv[1], data_cls=QuoteTick, instrument_ids=instruments),
]
node = BacktestNode(
    [
        BacktestRunConfig(
            engine=BacktestEngineConfig(logging=LoggingConfig(log_level="ERROR")),
            venues=[venue("US"), venue("OPRA")],
            data=data,
            raise_exception=True,
        )
    ]
)
(result,) = node.run()
print(
    json.dumps(
        {
            "rows": len(bars),
            "first": instant(bars[0]).isoformat(),
            "last": instant(bars[-1]).isoformat(),
            "sum of closes": round(sum(float(bar.close) for bar in bars), 4),
            "sum of volumes": int(sum(bar.volume.as_double() for bar in bars)),
            "bars of the first day": len(first_day),
            "contracts described and quoted": [len(catalog.instruments()) - 1, len(instruments)],
            "quotes": len(ticks),
            "sum of bids": round(sum(float(tick.bid_price) for tick in ticks), 2),
            "events of a backtest node": result.iterations,
            "a day written again by the catalog itself": written_again(),
        }
    )
)
