"""The simulated terminal's list calls, above all for the two roots of SPX."""

from datetime import UTC, date, datetime
from io import BytesIO

import httpx
import polars as pl
import pytest

from data_assets.sandbox.faults import Fault
from data_assets.sandbox.market.option_chain import chain, expirations
from data_assets.sandbox.serving import SandboxTheta
from data_assets.trading_calendar import sessions

FIRST_DAY = date(2022, 4, 1)
NOW = datetime(2024, 6, 1, tzinfo=UTC)
DAY = date(2024, 1, 17)
THIRD_FRIDAY = date(2024, 1, 19)
CONTRACTS = 400


@pytest.fixture(scope="module")
def theta():
    with SandboxTheta(
        contracts=CONTRACTS, first_day=FIRST_DAY, now=lambda: NOW, symbols=("QQQ", "SPX", "SPXW")
    ) as server:
        yield server


def get(theta: SandboxTheta, what: str, **params: str) -> httpx.Response:
    return httpx.get(f"{theta.base_url}/option/list/{what}", params=params, timeout=60, verify=False)


def rows(answer: httpx.Response) -> pl.DataFrame:
    assert answer.status_code == 200, answer.text
    return pl.read_csv(BytesIO(answer.content), try_parse_dates=True)


def test_headers_are_the_vendors(theta):
    first_lines = {
        what: get(theta, what, **params).content.split(b"\r\n")[0]
        for what, params in {
            "symbols": {},
            "expirations": {"symbol": "SPX"},
            "strikes": {"symbol": "SPX", "expiration": "20240119"},
            "dates/quote": {"symbol": "SPX", "expiration": "20240119"},
            "contracts/quote": {"symbol": "SPX", "date": "20240117"},
        }.items()
    }
    assert first_lines == {
        "symbols": b"symbol",
        "expirations": b"symbol,expiration",
        "strikes": b"symbol,strike",
        "dates/quote": b"date",
        "contracts/quote": b"symbol,expiration,strike,right",
    }


def test_lists_of_symbols_are_the_lists_of_each(theta):
    for what, params in (
        ("expirations", {}),
        ("strikes", {"expiration": "20240119"}),
        ("contracts/quote", {"date": "20240117"}),
        ("contracts/trade", {"date": "20240117"}),
    ):
        both = rows(get(theta, what, symbol="SPXW,SPX", **params))
        each = [rows(get(theta, what, symbol=symbol, **params)) for symbol in ("SPX", "SPXW")]
        assert both.sort(both.columns).equals(pl.concat(each).sort(both.columns)), what
        if what != "contracts/trade":
            assert set(rows(get(theta, what, symbol="*", **params))["symbol"]) == {"QQQ", "SPX", "SPXW"}


def test_one_symbol_with_a_stranger_is_the_one(theta):
    assert set(rows(get(theta, "expirations", symbol="SPX,NOSUCH"))["symbol"]) == {"SPX"}
    assert get(theta, "expirations", symbol="NOSUCH").status_code == 472


def test_expirations_of_both_roots(theta):
    listed = rows(get(theta, "expirations", symbol="SPX,SPXW"))
    by_root = {root: set(part["expiration"]) for (root,), part in listed.group_by("symbol")}
    assert all(14 <= last.day <= 21 and last.weekday() in (3, 4) for last in by_root["SPX"])
    in_2023 = set(sessions(date(2023, 1, 1), date(2023, 12, 31)))
    assert in_2023 <= by_root["SPXW"]
    april = {last for last in by_root["SPXW"] if last < date(2022, 5, 1)}
    assert {last.weekday() for last in april} == {0, 2, 3, 4}  # one Thursday, the day before Good Friday
    assert date(2022, 4, 14) in april


@pytest.mark.parametrize("day", [DAY, THIRD_FRIDAY])
def test_contracts_of_the_day_are_what_the_histories_hold(theta, day):
    listed = rows(get(theta, "contracts/quote", symbol="SPX,SPXW", date=f"{day:%Y%m%d}"))
    assert listed.height == 2 * CONTRACTS
    expected = {(root, last) for root in ("SPX", "SPXW") for last in expirations(root, day)}
    assert set(listed.select("symbol", "expiration").unique().rows()) == expected
    assert (("SPX", THIRD_FRIDAY) in expected) is (day < THIRD_FRIDAY)
    for root in ("SPX", "SPXW"):
        quoted = rows(
            httpx.get(
                f"{theta.base_url}/option/history/quote",
                params={"symbol": root, "expiration": "*", "date": f"{day:%Y%m%d}", "interval": "1h"},
                timeout=60,
                verify=False,
            )
        )
        contract = ["symbol", "expiration", "strike", "right"]
        here = listed.filter(pl.col("symbol") == root).sort(contract)
        assert quoted.select(contract).unique().sort(contract).equals(here)


def test_max_dte_narrows_the_contracts(theta):
    near = rows(get(theta, "contracts/quote", symbol="SPXW", date="20240117", max_dte="2"))
    assert set(near["expiration"]) == {date(2024, 1, 17), date(2024, 1, 18), THIRD_FRIDAY}


def test_strikes_are_unsorted_and_dollars(theta):
    answer = get(theta, "strikes", symbol="SPXW", expiration="2024-01-19")
    strikes = rows(answer)["strike"]
    assert sorted(strikes) == sorted(chain("SPXW", THIRD_FRIDAY, CONTRACTS)[0].strikes)
    assert not strikes.is_sorted()
    assert all(line.endswith(b".000") for line in answer.content.split(b"\r\n")[1:-1])


def test_dates_end_a_day_earlier_for_morning_settlement(theta):
    ends = {
        symbol: rows(get(theta, "dates/quote", symbol=symbol, expiration="20240119"))["date"].max()
        for symbol in ("SPX", "SPXW")
    }
    assert ends == {"SPX": date(2024, 1, 18), "SPXW": THIRD_FRIDAY}


def test_dates_of_trades_are_some_of_those_of_quotes(theta):
    strike = max(chain("SPX", DAY, CONTRACTS)[0].strikes)
    contract = {"symbol": "SPX", "expiration": "20240119", "strike": f"{strike:.3f}", "right": "call"}
    quoted, traded = (set(rows(get(theta, f"dates/{what}", **contract))["date"]) for what in ("quote", "trade"))
    assert traded < quoted
    for day in sorted(quoted)[-3:]:
        listed = rows(get(theta, "contracts/trade", symbol="SPX", date=f"{day:%Y%m%d}"))
        this = listed.filter(
            pl.col("expiration") == THIRD_FRIDAY, pl.col("strike") == strike, pl.col("right") == "CALL"
        )
        assert (day in traded) is (this.height == 1)


@pytest.mark.parametrize(
    ("what", "params"),
    [
        ("expirations", {}),
        ("expirations", {"symbol": "SPX", "date": "20240117"}),
        ("strikes", {"symbol": "SPX"}),
        ("strikes", {"symbol": "SPX", "expiration": "*"}),
        ("dates/quote", {"symbol": "SPX,SPXW", "expiration": "20240119"}),
        ("dates/quote", {"symbol": "SPX", "expiration": "*"}),
        ("contracts/quote", {"symbol": "SPX"}),
        ("contracts/quote", {"symbol": "SPX", "date": "20240117", "expiration": "20240119"}),
        ("contracts/quote", {"symbol": "S P", "date": "20240117"}),
    ],
)
def test_bad_parameters_are_473(theta, what, params):
    assert get(theta, what, **params).status_code == 473


def test_other_request_types_are_404(theta):
    assert get(theta, "contracts/ohlc", date="20240117").status_code == 404
    assert get(theta, "dates/ohlc", symbol="SPX", expiration="20240119").status_code == 404


@pytest.mark.parametrize("what", ["expirations", "strikes", "contracts/quote", "contracts/trade"])
def test_faults_strike_lists(what):
    params = {
        "expirations": {"symbol": "SPX"},
        "strikes": {"symbol": "SPX", "expiration": "20240119"},
    }.get(what, {"symbol": "SPX", "date": "20240117"})
    fault = Fault(kind="cut", endpoint=f"option/list/{what}", times=1)
    with SandboxTheta(contracts=400, first_day=date(2024, 1, 2), symbols=("SPX",), faults=[fault]) as theta:
        struck, whole = (get(theta, what, **params).content for _ in range(2))
    assert whole.endswith(b"\n")
    assert whole.startswith(struck)
    assert not struck.endswith(b"\n")
