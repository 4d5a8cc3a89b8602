"""Which requests a fault strikes."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from data_assets.sandbox.fault_schedule import FaultSchedule
from data_assets.sandbox.faults import (
    EOD_ENDPOINT,
    IB_CONTRACT_DETAILS,
    IB_HEAD_TIMESTAMP,
    IB_HISTORICAL_DATA,
    QUOTE_ENDPOINT,
    Fault,
)

DAY, OTHER = date(2024, 1, 3), date(2024, 1, 4)


def struck(fault: Fault, requests: int, seed: int = 0) -> list[bool]:
    schedule = FaultSchedule([fault], seed)
    return [schedule.strike(QUOTE_ENDPOINT, DAY, DAY) is fault for _ in range(requests)]


@given(st.integers(0, 1000))
def test_a_rate_is_the_same_at_every_try_and_near_what_it_says(seed):
    fault = Fault(kind="cut", rate=0.3)
    first = struck(fault, 400, seed)
    assert first == struck(fault, 400, seed)
    assert 0.15 < sum(first) / 400 < 0.45


def test_another_seed_strikes_others():
    fault = Fault(kind="cut", rate=0.3)
    assert struck(fault, 400, 1) != struck(fault, 400, 2)


def test_the_first_times_are_struck_and_then_none():
    assert struck(Fault(kind="cut", times=2), 5) == [True, True, False, False, False]


def test_times_counts_strikes_where_a_rate_lets_some_pass():
    hits = struck(Fault(kind="cut", rate=0.5, times=3), 100)
    assert sum(hits) == 3


def test_a_day_and_an_endpoint_narrow_a_fault():
    schedule = FaultSchedule([Fault(kind="cut", day=DAY)])
    assert schedule.strike(QUOTE_ENDPOINT, OTHER, OTHER) is None
    assert schedule.strike("option/list/contracts/quote", DAY, DAY) is None
    assert schedule.strike(QUOTE_ENDPOINT) is None
    assert schedule.strike(QUOTE_ENDPOINT, date(2024, 1, 2), OTHER) is not None


def test_requests_that_do_not_match_are_not_counted():
    schedule = FaultSchedule([Fault(kind="cut", day=DAY, times=1)])
    schedule.strike(QUOTE_ENDPOINT, OTHER, OTHER)
    assert schedule.strike(QUOTE_ENDPOINT, DAY, DAY) is not None


def test_a_large_request_is_one_above_its_rows():
    schedule = FaultSchedule([Fault(kind="large_request", rows=100)])
    assert schedule.strike(QUOTE_ENDPOINT, DAY, DAY, rows=100) is None
    assert schedule.strike(QUOTE_ENDPOINT, DAY, DAY, rows=101) is not None


def test_the_first_fault_that_strikes_wins():
    spent, other = Fault(kind="status", status=500, times=1), Fault(kind="cut")
    schedule = FaultSchedule([spent, other])
    assert [schedule.strike(QUOTE_ENDPOINT, DAY, DAY) for _ in range(2)] == [spent, other]


def test_a_fault_of_ib_strikes_its_bars_unless_it_says_otherwise():
    assert Fault(kind="silence").endpoint == IB_HISTORICAL_DATA
    assert Fault(kind="silence", endpoint=IB_HEAD_TIMESTAMP).endpoint == IB_HEAD_TIMESTAMP
    assert Fault(kind="cut").endpoint == QUOTE_ENDPOINT
    assert Fault(kind="volume_only").endpoint == EOD_ENDPOINT


def test_a_symbol_narrows_a_fault():
    schedule = FaultSchedule([Fault(kind="permissions", symbol="AAPL")])
    assert schedule.strike(IB_HISTORICAL_DATA, DAY, DAY, symbol="MSFT") is None
    assert schedule.strike(IB_HISTORICAL_DATA, DAY, DAY) is None
    assert schedule.strike(IB_HISTORICAL_DATA, DAY, DAY, symbol="AAPL") is not None


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "tws_error"},
        {"kind": "tws_error", "text": "without a code"},
        {"kind": "advisory"},
        {"kind": "notice", "silent": True},
        {"kind": "silence", "silent": True},
        {"kind": "farm_lost", "text": "without a code"},
        {"kind": "silence", "code": 162},
        {"kind": "silence", "text": "what is silent says nothing"},
        {"kind": "cut", "text": "what is cut says nothing"},
        {"kind": "silence", "endpoint": QUOTE_ENDPOINT},
        {"kind": "cut", "endpoint": IB_HISTORICAL_DATA},
        {"kind": "short_day", "endpoint": IB_HEAD_TIMESTAMP},
        {"kind": "pacing", "endpoint": IB_CONTRACT_DETAILS},
        {"kind": "cut", "symbol": "QQQ"},
        {"kind": "status"},
        {"kind": "cut", "status": 500},
        {"kind": "renamed_column", "endpoint": "option/list/symbols"},
        {"kind": "volume_only", "endpoint": QUOTE_ENDPOINT},
        {"kind": "cut", "text": "of what is cut there are no words"},
        {"kind": "settled_listed", "endpoint": QUOTE_ENDPOINT},
        {"kind": "one_row", "endpoint": EOD_ENDPOINT},
        {"kind": "empty_expiration", "endpoint": "option/list/symbols"},
        {"kind": "explode"},
    ],
)
def test_a_fault_that_cannot_be_is_refused(fault):
    with pytest.raises(ValidationError):
        Fault.model_validate(fault)
