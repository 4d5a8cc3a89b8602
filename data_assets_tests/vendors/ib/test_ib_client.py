from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest

from data_assets.ingest.outcome import (
    DayEnded,
    Failed,
    NoData,
    NotEntitled,
    NotStored,
    Rejected,
    RunEnded,
    Throttled,
    Transient,
    VendorDown,
)
from data_assets.sandbox.faults import IB_CONTRACT_DETAILS, IB_HEAD_TIMESTAMP, Fault
from data_assets.sandbox.market.minute_bars import minute_bars
from data_assets.sandbox.tws.serving import SandboxTws
from data_assets.sandbox.tws.wire import SERVER_VERSION, ClientBytes, message
from data_assets.trading_calendar import NEW_YORK, session
from data_assets.vendors.ib.contracts import Ticker, foreign
from data_assets.vendors.ib.errors import Asked, SessionElsewhere, Unknown, Unreadable, WrongRow, error_of
from data_assets.vendors.ib.pacing import Budget
from data_assets.vendors.ib.resets import reset_ends
from data_assets_tests.vendors.ib.hand_tws import Say, bars_message, hand_tws
from data_assets_tests.vendors.ib.ib_client_fixtures import AAPL, DAY, QUICK, SHORT, opened

ASKED = Asked("AAPL", "tickers.csv row 2", DAY)
HMDS = "Historical Market Data Service error message:"
QUERY = "Historical Market Data Service query message:"
GERMAN = "Fehlermeldung des Dienstes fuer historische Marktdaten:"
VALIDATING = "Error validating request.-'bN' : cause - "
OPEN = int(session(DAY).open.timestamp())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110  what is waited for happens in a server's thread
            await asyncio.sleep(0.005)


def numbers(tws: SandboxTws, number: int) -> int:
    return sum(request.number == number for request in tws.requests)


# What the codes mean.


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (100, "Max rate of messages per second has been exceeded", Throttled),
        (162, HMDS + "Historical data request pacing violation", Throttled),
        (162, HMDS + "HMDS query returned no data: AAPL@SMART Trades", NoData),
        (162, HMDS + "No historical market data for AAPL/STK@SMART Last 60", NoData),
        (162, HMDS + "No head time stamp", NoData),
        (162, HMDS + "No market data permissions for ISLAND STK", NotEntitled),
        (162, HMDS + "Trading TWS session is connected from a different IP address", SessionElsewhere),
        (162, HMDS + "API historical data query cancelled: 7", Transient),
        (162, HMDS + "Query failed", Transient),
        (162, HMDS + "Request Timed Out", Transient),
        (162, HMDS + "TWS exited during processing of HMDS query", Transient),
        (162, HMDS + "invalid step: 7", RunEnded),
        (162, HMDS + "Starting time must occur before ending time", RunEnded),
        (162, HMDS + "something that nobody has seen yet", Transient),
        (162, HMDS + "Requesting any data earlier than 1 year back from now is rejected.", NotEntitled),
        (162, GERMAN + "HMDS-Abfrage ergab keine Daten: AAPL@SMART Trades", NoData),
        (162, GERMAN + "Keine historischen Marktdaten fuer AAPL/STK@SMART Last 60", NoData),
        (162, GERMAN + "Keine Marktdatenberechtigung fuer ISLAND STK", NotEntitled),
        (162, GERMAN + "Verletzung der Pacing-Regeln", Unreadable),
        (162, GERMAN + "Keine Daten: AAPLE@SMART Trades", Unreadable),
        (162, r"\u5386\u53f2\u5e02\u573a\u6570\u636e\u670d\u52a1", Unreadable),
        (165, QUERY + "HMDS server disconnect occurred.  Attempting reconnection...", VendorDown),
        (165, QUERY + "HMDS connection attempt failed.  Connection will be re-attempted...", VendorDown),
        (165, QUERY + "HMDS server connection was successful.", None),
        (165, QUERY + "no items retrieved", None),
        (165, "Die Verbindung zum HMDS-Server war erfolgreich.", None),
        (166, "HMDS Expired Contract Violation", Failed),
        (200, "No security definition has been found for the request", WrongRow),
        (203, "The security is not available or allowed for this account", NotEntitled),
        (354, "Requested market data is not subscribed", NotEntitled),
        (10089, "Requested market data requires additional subscription for API", None),
        (10090, "Part of requested market data is not subscribed", None),
        (10091, "Part of requested market data requires additional subscription for API", None),
        (10167, "Requested market data is not subscribed. Displaying delayed market data.", None),
        (2188, "Up-to-the-second historical data requires additional subscription for the API.", None),
        (10168, "Requested market data is not subscribed. Delayed market data is not enabled.", NotEntitled),
        (10186, "Requested market data is not subscribed. Delayed market data is not enabled.", NotEntitled),
        (10187, "Failed to request historical ticks: No market data permissions", NotEntitled),
        (300, "Can't find EId with tickerId:7", Transient),
        (366, "No historical data query found for ticker id:7", Transient),
        (320, "Error reading request", Throttled),
        (322, "Only 50 simultaneous API historical data requests allowed", Throttled),
        (321, "Error validating request.-'bN' : cause - The duration is invalid", RunEnded),
        (321, VALIDATING + "The API interface is currently in Read-Only mode.", RunEnded),
        (321, VALIDATING + "No market data permissions for NASDAQ", NotEntitled),
        (321, VALIDATING + "Historical data is not allowed for this user", NotEntitled),
        (321, VALIDATING + "Historical data request for 2 year(s) rejected. Max API Backfill Years=1", NotEntitled),
        (321, VALIDATING + "Invalid account code", RunEnded),
        (321, "Fehler bei der Pruefung der Anfrage.-'bN' : Ursache - die Dauer", RunEnded),
        (326, "Unable to connect as the client id is already in use", RunEnded),
        (386, "Duplicate ticker id for API historical data query", RunEnded),
        (420, "Invalid Real-time Query: No market data permissions", NotEntitled),
        (420, "Invalid Real-time Query: pacing", Throttled),
        (502, "Couldn't connect to TWS", VendorDown),
        (504, "Not connected", VendorDown),
        (1100, "Connectivity between IB and TWS has been lost", VendorDown),
        (1300, "TWS socket port has been reset to 4444", RunEnded),
        (2105, "HMDS data farm connection is broken:ushmds", VendorDown),
        (2106, "HMDS data farm connection is OK:ushmds", None),
        (2174, "You submitted request with date-time attributes without explicit time zone", None),
        (10197, "No market data during competing live session", SessionElsewhere),
        (10295, "Only daily resolution supported for Schedule requests", RunEnded),
        (10299, "Expected what to show is TRADES", RunEnded),
        (10314, "End Date/Time: The date, time, or time-zone entered is invalid", RunEnded),
        (10339, "Setting end date/time is not allowed", RunEnded),
        (99_999, "a code of a newer TWS", Unknown),
    ],
)
def test_each_code_is_one_outcome_whose_reason_holds_ibs_words(code, text, kind) -> None:
    error = error_of(code, text, ASKED)
    if kind is None:
        assert error is None
        return
    shown = " ".join(text.split())
    assert str(error).startswith(f"IB Error {code}: {shown} - Symbol: AAPL, Date: 2024-01-03")
    assert "\n" not in str(error)
    if issubclass(kind, NotStored):
        assert isinstance(error, DayEnded)
        assert type(error.outcome) is kind
        assert error.outcome.reason == str(error)
    else:
        assert type(error) is kind


def test_what_to_do_next_is_said_where_somebody_can_do_it() -> None:
    assert "tickers.csv row 2" in str(error_of(200, "", ASKED))
    assert "IB_CLIENT_ID" in str(error_of(326, "", ASKED))
    assert "IB_PORT" in str(error_of(1300, "", ASKED))
    assert "subscription" in str(error_of(354, "", ASKED))
    assert "log out there" in str(error_of(10197, "", ASKED))
    assert "\n" not in str(error_of(162, "two\nlines\x00", ASKED))


AMBIGUOUS = "The contract description specified for AAPL is ambiguous."


@pytest.mark.parametrize(
    ("code", "text", "says", "says_not"),
    [
        (200, AMBIGUOUS, "more than one contract fits tickers.csv row 2: name the listing exchange", "correct symbol"),
        (321, VALIDATING + "The API interface is currently in Read-Only mode.", "Read-Only API in the API", "defect"),
        (321, VALIDATING + "Please enter exchange", "correct it in tickers.csv row 2", "defect"),
        (321, VALIDATING + "Market data is not allowed for this account", "lacks this market data", "defect"),
        (321, VALIDATING + "Historical data request rejected. Max API Backfill Years=1", "no further back", "defect"),
        (321, VALIDATING + "No market data during competing live session", "log out there", "defect"),
        (321, VALIDATING + "You are not logged in", "concerns the account or the login", "defect"),
        (321, "Die Anfrage wurde abgelehnt", "set it to English", "defect"),
        (321, VALIDATING + "The duration '1 X' is invalid", "this is a defect of data_assets", "English"),
        (162, GERMAN + "Abfrage abgebrochen", "set it to English", "defect"),
        (162, GERMAN + "Abfrage ergab keine Daten: AAPL@SMART Trades", "because it names the query", "defect"),
    ],
)
def test_a_refusal_says_whom_it_concerns(code, text, says, says_not) -> None:
    said = str(error_of(code, text, ASKED))
    assert says in said
    assert says_not not in said


def test_a_200_for_a_contract_that_tws_has_confirmed_is_no_fault_of_the_row() -> None:
    confirmed = replace(ASKED, contract_id=265598)
    error = error_of(200, "No security definition has been found for the request", confirmed)
    assert type(error) is Transient
    assert "confirmed tickers.csv row 2 as contract 265598" in str(error)
    assert "correct" not in str(error)
    assert "column primaryExchange" in str(error_of(200, AMBIGUOUS, confirmed))


def test_answers_that_nobody_knows_or_dropped_requests_end_a_run_that_meets_nothing_else() -> None:
    unknown = [(99_999, "new"), (162, HMDS + "new"), (162, GERMAN + "neu"), (200, AMBIGUOUS)]
    dropped = [(162, HMDS + "Query failed"), (366, "not found")]
    known = [(354, "not subscribed"), (162, HMDS + "returned no data"), (162, HMDS + "pacing violation")]
    asked = replace(ASKED, contract_id=1)
    causes = [getattr(error_of(*said, asked), "cause", None) for said in unknown]
    assert all(causes)
    assert len(set(causes)) == len(causes)
    assert all(getattr(error_of(*said, asked), "cause", None) for said in dropped)
    assert [getattr(error_of(*said, asked), "cause", None) for said in known] == ["", "", ""]


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2024-01-02T00:14", None),
        ("2024-01-02T00:15", "2024-01-02T01:45"),
        ("2024-01-02T01:44", "2024-01-02T01:45"),
        ("2024-01-02T01:45", None),
        ("2024-01-05T00:20", "2024-01-05T01:45"),
        ("2024-01-05T22:59", None),
        ("2024-01-05T23:00", "2024-01-06T03:00"),
        ("2024-01-06T00:20", "2024-01-06T03:00"),
        ("2024-01-06T02:59", "2024-01-06T03:00"),
        ("2024-01-06T03:00", None),
        ("2024-01-07T00:20", "2024-01-07T01:45"),
        ("2024-07-02T01:00", "2024-07-02T01:45"),
    ],
)
def test_the_windows_in_which_ib_resets_its_servers(now, end) -> None:
    instant = datetime.fromisoformat(now).replace(tzinfo=NEW_YORK)
    expected = None if end is None else datetime.fromisoformat(end).replace(tzinfo=NEW_YORK)
    assert reset_ends(instant) == expected
    assert reset_ends(instant.astimezone(UTC)) == expected


# The connection.


async def test_nobody_listening_says_what_to_start_and_which_ports_there_are(tmp_path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(RunEnded) as ended:
            async with opened(SimpleNamespace(port=port), tmp_path):
                pass
    for words in (f"127.0.0.1:{port}", "TWS or IB Gateway", "IB_HOST", "IB_PORT", "7496", "7497", "4001", "4002"):
        assert words in str(ended.value)


async def test_a_client_id_that_is_taken_says_which_setting_to_change(tmp_path) -> None:
    with SandboxTws() as tws:
        async with opened(tws, tmp_path, client_id=5):
            with pytest.raises(RunEnded, match=r"IB Error 326: .* the id 5: set IB_CLIENT_ID"):
                async with opened(tws, tmp_path, client_id=5):
                    pass
        async with opened(tws, tmp_path, client_id=5) as again:  # the first one left the connection closed
            assert (await again.bars()).bars.height == 390


async def test_a_client_id_that_is_freed_meanwhile_is_taken(tmp_path) -> None:
    with SandboxTws() as tws:
        async with opened(tws, tmp_path, client_id=5):
            timeouts = replace(SHORT, attempts=50)
            waiting = asyncio.create_task(_one_day(tws, tmp_path, client_id=5, timeouts=timeouts))
            await asyncio.sleep(0.1)
        assert await waiting == 390


async def _one_day(tws, folder, **options) -> int:
    async with opened(tws, folder, **options) as ib:
        return (await ib.bars()).bars.height


async def test_a_gateway_that_accepts_and_stays_silent_is_given_up_after_some_tries(tmp_path) -> None:
    async with hand_tws(greets=False) as tws:
        with pytest.raises(RunEnded, match="accepts connections but does not answer"):
            async with opened(tws, tmp_path, timeouts=replace(SHORT, connect=0.1)):
                pass
        assert tws.connections == SHORT.attempts


async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def hang_up_after_the_greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    incoming, greeted = ClientBytes(), False
    while data := await reader.read(65536):
        for _ in incoming.feed(data):
            if greeted:
                writer.close()
                return
            greeted = True
            writer.write(message(SERVER_VERSION, "20250425 15:23:54 EST"))


async def greet_in_an_old_protocol(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(65536)
    writer.write(message(76, "20171020 10:32:13 EST"))
    await reader.read()
    writer.close()


@pytest.mark.parametrize(
    ("serve", "words"),
    [
        (hang_up, ("accepted the connection and ended it", "Trusted IPs", "IB_CLIENT_ID", "run again")),
        (hang_up_after_the_greeting, ("accepted the connection and ended it", "Trusted IPs", "IB_CLIENT_ID")),
        (greet_in_an_old_protocol, ("speaks version 76 of its protocol", "at least 157", "update it, then run again")),
    ],
)
async def test_a_server_without_a_session_says_what_to_do(tmp_path, serve, words) -> None:
    """ib_async 143 and 169, IbcAlpha/IBC 195: turned away at once or after the greeting; ib_insync 169: an old TWS."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(RunEnded) as told:
            async with opened(SimpleNamespace(port=port), tmp_path):
                pass
    assert all(word in str(told.value) for word in words), str(told.value)


async def test_real_data_only_refuses_a_simulator_and_names_the_account_kind(tmp_path) -> None:
    with SandboxTws() as tws:
        with pytest.raises(RunEnded, match="DATA_ASSETS_PROFILE is live"):
            async with opened(tws, tmp_path, real_data_only=True):
                pass
        async with opened(tws, tmp_path) as ib:
            assert ib.client.account_kind == "sandbox"
            assert ib.client.server_version == 178
    with SandboxTws(says_synthetic=False) as tws:
        async with opened(tws, tmp_path, real_data_only=True) as ib:
            assert ib.client.account_kind == "paper"
    async with hand_tws(account="U7654321") as tws, opened(tws, tmp_path, real_data_only=True) as ib:
        assert ib.client.account_kind == "live"


# Contracts.


async def test_contracts_are_told_apart_before_the_run(tmp_path) -> None:
    good = [AAPL, Ticker("GLD", primary_exchange="ARCA"), Ticker("IBM", exchange="NYSE")]
    with SandboxTws() as tws:
        async with opened(tws, tmp_path) as ib:
            await ib.client.validate(good)
            await ib.client.validate(good)
            assert numbers(tws, 9) == 3  # asked once in a run
            with pytest.raises(RunEnded) as ended:
                await ib.client.validate(
                    [
                        AAPL,
                        Ticker("NOSUCH", where="tickers.csv row 3"),
                        Ticker("GLD", where="tickers.csv row 4"),
                        Ticker("AAPL", primary_exchange="NYSE", where="tickers.csv row 5"),
                        Ticker("AAPL", currency="EUR", where="tickers.csv row 6"),
                    ]
                )
    text = str(ended.value)
    assert "tickers.csv row 3, column symbol: TWS knows no STK NOSUCH on SMART in USD" in text
    assert "tickers.csv row 4, column primaryExchange: GLD in USD is listed on ARCA, LSEETF; name the one" in text
    assert "tickers.csv row 5, column symbol or primaryExchange: TWS knows no STK AAPL" in text
    assert "tickers.csv row 6, column symbol: TWS knows no STK AAPL on SMART in EUR" in text
    assert "row 2" not in text


@pytest.mark.parametrize(
    ("ticker", "place"),
    [
        (Ticker("VUAA"), "LSEETF, time zone GB-Eire"),
        (Ticker("VUAA", exchange="LSEETF"), "LSEETF, time zone GB-Eire"),
        (Ticker("GLD", primary_exchange="LSEETF"), "LSEETF, time zone GB-Eire"),
        (Ticker("DLR.U", exchange="TSE"), "TSE, time zone US/Eastern"),
    ],
)
async def test_dollars_do_not_make_a_us_exchange(tmp_path, ticker, place) -> None:
    said = f"tickers.csv: {ticker.symbol} in USD is a contract of {place}; only stocks of US exchanges are supported"
    with SandboxTws() as tws:
        async with opened(tws, tmp_path) as ib:
            with pytest.raises(RunEnded, match=said):
                await ib.client.validate([ticker])
            with pytest.raises(RunEnded, match="name its US listing in exchange and primaryExchange, or take the row"):
                await ib.bars(ticker)  # as where the question had no answer at the start
    assert numbers(tws, 20) == 0


@pytest.mark.parametrize(
    ("zone", "exchanges", "covered"),
    [
        ("US/Eastern", ["NASDAQ", "SMART", "AMEX", "NYSE", "ISLAND"], True),
        ("America/New_York", ["NASDAQ.SCM", "SMART"], True),
        ("EST5EDT", ["PINK"], True),
        ("US/Eastern", ["TXSE", "SMART", "ARCA", "BATS", "IEX"], True),  # listed where nobody has heard of yet
        ("EST (Eastern Standard Time)", ["", "SMART"], True),
        ("", ["", ""], True),
        ("", ["LSEETF", "SMART"], False),
        ("America/Toronto", ["TSE", "SMART", "OMEGA", "ALPHA"], False),
        ("Japan", ["", "SMART"], False),
        ("MET", ["IBIS", "SMART", "TGATE"], False),
        ("US/Central", ["NASDAQ", "SMART"], False),
        ("EST", ["NYSE"], True),
    ],
)
def test_a_contract_is_judged_by_its_zone_and_its_exchanges(zone, exchanges, covered) -> None:
    assert (foreign(AAPL, zone=zone, exchanges=exchanges) is None) == covered


async def test_an_ambiguous_contract_is_asked_for_by_its_number_once_it_is_named(tmp_path) -> None:
    with SandboxTws() as tws:
        async with opened(tws, tmp_path) as ib:
            answer = await ib.bars(Ticker("GLD", primary_exchange="ARCA"))
    (asked,) = [request.asked for request in tws.requests if request.number == 20]
    assert asked.contract.con_id == answer.contract_id > 0


@pytest.mark.parametrize(
    ("kind", "said"), [("silence", "did not answer within 1 s - Symbol: AAPL"), ("restart", "broke off - Symbol: AAPL")]
)
async def test_a_contract_question_without_an_answer_ends_in_time_and_is_asked_again(tmp_path, kind, said) -> None:
    with SandboxTws(faults=[Fault(kind=kind, endpoint=IB_CONTRACT_DETAILS, times=1, seconds=0.1)]) as tws:
        async with opened(tws, tmp_path, timeouts=replace(SHORT, details=1.0)) as ib:
            await ib.client.validate([AAPL])
            assert any(said in line and line.endswith("asking again with the first day") for line in ib.said)
            assert (await ib.bars()).bars.height == 390


# Head timestamps.


async def test_a_head_timestamp_is_asked_for_once_in_a_lifetime(tmp_path) -> None:
    opening = session(date(2016, 1, 4)).open
    with SandboxTws(says_synthetic=False, pacing_scale=0) as tws:
        async with opened(tws, tmp_path) as ib:
            heads = await asyncio.gather(*(ib.client.head_timestamp(AAPL) for _ in range(3)))
            assert heads == [opening] * 3
            await ib.client.head_timestamp(Ticker("COIN"))
        async with opened(tws, tmp_path) as ib:
            assert await ib.client.head_timestamp(AAPL) == opening
            assert await ib.client.head_timestamp(Ticker("COIN")) == session(date(2021, 4, 14)).open
        assert (numbers(tws, 87), numbers(tws, 90)) == (2, 2)
        (tmp_path / "ib_head_timestamps.json").write_text('{"1": "yesterday"}')
        async with opened(tws, tmp_path) as ib:
            assert await ib.client.head_timestamp(AAPL) == opening
        assert numbers(tws, 87) == 3


async def test_what_a_simulator_says_of_its_history_is_not_remembered(tmp_path) -> None:
    with SandboxTws(pacing_scale=0) as tws:
        for _ in range(2):
            async with opened(tws, tmp_path) as ib:
                await ib.client.head_timestamp(AAPL)
        assert numbers(tws, 87) == 2


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "no_data"},
        {"kind": "tws_error", "code": 162, "text": HMDS + "Query failed"},
        {"kind": "silence"},
    ],
)
async def test_a_history_whose_beginning_ib_does_not_tell_is_without_one(tmp_path, fault) -> None:
    with SandboxTws(faults=[Fault(endpoint=IB_HEAD_TIMESTAMP, **fault)]) as tws:
        async with opened(tws, tmp_path, timeouts=replace(SHORT, head=0.2)) as ib:
            assert await ib.client.head_timestamp(AAPL) is None
            assert await ib.client.head_timestamp(AAPL) is None
            assert "every day is requested" in ib.said[0]
            assert (await ib.bars()).bars.height == 390
        assert numbers(tws, 87) == 1
        assert numbers(tws, 90) == (fault["kind"] == "silence")  # what TWS has ended needs no cancel


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "permissions"}, DayEnded),
        ({"kind": "pacing"}, Throttled),
        ({"kind": "hmds_disconnect"}, VendorDown),
        ({"kind": "half_frame"}, VendorDown),
        ({"kind": "tws_error", "code": 321, "text": "Error validating request"}, RunEnded),
    ],
)
async def test_a_head_timestamp_that_fails_for_another_reason_is_asked_for_again(tmp_path, fault, kind) -> None:
    with SandboxTws(faults=[Fault(endpoint=IB_HEAD_TIMESTAMP, times=1, **fault)], pacing_scale=0) as tws:
        async with opened(tws, tmp_path) as ib:
            with pytest.raises(kind):
                await ib.client.head_timestamp(AAPL)
            assert await ib.client.head_timestamp(AAPL) is not None


# Bars.


async def test_a_session_arrives_as_it_was_sent(tmp_path) -> None:
    with SandboxTws() as tws:
        async with opened(tws, tmp_path) as ib:
            answer = await ib.bars()
    hours = session(DAY)
    expected = minute_bars("AAPL", DAY).filter(pl.col("timestamp") >= hours.open, pl.col("timestamp") < hours.close)
    assert answer.bars.columns == ["timestamp", "open", "high", "low", "close", "volume", "average", "bar_count"]
    assert answer.bars["average"].equals(expected["vwap"])
    for ours, theirs in (("bar_count", "trades"), ("timestamp", "timestamp"), ("close", "close")):
        assert answer.bars[ours].to_list() == expected[theirs].to_list()
    assert answer.source == (
        f"tws://historical_data?conId={answer.contract_id}&symbol=AAPL&secType=STK&exchange=SMART"
        "&primaryExchange=NASDAQ&currency=USD&endDateTime=20240103-21:00:00&durationStr=1+D&barSizeSetting=1+min"
        "&whatToShow=TRADES&useRTH=1&formatDate=2"
    )
    assert answer.requests == 1


async def test_size_and_digest_are_those_of_the_message(tmp_path) -> None:
    sent: list[tuple] = []

    async def script(asked: list[str], say: Say) -> bool:
        if asked[0] != "20":
            return False
        sent.append(bars_message(asked[1], OPEN, OPEN + 60))
        say(*sent[0])
        return True

    async with hand_tws(script) as tws, opened(tws, tmp_path) as ib:
        answer = await ib.bars()
    payload = "".join(f"{value}\0" for value in sent[0]).encode()
    assert (answer.raw_size, answer.raw_sha256) == (len(payload), hashlib.sha256(payload).hexdigest())


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ({"kind": "pacing"}, Throttled, "IB Error 162: .* pacing violation - Symbol: AAPL, Date: 2024-01-03"),
        ({"kind": "permissions"}, NotEntitled, "IB Error 162: .* permissions for NASDAQ STK - Symbol: AAPL"),
        ({"kind": "hmds_disconnect"}, VendorDown, "IB Error 165: .* disconnect occurred. .* - Symbol: AAPL"),
        ({"kind": "half_frame"}, VendorDown, "broke off - Symbol: AAPL, Date: 2024-01-03"),
        ({"kind": "half_frame_reset"}, VendorDown, "broke off - Symbol: AAPL, Date: 2024-01-03"),
        ({"kind": "restart", "seconds": 0.2}, VendorDown, "broke off - Symbol: AAPL"),
        ({"kind": "endless_frame"}, Rejected, "cannot be a day: TWS began one of 2,147 MB, .* Date: 2024-01-03"),
        ({"kind": "wrong_count"}, Transient, "does not parse .* - Symbol: AAPL, Date: 2024-01-03"),
        ({"kind": "tws_error", "code": 354, "text": "not subscribed"}, NotEntitled, "IB Error 354"),
        ({"kind": "tws_error", "code": 200, "text": "none"}, Transient, "IB Error 200: .* confirmed tickers.csv row 2"),
        ({"kind": "tws_error", "code": 99_999, "text": "new"}, Transient, "IB Error 99999: new"),
        ({"kind": "tws_error", "code": 321, "text": "validating"}, RunEnded, "IB Error 321: validating"),
        ({"kind": "tws_error", "code": 322, "text": "Only 50"}, Throttled, "IB Error 322: Only 50"),
        ({"kind": "tws_error", "code": 366, "text": "not found"}, Transient, "IB Error 366: not found"),
        ({"kind": "tws_error", "code": 10197, "text": "competing"}, VendorDown, "IB Error 10197: .* log out there"),
        ({"kind": "tws_error", "code": 162, "text": HMDS + "Query failed"}, Transient, "Query failed"),
    ],
)
async def test_each_fault_is_one_outcome_and_the_next_try_works(tmp_path, fault, kind, words) -> None:
    # No deadline is near: what ends here was ended by what TWS said.
    with SandboxTws(faults=[Fault(**fault, times=1)], pacing_scale=0) as tws:
        async with opened(tws, tmp_path, client_id=3) as ib:
            expected = DayEnded if issubclass(kind, NotStored) else kind
            with pytest.raises(expected, match=words) as raised:
                await ib.bars()
            if issubclass(kind, NotStored):
                assert isinstance(raised.value, DayEnded)
                assert type(raised.value.outcome) is kind
            else:
                assert type(raised.value).__mro__.index(kind) <= 1
            await ib.client.wait_until_up()
            assert (await ib.bars()).bars.height == 390


async def test_what_tws_leaves_open_is_cancelled_and_what_it_has_ended_is_not(tmp_path) -> None:
    faults = [
        Fault(kind="silence", day=date(2024, 1, 3)),
        Fault(kind="hmds_disconnect", day=date(2024, 1, 4)),
        Fault(kind="permissions", day=date(2024, 1, 5)),
        Fault(kind="wrong_count", day=date(2024, 1, 8)),
    ]
    cancelled = []
    with SandboxTws(faults=faults, pacing_scale=0) as tws:
        async with opened(tws, tmp_path, timeouts=replace(SHORT, bars=1)) as ib:
            for number in (3, 4, 5, 8, 9):
                with suppress(DayEnded, Transient):
                    await ib.bars(day=date(2024, 1, number))
                await ib.client.wait_until_up()
                await until(lambda: all(request.code is not None for request in tws.requests if request.number == 20))
                cancelled.append(numbers(tws, 25))
    assert cancelled == [1, 2, 2, 2, 2]


async def test_no_data_is_believed_when_it_is_said_twice(tmp_path) -> None:
    with SandboxTws(faults=[Fault(kind="no_data")], pacing_scale=0) as tws:
        async with opened(tws, tmp_path) as ib:
            with pytest.raises(
                DayEnded, match=r"IB Error 162: .*no data: AAPL@SMART Trades - .*; IB said so twice"
            ) as e:
                await ib.bars()
        assert type(e.value.outcome) is NoData
        assert numbers(tws, 20) == 2


async def test_no_data_that_is_said_once_and_taken_back_is_forgotten(tmp_path) -> None:
    with SandboxTws(faults=[Fault(kind="no_data", times=1)], pacing_scale=0) as tws:
        async with opened(tws, tmp_path) as ib:
            answer = await ib.bars()
    assert (answer.bars.height, answer.requests) == (390, 2)


async def test_an_empty_answer_decides_nothing(tmp_path) -> None:
    async def script(asked: list[str], say: Say) -> bool:
        if asked[0] == "20":
            say(*bars_message(asked[1]))
        return asked[0] == "20"

    async with hand_tws(script) as tws, opened(tws, tmp_path) as ib:
        with pytest.raises(Transient, match="without bars and without a reason"):
            await ib.bars()


async def test_the_confirmation_keeps_the_budget_that_ib_enforces(tmp_path) -> None:
    budget = Budget().scaled(0.02)
    with SandboxTws(faults=[Fault(kind="no_data", times=1)], pacing_scale=0.01) as tws:
        async with opened(tws, tmp_path, budget=budget) as ib:
            assert (await ib.bars()).requests == 2
    first, second = (request.at for request in tws.requests if request.number == 20)
    assert second - first >= 15 * 0.02


async def test_a_pacing_violation_silences_the_run_for_a_while(tmp_path) -> None:
    budget = replace(QUICK, window_seconds=3.0)
    with SandboxTws(faults=[Fault(kind="pacing", times=1)], pacing_scale=0) as tws:
        async with opened(tws, tmp_path, budget=budget) as ib:
            with pytest.raises(Throttled):
                await ib.bars()
            assert "asking nothing for" in ib.said[0]
            await ib.bars()
    first, second = (request.at for request in tws.requests if request.number == 20)
    assert second - first >= 0.3


# Outages.


@pytest.mark.parametrize("kind", ["connection_lost", "farm_lost"])
async def test_an_outage_behind_tws_pauses_and_resumes_on_the_same_connection(tmp_path, kind) -> None:
    with SandboxTws(faults=[Fault(kind=kind, seconds=1, times=1)], pacing_scale=0) as tws:
        async with opened(tws, tmp_path, timeouts=replace(SHORT, farm=30)) as ib:
            first = asyncio.create_task(ib.bars())
            await until(lambda: ib.client._connection._losses == 1)
            second = asyncio.create_task(ib.bars(day=date(2024, 1, 4)))
            assert (await first).bars.height == (await second).bars.height == 390
            assert any("1100" in said or "2105" in said for said in ib.said)
        assert numbers(tws, 61) == 1  # said once by every new connection
    struck, later = (request.at for request in tws.requests if request.number == 20)
    assert later - struck >= 1  # nothing is asked while IB's servers are away


async def test_a_farm_that_nobody_declares_healthy_is_asked_all_the_same(tmp_path) -> None:
    async def script(asked: list[str], say: Say) -> bool:
        if asked[0] == "61":
            say(62, 1)
            say(4, 2, -1, 2105, "HMDS data farm connection is broken:ushmds", "")
        if asked[0] == "20":
            say(*bars_message(asked[1], OPEN))
        return asked[0] in ("61", "20")

    async with hand_tws(script) as tws, opened(tws, tmp_path, timeouts=replace(SHORT, farm=0.1)) as ib:
        assert (await ib.bars()).bars.height == 1
        assert "2105" in ib.said[0]


async def test_a_connection_that_begins_without_ibs_servers_is_waited_for(tmp_path) -> None:
    async def script(asked: list[str], say: Say) -> bool:
        if asked[0] == "61":
            say(62, 1)
            say(4, 2, -1, 2110, "Connectivity between Trader Workstation and server is broken.", "")
            await asyncio.sleep(0.2)
            say(4, 2, -1, 1102, "restored", "")
        if asked[0] == "20":
            say(*bars_message(asked[1], OPEN))
        return asked[0] in ("61", "20")

    async with hand_tws(script) as tws, opened(tws, tmp_path) as ib:
        assert (await ib.bars()).bars.height == 1
        assert "2110" in ib.said[0]
        assert tws.connections == 1


async def test_requests_that_tws_lost_with_its_connection_fail_at_once(tmp_path) -> None:
    async def script(asked: list[str], say: Say) -> bool:
        if asked[0] == "20":
            say(4, 2, -1, 1100, "lost", "")
            say(4, 2, -1, 1101, "restored - data lost", "")
        return asked[0] == "20"

    async with hand_tws(script) as tws, opened(tws, tmp_path) as ib:
        with pytest.raises(VendorDown, match="lost its requests"):
            await ib.bars()


async def test_a_new_port_ends_the_run_by_its_number(tmp_path) -> None:
    async def script(asked: list[str], say: Say) -> bool:
        if asked[0] == "20":
            say(4, 2, -1, 1300, "TWS socket port has been reset to 4444", "")
            say(4, 2, asked[1], 366, "not found", "")
        return asked[0] == "20"

    async with hand_tws(script) as tws, opened(tws, tmp_path) as ib:
        with pytest.raises(Transient):
            await ib.bars()
        with pytest.raises(RunEnded, match=r"1300: .*4444.*IB_PORT"):
            await ib.bars()


async def test_a_restart_of_tws_is_survived_and_an_endless_one_given_up(tmp_path) -> None:
    with SandboxTws(faults=[Fault(kind="restart", seconds=0.4, times=1)], pacing_scale=0) as tws:
        async with opened(tws, tmp_path) as ib:
            with pytest.raises(VendorDown):
                await ib.bars()
            await ib.client.wait_until_up()
            assert (await ib.bars()).bars.height == 390
            assert "reconnecting" in ib.said[0]
    with SandboxTws(faults=[Fault(kind="restart", seconds=300)], pacing_scale=0) as tws:
        async with opened(tws, tmp_path, timeouts=replace(SHORT, outage=0.3)) as ib:
            with pytest.raises(VendorDown):
                await ib.bars()
            with pytest.raises(RunEnded, match=r"no history from IB for .* nothing listens .*IB_PORT"):
                await ib.client.wait_until_up()


async def test_days_that_wait_share_one_reconnection(tmp_path) -> None:
    with SandboxTws(faults=[Fault(kind="half_frame", day=DAY, times=1)], pacing_scale=0) as tws:
        async with opened(tws, tmp_path) as ib:
            with pytest.raises(VendorDown):
                await ib.bars()
            await asyncio.gather(*(ib.client.wait_until_up() for _ in range(4)))
        assert numbers(tws, 61) == 2


async def test_a_session_elsewhere_that_does_not_end_ends_the_run(tmp_path) -> None:
    faults = [
        Fault(kind="tws_error", code=162, text=HMDS + "Trading TWS session is connected from a different IP address")
    ]
    with SandboxTws(faults=faults, pacing_scale=0) as tws:
        async with opened(tws, tmp_path, timeouts=replace(SHORT, outage=1)) as ib:
            errors: list[Exception] = []
            while not errors or type(errors[-1]) is SessionElsewhere:
                with pytest.raises((VendorDown, RunEnded), match=r"different IP address.*log out there") as raised:
                    await ib.bars()
                errors.append(raised.value)
    assert len(errors) > 2
    assert type(errors[-1]) is RunEnded


async def test_what_is_said_during_a_reset_of_ibs_servers_is_not_believed(tmp_path) -> None:
    end = datetime.now(UTC)

    def resets(now: datetime) -> datetime | None:
        return end if now < end else None

    with SandboxTws(faults=[Fault(kind="no_data", times=1)], pacing_scale=0) as tws:
        async with opened(tws, tmp_path, resets=resets) as ib:
            end = datetime.now(UTC) + timedelta(seconds=1.5)  # from now on: however long connecting took
            with pytest.raises(VendorDown, match=r"no data.*IB resets its servers until .* New York, so this is not"):
                await ib.bars()
            await ib.client.wait_until_up()
            assert datetime.now(UTC) >= end
            assert "IB resets its servers until" in ib.said[0]
            assert (await ib.bars()).requests == 1


async def test_patience_does_not_run_out_during_a_reset(tmp_path) -> None:
    end = datetime.now(UTC)

    def resets(now: datetime) -> datetime | None:
        return end if now < end else None

    with SandboxTws(faults=[Fault(kind="restart", seconds=0.8, times=1)], pacing_scale=0) as tws:
        async with opened(tws, tmp_path, resets=resets, timeouts=replace(SHORT, outage=0.1)) as ib:
            end = datetime.now(UTC) + timedelta(seconds=3)
            with pytest.raises(VendorDown):
                await ib.bars()
            await ib.client.wait_until_up()
            assert (await ib.bars()).bars.height == 390


# Being told to stop.


async def test_a_request_in_hand_is_finished_when_its_task_is_cancelled(tmp_path) -> None:
    async def script(asked: list[str], say: Say) -> bool:
        if asked[0] == "20":
            await asyncio.sleep(0.2)
            say(*bars_message(asked[1], OPEN))
        return asked[0] == "20"

    async with hand_tws(script) as tws, opened(tws, tmp_path) as ib:
        task = asyncio.create_task(ib.bars())
        await until(lambda: "20" in tws.numbers())
        task.cancel()
        assert (await task).bars.height == 1
        assert task.cancelling() == 0
        assert "25" not in tws.numbers()


@pytest.mark.parametrize("ending", ["silence", "no data", "an end of the connection"])
async def test_a_request_in_hand_that_brings_no_bars_lets_the_cancellation_through(tmp_path, ending) -> None:
    told_to_stop = asyncio.Event()

    async def script(asked: list[str], say: Say) -> bool:
        if asked[0] == "20":
            await told_to_stop.wait()
            if ending == "no data":
                say(4, 2, asked[1], 162, HMDS + "HMDS query returned no data: AAPL@SMART Trades", "")
            if ending == "an end of the connection":
                tws.hang_up()
        return asked[0] == "20"

    async with hand_tws(script) as tws, opened(tws, tmp_path, timeouts=replace(SHORT, finish=0.2)) as ib:
        task = asyncio.create_task(ib.bars())
        await until(lambda: "20" in tws.numbers())
        task.cancel()
        await asyncio.sleep(0)
        told_to_stop.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: ("25" in tws.numbers()) == (ending == "silence"))
        assert tws.numbers().count("20") == 1  # no second opinion is asked for


async def test_who_waits_for_a_turn_is_cancelled_at_once(tmp_path) -> None:
    budget = replace(QUICK, seconds_between=600)
    with SandboxTws(pacing_scale=0) as tws:
        async with opened(tws, tmp_path, budget=budget) as ib:
            task = asyncio.create_task(ib.bars())
            await until(lambda: numbers(tws, 9) == 1)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert numbers(tws, 20) == 0
