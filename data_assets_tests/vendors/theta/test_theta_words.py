"""Words and tables told apart, however the body is cut into chunks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.ingest.outcome import DayEnded, Transient
from data_assets.vendors.theta.schema import EOD, GREEKS, OPEN_INTEREST, QUOTES
from data_assets.vendors.theta.words import LONGEST, table

HEADERS = [",".join(each.columns) for each in (QUOTES, GREEKS, OPEN_INTEREST, EOD)]
HEADERS += ["date", "symbol,expiration", '"symbol","expiration"', "\ufeffsymbol,strike", "timestamp,symbol,bid price"]


def body_of(text: bytes, size: int) -> bytes:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(text), size):
            yield text[start : start + size]

    async def read() -> bytes:
        return b"".join([chunk async for chunk in await table(chunks(), "QQQ quotes")])

    return asyncio.run(read())


@given(st.sampled_from(HEADERS), st.sampled_from(["\n", "\r\n"]), st.data())
def test_a_table_comes_through_whole_however_early_it_is_cut(header: str, line_end: str, data: st.DataObject):
    whole = (header + line_end + f"1,2,3{line_end}" * 4).encode()
    cut = data.draw(st.integers(0, len(whole)))
    if whole[:cut] == b"\xef" or whole[:cut] == b"\xef\xbb":
        return  # half of a mark is no text
    assert body_of(whole[:cut], data.draw(st.integers(1, 40))) == whole[:cut]


@given(
    st.sampled_from(
        ["No data", "NO_DATA", '{"error":"no data found"}', "<p>\nno-data\n</p>", "No data for symbol, right"]
    ),
    st.sampled_from(["", "\n", "\r\n"]),
    st.integers(1, 40),
)
def test_no_data_is_seen_however_it_is_spelled(said: str, line_end: str, size: int):
    with pytest.raises(DayEnded, match="Theta holds no data for QQQ quotes"):
        body_of((said + line_end).encode(), size)


@pytest.mark.parametrize(
    "said", ["Connection to no database", "busy", "{}", "one,two,three\n1,2,3\n", "send symbol, date\n"]
)
def test_other_words_are_shown(said: str):
    with pytest.raises(Transient, match="sent words instead of a table") as caught:
        body_of(said.encode(), 7)
    assert " ".join(said.split()) in str(caught.value)


def test_what_is_too_long_for_words_is_left_to_whoever_reads_tables():
    assert body_of(b"x" * (LONGEST + 1), 1000) == b"x" * (LONGEST + 1)
