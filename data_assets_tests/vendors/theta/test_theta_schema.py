from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data_assets.ingest.outcome import DayEnded, Rejected
from data_assets.vendors.theta.schema import (
    QUOTES,
    Asked,
    RowReader,
    read_contracts,
    read_expirations,
    utc_offset,
)
from data_assets_tests.compiled_code import needs_compiler, without_compiled_code

NEW_YORK = ZoneInfo("America/New_York")
DAY = date(2024, 11, 4)
HEADER = ",".join(QUOTES.columns)
# The vendor's own examples (OpenAPI), and a live capture with quotes, LF and milliseconds.
DOCUMENTED = (
    HEADER + "\r\n"
    "AAPL,2024-11-08,220.000,CALL,2024-11-04T09:30:00,0,42,0.00,50,0,42,0.00,50\r\n"
    "AAPL,2024-11-08,220.000,CALL,2024-11-04T09:31:00,598,5,4.55,50,424,9,4.70,50\r\n"
)
CAPTURED = (
    HEADER + "\n"
    '"SPXW","2012-06-08",1050.000,"CALL",2012-06-01T15:45:00.000,275,5,226.30,50,191,5,229.20,50\n'
    '"SPXW","2012-06-08",1050.000,"PUT",2012-06-01T15:45:00.000,718,5,0.05,50,1639,5,0.10,50\n'
)
ROW = "AAPL,2024-11-08,220.000,CALL,2024-11-04T09:31:00,598,5,4.55,50,424,9,4.70,50"


READERS = [pytest.param(True, marks=needs_compiler, id="compiled"), pytest.param(False, id="Polars")]


@pytest.fixture(scope="module", autouse=True, params=READERS)
def compiled(request: pytest.FixtureRequest) -> Iterator[None]:
    with nullcontext() if request.param else without_compiled_code():
        yield


def read(body: str, symbol: str = "AAPL", day: date = DAY) -> pl.DataFrame:
    header, _, lines = body.encode().partition(b"\n")
    return RowReader(QUOTES, header, Asked(symbol, day)).read(lines)


def rejection(body: str, symbol: str = "AAPL", day: date = DAY) -> str:
    with pytest.raises(DayEnded) as caught:
        read(body, symbol, day)
    assert isinstance(caught.value.outcome, Rejected)
    assert "\n" not in caught.value.outcome.reason
    return caught.value.outcome.reason


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("swallowed", [1, 3])
@pytest.mark.parametrize("last", [True, False], ids=["with a last line end", "without"])
def test_rows_swallowed_by_a_quoted_field_are_missed(line_end: str, swallowed: int, last: bool):
    rows = [f"{ROW},x", f'{ROW},"x', *[f"{ROW},x"] * (swallowed - 1), f'{ROW},x"', f"{ROW},x"]
    body = line_end.join([f"{HEADER},venue", *rows]) + line_end * last
    assert rejection(body).startswith(f"{swallowed + 3} lines read as 3 rows: a quoted field")
    assert read(body.replace('"', "")).height == swallowed + 3


def test_a_contract_swallowed_by_a_quoted_field_is_missed():
    body = b'symbol,expiration,strike,right,venue\nAAPL,2024-11-08,220,CALL,"x\nAAPL,2024-11-08,221,CALL,x"\n'
    with pytest.raises(DayEnded, match="2 lines read as 1 row:"):
        read_contracts(body, ["AAPL"])


def test_the_documented_rows():
    contract = ("AAPL", date(2024, 11, 8), 220.0, "CALL")
    assert read(DOCUMENTED).rows() == [
        (*contract, datetime(2024, 11, 4, 14, 30, tzinfo=UTC), 0, 42, 0.0, 50, 0, 42, 0.0, 50),
        (*contract, datetime(2024, 11, 4, 14, 31, tzinfo=UTC), 598, 5, 4.55, 50, 424, 9, 4.7, 50),
    ]


def test_the_captured_rows():
    frame = read(CAPTURED, "SPXW", date(2012, 6, 1))
    assert frame["timestamp"].to_list() == [datetime(2012, 6, 1, 19, 45, tzinfo=UTC)] * 2
    assert frame["right"].to_list() == ["CALL", "PUT"]
    assert frame["expiration"].to_list() == [date(2012, 6, 8)] * 2


def blocks_of_a_grid(*later_times: str) -> tuple[bytes, bytes, bytes]:
    """A header, a block that repeats two timestamps often enough to be remembered, and a block with ``later_times``."""

    def lines(times: Sequence[str]) -> bytes:
        return b"".join(ROW.replace("2024-11-04T09:31:00", each).encode() + b"\n" for each in times)

    return HEADER.encode(), lines(["2024-11-04T09:31:00", "2024-11-04T09:30:00"] * 60), lines(later_times)


@pytest.mark.parametrize(
    "later_times",
    [
        ("2024-11-04T09:30:00", "2024-11-04T09:31:00"),
        ("2024-11-04T09:31:00", "2024-11-04T09:32:00"),
        ("2024-11-04T09:30:00.000", "2024-11-04T09:31:00.250"),
    ],
    ids=["known", "new", "spelled otherwise"],
)
def test_a_block_reads_the_same_whatever_was_read_before_it(later_times: tuple[str, ...]):
    header, first, later = blocks_of_a_grid(*later_times)
    reader = RowReader(QUOTES, header, Asked("AAPL", DAY))
    for block in (first, later, first, later):
        assert_frame_equal(reader.read(block), RowReader(QUOTES, header, Asked("AAPL", DAY)).read(block))


@pytest.mark.parametrize("time", ["", "noon", "2024-11-04T09:60:00", "2024-11-05T09:30:00"])
def test_a_bad_block_is_rejected_the_same_whatever_was_read_before_it(time: str):
    header, first, later = blocks_of_a_grid("2024-11-04T09:30:00", time)
    reader = RowReader(QUOTES, header, Asked("AAPL", DAY))
    reader.read(first)
    with pytest.raises(DayEnded) as after:
        reader.read(later)
    with pytest.raises(DayEnded) as alone:
        RowReader(QUOTES, header, Asked("AAPL", DAY)).read(later)
    assert str(after.value) == str(alone.value)


def test_the_stored_columns_are_the_contract_between_vendor_and_lake():
    assert list(QUOTES.schema.items()) == [
        ("symbol", pl.String),
        ("expiration", pl.Date),
        ("strike", pl.Float64),
        ("right", pl.Enum(["CALL", "PUT"])),
        ("timestamp", pl.Datetime("us", "UTC")),
        ("bid_size", pl.Int64),
        ("bid_exchange", pl.Int16),
        ("bid", pl.Float64),
        ("bid_condition", pl.Int16),
        ("ask_size", pl.Int64),
        ("ask_exchange", pl.Int16),
        ("ask", pl.Float64),
        ("ask_condition", pl.Int16),
    ]
    assert read(DOCUMENTED).schema == QUOTES.schema
    assert pl.DataFrame(QUOTES.arrow_schema.empty_table()).schema == QUOTES.schema


PRICES = st.decimals(0, 9999, places=2).map(lambda price: f"{price:.2f}") | st.decimals(0, 9999, places=4).map(str)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "symbol": st.just("QQQ"),
            "expiration": st.dates(date(1882, 1, 1), date(2040, 12, 31)).map(str),
            "strike": st.decimals(0, 9999, places=3).map(lambda strike: f"{strike:.3f}"),
            "right": st.sampled_from(["CALL", "PUT"]),
            "timestamp": st.integers(0, 24 * 3600 - 1).map(
                lambda second: f"2024-11-04T{timedelta(seconds=second)!s:0>8}"
            ),
            "bid_size": st.integers(0, 2**63 - 1).map(str),
            "bid_exchange": st.integers(0, 80).map(str),
            "bid": PRICES,
            "bid_condition": st.integers(0, 80).map(str),
            "ask_size": st.integers(0, 2**63 - 1).map(str),
            "ask_exchange": st.integers(0, 80).map(str),
            "ask": PRICES,
            "ask_condition": st.integers(0, 80).map(str),
        }
    ),
    min_size=1,
    max_size=6,
)


def expected(row: dict[str, str]) -> tuple[object, ...]:
    wall_clock = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=NEW_YORK)
    typed = {
        **{name: int(text) for name, text in row.items() if name.endswith(("size", "exchange", "condition"))},
        **{name: float(row[name]) for name in ("strike", "bid", "ask")},
        "symbol": row["symbol"],
        "right": row["right"],
        "expiration": date.fromisoformat(row["expiration"]),
        "timestamp": wall_clock.astimezone(UTC),
    }
    return tuple(typed[name] for name in QUOTES.columns)


@given(
    rows=ROWS,
    order=st.permutations([*QUOTES.columns, "extra"]),
    quoted=st.booleans(),
    line_end=st.sampled_from(["\n", "\r\n"]),
    fractions=st.lists(st.sampled_from(["", ".000", ".0"]), min_size=6, max_size=6),
)
@settings(deadline=None)
def test_no_spelling_changes_a_value(
    rows: list[dict[str, str]], order: list[str], quoted: bool, line_end: str, fractions: list[str]
):
    def spelled(name: str, text: str) -> str:
        text_column = name in ("symbol", "expiration", "right", "extra")
        return f'"{text}"' if quoted and text_column else text

    lines = [",".join(spelled("extra", name) for name in order)]
    for row, fraction in zip(rows, fractions, strict=False):
        sent = {**row, "timestamp": row["timestamp"] + fraction, "extra": "not stored"}
        lines.append(",".join(spelled(name, sent[name]) for name in order))
    frame = read("".join(line + line_end for line in lines), "QQQ")
    assert frame.rows() == [expected(row) for row in rows]
    assert frame.schema == QUOTES.schema


def test_fractions_of_a_second_are_kept():
    body = DOCUMENTED.replace("T09:30:00,", "T09:30:00.91,").replace("T09:31:00,", "T09:31:00.005,")
    micros = read(body)["timestamp"].dt.microsecond().to_list()
    assert micros == [910_000, 5_000]


def test_extra_columns_are_named_and_kept_out():
    reader = RowReader(QUOTES, f'vendor_id,{HEADER},"note"\r'.encode(), Asked("AAPL", DAY))
    assert reader.extra_columns == ("vendor_id", "note")
    assert reader.read(f"7,{ROW},hello\n".encode()).schema == QUOTES.schema


def test_short_names_of_the_rights_are_understood():
    body = "\n".join([HEADER, ROW, ROW.replace("CALL", "C"), ROW.replace("CALL", "P"), ROW.replace("CALL", "PUT"), ""])
    assert read(body)["right"].to_list() == ["CALL", "CALL", "PUT", "PUT"]


def test_old_test_contracts_stay():
    assert read(f"{HEADER}\n{ROW.replace('2024-11-08', '1882-11-08')}\n")["expiration"].to_list() == [date(1882, 11, 8)]


def test_no_lines_are_no_rows():
    assert read(HEADER + "\r\n").is_empty()
    assert read(HEADER + "\r\n").schema == QUOTES.schema


@pytest.mark.parametrize(
    ("day", "opening"),
    [
        (date(2024, 3, 8), time(14, 30)),
        (date(2024, 3, 11), time(13, 30)),
        (date(2024, 11, 1), time(13, 30)),
        (date(2024, 11, 4), time(14, 30)),
        (date(2024, 11, 29), time(14, 30)),
        (date(2007, 3, 12), time(13, 30)),
        (date(2006, 3, 13), time(14, 30)),
    ],
)
def test_new_york_becomes_utc_on_either_side_of_a_clock_change(day: date, opening: time):
    frame = read(f"{HEADER}\n{ROW.replace('2024-11-04T09:31', f'{day}T09:30')}\n", day=day)
    assert frame["timestamp"].to_list() == [datetime.combine(day, opening, UTC)]


def test_a_day_on_which_the_clocks_change_has_no_one_offset():
    with pytest.raises(ValueError, match="clocks change on 2024-03-10"):
        utc_offset(date(2024, 3, 10))


@given(st.dates(date(2003, 9, 10), date(2040, 12, 31)))
def test_the_offset_is_right_for_every_hour_of_the_day(day: date):
    hours = [datetime.combine(day, time(hour), NEW_YORK).utcoffset() for hour in range(24)]
    if len(set(hours)) == 1:
        assert utc_offset(day) == hours[0]
    else:
        with pytest.raises(ValueError):
            utc_offset(day)


@pytest.mark.parametrize("name", QUOTES.columns)
def test_a_renamed_column_is_rejected_with_both_headers(name: str):
    sent = ",".join(column if column != name else "surprise" for column in QUOTES.columns)
    reason = rejection(f"{sent}\n{ROW}\n")
    assert f"lacks {name}: got {sent}, expected {HEADER}" in reason


def test_a_doubled_column_is_rejected():
    assert "twice" in rejection(f"{HEADER},bid\n{ROW},1\n")


def test_an_answer_that_is_no_csv_is_rejected():
    assert "got No data found for your request, expected symbol," in rejection("No data found for your request\n")


def test_packed_bytes_are_no_header():
    with pytest.raises(DayEnded, match="the header lacks symbol") as ended:
        RowReader(QUOTES, b"\x1f\x8b\x08\x00\r\x03", Asked("AAPL", date(2024, 11, 4)))
    assert isinstance(ended.value.outcome, Rejected)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("symbol", "AAPL", "SPY"),
        ("symbol", "AAPL", ""),
        ("expiration", "2024-11-08", "11/08/2024"),
        ("expiration", "2024-11-08", "20241108"),
        ("expiration", "2024-11-08", "2024-02-30"),
        ("expiration", "2024-11-08", "-2024-11-08"),
        ("expiration", "2024-11-08", "+12024-11-08"),
        ("strike", "220.000", "abc"),
        ("strike", "220.000", "nan"),
        ("strike", "220.000", "inf"),
        ("right", "CALL", "STRADDLE"),
        ("right", "CALL", ""),
        ("timestamp", "2024-11-04T09:31:00", "2024-11-04T09:31:00Z"),
        ("timestamp", "2024-11-04T09:31:00", "2024-11-04T09:31:00-05:00"),
        ("timestamp", "2024-11-04T09:31:00", "34260000"),
        ("timestamp", "2024-11-04T09:31:00", ""),
        ("timestamp", "2024-11-04T09:31:00", "-2024-11-04T09:31:00"),
        ("timestamp", "2024-11-04T09:31:00", "+12024-11-04T09:31:00.5"),
        ("bid_size", "598", "5.5"),
        ("bid_size", "598", "99999999999999999999"),
        ("bid_size", "598", ""),
        ("bid", "4.55", "-inf"),
        ("ask", "4.70", "4,70"),
        ("ask_condition", ",50\n", ",70000\n"),
    ],
)
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_value_that_does_not_parse_is_rejected_with_its_column(name: str, good: str, bad: str, place: str):
    wrong = (ROW + "\n").replace(good, bad, 1) if good[-1] != "\n" else (ROW + "\n").replace(good, bad)
    body = wrong + (ROW + "\n") * 3 if place == "first" else (ROW + "\n") * 3 + wrong
    reason = rejection(f"{HEADER}\n{body}")
    if bad == "4,70":
        assert "does not have the header's 13 fields" in reason
    else:
        assert f"column {name} " in reason
        assert (bad.strip(",\n") or "empty") in reason


@pytest.mark.parametrize("line", [ROW.rpartition(",")[0], ROW + ",7", "", "   ", '"AAPL'], ids=repr)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_line_of_another_shape_is_rejected(line: str, place: str):
    at = {"first": 0, "middle": 2, "last": 4}[place]
    lines = [ROW] * 4
    lines.insert(at, line)
    rejection("\n".join([HEADER, *lines, ""]))


def test_bytes_that_are_no_text_are_rejected():
    reader = RowReader(QUOTES, HEADER.encode(), Asked("AAPL", DAY))
    with pytest.raises(DayEnded):
        reader.read(ROW.encode().replace(b"CALL", b"\xff\xfe") + b"\n")


@pytest.mark.parametrize(
    ("wall_clock", "ok"),
    [
        ("2024-11-03T23:59:59", False),
        ("2024-11-04T00:00:00", True),
        ("2024-11-04T23:59:59", True),
        ("2024-11-05T00:00:00", False),
    ],
)
def test_rows_of_another_new_york_day_are_rejected_with_their_count(wall_clock: str, ok: bool):
    body = f"{HEADER}\n{ROW}\n" + f"{ROW.replace('2024-11-04T09:31:00', wall_clock)}\n" * 2
    if ok:
        assert read(body).height == 3
    else:
        assert f"2 rows are of {wall_clock[:10]}, and not of 2024-11-04" in rejection(body)


def test_contracts_come_once_each():
    body = b'symbol,expiration,strike,right\r\n"QQQ","2024-01-05",80.500,"PUT"\r\n' + b"QQQ,2024-01-05,80.5,PUT\r\n"
    assert read_contracts(body, ["QQQ"]).rows() == [("QQQ", date(2024, 1, 5), 80.5, "PUT")]


def test_lists_of_another_root_are_rejected():
    with pytest.raises(DayEnded):
        read_contracts(b"symbol,expiration,strike,right\nSPY,2024-01-05,80.500,PUT\n", ["QQQ"])
    with pytest.raises(DayEnded):
        read_expirations(b"symbol,expiration\nSPY,2024-01-05\n", ["QQQ"])


def test_blocks_read_apart_are_the_whole():
    lines = [f"{ROW.replace('220.000', f'{strike}.000')}\n" for strike in range(200, 230)]
    whole = read(HEADER + "\n" + "".join(lines))
    reader = RowReader(QUOTES, HEADER.encode(), Asked("AAPL", DAY))
    for size in (1, 7, 29):
        blocks = [lines[start : start + size] for start in range(0, len(lines), size)]
        assert pl.concat(reader.read("".join(block).encode()) for block in blocks).equals(whole)


def test_every_pair_of_spellings_mixes_within_one_body():
    plain, quoted = ROW, ROW.replace("AAPL", '"AAPL"').replace("CALL", '"CALL"').replace(":00,", ":00.000,")
    for first, second in itertools.product([plain, quoted], repeat=2):
        frame = read(f"{HEADER}\n{first}\r\n{second}\n")
        assert frame.row(0) == frame.row(1)
