"""A good day of greeks for the tests of the rules: the synthetic SPX and SPXW, as the lake would store them."""

from datetime import date

import polars as pl

from data_assets.sandbox.market.option_chain import chain
from data_assets.sandbox.market.option_greeks import greeks
from data_assets.trading_calendar import NEW_YORK, session

DAY = date(2024, 1, 3)
HOURS = session(DAY)
ROOTS = ("SPX", "SPXW")


def stored(frame: pl.DataFrame) -> pl.DataFrame:
    """New York's wall clock made explicit, and the order of the file."""
    instants = pl.selectors.datetime().dt.replace_time_zone(NEW_YORK.key).dt.convert_time_zone("UTC")
    order = ["expiration", "symbol", "strike", "right", "timestamp"]
    return frame.with_columns(instants).sort([name for name in order if name in frame.columns])


def good_day(contracts: int = 64) -> pl.DataFrame:
    """Every fifth minute of both roots, the open and the end included."""
    day = stored(pl.concat(greeks(listing) for root in ROOTS for listing in chain(root, DAY, contracts)))
    return day.filter(pl.col("timestamp").dt.minute() % 5 == 0)
