"""Whether a response's body arrived whole, as far as its contracts can tell.

Here: what the last contract and the vendor's contract list tell, for the vendor's code to decide before it publishes.
Not here: the last line, the content length (the client's), and the verdicts on the stored day (``option_quotes``).

The vendor's CSV has no trailer and no row count, so a body that stops short looks like a shorter day.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from data_assets.quality.contract_summary import CONTRACT
from data_assets.quality.naming import clock, contract_name, contract_names, session_day

SUBSTANTIAL = 0.1
"""The share of contracts from which on a last minute counts as one at which contracts end on this day."""


def last_contract_whole(summary: pl.DataFrame, *, close: datetime, option_close: datetime) -> str | None:
    """Check that the body does not stop in the middle of its last contract.

    In a body that stops short, the last contract ends earlier than the others. The number of rows and the start do not
    matter: a contract first quoted at noon ends like the others. The last contract is compared with those of its own
    expiration, if there are enough that one odd contract does not count; else with all contracts that, like it, expire
    today or do not (expiring contracts may stop before the 16:00 to 16:15 tail); else with the two closes.

    What this cannot detect:

    - a stop exactly between two contracts; the vendor's contract list shows it;
    - a stop at a minute at which a substantial share of the compared contracts ends;
    - a stop on a day on which a substantial share of the compared contracts ends each at a minute of its own: there a
      lone early end is nothing special, and refusing it could make a good day impossible to store.

    Args:
        summary: of the whole body, in the order of the body.
        close: the underlying's close of this session, an aware instant (13:00 in New York on early closes).
        option_close: the option session's close, or the end of the requested window if that is earlier.

    Returns:
        None if whole, else the reason in one line.
    """
    if summary.is_empty():
        return "the body holds no row"
    last = summary.row(by_predicate=pl.col("last_row") == pl.col("last_row").max(), named=True)
    name = contract_name(*(last[column] for column in CONTRACT))
    end = last["last_timestamp"]
    if end is None:
        return f"the last row of the body ({name}) has no timestamp"
    latest = summary["last_timestamp"].max()
    assert isinstance(latest, datetime)
    if latest < close:
        return f"no contract reaches the close at {clock(close)}: the body ends at {clock(end)} in {name}"

    others = summary.filter(pl.col("last_row") != last["last_row"])
    alike = others.filter((pl.col("expiration") == session_day(close)) == (last["expiration"] == session_day(close)))
    siblings = others.filter(pl.col("expiration") == last["expiration"])
    peers = siblings if siblings.height * SUBSTANTIAL > 1 else alike
    if peers.is_empty():
        whole = end == close or end >= option_close
        usual = [close, option_close]
    else:
        shares = peers["last_timestamp"].value_counts(normalize=True, name="share")
        usual = shares.filter(pl.col("share") >= SUBSTANTIAL)["last_timestamp"].drop_nulls().sort().to_list()
        stragglers = shares.filter(pl.col("share") < SUBSTANTIAL)["share"].sum()
        whole = not usual or end in usual or end > usual[-1] or stragglers >= SUBSTANTIAL
    if whole:
        return None
    ends = " or ".join(dict.fromkeys(clock(instant) for instant in usual))
    return f"the body stops inside a contract: its last one, {name}, ends at {clock(end)}, the others at {ends}"


@dataclass(frozen=True, slots=True)
class ListComparison:
    """A day's contracts compared with the vendor's list.

    Attributes:
        listed: contracts on the list for the day.
        absent: names of the listed contracts that did not arrive, in the order of the file.
        extra: contracts that arrived and are not listed.
        settled: listed contracts that were settled in the morning of the day; not counted in ``listed``.
        confirmed: how many of the absent contracts were requested again, with the same response.
    """

    listed: int
    absent: tuple[str, ...]
    extra: int
    settled: int = 0
    confirmed: int = 0


def absent_contracts(
    summary: pl.DataFrame, listed: pl.DataFrame, *, day: date, morning_settled: Collection[str] = ()
) -> ListComparison:
    """Compare the contracts that arrived with those of a complete day, by the vendor's contract list.

    Strikes are compared exactly: both sides are parsed from the same vendor's text.

    Args:
        summary: of the whole body.
        listed: symbol, expiration, strike and right of each listed contract; repeats, and contracts that expired before
            ``day`` (OPRA's test contracts carry expirations such as 1882) do not count.
        day: the trading day.
        morning_settled: roots that are settled by the opening prices of their last day and trade for the last time on
            the day before, such as SPX and VIXW; their contracts that expire on ``day`` do not count either.
    """
    arrived = summary.select(CONTRACT)
    contracts = (
        listed.filter(pl.col("expiration") >= day)
        .select(pl.col(column).cast(arrived.schema[column]) for column in CONTRACT)
        .unique()
    )
    settled = (pl.col("expiration") == day) & pl.col("symbol").cast(pl.String).is_in(list(morning_settled))
    expected = contracts.filter(~settled)
    absent = expected.join(arrived, on=CONTRACT, how="anti").sort("expiration", "symbol", "strike", "right")
    extra = arrived.join(expected, on=CONTRACT, how="anti")
    return ListComparison(
        expected.height, contract_names(absent), extra.height, settled=contracts.height - expected.height
    )
