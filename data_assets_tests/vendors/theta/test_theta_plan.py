"""Which requests make a day."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.ingest.outcome import DayEnded
from data_assets.trading_calendar import session
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.plan import (
    LARGE_DAY_ROWS,
    choose_request_unit,
    expected_rows,
    groups,
    listed_expirations,
    split,
)
from data_assets_tests.vendors.theta.option_days import DAY, SPX

QUOTED = OptionDataset("theta/option_quotes/SPX", "SPX", roots=SPX)
GREEKS = OptionDataset("theta/option_greeks/SPX", "SPX", "greeks", SPX)
INTEREST = OptionDataset("theta/option_open_interest/SPX", "SPX", "open_interest", SPX)
POINTS = QUOTED.grid(session(DAY)).points

DATES = st.dates(date(2024, 1, 1), date(2024, 1, 12)) | st.dates(date(1882, 1, 1), date(2026, 12, 31))
EXPIRATIONS = st.fixed_dictionaries({root: st.lists(DATES, unique=True) for root in SPX})


def listed(contracts: int) -> pl.DataFrame:
    return pl.DataFrame({"symbol": ["SPX"] * contracts})


def test_a_day_has_as_many_points_as_minutes_to_the_option_close():
    assert POINTS == 406
    assert QUOTED.grid(session(date(2024, 7, 3))).points == 226


@pytest.mark.parametrize(
    ("dataset", "contracts", "by"),
    [
        (QUOTED, 12_500, "day"),
        (QUOTED, 24_800, "expiration"),
        (QUOTED, None, "day"),
        (INTEREST, 24_800, "day"),
        (GREEKS, 100, "expiration"),
        (GREEKS, None, "expiration"),
    ],
)
def test_the_way_suits_the_size(dataset: OptionDataset, contracts: int | None, by: str):
    rows = expected_rows(dataset, None if contracts is None else listed(contracts), POINTS)
    assert rows is None or (rows > LARGE_DAY_ROWS) == (by == "expiration" and dataset is not GREEKS)
    assert choose_request_unit(dataset, rows) == by


def test_an_empty_list_says_nothing_of_the_size():
    assert expected_rows(QUOTED, listed(0), POINTS) is None


@pytest.mark.parametrize("by", ["day", "expiration", "right"])
def test_what_the_block_says_goes_first(by: str):
    dataset = OptionDataset(QUOTED.key, "SPX", roots=SPX, request_by=by)
    assert choose_request_unit(dataset, 10) == choose_request_unit(dataset, 10_000_000) == by


def test_greeks_are_never_asked_for_by_day():
    with pytest.raises(ValueError, match="request_by day"):
        OptionDataset(GREEKS.key, "SPX", "greeks", SPX, "day")


def test_a_root_is_named_once():
    with pytest.raises(ValueError, match="name each once"):
        OptionDataset(QUOTED.key, "SPX", roots=("SPX", "SPX"))


@given(expirations=EXPIRATIONS, by=st.sampled_from(["expiration", "right"]))
def test_the_groups_are_the_expirations_that_can_have_data_each_once_in_the_files_order(
    expirations: dict[str, list[date]], by: str
):
    plan = groups(QUOTED, DAY, by, expirations)
    assert [group.expiration for group in plan] == sorted({group.expiration for group in plan})
    requests = [request for group in plan for request in group.requests]
    assert len(set(requests)) == len(requests)
    found = {(request.symbol, date.fromisoformat(request.expiration)) for request in requests}
    assert found == {(root, last) for root, lasts in expirations.items() for last in lasts if last >= DAY}
    for group in plan:
        assert {request.expiration for request in group.requests} == {group.expiration.isoformat()}
        rights = {request.right for request in group.requests}
        assert rights == ({"both"} if by == "expiration" else {"call", "put"})


def test_the_lists_expirations_are_those_of_each_root():
    frame = pl.DataFrame({"symbol": ["SPXW", "SPX", "SPXW", "SPXW"], "expiration": [DAY, DAY, date(2024, 2, 1), DAY]})
    assert listed_expirations(frame) == {"SPXW": [DAY, date(2024, 2, 1)], "SPX": [DAY]}


def test_a_request_is_split_until_nothing_is_left_to_split():
    whole = QUOTED.request(DAY, "SPXW")
    halves = split(whole)
    assert [half.right for half in halves] == ["call", "put"]
    assert {half.expiration for half in halves} == {"*"}
    parts = split(halves[0], [date(1882, 1, 5), DAY, date(2024, 2, 1)])
    assert [(part.expiration, part.right) for part in parts] == [("2024-01-03", "call"), ("2024-02-01", "call")]
    with pytest.raises(DayEnded, match=r"too large, and one expiration and right cannot be split"):
        split(parts[0], [], "too large")
