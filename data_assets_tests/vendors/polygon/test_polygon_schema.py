"""A day's CSV, read: what becomes of every value, and what is refused."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from unittest import mock

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal.igzip_lib import IsalError

from data_assets.ingest.outcome import DayEnded, Rejected
from data_assets.trading_calendar import NEW_YORK, session
from data_assets.vendors.polygon import gzip_text
from data_assets.vendors.polygon.gzip_text import GzipCheck
from data_assets.vendors.polygon.schema import SCHEMA, SORT_BY, TEST_TICKERS, Day, first_instant, read_day, read_in_runs

DAY = date(2024, 1, 3)
HEADER = "ticker,volume,open,close,high,low,window_start,transactions"
NAMES = HEADER.split(",")


def nanoseconds(hour: int, minute: int, day: date = DAY) -> int:
    return round(datetime.combine(day, time(hour, minute), NEW_YORK).timestamp()) * 1_000_000_000


OPEN = nanoseconds(9, 30)


def line(ticker: str = "SPY", start: int = OPEN, **values: object) -> str:
    cells = {
        "ticker": ticker,
        "volume": "100",
        "open": "10",
        "close": "10.5",
        "high": "11",
        "low": "9",
        "window_start": str(start),
        "transactions": "3",
    } | {name: str(value) for name, value in values.items()}
    return ",".join(cells.values())


def read_text(text: bytes, tickers: Sequence[str] | None = None, day: date = DAY) -> Day:
    return read_file(gzip.compress(text, 1), tickers, day)


def read_file(file: bytes, tickers: Sequence[str] | None = None, day: date = DAY) -> Day:
    line_ends = checked(file).lines
    in_runs = read_runs(file, line_ends, day) if tickers is None else None
    try:
        whole = read_day(file, line_ends, session(day), tickers)
    except DayEnded:
        assert in_runs is None
        raise
    if in_runs is not None:
        assert in_runs.file == whole.file
        assert in_runs.bars.equals(whole.bars)
    return whole


def checked(file: bytes, step: int = 1 << 20) -> GzipCheck:
    check = GzipCheck()
    for start in range(0, len(file), step):
        check.feed(file[start : start + step])
    return check


def read_runs(file: bytes, line_ends: int, day: date = DAY) -> Day | None:
    """As `read_in_runs`, whose runs are the bars."""
    runs: list[pl.DataFrame] = []
    found = read_in_runs(file, line_ends, session(day), runs.append)
    assert found is None or found.bars.equals(pl.concat(runs))
    return found


def read(*lines: str, tickers: Sequence[str] | None = None, day: date = DAY, header: str = HEADER) -> Day:
    return read_text("".join(f"{each}\n" for each in (header, *lines)).encode(), tickers, day)


def refusal(*lines: str, **more: object) -> str:
    with pytest.raises(DayEnded) as caught:
        read(*lines, **more)
    assert isinstance(caught.value.outcome, Rejected)
    reason = caught.value.outcome.reason
    assert "\n" not in reason
    return reason


# The values


@pytest.mark.parametrize(
    ("volume", "price", "of"),
    [("9337", "605", "integer style"), ("9337", "619.0", "float style"), ("11475.000000", "607.560000", "decimals")],
)
def test_every_style_of_text_is_the_same_number(volume, price, of):
    row = read(line(volume=volume, open=price)).bars.row(0, named=True)
    assert (row["volume"], row["open"]) == (float(volume), float(price)), of


def test_rows_as_the_vendor_has_published_them():
    day = date(2026, 2, 23)
    bars = read(
        "QQQ,11475.000000,607.560000,605.560000,607.560000,604.960000,1771837200000000000,207",
        "QQQ,2601.175913,602.542600,602.540000,602.631800,602.510000,1771894740000000000,29",
        day=day,
    )
    assert bars.bars.rows() == [
        ("QQQ", 11475.0, 607.56, 605.56, 607.56, 604.96, datetime(2026, 2, 23, 9, tzinfo=UTC), 207, False),
        ("QQQ", 2601.175913, 602.5426, 602.54, 602.6318, 602.51, datetime(2026, 2, 24, 0, 59, tzinfo=UTC), 29, False),
    ]
    assert bars.bars.schema == SCHEMA
    assert bars.file.fractional_volume
    assert bars.file.last_bar == datetime(2026, 2, 24, 0, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    "ticker", ["NA", "NAN", "nan", "TRUE", "INF", "NULL", "None", "1E5", '"A"', "TpC", "BRK.A", "#A"]
)
def test_a_ticker_is_text_whatever_it_looks_like(ticker):
    assert read(line(ticker)).bars["ticker"].to_list() == [ticker]


def test_volume_may_be_fractional_anywhere_in_a_day_of_whole_numbers():
    lines = [line("A", OPEN + minute * 60_000_000_000) for minute in range(300)]
    day = read(*lines, line("B", volume="12.5"))
    assert day.bars["volume"].to_list() == [100.0] * 300 + [12.5]
    assert day.file.fractional_volume
    assert not read(*lines).file.fractional_volume


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_columns_are_read_by_name_and_further_ones_reported(line_end):
    names = [*reversed(NAMES), "vwap", "otc"]
    cells = [*reversed(line("ABRpA").split(",")), "10.2", "true"]
    text = "".join(",".join(row) + line_end for row in (names, cells)).encode()
    day = read_text(text)
    expected = read(line("ABRpA"))
    assert day.bars.equals(expected.bars)
    assert day.file.extra_columns == ("vwap", "otc")
    assert expected.file.extra_columns == ()


UNSEEN = ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp", "Cn")
"""The last: what this Python's table of Unicode does not know yet may be unseen by that of Polars, which is newer."""

TICKERS = st.text(
    st.characters(codec="utf-8", exclude_characters=',\n\r"', exclude_categories=UNSEEN), min_size=1, max_size=16
)
PRICES = st.integers(0, 10**12).map(lambda millionths: millionths / 1e6)
STYLES = [lambda value: f"{value:.6f}", repr, lambda value: f"{value:.6f}".rstrip("0").rstrip(".")]
ROWS = st.lists(
    st.tuples(TICKERS, PRICES, PRICES, PRICES, PRICES, PRICES, st.integers(0, 1439), st.integers(0, 10**9)),
    min_size=1,
    max_size=40,
    unique_by=lambda row: (row[0], row[6]),
)


@given(rows=ROWS, style=st.sampled_from(STYLES), wanted=st.none() | st.lists(TICKERS), data=st.data())
def test_whatever_the_order_each_row_is_read_once_and_sorted_by_bytes(rows, style, wanted, data):
    if wanted is not None:
        wanted += data.draw(st.lists(st.sampled_from([row[0] for row in rows])))
    midnight = nanoseconds(0, 0)
    text = [
        ",".join([ticker, *map(style, numbers), str(midnight + minute * 60_000_000_000), str(trades)])
        for ticker, *numbers, minute, trades in rows
    ]
    kept = [row for row in rows if wanted is None or row[0] in wanted]
    day = read(*text, tickers=wanted)
    expected = sorted(kept, key=lambda row: (row[0].encode(), row[6]))
    start = datetime.combine(DAY, time(), NEW_YORK).astimezone(UTC)
    assert day.bars.rows() == [
        (ticker, *numbers, start + timedelta(minutes=minute), trades, ticker in TEST_TICKERS)
        for ticker, *numbers, minute, trades in expected
    ]
    assert (day.file.rows, day.file.tickers) == (len(rows), len({row[0] for row in rows}))
    regular = [row[6] - 570 for row in rows if 570 <= row[6] < 960]
    assert list(day.file.minutes_present) == [regular.count(minute) for minute in range(390)]


@given(rows=ROWS, step=st.integers(1, 200), cut=st.integers(1, 200))
def test_a_file_in_the_order_of_letters_is_read_in_runs_however_its_pieces_fall(rows, step, cut):
    """The order within a letter is the vendor's: roots with their suffixes, which is not the order of bytes."""
    by_letter = sorted(rows, key=lambda row: (row[0][0], row[0].casefold(), row[6]))
    lines = [line(row[0], nanoseconds(0, 0) + row[6] * 60_000_000_000, volume=row[1]) for row in by_letter]
    text = "".join(f"{each}\n" for each in (HEADER, *lines)).encode()
    file = gzip.compress(text[:cut]) + gzip.compress(text[cut:])
    with mock.patch.object(gzip_text, "_STEP_BYTES", step):
        header = f"{HEADER}\n".encode()
        pieces = list(gzip_text.pieces(file, header))
        assert all(piece.startswith(header) for piece in pieces)
        assert header not in pieces[1:]
        assert header + b"".join(piece.removeprefix(header) for piece in pieces) == text
        in_runs = read_runs(file, len(lines) + 1)
    assert in_runs is not None
    whole = read_text(text)
    assert (in_runs.file, in_runs.identical_duplicates) == (whole.file, 0)
    assert in_runs.bars.equals(whole.bars)


@pytest.mark.parametrize(
    "lines",
    [
        [line("A"), line("B"), line("AA")],
        [line("B"), line("A")],
        [line("A"), line("A")],
        [line("A"), line("B", volume="-1")],
        [line("A"), line("B").replace(",", ";")],
    ],
    ids=["a letter comes back", "letters fall", "a repeat", "a value", "a line"],
)
def test_whatever_is_odd_is_left_to_the_reading_of_the_whole(lines):
    text = "".join(f"{each}\n" for each in (HEADER, *lines)).encode()
    with mock.patch.object(gzip_text, "_STEP_BYTES", 20):
        assert read_runs(gzip.compress(text), len(lines) + 1) is None


def test_a_member_that_isa_l_takes_amiss_is_left_to_zlib():
    """A header may carry its own checksum (RFC 1952); ISA-L loses it where the header comes in parts."""
    text = f"{HEADER}\n{line('A')}\n".encode()
    plain = gzip.compress(text, mtime=0)
    header = plain[:3] + b"\x02" + plain[4:10]
    file = header + (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little") + plain[10:]
    assert gzip.decompress(file) == text
    with mock.patch.object(gzip_text, "_STEP_BYTES", 1):
        with pytest.raises(IsalError):
            list(gzip_text.pieces(file, b""))
        assert read_runs(file, 2) is None
    assert read_day(file, 2, session(DAY), None).bars.height == 1


@pytest.mark.parametrize("mark", ["x^", "(\xb5"], ids=ascii)
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_what_marks_a_format_is_part_of_a_ticker_inside_a_file(mark, step):
    """Polars takes the first bytes of a text for a byte-order mark, or for compression."""
    with mock.patch.object(gzip_text, "_STEP_BYTES", step):
        found = read(line(f"{mark}A"))
        assert found.bars["ticker"].to_list() == [f"{mark}A"]
        assert read_runs(gzip.compress(f"{HEADER}\n{line(f'{mark}A')}\n".encode()), 2) is not None


@pytest.mark.parametrize("first", ["x" * (1 << 17), HEADER + "," + "x" * (1 << 17), HEADER + "\r\r"], ids=len)
def test_both_readings_refuse_the_same_headers(first):
    with pytest.raises(DayEnded):
        read(line(), header=first)


@pytest.mark.parametrize("order", [list(range(2_999, -1, -1)), [0, 2, 1], [1, 2, 0], [0, 1, 2]], ids=len)
def test_stretches_of_tickers_are_put_in_order(order):
    lines = [line(f"A{number:04}", OPEN + minute * 60_000_000_000) for number in order for minute in (0, 1)]
    found = read(*lines).bars
    assert found["ticker"].to_list() == [f"A{number:04}" for number in sorted(order) for _ in range(2)]
    assert found.drop("ticker").is_duplicated().all()


def test_test_tickers_are_kept_and_flagged():
    bars = read(line("ZVZZT"), line("ZTS"), line("CBOE"), line("CBOT"), line("MTEST.A")).bars
    flagged = dict(bars.select("ticker", "test_ticker").iter_rows())
    assert flagged == {"CBOE": False, "CBOT": True, "MTEST.A": True, "ZTS": False, "ZVZZT": True}


def test_blocks_of_a_ticker_are_merged():
    day = read(line("B", OPEN + 60_000_000_000), line("A"), line("B"))
    assert day.bars.select(SORT_BY).rows() == sorted(day.bars.select(SORT_BY).rows())
    assert day.file.tickers == 2


def test_minutes_of_a_half_day_are_those_of_its_session():
    day = date(2024, 11, 29)
    minutes = read(
        line(start=nanoseconds(12, 59, day)), line(start=nanoseconds(13, 0, day)), day=day
    ).file.minutes_present
    assert len(minutes) == 210
    assert minutes[-1] == 1
    assert sum(minutes) == 1


def test_bars_after_midnight_utc_are_of_the_day_before_in_new_york():
    day = read(line(start=nanoseconds(19, 59)), line(start=nanoseconds(4, 0)))
    assert day.bars["window_start"].dt.date().to_list() == [date(2024, 1, 3), date(2024, 1, 4)]


@pytest.mark.parametrize("day", [date(2024, 3, 8), date(2024, 3, 11), date(2024, 11, 1), date(2024, 11, 4)])
def test_the_whole_new_york_day_is_accepted_in_winter_and_summer(day):
    assert read(line(start=nanoseconds(0, 0, day)), line(start=nanoseconds(23, 59, day)), day=day).bars.height == 2


def test_a_start_that_is_no_whole_minute_is_kept_for_the_checks_to_see():
    assert read(line(start=OPEN + 1_000)).bars["window_start"][0] == datetime(2024, 1, 3, 14, 30, 0, 1, UTC)


# Trading at night

EVENING, NIGHT = nanoseconds(20, 0, date(2024, 1, 2)), nanoseconds(3, 59)


def of_trade_date(*starts: int, tickers: Sequence[str] | None = None) -> Day:
    text = "".join(f"{each}\n" for each in (HEADER, *(line(start=start) for start in sorted(starts)))).encode()
    file, lines = gzip.compress(text), len(starts) + 1
    whole = read_day(file, lines, session(DAY), tickers, "trade_date")
    runs: list[pl.DataFrame] = []
    in_runs = read_in_runs(file, lines, session(DAY), runs.append, "trade_date")
    assert in_runs is not None
    assert in_runs.bars.equals(whole.bars)
    return whole


def test_bars_of_the_evening_before_are_refused_with_the_setting_that_takes_them():
    reason = refusal(line(start=EVENING), line(start=NIGHT), line())
    assert "1 of 3 rows is of the evening before 2024-01-03" in reason
    assert "set dated_by: trade_date in its defs.yaml" in reason
    assert read(line(start=NIGHT), line()).bars.height == 2, "what is of the calendar date is of the day anyway"


def test_bars_of_the_evening_before_are_of_a_day_that_is_dated_by_trade_date():
    assert of_trade_date(EVENING, NIGHT, OPEN).bars["window_start"][0] == datetime(2024, 1, 3, 1, tzinfo=UTC)


def test_bars_of_the_evening_after_are_refused_with_the_setting_that_takes_them():
    with pytest.raises(DayEnded, match=r"1 of 2 rows is of the evening of 2024-01-03.* take dated_by: trade_date out"):
        of_trade_date(OPEN, nanoseconds(20, 0))


@pytest.mark.parametrize("dated_by", ["calendar_date", "trade_date"])
def test_bars_of_both_evenings_fit_neither_setting_and_none_is_advised(dated_by):
    lines = [line(start=start) for start in (EVENING, OPEN, nanoseconds(20, 0))]
    text = "".join(f"{each}\n" for each in (HEADER, *lines)).encode()
    with pytest.raises(DayEnded, match="the file is that of 2024-01-03") as caught:
        read_day(gzip.compress(text), len(lines) + 1, session(DAY), None, dated_by)
    assert "dated_by" not in caught.value.outcome.reason


@pytest.mark.parametrize("days", [-1, 1])
@pytest.mark.parametrize("dated_by", ["calendar_date", "trade_date"])
@pytest.mark.parametrize("starts", [[EVENING, NIGHT, OPEN], [NIGHT, OPEN]], ids=len)
def test_a_file_of_another_day_is_told_from_one_that_dates_otherwise(days, dated_by, starts):
    other = DAY + timedelta(days=days)
    lines = [line(start=start) for start in starts]
    text = "".join(f"{each}\n" for each in (HEADER, *lines)).encode()
    with pytest.raises(DayEnded, match=f"the file is that of {other}"):
        read_day(gzip.compress(text), len(lines) + 1, session(other), None, dated_by)


@pytest.mark.parametrize("dated_by", ["calendar_date", "trade_date"])
@given(day=st.dates(date(2024, 1, 1), date(2026, 12, 31)))
def test_every_instant_is_of_one_day(dated_by, day):
    start, end = (first_instant(each, dated_by).astimezone(NEW_YORK) for each in (day, day + timedelta(days=1)))
    hour = 20 if dated_by == "trade_date" else 0
    assert (start.hour, end.hour, end.date() - start.date()) == (hour, hour, timedelta(days=1))


# Repeats


def test_identical_repeats_are_stored_once_and_counted():
    text = [line("A"), line("A"), line("B"), line("A"), line("A", OPEN + 60_000_000_000)]
    day = read(*text)
    assert day.identical_duplicates == 2
    assert day.bars.height == 3
    assert day.file.rows == 5


def test_the_same_values_in_two_styles_are_identical():
    assert read(line(open="10"), line(open="10.000000")).identical_duplicates == 1


def test_rows_of_one_minute_that_differ_are_refused():
    reason = refusal(line("A"), line("B"), line("B"), line("B", volume="101"), line("C"), line("C", transactions="4"))
    assert "2 minutes" in reason
    assert "B at 09:30" in reason


def test_repeats_of_tickers_that_nobody_wants_do_no_harm():
    assert read(line("A"), line("B"), line("B", volume="101"), tickers=["A"]).bars.height == 1


# What mirrors made by hand do to a text


@pytest.mark.parametrize(
    ("cell", "number"),
    [("8.1e+03", 8100), ("27.000000", 27), ("2.7E1", 27), ("0.0", 0), ("3.", 3), ("1.23e2", 123), ("100e-2", 1)],
)
def test_a_count_in_another_spelling_is_the_exact_whole_number(cell, number):
    lines = [line("A"), line("B", transactions=cell), line("C")]
    assert read(*lines).bars["transactions"].to_list() == [3, number, 3]
    assert read(*lines, tickers=["B"]).bars["transactions"].to_list() == [number]


@given(counts=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=20), data=st.data())
def test_every_spelling_of_a_count_is_exact(counts, data):
    spellings = [str, "{}.0".format, "{}.000000".format, lambda count: f"{Decimal(count):e}"]
    cells = [data.draw(st.sampled_from(spellings))(count) for count in counts]
    lines = [line(f"A{number:02}", transactions=cell) for number, cell in enumerate(cells)]
    assert read(*lines).bars["transactions"].to_list() == counts


@pytest.mark.parametrize("spell", ["{}.000000", "{}e0", "{}.0e+00"])
def test_a_start_in_another_spelling_is_exact(spell):
    assert read(line(window_start=spell.format(OPEN))).bars["window_start"][0] == session(DAY).open


def test_a_start_that_was_rounded_on_its_way_is_refused_as_such():
    assert "was rounded on its way" in refusal(line("A"), line("B", window_start=f"{OPEN:.5e}"))


def test_volumes_and_prices_may_have_exponents():
    row = read(line(volume="9.3e+03", low="1e-04")).bars.row(0, named=True)
    assert (row["volume"], row["low"]) == (9300.0, 0.0001)


CLEAN = f"{HEADER}\n{line('A')}\n{line('B')}\n".encode()


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + CLEAN,
        CLEAN + b"\n",
        CLEAN + b"\n\r\n\n",
        CLEAN.replace(b"\n", b"\r\n") + b"\r\n",
        b"\xef\xbb\xbf" + CLEAN + b"\n",
    ],
)
@pytest.mark.parametrize("tickers", [None, ["A", "B"]])
def test_what_says_nothing_around_a_text_is_passed_over(text, tickers):
    assert read_text(text, tickers).bars.equals(read_text(CLEAN).bars)


@pytest.mark.parametrize("padding", [1, 7, 512, 1 << 20])
@pytest.mark.parametrize("tickers", [None, ["A", "B"]])
@pytest.mark.parametrize("step", [1, 100, 1 << 20])
def test_zeros_behind_the_compressed_data_are_passed_over(padding, tickers, step):
    packed = gzip.compress(CLEAN[:80]) + bytes(padding % 3) + gzip.compress(CLEAN[80:])
    file = packed + bytes(min(padding, 4 * step * 100))
    check = checked(file, step)
    assert (check.problem(), check.lines) == (None, 3)
    with mock.patch.object(gzip_text, "_STEP_BYTES", step):
        assert read_file(file, tickers).bars.equals(read_text(CLEAN).bars)
        if tickers is None:
            assert read_runs(file, 3) is not None


@given(tail=st.text("\r\n", max_size=6), step=st.integers(1, 50), lines=st.integers(0, 4))
def test_lines_are_counted_without_blank_ones_at_the_end_however_the_bytes_come(tail, step, lines):
    text = b"x\n" * lines + tail.encode()
    expected = lines + tail.count("\n") - max(0, (tail.count("\n") + (lines > 0)) - 1)
    assert checked(gzip.compress(text), step).lines == expected


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (CLEAN, "it is text that is not compressed, and begins with ticker,volume"),
        (b"<!DOCTYPE html><html>", "it is text that is not compressed, and begins with <!DOCTYPE html>"),
        (b"\x28\xb5\x2f\xfd\x00", "it is no gzip file, and begins with 28 b5 2f fd"),
        (gzip.compress(CLEAN) + b"PK", "bytes of something else follow the gzip file"),
        (gzip.compress(CLEAN)[:-3], "the gzip file is cut short"),
        (gzip.compress(CLEAN) + gzip.compress(CLEAN)[:9], "the gzip file is cut short"),
        (b"", "the file is empty"),
    ],
)
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_what_is_no_whole_gzip_file_is_told_by_what_it_is(file, said, step):
    assert said in (checked(file, step).problem() or "")


def test_blank_lines_inside_a_text_are_told_as_such():
    assert "1 line is blank" in refusal(line("A"), "", line("B"))


def test_a_text_in_utf_16_is_told_as_such():
    with pytest.raises(DayEnded, match="UTF-16"):
        read_text(CLEAN.decode().encode("utf-16"))


def test_a_last_row_without_a_line_end_is_told_from_one_that_is_cut():
    with pytest.raises(DayEnded, match="has all 8 fields, and whether its last number is whole cannot be told"):
        read_text(CLEAN[:-1])
    with pytest.raises(DayEnded, match="has all 8 fields"):
        read_text(CLEAN[:-1].replace(b"\n", b"\r\n"))


# What is refused


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_or_renamed_column_is_refused_with_both_headers(name):
    header = HEADER.replace(name, "renamed")
    reason = refusal(line(), header=header)
    assert name in reason
    assert header in reason
    assert HEADER in reason


def test_a_mirror_in_quotes_is_told_what_differs():
    quoted = ",".join(f'"{name}"' for name in HEADER.strip().split(","))
    assert "stand in quotes, and the vendor's do not: write the text without quotes" in refusal(line(), header=quoted)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (gzip.compress(HEADER.encode()), "compressed twice, decompress it once"),
        (b"PAR1\x15\x04\x15\x10", "is no text (it begins with 50 41 52 31"),
        (b"\x1b[2Jticker", "is no text (it begins with 1b 5b 32 4a"),
    ],
    ids=["gzip", "parquet", "escape"],
)
def test_what_is_no_text_inside_is_told_and_never_shown(header, words):
    """A second compression is what remains of a Content-Encoding that nobody undid (boto3 1257, conveyal/r5 609)."""
    with pytest.raises(DayEnded) as told:
        read_text(header + b"\n" + line().encode() + b"\n")
    reason = told.value.outcome.reason
    assert words in reason
    assert reason.isprintable()


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (
            b"\0" * 100,
            "100 characters that nobody sees, such as zeros or blanks, follow the last of 1 line: remove them",
        ),
        (b"\x1a", "1 character that nobody sees"),
        (b"  \n", "1 line is blank: remove them"),
        (b"\t\n,,,,,,,\n", "2 lines are blank"),
        (b",,,,,,,\n", "1 line is blank"),
    ],
    ids=["zeros", "end of file", "blanks", "cells", "empty cells"],
)
def test_what_nobody_sees_behind_the_rows_is_no_line_that_stops(end, words):
    with pytest.raises(DayEnded) as told:
        read_text(f"{HEADER}\n{line()}\n".encode() + end)
    assert words in told.value.outcome.reason


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_header_of_other_names_or_separators_says_what_to_do(separator):
    reason = refusal(line(), header=HEADER.replace(",", separator))
    assert f"got {separator.join(HEADER.split(',')[:2])}".replace("\t", " ") in reason
    assert "write its names in a first line, separated by commas, and compress it again" in reason


@pytest.mark.parametrize("text", [b"\n" + HEADER.encode() + b"\n", HEADER.encode() + b"\r" + b"x" * 70_000 + b"\n"])
def test_a_first_line_that_is_none_is_said(text):
    with pytest.raises(DayEnded, match="the text begins with a line that is empty, or too long: fetch the vendor's"):
        read_text(text + line().encode() + b"\n")


def test_a_file_without_a_row_is_asked_for_again_later():
    assert "a header and no row: run this day again when it is replaced" in refusal()


def test_a_column_named_twice_is_refused():
    assert "twice" in refusal(line() + ",1", header=HEADER + ",volume")


@pytest.mark.parametrize("name", ["volume", "open", "close", "high", "low", "window_start", "transactions"])
@pytest.mark.parametrize("value", ["", "x", "nan", "inf", "-1", "0x10", "1_000", "1 000"])
def test_a_value_that_is_no_number_from_0_up_is_refused_with_its_column(name, value):
    reason = refusal(line("A"), line("B", **{name: value}))
    assert name in reason
    assert value in reason.lower()


@pytest.mark.parametrize("value", ["12.5", "1.5e0", "1e-1", "99999999999999999999", "9.3e18", "1e99", "1e999", "27.x"])
@pytest.mark.parametrize("name", ["window_start", "transactions"])
def test_counts_and_starts_are_whole_numbers(name, value):
    assert name in refusal(line(**{name: value}))


def test_an_empty_ticker_is_refused():
    assert "ticker" in refusal(line("A"), line(""))


def test_a_ticker_that_no_folder_could_be_named_after_is_refused():
    assert read(line("x" * 64)).bars.height == 1
    assert "65 bytes" in refusal(line("A"), line("x" * 65))


def test_numbers_whose_sum_is_past_every_number_are_refused():
    assert "open holds 1.7e+308" in refusal(line("A", open="1.7e308"), line("B", open="1.7e308"))


@pytest.mark.parametrize("short", ["SPY,1,2", "SPY", line().rsplit(",", 1)[0], " ", line() + ",7"])
@pytest.mark.parametrize("first", [True, False])
def test_a_line_with_other_fields_than_the_header_is_refused(short, first):
    refusal(*([short, line("A")] if first else [line("A"), short]))


def test_a_lone_quote_does_not_swallow_lines():
    assert read(line('"A'), line("B")).bars["ticker"].to_list() == ['"A', "B"]


def test_starts_below_a_microsecond_are_refused():
    assert "microseconds" in refusal(line(start=OPEN + 1))


@pytest.mark.parametrize(
    ("starts", "said"),
    [
        ([OPEN, nanoseconds(9, 30, date(2024, 1, 4))], "1 of 2 rows is of 2024-01-04"),
        ([nanoseconds(19, 59, date(2024, 1, 2)), OPEN], "1 of 2 rows is of 2024-01-02"),
        ([OPEN // 1_000_000 * 1_000], "1 of 1 row is of 1970"),  # microseconds
        ([-68_400_000_000_000], "1 of 1 row is of 1969-12-31"),  # as a real file of 2025-02-10 has it
    ],
)
def test_rows_of_another_day_are_refused_with_their_number_and_both_dates(starts, said):
    reason = refusal(*(line(start=start) for start in starts))
    assert said in reason
    assert "2024-01-03" in reason


@pytest.mark.parametrize("text", ["", HEADER, HEADER + "\n", "\n", HEADER + "\n" + line(), "\xff\xfe\n" + line()])
def test_a_file_without_a_whole_line_of_data_is_refused(text):
    with pytest.raises(DayEnded) as caught:
        read_text(text.encode("latin-1"))
    assert isinstance(caught.value.outcome, Rejected)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(noise):
    text = f"{HEADER}\n{line('A')}\n".encode() + noise
    with suppress(DayEnded):
        day = read_text(text)
        assert day.file.rows == checked(gzip.compress(text)).lines - 1
        assert not any(column.has_nulls() for column in day.bars)
        assert all(math.isfinite(column.sum()) for column in day.bars.select(pl.selectors.float()))


def test_a_text_that_stops_inside_a_line_is_refused_where_that_line_parses_too():
    whole = f"{HEADER}\n{line('A')}\n{line('B')}".encode()
    with pytest.raises(DayEnded, match="the text stops inside a line, after 1 whole ones"):
        read_text(whole)
    assert read_text(whole + b"\n").file.rows == 2


def test_a_file_of_several_gzip_members_is_one_text():
    text = f"{HEADER}\n{line('A')}\n{line('B')}\n".encode()
    for cut in (0, 10, 80):  # a first member without text, and one that ends inside the header, are files too
        parts = gzip.compress(text[:cut]) + gzip.compress(text[cut:])
        assert read_day(parts, 3, session(DAY), None).bars.equals(read_text(text).bars)


@pytest.mark.parametrize(
    "ticker",
    [
        "\ufeffA",
        "x\x01A",
        "\x1fA",
        "SP\x07Y",
        "SP Y",
        "SPY\x85",
        "A\u202eB",
        "\u00a0SPY",
        "\x1b[31mSPY",
        "A\U00013439",  # Unicode 15, which Python has from 3.12 on
    ],
)
def test_a_ticker_that_cannot_be_seen_whole_is_refused(ticker: str) -> None:
    said = refusal(line(), ",".join([ticker, *line().split(",")[1:]]))
    assert "column ticker holds " in said
    assert "no ticker has a space or a character that cannot be seen" in said
    assert said.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        *(line(""), line("A", open="-1"), line("A", open="x"), line("A", transactions="1.5"), line("\x01")),
        f"{line('A')}\n{line('A', volume='9')}",
    ],
    ids=["no ticker", "negative", "no number", "half a trade", "hidden", "two that differ"],
)
def test_what_refuses_a_file_says_what_to_do_next(text):
    assert refusal(text).endswith("nothing of the file is stored, run this day again when it is replaced")
