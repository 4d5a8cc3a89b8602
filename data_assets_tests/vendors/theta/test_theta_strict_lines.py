"""The compiled reader of Theta's lines: what it takes, it reads as Polars does, and what the vendor sends, it takes."""

from __future__ import annotations

import itertools
import struct
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from data_assets.ingest.line_blocks import LineBlocks
from data_assets.ingest.outcome import DayEnded
from data_assets.sandbox.market.option_chain import Listing, chain
from data_assets.sandbox.market.option_greeks import greeks
from data_assets.sandbox.market.option_reports import eod, open_interest
from data_assets.sandbox.serving import SandboxTheta
from data_assets.sandbox.theta.text import CsvText
from data_assets.vendors.theta import strict_lines
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.schema import EOD, GREEKS, OPEN_INTEREST, QUOTES, Asked, RowReader, Table, utc_offset
from data_assets.vendors.theta.strict_lines import StrictLines
from data_assets_tests.compiled_code import needs_compiler, said_sanitized, without_compiled_code
from data_assets_tests.vendors.theta.option_days import fetch, open_lake
from data_assets_tests.vendors.theta.test_theta_schema import CAPTURED, DOCUMENTED

pytestmark = needs_compiler

TABLES = {"quotes": QUOTES, "greeks": GREEKS, "open interest": OPEN_INTEREST, "end of day": EOD}
DAYS = [date(2024, 11, 4), date(2024, 7, 1), date(2012, 6, 1), date(2024, 2, 29)]
SYMBOL = "QQQ"


def strict(table: Table, names: list[str], symbol: str, day: date) -> StrictLines:
    return StrictLines(names, table.schema, symbol=symbol, day=day, offset=utc_offset(day), computed=table.computed)


# Fields as they are spelled, and as they might be


DIGIT = st.sampled_from("0123456789")


def digits(least: int, most: int) -> SearchStrategy[str]:
    return st.text(DIGIT, min_size=least, max_size=most)


WHOLE = st.integers(0, 32767).map(str)
LARGE = st.integers(0, 10**18 - 1).map(str)
DECIMAL = st.builds("{}{}.{}".format, st.sampled_from(["", "", "-"]), WHOLE, digits(1, 10))
CLOCKS = st.integers(0, 24 * 3600 - 1).map(lambda second: f"{timedelta(seconds=second)!s:0>8}")
DATES = st.dates(date(100, 1, 1), date(9999, 12, 31)).map(str)
ODD_NUMBERS = st.one_of(
    st.builds(
        "{}{}{}{}{}".format,
        st.sampled_from(["", "", "", "-", "+", "--", " "]),
        digits(0, 20),
        st.sampled_from(["", ".", ".", ".."]),
        digits(0, 25),
        st.sampled_from(["", "", "", "", "e3", "E-7", "e400", " ", "x", "\r", "_0"]),
    ),
    st.builds("{}{}".format, st.sampled_from(["", "-", "0", "000000000000", "00000000000000000"]), WHOLE),
    st.sampled_from(
        [
            *("", "-", ".", "-.5", "5.", "-0", "-0.0", "0.0", "NaN", "nan", "-NaN", "+NaN", "NAN", "NaNs", "Na", "inf"),
            *("Infinity", "-inf", "1e309", "0x1p3", "1,5", "١", "null", "0.1", "9007199254740993", "2147483648"),
            *("32767", "32768", "-32768", "-32769", "65536", "9223372036854775807", "9223372036854775808", "1_000"),
        ]
    ),
)
ODD_DATES = st.one_of(
    DATES,
    st.builds("{}-{}-{}".format, digits(1, 5), digits(0, 3), digits(0, 3)),
    st.builds(
        "{:04}-{:02}-{:02}".format,
        st.sampled_from([0, 1, 99, 100, 400, 1582, 1600, 1700, 1882, 1900, 1969, 2000, 2023, 2024, 2100, 9999]),
        st.integers(0, 13),
        st.sampled_from([0, 1, 28, 29, 30, 31, 32]),
    ),
    st.sampled_from(["", "2024-2-9", "2024/11/08", "20241108", "-2024-11-08", "+2024-11-08", "2024-11-08 ", "NaN"]),
)


def odd_clocks(day: date) -> SearchStrategy[str]:
    fraction = digits(0, 9).map(".".__add__)
    clock = st.builds(
        "{}:{}:{}".format,
        *(st.one_of(st.integers(-1, 61).map("{:02}".format), digits(0, 3)) for _ in range(3)),
    )
    dates = st.integers(-1, 1).map(lambda days: str(day + timedelta(days=days))) | ODD_DATES
    return st.one_of(
        st.builds("{}T{}".format, st.just(day), st.builds("{}{}".format, CLOCKS, fraction)),
        st.builds("{}T{}".format, dates, CLOCKS),
        st.builds("{}T{}".format, st.just(day), clock),
        st.builds("{}{}".format, st.just(f"{day}T09:30:00"), st.sampled_from([".", "..0", ".0x", "Z", "-05:00", " "])),
        st.sampled_from(["", f"{day}", f"{day} 09:30:00", f"{day}T0930", f"{day}t09:30:00"]),
    )


ODD_TEXTS = st.sampled_from(
    ["", "C", "P", "CALL", "PUT", "call", "CALLS", "PU", "Q", "QQQ", "QQQQ", "qqq", " QQQ", "QQQ ", "NULL", "é", "\x00"]
) | st.text(max_size=6)
EXTRAS = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters=',"'), max_size=6)
ODD_EXTRAS = st.text(st.sampled_from('a,"\r\t \x00\x7fé\x80-1.#'), max_size=4)
QUOTINGS = ["{}", "{}", '"{}"', '"{}', '{}"', '""{}""', '" {}"', "'{}'"]


def usual(table: Table, name: str, day: date) -> SearchStrategy[str]:
    """A field as the vendor spells it, without quotes."""
    dtype = table.schema.get(name)
    if name == "symbol":
        return st.just(SYMBOL)
    if dtype is None:
        return EXTRAS
    if isinstance(dtype, pl.Enum):
        return st.sampled_from(["CALL", "PUT"])
    if dtype == pl.Date:
        return DATES
    if dtype == pl.Datetime:
        return st.builds("{}T{}{}".format, st.just(day), CLOCKS, st.just("") | digits(1, 6).map(".".__add__))
    if dtype == pl.Float64:
        return DECIMAL | WHOLE | st.just("NaN") if name in table.computed else DECIMAL | WHOLE
    return WHOLE if dtype == pl.Int16 else LARGE


def odd(table: Table, name: str, day: date) -> SearchStrategy[str]:
    """A field as it might be spelled by somebody."""
    dtype = table.schema.get(name)
    if dtype is None:
        return ODD_EXTRAS
    if dtype == pl.Date:
        return ODD_DATES
    if dtype == pl.Datetime:
        return odd_clocks(day)
    return ODD_NUMBERS if dtype.is_numeric() else ODD_TEXTS


@st.composite
def bodies(draw: DrawFn) -> tuple[Table, list[str], date, bytes]:
    """A table, the names of its columns as they are sent, a day, and lines: most fields usual, few of them odd."""
    table, day = draw(st.sampled_from(list(TABLES.values()))), draw(st.sampled_from(DAYS))
    names = [*table.columns, *["extra", "other"][: draw(st.integers(0, 2))]]
    if draw(st.booleans()):
        names = draw(st.permutations(names))
    line_end = draw(st.sampled_from(["\n", "\r\n"]))
    quotable = {name for name in names if name in table.columns and not table.schema[name].is_numeric()}
    quoted = draw(st.sets(st.sampled_from(sorted(quotable)))) if draw(st.booleans()) else set()
    first = {name: draw(usual(table, name, day)) for name in names}
    rows = [first]
    for _ in range(draw(st.integers(0, 3))):
        again = draw(st.sets(st.sampled_from(names), min_size=1))
        rows.append({name: draw(usual(table, name, day)) if name in again else rows[-1][name] for name in names})
    lines = [[*(f'"{row[name]}"' if name in quoted else row[name] for name in names), line_end] for row in rows]
    for _ in range(draw(st.integers(0, 2))):
        line, place = draw(st.sampled_from(lines)), draw(st.integers(0, len(names) - 1))
        line[place] = draw(st.sampled_from(QUOTINGS)).format(draw(odd(table, names[place], day)))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1]))):  # lines of another shape, and other ends of lines
        line = draw(st.sampled_from(lines))
        what = draw(st.sampled_from(["end", "short", "long", "empty"]))
        if what == "end":
            line[-1] = draw(st.sampled_from(["\n", "\r\n", "", "\r", "\n\n", "\r\r\n", ",\n", "\n\r", " \n"]))
        elif what == "short":
            del line[draw(st.integers(0, len(line) - 2))]
        elif what == "long":
            line.insert(draw(st.integers(0, len(line) - 1)), draw(ODD_EXTRAS))
        else:
            line[:] = [line[-1]]
    text = "".join(",".join(line[:-1]) + line[-1] for line in lines)
    return table, names, day, text.encode()


def outcome(reader: RowReader, *pieces: bytes | memoryview) -> object:
    """The frame, each number to the bit, or why the lines are refused."""
    try:
        frame = reader.read(*pieces)
    except DayEnded as ended:
        return str(ended)
    return frame.schema, bits(frame)


def bits(frame: pl.DataFrame) -> list[list[object]]:
    return [
        [value if value is None else struct.pack("d", value) for value in column]
        if column.dtype == pl.Float64
        else column.to_list()
        for column in frame
    ]


@given(bodies())
@settings(deadline=None, max_examples=400)
def test_lines_read_the_same_with_and_without_the_compiled_code(body: tuple[Table, list[str], date, bytes]):
    table, names, day, lines = body
    header, asked = ",".join(names).encode(), Asked(SYMBOL, day)
    with without_compiled_code():
        general = RowReader(table, header, asked)
    event("taken" if strict(table, names, SYMBOL, day).read(lines) is not None else "declined")
    assert outcome(RowReader(table, header, asked), lines) == outcome(general, lines)


@given(bodies(), st.lists(st.integers(0, 1500), min_size=2, max_size=8))
@settings(deadline=None, max_examples=200)
def test_lines_read_the_same_in_whatever_chunks_they_came(body: tuple[Table, list[str], date, bytes], cuts: list[int]):
    table, names, day, lines = body
    lines *= 3
    header, asked = ",".join(names).encode(), Asked(SYMBOL, day)
    with without_compiled_code():
        general = RowReader(table, header, asked)
    blocks = LineBlocks(10_000)
    for start, end in itertools.pairwise([0, *sorted(cuts), max([len(lines), *cuts])]):
        assert blocks.feed(lines[start:end]) is None
    pieces, tail = blocks.finish()
    taken = strict(table, names, SYMBOL, day).read(*pieces) is not None
    event(f"{'taken' if taken else 'declined'}, {min(len(pieces), 3)} pieces or more")
    assert outcome(RowReader(table, header, asked), *pieces) == outcome(general, lines[: len(lines) - len(tail)])


@given(st.lists(DECIMAL | st.builds("{}.{}".format, LARGE, digits(1, 20)) | LARGE, min_size=1, max_size=8))
@settings(deadline=None, max_examples=300)
def test_a_decimal_becomes_the_double_nearest_to_it(texts: list[str]):
    reader = StrictLines(["price"], pl.Schema({"price": pl.Float64()}), symbol="A", day=DAYS[0], offset=timedelta())
    for text in texts:
        frame = reader.read(f"{text}\n".encode())
        if sum(map(str.isdigit, text)) <= 15:
            assert frame is not None, text
        if frame is not None:
            assert bits(frame) == [[struct.pack("d", float(text))]]


# What the vendor sends


FRAMES = {"quotes": Listing.quotes, "greeks": greeks, "open interest": open_interest, "end of day": eod}
TEXTS = [
    CsvText(quoted=quoted, line_end=line_end, fraction=fraction)
    for quoted, line_end, fraction in itertools.product([False, True], ["\r\n", "\n"], ["none", ".000"])
]


@pytest.mark.parametrize("text", TEXTS, ids=str)
@pytest.mark.parametrize("history", TABLES)
def test_the_sandboxs_lines_are_taken(history: str, text: CsvText):
    table, day = TABLES[history], DAYS[0]
    sent = pl.concat([FRAMES[history](listing) for listing in chain(SYMBOL, day, 6)]).drop_nulls().rechunk()
    lines = text.rows(sent.select(*table.columns))
    frame = strict(table, [*table.columns], SYMBOL, day).read(lines)
    assert frame is not None
    assert frame.height == sent.height > 0


@pytest.mark.parametrize(
    ("body", "symbol", "day"),
    [(DOCUMENTED, "AAPL", date(2024, 11, 4)), (CAPTURED, "SPXW", date(2012, 6, 1))],
    ids=["documented", "captured"],
)
def test_the_known_samples_are_taken(body: str, symbol: str, day: date):
    lines = body.encode().partition(b"\n")[2]
    assert strict(QUOTES, [*QUOTES.columns], symbol, day).read(lines) is not None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["quotes", "greeks", "open_interest", "eod"])
async def test_a_day_is_stored_the_same_without_the_compiled_code(kind: str, tmp_path: Path):
    dataset = OptionDataset(f"theta/option_{kind}/{SYMBOL}", SYMBOL, kind)
    day, later = DAYS[0], datetime(2025, 1, 1, tzinfo=UTC)
    with SandboxTheta(contracts=12) as theta:

        async def store(folder: Path) -> tuple[bytes, str | None]:
            await fetch(theta.base_url, folder, dataset, day, clock=lambda: later)
            return pages(folder), open_lake(folder).provenance(dataset.key, day).raw_sha256

        compiled = await store(tmp_path / "compiled")
        with without_compiled_code():
            assert await store(tmp_path / "general") == compiled


def pages(folder: Path) -> bytes:
    """The one Parquet file up to its footer, which holds the time of writing."""
    (path,) = folder.rglob("*.parquet")
    file = path.read_bytes()
    (footer,) = struct.unpack("<I", file[-8:-4])
    return file[: -8 - footer]


# Memory


@pytest.mark.slow
def test_no_damaged_line_is_read_or_written_out_of_bounds(tmp_path: Path):
    source, program = Path(strict_lines.__file__).with_suffix(".c"), "data_assets_tests.vendors.theta.mutated_lines"
    taken = said_sanitized(source, program, tmp_path / "sanitized.so")
    assert int(taken) > 1000, "blocks that were read to their end"
