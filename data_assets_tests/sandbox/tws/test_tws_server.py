"""The simulated TWS, asked by the real ib_async: every answer, limit, refusal and fault."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from ib_async import IB, BarDataList, Contract, StartupFetchALL, StartupFetchNONE, Stock
from ib_async.wrapper import RequestError

from data_assets.sandbox.faults import IB_CONTRACT_DETAILS, IB_HEAD_TIMESTAMP, Fault
from data_assets.sandbox.loopback import PortTaken
from data_assets.sandbox.market.minute_bars import minute_bars
from data_assets.sandbox.tws.pacing import IB_PACING, PacingRules
from data_assets.sandbox.tws.requests import HistoryRequest
from data_assets.sandbox.tws.server import ANSWERED
from data_assets.sandbox.tws.serving import SYNTHETIC_ACCOUNT, SandboxTws
from data_assets.sandbox.tws.stocks import Stock as Listing
from data_assets.sandbox.tws.wire import PREAMBLE, frame, message
from data_assets.trading_calendar import session

DAY, EARLY_CLOSE, HOLIDAY = date(2024, 1, 3), date(2024, 7, 3), date(2024, 1, 1)
AAPL = Stock("AAPL", "SMART", "USD", primaryExchange="NASDAQ")
MSFT = Stock("MSFT", "SMART", "USD", primaryExchange="NASDAQ")


class ManualClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Client:
    """An ib_async client, and every error and notice it was told."""

    ib: IB
    told: list[tuple[int, int, str]] = field(default_factory=list)

    def codes(self) -> list[int]:
        return [code for _, code, _ in self.told]

    async def bars(self, contract: Contract = AAPL, day: date = DAY, **changed: object) -> BarDataList:
        asked = {
            "endDateTime": end_of(day),
            "durationStr": "1 D",
            "barSizeSetting": "1 min",
            "whatToShow": "TRADES",
            "useRTH": True,
            "formatDate": 2,
            "timeout": 0,
        }
        return await self.ib.reqHistoricalDataAsync(contract, **(asked | changed))

    async def refusal(self, contract: Contract = AAPL, day: date = DAY, **changed: object) -> tuple[int, str]:
        with pytest.raises(RequestError) as refused:
            await self.bars(contract, day, **changed)
        return refused.value.code, refused.value.message

    async def until_told(self, code: int) -> str:
        await until(lambda: code in self.codes())
        return next(text for _, told, text in self.told if told == code)


def new_client() -> Client:
    ib = IB()
    ib.RaiseRequestErrors = True
    client = Client(ib)
    ib.errorEvent += lambda req_id, code, text, _contract: client.told.append((req_id, code, text))
    return client


@asynccontextmanager
async def connected(tws: SandboxTws, client_id: int = 1, **options: object) -> AsyncIterator[Client]:
    client = new_client()
    await client.ib.connectAsync(
        tws.host, tws.port, client_id, **({"timeout": 30, "readonly": True, "fetchFields": StartupFetchNONE} | options)
    )
    try:
        yield client
    finally:
        client.ib.disconnect()
        await asyncio.sleep(0)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110  the server counts in another thread
            await asyncio.sleep(0.002)


def end_of(day: date) -> str:
    closed = session(day).close if day != HOLIDAY else datetime(2024, 1, 1, 21, tzinfo=UTC)
    return f"{closed:%Y%m%d-%H:%M:%S}"


def as_bars(bars: BarDataList) -> pl.DataFrame:
    rows = [(b.date, b.open, b.high, b.low, b.close, b.volume, b.average, b.barCount) for b in bars]
    names = ["timestamp", "open", "high", "low", "close", "volume", "vwap", "trades"]
    return pl.DataFrame(rows, names, orient="row").cast({"timestamp": pl.Datetime("us", "UTC")})


def truth(symbol: str, *days: date) -> pl.DataFrame:
    """The regular bars of the market, with volumes as TWS's decimals."""
    frames = [
        minute_bars(symbol, day).filter(
            pl.col("timestamp") >= session(day).open, pl.col("timestamp") < session(day).close
        )
        for day in days
    ]
    return pl.concat(frames).cast({"volume": pl.Float64})


@pytest.fixture(scope="module")
def tws():
    with SandboxTws(pacing_scale=0) as server:
        yield server


@pytest.fixture
async def client(tws):
    async with connected(tws) as one:
        yield one


# --- connecting -----------------------------------------------------------------------------------------------------


async def test_a_client_that_wants_nothing_at_its_start_asks_for_positions_only():
    with SandboxTws() as tws:
        async with connected(tws) as client:
            assert client.ib.client.serverVersion() == 178
            assert client.ib.managedAccounts() == [SYNTHETIC_ACCOUNT]
            assert client.codes() == [2104, 2106, 2158]
            await until(lambda: [(each.number, each.code) for each in tws.requests] == [(61, ANSWERED)])


@pytest.mark.parametrize("client_id", [0, 5])
async def test_a_client_that_wants_everything_at_its_start_gets_it(client_id):
    with SandboxTws() as tws:
        everything = {"readonly": False, "fetchFields": StartupFetchALL, "raiseSyncErrors": True}
        async with connected(tws, client_id, **everything) as client:
            assert client.ib.isConnected()
            assert {5, 6, 7, 61, 76, 99} <= {each.number for each in tws.requests}
            assert {each.client_id for each in tws.requests} == {client_id}


async def test_an_account_does_not_say_synthetic_where_it_shall_not():
    with SandboxTws(says_synthetic=False) as tws:
        async with connected(tws) as client:
            assert client.ib.managedAccounts() == ["DU1234567"]


async def test_a_number_is_one_clients_until_it_leaves():
    with SandboxTws() as tws:
        async with connected(tws, 7):
            second = new_client()
            refused = asyncio.create_task(second.ib.connectAsync(tws.host, tws.port, 7, timeout=0))
            assert "already in use" in await second.until_told(326)
            refused.cancel()
            async with connected(tws, 8) as other:
                assert other.ib.isConnected()
        async with connected(tws, 7) as after:
            assert after.ib.isConnected()


async def test_the_servers_time_is_its_clocks():
    moment = datetime(2024, 1, 3, 17, 5, 9, tzinfo=UTC)
    with SandboxTws(now=lambda: moment) as tws:
        async with connected(tws) as client:
            assert await client.ib.reqCurrentTimeAsync() == moment


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        PREAMBLE + frame(b"v100..120"),
        PREAMBLE + frame(b"v201..210"),
        PREAMBLE + frame(b"v157..178") + message(61, 1),
        PREAMBLE + frame(b"v157..178") + frame(b"71"),
    ],
)
async def test_who_speaks_otherwise_is_hung_up_on(tws, said):
    reader, writer = await asyncio.open_connection(tws.host, tws.port)
    writer.write(said)
    async with asyncio.timeout(30):
        await reader.read()
    writer.close()
    async with connected(tws) as client:
        assert len(await client.bars()) == 390


async def test_a_message_that_is_not_served_is_320(client):
    client.ib.client.send(3, 1, "an order")
    assert "message 3" in await client.until_told(320)
    client.ib.client.send("x")
    await until(lambda: client.codes().count(320) == 2)
    assert len(await client.bars()) == 390


async def test_a_request_that_cannot_be_read_is_320_for_its_number(client):
    client.ib.client.send(20, 77, 1, "AAPL")
    await client.until_told(320)
    assert client.told[-1][0] == 77


def test_a_closed_server_leaves_no_thread_and_its_port_free():
    before = set(threading.enumerate())
    with SandboxTws() as tws:
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) <= before
    with pytest.raises(ConnectionRefusedError), socket.create_connection((tws.host, tws.port)):
        pass
    with SandboxTws(port=tws.port) as again:
        assert again.port == tws.port
        with pytest.raises(PortTaken, match=f"port {tws.port} "), SandboxTws(port=tws.port):
            pass


async def test_closing_the_server_ends_connections_and_what_is_open():
    with SandboxTws(faults=[Fault(kind="silence")]) as tws:
        client = new_client()
        await client.ib.connectAsync(tws.host, tws.port, 1, readonly=True, fetchFields=StartupFetchNONE)
        waiting = asyncio.create_task(client.bars())
        await until(lambda: tws.most_open == 1)
    with pytest.raises(ConnectionError):
        await waiting


# --- contracts ------------------------------------------------------------------------------------------------------


async def test_a_contract_is_described(client):
    (details,) = await client.ib.reqContractDetailsAsync(AAPL)
    assert (details.contract.symbol, details.contract.primaryExchange) == ("AAPL", "NASDAQ")
    assert (details.contract.secType, details.contract.currency, details.contract.exchange) == ("STK", "USD", "SMART")
    assert (details.longName, details.timeZoneId, details.minTick) == ("APPLE INC", "US/Eastern", 0.01)
    by_number = await client.ib.reqContractDetailsAsync(Contract(conId=details.contract.conId, exchange="SMART"))
    assert by_number == [details]


async def test_hours_are_those_of_the_next_days():
    with SandboxTws(now=lambda: datetime(2024, 7, 3, 14, tzinfo=UTC)) as tws:
        async with connected(tws) as client:
            (details,) = await client.ib.reqContractDetailsAsync(AAPL)
    assert details.liquidHours.startswith("20240703:0930-20240703:1300;20240704:CLOSED;20240705:0930-20240705:1600;")
    assert details.tradingHours.startswith("20240703:0400-20240703:1700;20240704:CLOSED;20240705:0400-20240705:2000;")


@pytest.mark.parametrize(
    "unknown",
    [
        Stock("NOSUCH", "SMART", "USD"),
        Stock("AAPL", "SMART", "EUR"),
        Stock("AAPL", "ELSEWHERE", "USD"),
        Stock("AAPL", "SMART", "USD", primaryExchange="NYSE"),
        Contract(symbol="AAPL", secType="FUT", exchange="SMART", currency="USD"),
        Contract(symbol="AAPL", exchange="SMART", currency="USD"),
        Contract(secType="STK", exchange="SMART", currency="USD"),
        Contract(conId=1, exchange="SMART"),
    ],
)
async def test_an_unknown_contract_is_200_whatever_is_asked_of_it(client, unknown):
    with pytest.raises(RequestError, match="No security definition") as refused:
        await client.ib.reqContractDetailsAsync(unknown)
    assert refused.value.code == 200
    assert (await client.refusal(unknown))[0] == 200


async def test_an_ambiguous_contract_is_listed_in_full_and_200_for_its_bars(client):
    gold = Stock("GLD", "SMART", "USD")
    found = await client.ib.reqContractDetailsAsync(gold)
    assert {details.contract.primaryExchange for details in found} == {"ARCA", "LSEETF"}
    assert len({details.contract.conId for details in found}) == 2
    assert await client.ib.qualifyContractsAsync(gold) == [None]
    assert await client.refusal(gold) == (200, "The contract description specified for GLD is ambiguous.")
    assert await client.bars(Stock("GLD", "SMART", "USD", primaryExchange="ARCA"))


async def test_nasdaq_is_island_too(client):
    (qualified,) = await client.ib.qualifyContractsAsync(Stock("AAPL", "SMART", "USD", primaryExchange="ISLAND"))
    assert qualified.primaryExchange == "NASDAQ"


# --- bars -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("symbol", "day", "minutes"), [("AAPL", DAY, 390), ("MSFT", EARLY_CLOSE, 210)])
async def test_a_regular_day_is_exactly_the_markets(client, symbol, day, minutes):
    bars = as_bars(await client.bars(Stock(symbol, "SMART", "USD"), day))
    assert bars.height == minutes
    assert bars.equals(truth(symbol, day))
    assert (bars["timestamp"][0], bars["timestamp"][-1]) == (
        session(day).open,
        session(day).close - timedelta(minutes=1),
    )


async def test_a_thinly_traded_stock_has_no_bars_for_minutes_without_trades(client):
    bars = as_bars(await client.bars(Stock("IBM", "SMART", "USD")))
    assert 0 < bars.height < 390
    assert bars.equals(truth("IBM", DAY))


async def test_extended_hours_are_there_for_who_wants_them(client):
    bars = as_bars(await client.bars(useRTH=False, endDateTime="20240104-01:00:00"))
    assert bars.equals(minute_bars("AAPL", DAY).cast({"volume": pl.Float64}))


async def test_five_days_are_the_five_sessions_up_to_the_end(tws, client):
    days = (date(2023, 12, 27), date(2023, 12, 28), date(2023, 12, 29), date(2024, 1, 2), DAY)
    assert as_bars(await client.bars(durationStr="5 D")).equals(truth("AAPL", *days))
    assert tws.requests[-1].days == days


@pytest.mark.parametrize(
    ("duration", "first"),
    [
        ("3600 S", datetime(2024, 1, 3, 20, tzinfo=UTC)),
        ("3600", datetime(2024, 1, 3, 20, tzinfo=UTC)),
        ("86400 S", datetime(2024, 1, 2, 21, tzinfo=UTC)),
        ("2 D", datetime(2024, 1, 2, 14, 30, tzinfo=UTC)),
        ("1 W", datetime(2023, 12, 28, 14, 30, tzinfo=UTC)),
    ],
)
async def test_a_duration_goes_back_from_the_end(client, duration, first):
    bars = as_bars(await client.bars(durationStr=duration, useRTH=not duration.startswith("86400")))
    assert bars["timestamp"][0] == first
    assert bars["timestamp"][-1] == session(DAY).close - timedelta(minutes=1)


@pytest.mark.parametrize(
    "end",
    [
        "20240103 21:00:00 UTC",
        "20240103 16:00:00 US/Eastern",
        datetime(2024, 1, 3, 21, tzinfo=UTC),
        "20240104-05:00:00",
    ],
)
async def test_an_end_may_be_written_in_several_ways(client, end):
    assert as_bars(await client.bars(endDateTime=end)).equals(truth("AAPL", DAY))
    assert 2174 not in client.codes()


async def test_an_end_without_a_zone_is_warned_of_and_served(client):
    assert len(await client.bars(endDateTime="20240103 16:00:00")) == 390
    assert "without explicit time zone" in await client.until_told(2174)


async def test_an_end_inside_the_session_cuts_it_there(client):
    bars = as_bars(await client.bars(endDateTime="20240103-15:00:00"))
    assert bars.equals(truth("AAPL", DAY).head(30))


@pytest.mark.parametrize(("format_date", "zone"), [(1, ZoneInfo("US/Eastern")), (2, UTC)])
async def test_the_format_of_dates_is_the_clients_choice(client, format_date, zone):
    first = (await client.bars(formatDate=format_date))[0].date
    assert (first, str(first.tzinfo)) == (session(DAY).open, str(zone) if format_date == 1 else "UTC")


async def test_no_end_means_now():
    with SandboxTws(now=lambda: datetime(2024, 1, 3, 16, 0, 30, tzinfo=UTC)) as tws:
        async with connected(tws) as client:
            bars = as_bars(await client.bars(endDateTime=""))
    assert bars.equals(truth("AAPL", DAY).head(91))


async def test_what_lies_ahead_does_not_exist_yet():
    with SandboxTws(now=lambda: datetime(2024, 1, 3, 14, tzinfo=UTC)) as tws:
        async with connected(tws) as client:
            for day in (DAY, date(2024, 1, 4)):
                assert (await client.refusal(day=day))[0] == 162
            assert len(await client.bars(day=date(2024, 1, 2))) == 390


@pytest.mark.parametrize("day", [HOLIDAY, date(2015, 12, 31)])
async def test_a_day_without_data_is_162_with_the_contract_in_its_text(client, day):
    code, text = await client.refusal(day=day)
    assert code == 162
    assert text == "Historical Market Data Service error message:HMDS query returned no data: AAPL@SMART Trades"


async def test_bars_begin_with_the_listing():
    coinbase = Stock("COIN", "SMART", "USD")
    with SandboxTws(pacing_scale=0) as tws:
        async with connected(tws) as client:
            assert (await client.refusal(coinbase, date(2021, 4, 13)))[0] == 162
            assert await client.bars(coinbase, date(2021, 4, 14))
            spanning = as_bars(await client.bars(coinbase, date(2021, 4, 15), durationStr="5 D"))
            assert spanning["timestamp"].dt.date().unique().to_list() == [date(2021, 4, 14), date(2021, 4, 15)]
            head = await client.ib.reqHeadTimeStampAsync(coinbase, "TRADES", True, 2)
    assert head == session(date(2021, 4, 14)).open


async def test_what_the_sandbox_does_not_serve_is_said(client):
    for changed in ({"barSizeSetting": "5 mins"}, {"whatToShow": "MIDPOINT"}):
        code, text = await client.refusal(**changed)
        assert (code, "1 min TRADES" in text) == (162, True)


async def test_a_wrong_end_is_10314_even_where_more_is_wrong(client):
    code, text = await client.refusal(endDateTime="20240103 16:00:00 GMT", durationStr="1 day")
    assert (code, text.startswith("End Date/Time")) == (10314, True)


@pytest.mark.parametrize("wrong", [{"durationStr": "1 day"}, {"barSizeSetting": "1 mins"}, {"whatToShow": "PRICES"}])
async def test_a_wrong_request_is_321_which_does_not_end_it_for_ib_async(client, wrong):
    assert len(await client.bars(timeout=0.2, **wrong)) == 0
    assert "Error validating request" in await client.until_told(321)


# --- heads, schedules, cancelling -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("use_rth", "format_date", "head"),
    [
        (True, 2, datetime(2016, 1, 4, 14, 30, tzinfo=UTC)),
        (True, 1, datetime(2016, 1, 4, 14, 30)),  # noqa: DTZ001  what ib_async makes of it
        (False, 2, datetime(2016, 1, 4, 9, 0, tzinfo=UTC)),
    ],
)
async def test_a_head_timestamp_is_when_the_data_begins(client, use_rth, format_date, head):
    assert await client.ib.reqHeadTimeStampAsync(AAPL, "TRADES", use_rth, format_date) == head


async def test_a_stock_that_is_not_listed_yet_has_no_head_timestamp():
    with SandboxTws(now=lambda: datetime(2021, 4, 13, 20, tzinfo=UTC)) as tws:
        async with connected(tws) as client:
            with pytest.raises(RequestError, match="No head time stamp") as refused:
                await client.ib.reqHeadTimeStampAsync(Stock("COIN", "SMART", "USD"), "TRADES", True, 2)
    assert refused.value.code == 162


async def test_a_schedule_lists_sessions_in_new_yorks_time(client):
    schedule = await client.ib.reqHistoricalScheduleAsync(AAPL, 5, "20240705-20:00:00")
    assert (schedule.startDateTime, schedule.endDateTime) == ("20240701-09:30:00", "20240705-16:00:00")
    assert schedule.timeZone == "US/Eastern"
    assert [(each.startDateTime, each.endDateTime, each.refDate) for each in schedule.sessions] == [
        ("20240701-09:30:00", "20240701-16:00:00", "20240701"),
        ("20240702-09:30:00", "20240702-16:00:00", "20240702"),
        ("20240703-09:30:00", "20240703-13:00:00", "20240703"),
        ("20240705-09:30:00", "20240705-16:00:00", "20240705"),
    ]
    extended = await client.ib.reqHistoricalScheduleAsync(AAPL, 3, "20240705-20:00:00", False)
    assert [each.endDateTime for each in extended.sessions] == ["20240703-17:00:00", "20240705-20:00:00"]
    with pytest.raises(RequestError, match="no data"):
        await client.ib.reqHistoricalScheduleAsync(AAPL, 1, "20240704-20:00:00")


async def test_a_schedule_of_minutes_is_10295(client):
    assert (await client.refusal(whatToShow="SCHEDULE"))[0] == 10295


async def test_a_cancelled_request_is_162_and_not_open_any_more():
    with SandboxTws(faults=[Fault(kind="silence")], pacing=PacingRules(open_requests=1)) as tws:
        async with connected(tws) as client:
            first = asyncio.create_task(client.bars())
            await until(lambda: tws.most_open == 1)
            client.ib.client.cancelHistoricalData(1)
            with pytest.raises(RequestError, match="API historical data query cancelled: 1") as cancelled:
                await first
            assert cancelled.value.code == 162
            assert [each.code for each in tws.requests if each.number == 20] == [162]
            client.ib.client.cancelHistoricalData(1)
            await client.until_told(366)


async def test_an_answered_request_is_not_open_any_more():
    with SandboxTws(pacing=PacingRules(open_requests=1)) as tws:
        async with connected(tws) as client:
            await client.bars()
            await client.bars(day=date(2024, 1, 2))
            assert tws.most_open == 1
            client.ib.client.cancelHistoricalData(1)
            await client.until_told(366)


async def test_a_head_timestamp_stays_open_until_it_is_cancelled():
    with SandboxTws(pacing=PacingRules(open_requests=1)) as tws:
        async with connected(tws) as client:
            client.ib.client.reqHeadTimeStamp(900, AAPL, "TRADES", True, 2)
            await until(lambda: [each.code for each in tws.requests if each.number == 87] == [ANSWERED])
            assert (await client.refusal())[0] == 322
            client.ib.client.cancelHeadTimeStamp(900)
            assert await client.bars(day=date(2024, 1, 2))
            client.ib.client.cancelHeadTimeStamp(900)
            await client.until_told(300)


# --- limits ---------------------------------------------------------------------------------------------------------


async def test_an_identical_request_may_follow_after_fifteen_seconds():
    clock = ManualClock()
    with SandboxTws(clock=clock) as tws:
        async with connected(tws) as client:
            await client.bars()
            clock.seconds += 14.9
            await client.bars(day=date(2024, 1, 2))
            code, text = await client.refusal()
            assert (code, text.endswith(":Historical data request pacing violation")) == (162, True)
            clock.seconds += 15
            assert len(await client.bars()) == 390


async def test_the_sixth_request_for_a_contract_within_two_seconds_is_one_too_many():
    clock = ManualClock()
    days = [date(2024, 1, day) for day in (2, 3, 4, 5, 8, 9, 10)]
    with SandboxTws(clock=clock) as tws:
        async with connected(tws) as client:
            for day in days[:5]:
                await client.bars(day=day)
            assert len(await client.bars(MSFT)) == 390
            clock.seconds += 1.9
            assert "pacing violation" in (await client.refusal(day=days[5]))[1]
            clock.seconds += 2
            assert len(await client.bars(day=days[6])) == 390


async def test_sixty_requests_in_ten_minutes_are_all_there_are_for_all_clients():
    clock = ManualClock()
    with SandboxTws(clock=clock) as tws:
        async with connected(tws) as client, connected(tws, 2) as other:
            for number in range(60):
                clock.seconds += 9
                asked = client if number % 2 else other
                await asked.bars(endDateTime=f"20240103-20:{number:02}:00", durationStr="60 S")
            clock.seconds += 9
            assert "pacing violation" in (await client.refusal(MSFT))[1]
            clock.seconds += 69
            assert len(await other.bars(MSFT)) == 390


async def test_refused_requests_count_too():
    clock = ManualClock()
    rules = PacingRules(window_requests=1)
    with SandboxTws(clock=clock, pacing=rules) as tws:
        async with connected(tws) as client:
            await client.bars()
            for _ in range(3):
                clock.seconds += 500
                assert "pacing violation" in (await client.refusal())[1]


async def test_bids_and_asks_count_twice():
    clock = ManualClock()
    with SandboxTws(clock=clock, pacing=PacingRules(window_requests=2)) as tws:
        async with connected(tws) as client:
            assert "1 min TRADES" in (await client.refusal(whatToShow="BID_ASK"))[1]
            assert "pacing violation" in (await client.refusal())[1]


async def test_head_timestamps_are_paced_even_where_minute_bars_are_not():
    clock = ManualClock()
    with SandboxTws(clock=clock, pacing=PacingRules(minute_bars=False)) as tws:
        async with connected(tws) as client:
            for _ in range(8):
                assert len(await client.bars()) == 390
            await client.ib.reqHeadTimeStampAsync(AAPL, "TRADES", True, 2)
            with pytest.raises(RequestError, match="pacing violation"):
                await client.ib.reqHeadTimeStampAsync(AAPL, "TRADES", True, 2)
            small = {"barSizeSetting": "30 secs"}
            assert "1 min TRADES" in (await client.refusal(**small))[1]
            assert "pacing violation" in (await client.refusal(**small))[1]


async def test_a_scale_shortens_every_wait():
    clock = ManualClock()
    with SandboxTws(clock=clock, pacing_scale=0.01) as tws:
        async with connected(tws) as client:
            await client.bars()
            clock.seconds += 0.14
            assert "pacing violation" in (await client.refusal())[1]
            clock.seconds += 0.16
            assert len(await client.bars()) == 390
    assert IB_PACING.scaled(0.01).window_seconds == 6


async def test_fifty_requests_may_be_open_at_one_time():
    clock = ManualClock()
    rules = PacingRules(messages_per_second=1000)
    with SandboxTws(clock=clock, pacing=rules, pacing_scale=0, faults=[Fault(kind="silence", times=50)]) as tws:
        async with connected(tws) as client:
            client.ib.client.MaxRequests = 0
            waiting = [asyncio.create_task(client.bars(timeout=0)) for _ in range(50)]
            await until(lambda: tws.most_open == 50)
            code, text = await client.refusal(MSFT)
            assert (code, "Only 50 simultaneous" in text) == (322, True)
            client.ib.client.cancelHistoricalData(1)
            with pytest.raises(RequestError, match="cancelled"):
                await waiting[0]
            assert len(await client.bars(MSFT)) == 390
            assert tws.most_open == 50
            for task in waiting:
                task.cancel()


async def test_a_number_that_is_open_is_taken():
    with SandboxTws(faults=[Fault(kind="silence")], pacing_scale=0) as tws:
        async with connected(tws) as client:
            ask = client.ib.client.reqHistoricalData
            for _ in range(2):
                ask(900, AAPL, end_of(DAY), "1 D", "1 min", "TRADES", True, 2, False, [])
            assert "Duplicate ticker ID" in await client.until_told(322)


async def test_more_messages_than_fifty_a_second_are_100_and_the_end_at_the_third():
    clock = ManualClock()
    with SandboxTws(clock=clock) as tws:
        async with connected(tws) as client:
            client.ib.client.MaxRequests = 0
            clock.seconds += 1
            for _ in range(51):
                client.ib.client.reqCurrentTime()
            await client.until_told(100)
            assert client.ib.isConnected()
            clock.seconds += 1
            assert await client.ib.reqCurrentTimeAsync()
            for _ in range(51):
                client.ib.client.reqCurrentTime()
            await until(lambda: not client.ib.isConnected())
            assert client.codes().count(100) == 3


# --- faults ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def faulty(*faults: Fault) -> AsyncIterator[tuple[SandboxTws, Client]]:
    with SandboxTws(faults=faults, pacing_scale=0) as tws:
        async with connected(tws) as client:
            yield tws, client


@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        (Fault(kind="no_data", times=1), 162, "HMDS query returned no data: AAPL@SMART Trades"),
        (Fault(kind="pacing", times=1), 162, "Historical data request pacing violation"),
        (Fault(kind="permissions", times=1), 162, "No market data permissions for NASDAQ STK"),
        (Fault(kind="tws_error", code=10197, text="Competing live session", times=1), 10197, "Competing live session"),
    ],
)
async def test_a_fault_may_refuse_bars(fault, code, text):
    async with faulty(fault) as (tws, client):
        told = await client.refusal()
        assert (told[0], told[1].removeprefix("Historical Market Data Service error message:")) == (code, text)
        assert tws.requests[-1].code == code
        assert len(await client.bars()) == 390


async def test_a_fault_strikes_its_day_and_its_ticker_and_nothing_else():
    async with faulty(Fault(kind="permissions", day=DAY, symbol="AAPL")) as (_, client):
        assert (await client.refusal())[0] == 162
        assert (await client.refusal(durationStr="2 D", day=date(2024, 1, 4)))[0] == 162
        assert len(await client.bars(day=date(2024, 1, 2))) == 390
        assert len(await client.bars(MSFT)) == 390
        assert await client.ib.reqHeadTimeStampAsync(AAPL, "TRADES", True, 2)
        assert await client.ib.reqHistoricalScheduleAsync(AAPL, 1, end_of(DAY))


async def test_a_fault_may_strike_heads_and_contracts():
    heads, contracts = (
        Fault(kind="no_data", endpoint=IB_HEAD_TIMESTAMP),
        Fault(kind="no_data", endpoint=IB_CONTRACT_DETAILS),
    )
    async with faulty(heads, contracts) as (_, client):
        with pytest.raises(RequestError, match="No head time stamp"):
            await client.ib.reqHeadTimeStampAsync(AAPL, "TRADES", True, 2)
        with pytest.raises(RequestError, match="No security definition"):
            await client.ib.reqContractDetailsAsync(AAPL)
        assert len(await client.bars()) == 390


@pytest.mark.parametrize("kind", ["silence", "hmds_disconnect"])
async def test_silence_lasts_until_the_client_cancels(kind):
    async with faulty(Fault(kind=kind, times=1)) as (tws, client):
        assert len(await client.bars(timeout=0.2)) == 0
        await until(lambda: tws.requests[-1].number == 25)
        assert "query cancelled" in await client.until_told(162)
        assert (165 in client.codes()) == (kind == "hmds_disconnect")
        assert len(await client.bars()) == 390


@pytest.mark.parametrize("kind", ["half_frame", "half_frame_reset"])
async def test_half_a_frame_ends_the_connection_and_every_request_on_it(kind):
    async with faulty(Fault(kind="silence", symbol="MSFT"), Fault(kind=kind, times=1)) as (tws, client):
        other = asyncio.create_task(client.bars(MSFT))
        await until(lambda: tws.most_open == 1)
        with pytest.raises(ConnectionError):
            await client.bars()
        with pytest.raises(ConnectionError):
            await other
        async with connected(tws) as again:
            assert len(await again.bars()) == 390


@pytest.mark.parametrize("kind", ["half_frame", "half_frame_reset"])
async def test_half_a_frame_is_half_of_it_and_then_an_end_or_a_reset(kind):
    with SandboxTws(faults=[Fault(kind=kind)]) as tws:
        reader, writer = await asyncio.open_connection(tws.host, tws.port)
        writer.write(PREAMBLE + frame(b"v157..178") + message(71, 2, 1, ""))
        await reader.readuntil(b"secdefnj\0\0")
        query = (0, "AAPL", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "")
        writer.write(message(20, 1, *query, 0, end_of(DAY), "1 min", "1 D", 1, "TRADES", 2, 0, ""))
        length = int.from_bytes(await reader.readexactly(4), "big")
        got = b""
        with pytest.raises(ConnectionResetError) if kind == "half_frame_reset" else nullcontext():
            while block := await reader.read(1000):
                got += block
        writer.close()
    assert b"17\x001\x00".startswith(got[:5])
    assert len(got) < 0.51 * length


@pytest.mark.parametrize(("kind", "lost", "restored"), [("connection_lost", 1100, 1102), ("farm_lost", 2105, 2106)])
async def test_an_outage_and_its_end_are_told_to_every_client(kind, lost, restored):
    async with faulty(Fault(kind=kind, times=1, seconds=0.05)) as (tws, client), connected(tws, 2) as other:
        struck = asyncio.create_task(client.bars())
        await other.until_told(lost)
        also = asyncio.create_task(other.bars(MSFT))
        assert {len(bars) for bars in await asyncio.gather(struck, also)} == {390}
        assert client.codes()[3:] == other.codes()[3:] == [lost, restored]
        assert client.ib.isConnected()


@pytest.mark.parametrize(
    ("kind", "lost", "greeting"),
    [
        ("connection_lost", 1100, [2110]),
        ("farm_lost", 2105, [2104, 2105, 2158]),
    ],
)
async def test_while_an_outage_lasts_nothing_is_answered_and_newcomers_are_told(kind, lost, greeting):
    async with faulty(Fault(kind=kind, times=1, seconds=3600)) as (tws, client):
        struck = asyncio.create_task(client.bars())
        await client.until_told(lost)
        async with connected(tws, 2) as newcomer:
            await until(lambda: newcomer.codes() == greeting)
            assert len(await newcomer.bars(MSFT, timeout=0.1)) == 0
        assert not struck.done()
        struck.cancel()


@pytest.mark.parametrize("kind", ["connection_lost", "farm_lost"])
async def test_an_outage_may_refuse_what_would_be_answered_without_it(kind):
    async with faulty(Fault(kind=kind, code=200, text="no such contract", times=1, seconds=0.05)) as (_, client):
        assert await client.refusal() == (200, "no such contract")
        assert [code for code in client.codes() if code not in (2104, 2106, 2158)][:2] in ([1100, 200], [2105, 200])
        assert len(await client.bars()) == 390


async def test_a_word_on_a_request_comes_before_its_answer_or_instead_of_it():
    delayed = {"code": 10167, "text": "Displaying delayed market data"}
    async with faulty(Fault(kind="advisory", times=1, **delayed), Fault(kind="advisory", silent=True, **delayed)) as (
        _,
        client,
    ):
        assert len(await client.bars()) == 390
        assert len(await client.bars(timeout=0.2)) == 0
        await until(lambda: client.codes().count(10167) == 2)
        assert [(req_id > 0, code) for req_id, code, _ in client.told if code == 10167] == [(True, 10167)] * 2


async def test_a_word_on_no_request_comes_without_a_number():
    async with faulty(Fault(kind="notice", code=2107, text="HMDS data farm connection is inactive")) as (_, client):
        assert len(await client.bars()) == 390
        assert [req_id for req_id, code, _ in client.told if code == 2107] == [-1]


async def test_a_server_that_only_shakes_hands_greets_and_answers_nothing():
    async with faulty(Fault(kind="handshake_only", times=1, seconds=3600)) as (tws, client):
        assert len(await client.bars(timeout=0.1)) == 0
        async with connected(tws, 2, timeout=3) as newcomer:
            assert newcomer.ib.isConnected()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(newcomer.ib.reqCurrentTimeAsync(), 0.1)


async def test_a_server_that_only_shook_hands_speaks_again():
    async with faulty(Fault(kind="handshake_only", times=1, seconds=0.05)) as (tws, client):
        assert len(await client.bars(timeout=0.2)) == 0
        await until(lambda: not tws._tws._mute)
        assert len(await client.bars()) == 390


async def test_a_restart_ends_every_connection_and_comes_back_on_the_same_port():
    async with faulty(Fault(kind="restart", times=1, seconds=0.05)) as (tws, client), connected(tws, 2) as other:
        with pytest.raises(ConnectionError):
            await client.bars()
        await until(lambda: not other.ib.isConnected() and is_listening(tws))
        async with connected(tws) as again:
            assert len(await again.bars()) == 390


async def test_while_a_restart_lasts_nobody_listens():
    async with faulty(Fault(kind="restart", seconds=3600)) as (tws, client):
        with pytest.raises(ConnectionError):
            await client.bars()
        with pytest.raises(ConnectionRefusedError):
            await new_client().ib.connectAsync(tws.host, tws.port, 1)


def is_listening(tws: SandboxTws) -> bool:
    with socket.socket() as one:
        return one.connect_ex((tws.host, tws.port)) == 0


async def test_a_short_day_lacks_its_last_bars():
    async with faulty(Fault(kind="short_day", times=1)) as (_, client):
        assert as_bars(await client.bars()).equals(truth("AAPL", DAY).head(351))
        assert len(await client.bars()) == 390


async def test_a_wrong_count_hangs_the_request():
    async with faulty(Fault(kind="wrong_count", times=1)) as (_, client):
        assert len(await client.bars(timeout=0.2)) == 0
        assert len(await client.bars()) == 390


async def test_a_bad_bar_is_one_whose_high_is_below_its_low():
    async with faulty(Fault(kind="bad_bar", times=1)) as (_, client):
        bars, right = as_bars(await client.bars()), truth("AAPL", DAY)
    assert bars.filter(pl.col("high") < pl.col("low")).height == 1
    assert bars.drop("high").equals(right.drop("high"))


async def test_fractional_volumes_are_round_lots():
    async with faulty(Fault(kind="fractional_volume", times=1)) as (_, client):
        bars, right = as_bars(await client.bars()), truth("AAPL", DAY)
    assert bars.equals(right.with_columns(pl.col("volume") / 100))
    assert bars.filter(pl.col("volume") % 1 != 0).height > 300


async def test_a_wrong_session_is_the_one_before():
    async with faulty(Fault(kind="wrong_session", times=1)) as (_, client):
        assert as_bars(await client.bars()).equals(truth("AAPL", date(2024, 1, 2)))


async def test_a_rate_strikes_some():
    async with faulty(Fault(kind="no_data", rate=0.5)) as (tws, client):
        answers = await asyncio.gather(*(client.bars() for _ in range(30)), return_exceptions=True)
    refused = sum(isinstance(answer, RequestError) for answer in answers)
    assert 5 < refused < 25
    assert [each.code for each in tws.requests].count(162) == refused


# --- the record -----------------------------------------------------------------------------------------------------


async def test_requests_are_recorded():
    clock = ManualClock()
    with SandboxTws(clock=clock, stocks=[Listing("ONLY", "NYSE", "ONLY CORP", date(2020, 1, 2))]) as tws:
        async with connected(tws, 4) as client:
            clock.seconds += 5
            await client.bars(Stock("ONLY", "SMART", "USD"))
            await client.refusal(AAPL)
    one, other = (each for each in tws.requests if each.number == 20)
    assert (one.client_id, one.at, one.days, one.code) == (4, 1005.0, (DAY,), ANSWERED)
    assert isinstance(one.asked, HistoryRequest)
    assert (one.asked.contract.symbol, one.asked.end, one.asked.duration) == ("ONLY", end_of(DAY), "1 D")
    assert other.code == 200
