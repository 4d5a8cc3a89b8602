"""Frames, fields and requests: what ib_async writes is what the simulated TWS reads."""

from dataclasses import astuple
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ib_async import Contract
from ib_async.client import Client

from data_assets.sandbox.tws.requests import (
    Refused,
    check_head,
    parse_details,
    parse_head,
    parse_history,
    span,
)
from data_assets.sandbox.tws.wire import PREAMBLE, ClientBytes, NotTws, fields, frame, message, versions

NOW = datetime(2024, 1, 4, 15, tzinfo=UTC)
HELLO = frame(b"v157..178")

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
ids = st.integers(0, 2**31 - 2)
contracts = st.builds(
    Contract,
    conId=ids,
    symbol=texts,
    secType=st.sampled_from(["STK", "FUT", "OPT"]),
    lastTradeDateOrContractMonth=texts,
    strike=st.floats(0, 1e6),
    right=texts,
    multiplier=texts,
    exchange=texts,
    primaryExchange=texts,
    currency=texts,
    localSymbol=texts,
    tradingClass=texts,
    includeExpired=st.booleans(),
)


class Recorder:
    """Stands where ib_async's socket is, and keeps what it writes."""

    def __init__(self) -> None:
        self.sent = b""

    def sendMsg(self, data: bytes) -> None:
        self.sent += data


def written(request: str, *arguments: object) -> list[str]:
    """The fields of the message that ib_async itself writes for a request."""
    client = Client(wrapper=object())
    client.conn = recorder = Recorder()
    client.connState, client._serverVersion = Client.CONNECTED, 178
    getattr(client, request)(*arguments)
    received = ClientBytes()
    payloads = list(received.feed(PREAMBLE + HELLO + recorder.sent))
    assert payloads[0] == b"v157..178"
    (only,) = payloads[1:]
    return fields(only)


def as_written(contract: Contract) -> tuple[object, ...]:
    return (
        contract.conId,
        contract.symbol,
        contract.secType,
        contract.lastTradeDateOrContractMonth,
        str(contract.strike),
        contract.right,
        contract.multiplier,
        contract.exchange,
        contract.primaryExchange,
        contract.currency,
        contract.localSymbol,
        contract.tradingClass,
    )


# --- frames and fields ----------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=60), max_size=8), st.lists(st.integers(1, 9), min_size=1))
def test_payloads_come_out_whole_however_the_network_cuts_them(payloads, cuts):
    stream = PREAMBLE + HELLO + b"".join(map(frame, payloads))
    received, got, at, turn = ClientBytes(), [], 0, 0
    while at < len(stream):
        step = cuts[turn % len(cuts)]
        got += received.feed(stream[at : at + step])
        at, turn = at + step, turn + 1
    assert got == [b"v157..178", *payloads]


@given(st.lists(texts | st.integers() | st.booleans() | st.none() | st.floats(), min_size=1))
def test_a_message_is_its_fields_each_ended_by_a_nul(values):
    (length, payload) = message(*values)[:4], message(*values)[4:]
    assert int.from_bytes(length, "big") == len(payload)
    expected = ["" if v is None else str(int(v)) if isinstance(v, bool) else str(v) for v in values]
    assert fields(payload) == expected


def test_a_field_cannot_hold_the_end_of_a_field():
    with pytest.raises(ValueError, match="NUL"):
        message(9, "two\0fields")


@pytest.mark.parametrize("payload", [b"", b"9\x001"])
def test_a_message_without_its_last_nul_is_none(payload):
    with pytest.raises(NotTws):
        fields(payload)


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\n", b"AP\0I", b"X"])
def test_another_protocol_is_recognized_by_its_first_bytes(start):
    with pytest.raises(NotTws):
        list(ClientBytes().feed(start))


def test_a_frame_longer_than_any_request_is_refused_before_it_has_come():
    with pytest.raises(NotTws):
        list(ClientBytes().feed(PREAMBLE + b"\x7f\xff\xff\xff"))


@pytest.mark.parametrize(("hello", "read"), [(b"v157..178", (157, 178)), (b"v100..200 +PACEAPI", (100, 200))])
def test_a_client_says_the_versions_it_speaks(hello, read):
    assert versions(hello) == read


@pytest.mark.parametrize("hello", [b"", b"157..178", b"v157", b"v157..178x", b"v..", b"v1..9999999999"])
def test_a_hello_without_versions_is_none(hello):
    with pytest.raises(NotTws):
        versions(hello)


# --- requests -------------------------------------------------------------------------------------------------------


@given(ids, contracts, texts, texts, texts, st.booleans(), texts, st.integers(0, 9), st.booleans())
def test_a_request_for_history_is_read_as_ib_async_writes_it(
    req_id, contract, end, bar_size, duration, use_rth, shows, format_date, keep
):
    sent = written(
        "reqHistoricalData", req_id, contract, end, duration, bar_size, shows, use_rth, format_date, keep, []
    )
    read = parse_history(sent)
    assert (read.req_id, astuple(read.contract)) == (req_id, as_written(contract))
    assert (read.end, read.bar_size, read.duration, read.shows) == (end, bar_size, duration, shows)
    assert (read.use_rth, read.format_date, read.keep_up_to_date) == (use_rth, format_date, keep)


@given(ids, contracts, st.booleans(), texts, st.integers(0, 9))
def test_a_request_for_a_head_timestamp_is_read_as_ib_async_writes_it(req_id, contract, use_rth, shows, format_date):
    read = parse_head(written("reqHeadTimeStamp", req_id, contract, shows, use_rth, format_date))
    assert (read.req_id, astuple(read.contract)) == (req_id, as_written(contract))
    assert (read.use_rth, read.shows, read.format_date) == (use_rth, shows, format_date)


@given(ids, contracts)
def test_a_request_for_details_is_read_as_ib_async_writes_it(req_id, contract):
    read = parse_details(written("reqContractDetails", req_id, contract))
    assert (read.req_id, astuple(read.contract)) == (req_id, as_written(contract))


def test_the_legs_of_a_combination_are_passed_over():
    sent = history_message()
    assert parse_history([*sent[:-2], "1", "12", "1", "BUY", "SMART", "1", ""]).keep_up_to_date


@given(st.integers(1, 22))
def test_a_request_that_ends_too_early_is_320(length):
    with pytest.raises(Refused, match=r"^320 "):
        parse_history(history_message()[:length])


@pytest.mark.parametrize("place", [1, 2, 18, 20])
def test_a_word_where_a_number_belongs_is_320(place):
    sent = history_message()
    sent[place] = "one"
    with pytest.raises(Refused, match=r"^320 .*'one'"):
        parse_history(sent)


def history_message(end="20240103-21:00:00", duration="1 D", bar_size="1 min", shows="TRADES", format_date=2):
    contract = Contract(symbol="AAPL", secType="STK", exchange="SMART", currency="USD")
    return written("reqHistoricalData", 7, contract, end, duration, bar_size, shows, True, format_date, False, [])


# --- what TWS checks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "means"),
    [
        ("20240103-21:00:00", datetime(2024, 1, 3, 21, tzinfo=UTC)),
        ("20240103 21:00:00 UTC", datetime(2024, 1, 3, 21, tzinfo=UTC)),
        ("20240103 16:00:00 US/Eastern", datetime(2024, 1, 3, 21, tzinfo=UTC)),
        ("20240703 16:00:00 America/New_York", datetime(2024, 7, 3, 20, tzinfo=UTC)),
        ("", NOW),
    ],
)
def test_the_end_of_a_span(end, means):
    asked = span(parse_history(history_message(end)), NOW)
    assert (asked.end, asked.zone_implied) == (means, False)
    assert asked.end.utcoffset() == UTC.utcoffset(None)


def test_an_end_without_a_zone_is_taken_as_new_yorks_and_warned_of():
    asked = span(parse_history(history_message("20240103 16:00:00")), NOW)
    assert (asked.end, asked.zone_implied) == (datetime(2024, 1, 3, 21, tzinfo=UTC), True)


@pytest.mark.parametrize(
    "end",
    [
        "20240103",
        "20240103 21:00:00 GMT",
        "20240103 21:00:00 EST",
        "20240103 21:00:00 Mars/Phobos",
        "20240103 21:00:00 ../UTC",
        "20240103-21:00:00 UTC",
        "20240103  21:00:00",
        "2024-01-03 21:00:00",
        "20241303-21:00:00",
        "20240103-25:00:00",
        "20240103-21:00:00\n",
    ],
)
def test_any_other_end_is_10314_whatever_else_is_wrong(end):
    with pytest.raises(Refused, match=r"^10314 End Date/Time"):
        span(parse_history(history_message(end, duration="wrong", bar_size="wrong")), NOW)


@given(st.integers(0, 100_000), st.sampled_from(["", " S", " D", " W", " M", " Y", " H", "D", " d"]))
@example(30, "")
@example(86_400, " S")
@example(365, " D")
@example(366, " D")
def test_a_duration_is_a_number_and_a_unit_within_its_limit(amount, unit):
    longest = {"": 86_400, " S": 86_400, " D": 365, " W": 52, " M": 12, " Y": 68}.get(unit, 0)
    shortest = 30 if unit in ("", " S") else 1
    asked = parse_history(history_message(duration=f"{amount}{unit}"))
    if shortest <= amount <= longest:
        got = span(asked, NOW)
        assert (got.amount, got.unit) == (amount, unit.strip() or "S")
    else:
        with pytest.raises(Refused, match=r"^321 Error validating request"):
            span(asked, NOW)


@pytest.mark.parametrize("wrong", [{"bar_size": "1 mins"}, {"shows": "TRADE"}, {"format_date": 4}, {"format_date": 0}])
def test_other_words_than_tws_knows_are_321(wrong):
    with pytest.raises(Refused, match=r"^321 Error validating request"):
        span(parse_history(history_message(**wrong)), NOW)


def test_a_schedule_is_of_days():
    assert span(parse_history(history_message(bar_size="1 day", shows="SCHEDULE")), NOW).amount == 1
    with pytest.raises(Refused, match=r"^10295 "):
        span(parse_history(history_message(shows="SCHEDULE")), NOW)


@pytest.mark.parametrize(("shows", "format_date"), [("TRADE", 2), ("TRADES", 4)])
def test_a_head_timestamp_of_something_else_is_321(shows, format_date):
    contract = Contract(symbol="AAPL", secType="STK", exchange="SMART", currency="USD")
    with pytest.raises(Refused, match=r"^321 "):
        check_head(parse_head(written("reqHeadTimeStamp", 1, contract, shows, True, format_date)))
