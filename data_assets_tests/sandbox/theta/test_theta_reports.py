"""The simulated terminal's daily reports: open interest in the morning, the end of the day after it."""

from datetime import UTC, date, datetime, timedelta
from io import BytesIO

import httpx
import polars as pl
import pytest

from data_assets.sandbox.faults import EOD_ENDPOINT, OPEN_INTEREST_ENDPOINT, Fault
from data_assets.sandbox.market.option_chain import chain
from data_assets.sandbox.serving import SandboxTheta

DAY = date(2024, 1, 3)
CONTRACTS = 800
CONTRACT = ["symbol", "expiration", "strike", "right"]
EOD_HEADER = (
    b"symbol,expiration,strike,right,created,last_trade,open,high,low,close,volume,count,"
    b"bid_size,bid_exchange,bid,bid_condition,ask_size,ask_exchange,ask,ask_condition"
)


@pytest.fixture(scope="module")
def theta():
    with SandboxTheta(contracts=CONTRACTS) as server:
        yield server


def wall(clock: str) -> datetime:
    """New York's wall clock on the day, as the vendor writes it."""
    return datetime.fromisoformat(f"2024-01-03T{clock}")


def get(theta: SandboxTheta, path: str, **params: str) -> httpx.Response:
    return httpx.get(f"{theta.base_url}/{path}", params=params, timeout=60, verify=False)


def open_interest(theta: SandboxTheta, day: date = DAY, symbol: str = "SPXW", **more: str) -> httpx.Response:
    return get(theta, OPEN_INTEREST_ENDPOINT, **({"symbol": symbol, "expiration": "*", "date": f"{day:%Y%m%d}"} | more))


def eod(theta: SandboxTheta, day: date = DAY, symbol: str = "SPXW", **more: str) -> httpx.Response:
    days = {"start_date": f"{day:%Y%m%d}", "end_date": f"{day:%Y%m%d}"}
    return get(theta, EOD_ENDPOINT, **({"symbol": symbol, "expiration": "*"} | days | more))


def rows(answer: httpx.Response) -> pl.DataFrame:
    assert answer.status_code == 200, answer.text
    return pl.read_csv(BytesIO(answer.content), try_parse_dates=True, infer_schema_length=None)


def listed(theta: SandboxTheta, day: date = DAY, symbol: str = "SPXW", what: str = "quote") -> pl.DataFrame:
    return rows(get(theta, f"option/list/contracts/{what}", symbol=symbol, date=f"{day:%Y%m%d}"))


# --- open interest --------------------------------------------------------------------------------------------------


def test_open_interest_is_a_row_a_contract_sent_in_the_morning(theta):
    answer = open_interest(theta)
    assert answer.content.startswith(b"symbol,expiration,strike,right,timestamp,open_interest\r\nSPXW,")
    frame = rows(answer)
    assert frame.select(CONTRACT).is_unique().all()
    times = frame["timestamp"]
    assert wall("06:30") <= times.min() < times.max() < wall("06:30:06")
    assert (times.dt.microsecond() > 0).sum() > 0.9 * frame.height
    assert frame["open_interest"].min() == 0
    assert frame["open_interest"].max() > 1000


def test_some_contracts_that_nobody_holds_have_no_open_interest(theta):
    contracts, frame = listed(theta), rows(open_interest(theta))
    assert frame.join(contracts, on=CONTRACT, how="anti").is_empty()
    assert 0 < contracts.height - frame.height < 0.1 * contracts.height


def test_spx_has_no_open_interest_on_its_last_day(theta):
    last = date(2024, 1, 19)
    for symbol, there in (("SPX", False), ("SPXW", True)):
        assert (last in rows(open_interest(theta, last, symbol))["expiration"].to_list()) is there


# --- end of day -----------------------------------------------------------------------------------------------------


def test_the_end_of_day_is_a_row_a_contract_made_at_1715(theta):
    answer = eod(theta)
    assert answer.content.split(b"\r\n")[0] == EOD_HEADER
    frame = rows(answer)
    assert frame.sort(CONTRACT).select(CONTRACT).equals(listed(theta).sort(CONTRACT))
    made = frame["created"]
    assert wall("17:15") <= made.min() < made.max() < wall("17:21")


def test_prices_of_the_day_enclose_each_other_and_are_zero_without_a_trade(theta):
    frame = rows(eod(theta))
    idle, busy = (frame.filter(pl.col("count") == 0), frame.filter(pl.col("count") > 0))
    assert idle.height > 10
    assert busy.height > 10
    assert idle.select(pl.sum_horizontal("open", "high", "low", "close", "volume").sum()).item() == 0
    assert set(idle["last_trade"]) == {wall("00:00")}
    assert (idle["ask"] > 0).all()
    assert (busy["low"] > 0).all()
    assert (busy["volume"] >= busy["count"]).all()
    assert (busy["low"] <= busy.select(pl.min_horizontal("open", "close")).to_series()).all()
    assert (busy["high"] >= busy.select(pl.max_horizontal("open", "close")).to_series()).all()
    assert (busy["last_trade"].is_between(wall("09:31"), wall("16:16"))).all()
    once = busy.filter(pl.col("count") == 1)
    assert (once["open"] == once["close"]).all()
    assert (busy["high"] > busy["low"]).sum() > busy.height / 4


def test_the_last_quote_of_the_day_is_in_the_report(theta):
    listing = chain("SPXW", DAY, CONTRACTS)[0]
    quotes = listing.quotes().group_by(CONTRACT, maintain_order=True).last()
    frame = rows(eod(theta, expiration=listing.expiration.isoformat()))
    columns = [name for name in quotes.columns if name.startswith(("bid", "ask"))]
    assert frame.select(columns).cast(dict(quotes.select(columns).schema)).equals(quotes.select(columns))


def test_contracts_listed_as_traded_are_those_with_a_trade(theta):
    frame = rows(eod(theta)).filter(pl.col("count") > 0).select(CONTRACT).sort(CONTRACT)
    assert listed(theta, what="trade").sort(CONTRACT).equals(frame)


def test_contracts_are_there_twice_before_2022_and_differ_in_created_alone():
    with SandboxTheta(contracts=64) as theta:
        twice, once = rows(eod(theta, date(2021, 12, 31))), rows(eod(theta, date(2022, 1, 3)))
    assert once.select(CONTRACT).is_unique().all()
    counts = twice.group_by(CONTRACT).agg(pl.len(), pl.col("created").n_unique().alias("stamps"))
    assert set(counts.select("len", "stamps").rows()) == {(2, 2)}
    assert twice.drop("created").unique().height == counts.height == 64
    assert not twice["created"].is_sorted()


def test_shortened_sessions_have_no_bid(theta):
    frame = rows(eod(theta, date(2024, 7, 3)))
    assert frame.select(pl.sum_horizontal("bid", "bid_size").sum()).item() == 0
    assert (frame["ask"] > 0).all()


# --- both -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("report", [open_interest, eod])
def test_filters_leave_exactly_what_they_name(theta, report):
    everything = rows(report(theta))
    strike, expiration = everything["strike"][0], everything["expiration"][-1]
    kept = {
        (("strike", str(strike)), ("right", "put")): (pl.col("strike") == strike) & (pl.col("right") == "PUT"),
        (("expiration", expiration.isoformat()),): pl.col("expiration") == expiration,
        (("max_dte", "7"),): pl.col("expiration") <= DAY + timedelta(days=7),
    }
    for params, condition in kept.items():
        assert rows(report(theta, **dict(params))).equals(everything.filter(condition)), params


@pytest.mark.parametrize(
    ("path", "params"),
    [
        (EOD_ENDPOINT, {"date": "20240103"}),
        (EOD_ENDPOINT, {"start_date": "20240103"}),
        (EOD_ENDPOINT, {"start_date": "20240103", "end_date": "20240104"}),  # two days of every expiration
        (EOD_ENDPOINT, {"start_date": "20240103", "end_date": "20240103", "interval": "1m"}),
        (OPEN_INTEREST_ENDPOINT, {}),
        (OPEN_INTEREST_ENDPOINT, {"date": "20240103", "end_time": "16:15:00"}),
        (OPEN_INTEREST_ENDPOINT, {"date": "20240103", "symbol": "SPX,SPXW"}),
    ],
)
def test_bad_parameters_are_473(theta, path, params):
    assert get(theta, path, **({"symbol": "SPXW", "expiration": "*"} | params)).status_code == 473


def test_tiers():
    statuses = {}
    for tier in ("free", "value"):
        with SandboxTheta(contracts=4, tier=tier) as theta:
            traded = get(theta, "option/list/contracts/trade", symbol="SPXW", date="20240103")
            early = eod(theta, date(2023, 5, 31))
            statuses[tier] = [answer.status_code for answer in (open_interest(theta), eod(theta), traded, early)]
    assert statuses == {"free": [403, 200, 403, 403], "value": [200, 200, 200, 200]}


def at(hour: int, minute: int) -> datetime:
    """A moment of 2024-01-03 in New York, which is five hours behind UTC."""
    return datetime(2024, 1, 3, tzinfo=UTC) + timedelta(hours=hour + 5, minutes=minute)


@pytest.mark.parametrize(
    ("now", "morning", "evening"),
    [
        (at(6, 30), 472, 472),
        (at(6, 31), 200, 472),
        (at(16, 30), 200, 472),
        (at(17, 22), 200, 200),
        (at(24, 10), 472, 472),
        (at(25, 45), 200, 200),
    ],
)
def test_a_report_is_there_once_it_is_out(now, morning, evening):
    with SandboxTheta(contracts=4, now=lambda: now) as theta:
        assert (open_interest(theta).status_code, eod(theta).status_code) == (morning, evening)


@pytest.mark.parametrize("report", [open_interest, eod])
@pytest.mark.parametrize("kind", ["missing_contract", "renamed_column", "large_request", "cut"])
def test_faults_strike_reports(report, kind):
    endpoint = OPEN_INTEREST_ENDPOINT if report is open_interest else EOD_ENDPOINT
    with SandboxTheta(contracts=64, faults=[Fault(kind=kind, endpoint=endpoint, rows=10, times=1)]) as theta:
        struck, whole = report(theta), report(theta)
    if kind == "large_request":
        assert struck.status_code == 570
    elif kind == "missing_contract":
        assert 0 < rows(struck).height < rows(whole).height
    elif kind == "renamed_column":
        assert rows(struck).columns != rows(whole).columns
        assert rows(struck).rows() == rows(whole).rows()
    else:
        assert len(struck.content) < len(whole.content)
        assert whole.content.startswith(struck.content)


@pytest.mark.parametrize(("fraction", "whole_second"), [("none", b"T09:30:00,"), (".000", b"T09:30:00.000,")])
def test_milliseconds_are_spelled_beside_both_spellings_of_a_whole_second(fraction, whole_second):
    with SandboxTheta(contracts=400, fraction=fraction) as theta:
        made = [line.split(b",")[4] for line in eod(theta).content.splitlines()[1:]]
        quote = get(theta, "option/history/quote", symbol="SPX", expiration="*", date="20240103", interval="1h").content
    digits = {len(stamp.partition(b".")[2]) for stamp in made}
    assert digits == {3} if fraction == ".000" else digits >= {2, 3}
    assert not any(stamp.endswith(b"0") for stamp in made if b"." in stamp) or fraction == ".000"
    assert whole_second in quote
