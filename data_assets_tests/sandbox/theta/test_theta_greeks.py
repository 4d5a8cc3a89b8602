"""The simulated terminal's first-order greeks: what they say, and how they are asked for."""

import asyncio
import math
from datetime import date, datetime, timedelta
from io import BytesIO

import httpx
import numpy as np
import polars as pl
import pytest

from data_assets.sandbox.faults import GREEKS_ENDPOINT, OPEN_INTEREST_ENDPOINT, Fault
from data_assets.sandbox.market.black_scholes import sensitivities
from data_assets.sandbox.market.market import prices
from data_assets.sandbox.market.option_chain import chain
from data_assets.sandbox.market.option_greeks import greeks
from data_assets.sandbox.serving import SandboxTheta

DAY = date(2024, 1, 3)
OPEN = datetime.fromisoformat("2024-01-03T09:30")
GREEKS = f"/{GREEKS_ENDPOINT}"
HEADER = (
    b"symbol,expiration,strike,right,timestamp,bid,ask,delta,theta,vega,rho,epsilon,lambda,implied_vol,iv_error,"
    b"underlying_timestamp,underlying_price"
)
CONTRACTS = 128
ROUNDED = ["delta", "theta", "vega", "rho", "epsilon", "lambda", "implied_vol", "iv_error"]


@pytest.fixture(scope="module")
def theta():
    with SandboxTheta(contracts=CONTRACTS) as server:
        yield server


@pytest.fixture(scope="module")
def spxw() -> pl.DataFrame:
    return pl.concat(greeks(listing) for listing in chain("SPXW", DAY, CONTRACTS))


def ask(theta: SandboxTheta, **changed: str | None) -> httpx.Response:
    usual = {
        "symbol": "SPXW",
        "expiration": "2024-01-17",
        "date": "2024-01-03",
        "interval": "1m",
        "end_time": "16:15:00",
    }
    params = {name: text for name, text in (usual | changed).items() if text is not None}
    return httpx.get(theta.base_url + GREEKS, params=params, timeout=60, verify=False)


def rows(answer: httpx.Response) -> pl.DataFrame:
    assert answer.status_code == 200, answer.text
    return pl.read_csv(BytesIO(answer.content), try_parse_dates=True)


def an_expiration(place: int) -> str:
    return chain("SPXW", DAY, CONTRACTS)[place].expiration.isoformat()


# --- the wire -------------------------------------------------------------------------------------------------------


def test_an_expiration_is_exactly_the_market(theta):
    for listing in chain("SPXW", DAY, CONTRACTS):
        truth = greeks(listing)
        answer = ask(theta, expiration=listing.expiration.isoformat())
        assert answer.content.split(b"\r\n")[0] == HEADER
        got = rows(answer).cast(dict(truth.schema))
        exact = pl.exclude(ROUNDED)
        assert got.select(exact).equals(truth.select(exact))
        for name in ROUNDED:
            assert (got[name] - truth[name]).abs().max() <= 0.00005001, name


def test_a_row_is_spelled_as_the_vendor_spells_it(theta):
    first, second = ask(theta, expiration=an_expiration(-1), right="call").content.split(b"\r\n")[1:3]
    assert first.endswith(
        b",2024-01-03T09:30:00,0.00,0.00,0.0000,0.0000,0.0000,0.0000,0.0000,0.0000,0.2500,100.0000,2024-01-03T09:30:00,0.00"
    )
    decimals = [len(field.partition(".")[2]) for field in second.decode().split(",")]
    assert decimals == [0, 0, 3, 0, 0, 2, 2, *[4] * 8, 0, 2]


@pytest.mark.parametrize(
    "changed",
    [
        {"expiration": "*"},
        {"expiration": None},
        {"max_dte": "7"},
        {"interval": None},
        {"rate_value": "0.04"},
        {"version": "1"},
        {"date": None},
        {"symbol": "SPX,SPXW"},
    ],
)
def test_what_greeks_do_not_accept_is_473(theta, changed):
    answer = ask(theta, **changed)
    assert answer.status_code == 473
    assert next(iter(changed)) in answer.text


def test_filters_leave_exactly_what_they_name(theta):
    everything = rows(ask(theta, expiration=an_expiration(2)))
    strike = everything["strike"].max()
    some = ask(
        theta, expiration=an_expiration(2), strike=str(strike), right="put", start_time="12:00:00", end_time="12:05:00"
    )
    noon = datetime.fromisoformat("2024-01-03T12:00")
    assert rows(some).equals(
        everything.filter(
            pl.col("strike") == strike,
            pl.col("right") == "PUT",
            pl.col("timestamp").is_between(noon, noon + timedelta(minutes=5)),
        )
    )


@pytest.mark.parametrize(("tier", "status"), [("free", 403), ("value", 403), ("standard", 200), ("pro", 200)])
def test_greeks_need_the_standard_tier(tier, status):
    with SandboxTheta(contracts=4, tier=tier) as theta:
        answer = ask(theta, expiration=chain("SPXW", DAY, 4)[0].expiration.isoformat())
    assert answer.status_code == status
    assert status == 200 or "needs the standard tier" in answer.text


def test_greeks_of_indices_begin_in_2017():
    with SandboxTheta(contracts=4) as theta:
        for symbol, day, status in (
            ("SPXW", date(2016, 12, 30), 472),
            ("SPXW", date(2017, 1, 3), 200),
            ("SPX", date(2016, 12, 30), 472),
            ("QQQ", date(2016, 12, 30), 200),
        ):
            expiration = chain(symbol, day, 4)[0].expiration
            answer = ask(theta, symbol=symbol, date=day.isoformat(), expiration=expiration.isoformat())
            assert answer.status_code == status, (symbol, day)


def test_spx_has_nothing_on_its_last_day():
    third_friday = date(2024, 1, 19)
    before = date(2024, 1, 18)
    with SandboxTheta(contracts=400) as theta:
        for path in (GREEKS, "/option/history/quote"):
            answers = {
                (symbol, day): httpx.get(
                    theta.base_url + path,
                    params={"symbol": symbol, "expiration": "20240119", "date": f"{day:%Y%m%d}", "interval": "1h"},
                    verify=False,
                ).status_code
                for symbol in ("SPX", "SPXW")
                for day in (before, third_friday)
            }
            assert answers == {
                ("SPX", before): 200,
                ("SPX", third_friday): 472,
                ("SPXW", before): 200,
                ("SPXW", third_friday): 200,
            }


@pytest.mark.parametrize("kind", ["cut", "missing_contract", "renamed_column", "large_request", "status"])
def test_faults_strike_greeks_and_no_other_call(kind):
    fault = Fault(kind=kind, endpoint=GREEKS_ENDPOINT, times=1, rows=100, status=500 if kind == "status" else None)
    with SandboxTheta(contracts=CONTRACTS, faults=[fault]) as theta:
        other = httpx.get(
            theta.base_url + "/option/history/quote",
            params={"symbol": "SPXW", "expiration": an_expiration(0), "date": "20240103", "interval": "1m"},
            verify=False,
        )
        struck, after = (ask(theta, expiration=an_expiration(0)) for _ in range(2))
    assert other.status_code == after.status_code == 200
    whole = rows(after)
    if kind in ("large_request", "status"):
        assert struck.status_code == (570 if kind == "large_request" else 500)
    elif kind == "cut":
        assert after.content.startswith(struck.content)
        assert not struck.content.endswith(b"\n")
    elif kind == "renamed_column":
        assert struck.content.replace(b",bid_price,", b",bid,", 1) == after.content
    else:
        contract = ["strike", "right"]
        lost = whole.select(contract).unique().height - rows(struck).select(contract).unique().height
        assert lost == math.ceil(whole.select(contract).unique().height / 20)


async def test_the_tiers_limit_and_queue_are_shared_by_all_calls():
    held = Fault(kind="stall", endpoint=GREEKS_ENDPOINT, times=4)
    first = chain("SPXW", DAY, 4)[0].expiration.isoformat()
    greeks_of = {"symbol": "SPXW", "expiration": first, "date": "20240103", "interval": "1h"}
    interest_of = {"symbol": "SPXW", "expiration": "*", "date": "20240103"}
    with SandboxTheta(contracts=4, tier="standard", faults=[held]) as theta:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=theta.base_url, limits=limits, timeout=60, verify=False) as client:
            holding = [asyncio.create_task(client.get(GREEKS, params=greeks_of)) for _ in range(4)]
            while [record.status for record in theta.requests] != [200] * 4:  # noqa: ASYNC110 - counted elsewhere
                await asyncio.sleep(0.005)
            waiting = [
                asyncio.create_task(client.get(f"/{OPEN_INTEREST_ENDPOINT}", params=interest_of)) for _ in range(16)
            ]
            while theta.most_seen != 20:  # noqa: ASYNC110 - counted in another thread
                await asyncio.sleep(0.005)
            refused = [await client.get(GREEKS, params=greeks_of), await client.get("/option/list/symbols")]
            for task in holding:
                task.cancel()
            answers = await asyncio.gather(*waiting)
    assert [answer.status_code for answer in refused] == [429, 429]
    assert [answer.status_code for answer in answers] == [200] * 16
    assert theta.most_in_service == 4


# --- what they say --------------------------------------------------------------------------------------------------


def test_bid_ask_and_grid_are_those_of_the_quotes(spxw):
    quotes = pl.concat(listing.quotes() for listing in chain("SPXW", DAY, CONTRACTS))
    same = ["symbol", "expiration", "strike", "right", "timestamp", "bid", "ask"]
    assert spxw.select(same).equals(quotes.select(same))


def test_the_open_holds_the_marks_of_what_is_not_solved(spxw):
    apple = pl.concat(greeks(listing) for listing in chain("AAPL", DAY, CONTRACTS))
    for frame, price in ((spxw, 0.0), (apple, prices("AAPL", DAY, 570, 570)[0])):
        opening = frame.filter(pl.col("timestamp") == OPEN)
        assert opening.height == CONTRACTS
        assert set(opening.select("bid", "ask", "implied_vol", "iv_error", "underlying_price").unique().rows()) == {
            (0.0, 0.0, 0.25, 100.0, price)
        }
        later = frame.filter(pl.col("timestamp") != OPEN)
        assert later["iv_error"].max() < 1
        assert later["underlying_price"].min() > 0
    assert spxw.filter(pl.col("timestamp") == OPEN).select(pl.sum_horizontal(ROUNDED[:6]).abs().max()).item() == 0
    calls = apple.filter(pl.col("timestamp") == OPEN, pl.col("right") == "CALL").sort("expiration", "strike")
    assert calls["delta"].is_between(0, 1).all()
    assert calls["delta"].n_unique() > CONTRACTS / 4


def test_both_roots_share_one_underlying(spxw):
    spx = pl.concat(greeks(listing) for listing in chain("SPX", DAY, CONTRACTS))
    path = prices("SPX", DAY, 571, 975)
    for frame in (spx, spxw):
        shown = frame.group_by("timestamp").agg(pl.col("underlying_price").unique()).sort("timestamp")[1:]
        assert shown["underlying_price"].list.len().max() == 1
        assert np.array_equal(shown["underlying_price"].list.first().to_numpy(), path)
        assert frame["underlying_timestamp"].equals(frame["timestamp"])


def test_deltas_lie_where_they_can(spxw):
    solved = spxw.filter(pl.col("iv_error") < 100)
    calls, puts = (solved.filter(pl.col("right") == right) for right in ("CALL", "PUT"))
    assert calls["delta"].is_between(0, 1).all()
    assert puts["delta"].is_between(-1, 0).all()
    assert solved.filter((pl.col("theta") > 0) | (pl.col("vega") < 0)).is_empty()
    assert solved.filter((pl.col("right") == "CALL") != (pl.col("rho") > 0), pl.col("rho").abs() > 1e-6).is_empty()
    noon = solved.filter(pl.col("timestamp") == OPEN + timedelta(minutes=150), pl.col("implied_vol") > 0)
    for part in noon.partition_by("expiration", "right"):
        assert part.sort("strike")["delta"].is_sorted(descending=True)


def test_nothing_is_without_volatility_but_what_is_deep_in_the_money(spxw):
    flat = spxw.filter(pl.col("implied_vol") == 0)
    assert 0 < flat.height < spxw.height / 10
    assert set(flat["delta"].abs()) == {1.0}
    assert flat.select(pl.sum_horizontal(pl.col("theta", "vega", "rho", "epsilon", "lambda").abs()).max()).item() == 0
    sign = pl.when(pl.col("right") == "CALL").then(1).otherwise(-1)
    middle = (flat["bid"] + flat["ask"]) / 2
    intrinsic = flat.select(sign * (pl.col("underlying_price") - pl.col("strike"))).to_series()
    assert (middle <= intrinsic + 1e-9).all()


def textbook(row: dict, years: float, spot: float, volatility: float, rate: float = 0.0, paid: float = 0.0) -> float:
    """Black-Scholes with interest and a dividend yield, in the standard library's arithmetic."""

    def normal(x: float) -> float:
        return 0.5 * math.erfc(-x / math.sqrt(2))

    strike, deviation = row["strike"], volatility * math.sqrt(years)
    d1 = (math.log(spot / strike) + (rate - paid) * years) / deviation + deviation / 2
    sign = 1 if row["right"] == "CALL" else -1
    return sign * (
        spot * math.exp(-paid * years) * normal(sign * d1)
        - strike * math.exp(-rate * years) * normal(sign * (d1 - deviation))
    )


def test_greeks_are_the_slopes_of_the_value(spxw):
    """Central differences, in the vendor's units and with its day count: whole days over 365."""
    liquid = spxw.filter(
        pl.col("expiration") > DAY, pl.col("implied_vol") > 0.02, pl.col("iv_error") < 100, pl.col("vega") > 20
    ).sample(200, seed=1)
    for row in liquid.iter_rows(named=True):
        years = (row["expiration"] - DAY).days / 365
        spot, volatility = row["underlying_price"], row["implied_vol"]

        def slope(step: float, of: str, row=row, here=(years, spot, volatility)) -> float:
            years, spot, volatility = here
            at = {
                "delta": lambda s: textbook(row, years, spot + s, volatility),
                "vega": lambda s: textbook(row, years, spot, volatility + s),
                "theta": lambda s: textbook(row, years - s, spot, volatility),
                "rho": lambda s: textbook(row, years, spot, volatility, rate=s),
                "epsilon": lambda s: textbook(row, years, spot, volatility, paid=s),
            }[of]
            return (at(step) - at(-step)) / (2 * step)

        value = textbook(row, years, spot, volatility)
        assert value == pytest.approx((row["bid"] + row["ask"]) / 2, rel=1e-3)
        assert value / ((row["bid"] + row["ask"]) / 2) - 1 == pytest.approx(row["iv_error"], abs=1e-4)
        assert row["delta"] == pytest.approx(slope(spot * 1e-5, "delta"), abs=1e-4)
        assert row["vega"] == pytest.approx(slope(1e-5, "vega"), rel=1e-3)  # per 1.00 of volatility
        assert row["theta"] == pytest.approx(slope(years * 1e-5, "theta") / 365, rel=1e-3)  # per calendar day
        assert row["rho"] == pytest.approx(slope(1e-5, "rho"), rel=1e-3, abs=0.01)  # per 1.00 of interest
        assert row["epsilon"] == pytest.approx(slope(1e-5, "epsilon"), rel=1e-3, abs=0.01)
        assert row["lambda"] == pytest.approx(row["delta"] * spot / value, rel=1e-3)


def test_the_last_day_counts_minutes_and_an_hour_at_the_least():
    """At the money the midpoint is the textbook's value at the time that is left, floored in the last hour."""
    zero_days = greeks(chain("SPXW", DAY, 256)[0])
    assert zero_days["expiration"][0] == DAY
    assert zero_days["timestamp"].max() == datetime.fromisoformat("2024-01-03T16:00")
    for clock, left in (("11:00", 300), ("14:59", 61), ("15:30", 60), ("15:59", 60)):
        at = zero_days.filter(
            pl.col("timestamp") == datetime.fromisoformat(f"2024-01-03T{clock}"), pl.col("implied_vol") > 0.01
        )
        row = at.sort((pl.col("strike") - pl.col("underlying_price")).abs()).row(0, named=True)
        value = textbook(row, left / (365 * 24 * 60), row["underlying_price"], row["implied_vol"])
        assert value == pytest.approx((row["bid"] + row["ask"]) / 2, rel=1e-3), clock


def test_units_and_day_count_are_those_of_the_vendors_own_example():
    """AAPL,2024-11-08,262.500,CALL,2024-11-04T09:35:00,0.00,0.02 of the OpenAPI; interest moves it by some per cent."""
    delta, theta_, vega, rho, epsilon, lambda_ = 0.0026, -0.0141, 0.1913, 0.0063, -0.0064, 55.2930
    spot, strike, volatility, years = (np.array([number]) for number in (220.66, 262.5, 0.5874, 4 / 365))
    model = sensitivities(spot, strike, volatility * np.sqrt(years), call=True)
    assert model.delta == pytest.approx(delta, rel=0.05)
    assert model.slope * np.sqrt(years) == pytest.approx(vega, rel=0.05)
    assert -model.slope * volatility * np.sqrt(years) / (2 * years * 365) == pytest.approx(theta_, rel=0.05)
    assert years * (spot * model.delta - model.value) == pytest.approx(rho, rel=0.05)
    assert -years * spot * model.delta == pytest.approx(epsilon, rel=0.05)
    assert model.delta * spot / model.value == pytest.approx(lambda_, rel=0.05)
