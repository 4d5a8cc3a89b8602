from dataclasses import replace
from datetime import date

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from data_assets.quality.completeness import absent_contracts, last_contract_whole
from data_assets_tests.quality.quote_days import (
    CLOSE,
    DAY,
    MINUTE,
    OPEN,
    OPTION_CLOSE,
    SCHEMA,
    Contract,
    chain,
    quotes_of,
    summary_of,
)

LATER = date(2024, 1, 19)
NOON = OPEN + 150 * MINUTE


def verdict(*contracts: Contract, close=CLOSE, option_close=OPTION_CLOSE) -> str | None:
    return last_contract_whole(summary_of(quotes_of(*contracts)), close=close, option_close=option_close)


def many(count: int, **fields) -> list[Contract]:
    return [Contract(strike=400.0 + n, **fields) for n in range(count)]


def test_a_whole_day_is_whole():
    assert verdict(*chain()) is None


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 8 * 406))
def test_a_cut_anywhere_but_between_two_contracts_is_seen(rows):
    body = quotes_of(*chain(expirations=[date(2024, 1, 5), LATER], strikes=2))[:rows]
    assume(rows != 391)  # the first contract alone, stopped at the very close: nothing to compare it with
    whole = last_contract_whole(summary_of(body), close=CLOSE, option_close=OPTION_CLOSE) is None
    assert whole == (rows % 406 == 0)


def test_the_reason_names_the_contract_and_both_ends():
    assert verdict(*many(3), Contract(strike=412.5, right="PUT", end=NOON)) == (
        "the body stops inside a contract: its last one, QQQ 2024-01-19 412.5 P, ends at 12:00, the others at 16:15"
    )


@pytest.mark.parametrize("others", [1, 2, 30])
def test_one_row_short_is_refused(others):
    assert verdict(*many(others), Contract(strike=900.0)) is None
    assert verdict(*many(others), Contract(strike=900.0, end=OPTION_CLOSE - MINUTE)) is not None


@pytest.mark.parametrize("others", [1, 30])
def test_a_contract_first_quoted_at_noon_is_not_refused(others):
    assert verdict(*many(others), Contract(strike=900.0, start=NOON)) is None


def test_two_contracts_of_which_the_last_expires_today():
    assert verdict(Contract(), Contract(DAY, end=CLOSE)) is None
    assert verdict(Contract(), Contract(DAY, end=OPTION_CLOSE)) is None
    assert verdict(Contract(), Contract(DAY, end=CLOSE - MINUTE)) is not None
    assert verdict(Contract(), Contract(DAY, end=CLOSE + MINUTE)) is not None


def test_where_expiring_contracts_end_the_others_may_not_stop():
    expiring = many(40, expiration=DAY, end=CLOSE)
    later = many(3, expiration=date(2024, 1, 5))
    assert verdict(*expiring, *later, Contract(LATER)) is None
    assert verdict(*expiring, *later, Contract(LATER, end=CLOSE)) is not None


def test_its_own_expiration_decides_when_it_is_large_enough():
    others = many(300, expiration=date(2024, 1, 5))
    assert verdict(*others, *many(12, end=CLOSE), Contract(strike=900.0, end=CLOSE)) is None
    assert verdict(*others, *many(12), Contract(strike=900.0, end=CLOSE)) is not None


def test_one_odd_contract_of_its_expiration_does_not_decide():
    others = many(30, expiration=date(2024, 1, 5))
    assert verdict(*others, Contract(end=NOON), Contract(strike=900.0)) is None
    assert verdict(*others, Contract(end=NOON), Contract(strike=900.0, end=NOON)) is not None
    assert verdict(*others, Contract(strike=399.0, end=NOON), *many(9), Contract(strike=900.0, end=NOON)) is not None


def test_ending_later_than_the_others_is_not_short():
    assert verdict(*many(20, end=CLOSE), Contract(strike=900.0)) is None


def test_an_early_close_is_judged_by_the_days_own_ends():
    close, option_close = OPEN + 210 * MINUTE, OPEN + 225 * MINUTE
    for end in (close, option_close, CLOSE, OPTION_CLOSE):
        day = many(20, end=end)
        assert verdict(*day, close=close, option_close=option_close) is None
        assert verdict(*day, Contract(strike=900.0, end=end - MINUTE), close=close, option_close=option_close)


def test_where_many_contracts_end_at_minutes_of_their_own_an_early_end_says_nothing():
    regular = many(40)
    own = [Contract(date(2024, 1, 5), 500.0 + n, end=NOON + n * MINUTE) for n in range(8)]
    last = Contract(strike=900.0, end=NOON + 30 * MINUTE)
    assert verdict(*own[:2], *regular, last) is not None
    assert verdict(*(replace(c, expiration=LATER) for c in own), *regular, last) is None
    assert verdict(*(Contract(strike=400.0 + n, end=CLOSE - n * MINUTE) for n in range(15)), last) is None


def test_a_single_contract_is_compared_with_the_closes():
    assert verdict(Contract(end=CLOSE)) is None
    assert verdict(Contract(end=OPTION_CLOSE)) is None
    assert "at 16:10, the others at 16:00 or 16:15" in (verdict(Contract(end=CLOSE + 10 * MINUTE)) or "")
    assert "no contract reaches the close at 16:00" in (verdict(Contract(end=CLOSE - MINUTE)) or "")


def test_a_single_contract_may_run_past_an_early_close():
    close, option_close = OPEN + 210 * MINUTE, OPEN + 225 * MINUTE
    assert verdict(Contract(end=OPTION_CLOSE), close=close, option_close=option_close) is None
    assert verdict(Contract(end=option_close - MINUTE), close=close, option_close=option_close) is not None


def test_a_body_sorted_by_time_that_stops_early():
    body = quotes_of(*many(5)).sort("timestamp", maintain_order=True)
    stopped = summary_of(body.filter(pl.col("timestamp") <= NOON))
    assert "the body ends at 12:00" in (last_contract_whole(stopped, close=CLOSE, option_close=OPTION_CLOSE) or "")
    assert last_contract_whole(summary_of(body), close=CLOSE, option_close=OPTION_CLOSE) is None


def test_the_last_contract_is_that_of_the_last_row():
    body = quotes_of(*many(5))
    returning = pl.concat([body[:100], body[406:], body[100:300]])
    reason = last_contract_whole(summary_of(returning), close=CLOSE, option_close=OPTION_CLOSE)
    assert reason is not None
    assert "QQQ 2024-01-19 400 C" in reason


def test_nothing_is_not_whole():
    assert verdict() == "the body holds no row"
    no_time = quotes_of(*many(2)).with_columns(
        timestamp=pl.when(pl.int_range(pl.len()) == 811).then(None).otherwise("timestamp")
    )
    reason = last_contract_whole(summary_of(no_time), close=CLOSE, option_close=OPTION_CLOSE)
    assert reason == "the last row of the body (QQQ 2024-01-19 401 C) has no timestamp"


def contract_list(*contracts: Contract) -> pl.DataFrame:
    """As the vendor's list call is parsed, with the right still as text."""
    rows = [(c.symbol, c.expiration, c.strike, c.right) for c in contracts]
    columns = {name: SCHEMA[name] for name in ("symbol", "expiration", "strike")} | {"right": pl.String()}
    return pl.DataFrame(rows, schema=columns, orient="row")


def test_the_contract_list_names_the_absent_and_counts_the_extra():
    day = chain()
    summary = summary_of(quotes_of(*day))
    same = absent_contracts(summary, contract_list(*day, day[0]), day=DAY)
    assert (same.listed, same.absent, same.extra) == (18, (), 0)

    unlisted, absent = day[:2], [Contract(LATER, 412.5, "PUT"), Contract(date(2024, 1, 5), 1000.0)]
    expired = Contract(date(1882, 1, 1))
    other = absent_contracts(summary, contract_list(*day[2:], *absent, expired), day=DAY)
    assert other.listed == 18
    assert other.absent == ("QQQ 2024-01-05 1000 C", "QQQ 2024-01-19 412.5 P")
    assert other.extra == len(unlisted)


@settings(deadline=None, max_examples=30)
@given(st.sets(st.integers(0, 17)), st.sets(st.integers(0, 17)))
def test_absent_and_extra_are_the_two_differences(arrived, listed):
    contracts = [replace(c, end=OPEN) for c in chain()]
    summary = summary_of(quotes_of(*(contracts[i] for i in sorted(arrived))))
    comparison = absent_contracts(summary, contract_list(*(contracts[i] for i in sorted(listed))), day=DAY)
    assert (comparison.listed, len(comparison.absent), comparison.extra) == (
        len(listed),
        len(listed - arrived),
        len(arrived - listed),
    )


def test_contracts_settled_this_morning_are_not_missed():
    """VIXW trades on the day before its expiration for the last time; a list that names it still is no gap."""
    spxw, vixw = Contract(DAY, symbol="SPXW", end=CLOSE), Contract(DAY, symbol="VIXW")
    later = Contract(LATER, symbol="VIXW")
    summary = summary_of(quotes_of(spxw, later))
    listed = contract_list(spxw, vixw, later)
    comparison = absent_contracts(summary, listed, day=DAY, morning_settled=["VIXW"])
    assert (comparison.listed, comparison.absent, comparison.extra, comparison.settled) == (2, (), 0, 1)
    assert absent_contracts(summary, listed, day=DAY).absent == ("VIXW 2024-01-03 400 C",)
    day_before = absent_contracts(summary, listed, day=date(2024, 1, 2), morning_settled=["VIXW"])
    assert day_before.absent == ("VIXW 2024-01-03 400 C",)


def test_a_root_that_is_missing_is_named():
    spx, spxw = (many(5, symbol=symbol, expiration=LATER) for symbol in ("SPX", "SPXW"))
    comparison = absent_contracts(summary_of(quotes_of(*spxw)), contract_list(*spx, *spxw), day=DAY)
    assert (comparison.listed, len(comparison.absent)) == (10, 5)
    assert all(name.startswith("SPX 2024-01-19") for name in comparison.absent)
