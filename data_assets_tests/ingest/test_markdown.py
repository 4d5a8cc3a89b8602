"""Vendors' words in Markdown metadata show as they are: no links, no HTML, no further columns."""

from __future__ import annotations

import re
from datetime import date
from html import unescape

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from data_assets.ingest.markdown import markdown_table, markdown_text
from data_assets.lake.errors import one_line
from data_assets.orchestration.day_run import first_rows_table

RENDER = MarkdownIt("commonmark").enable("table")
HOSTILE = [
    "<script>alert(1)</script>",
    "[click](https://bad.example)",
    "![](http://bad.example/pixel.png)",
    "a | b | c",
    "`code` *bold* _thin_ ~~gone~~",
    "# 503 &lt; &amp;\n\n| x |\n|---|",
    "backslash \\| at an end \\",
    "https://bad.example and www.bad.example",
]


def shown(markdown: str) -> str:
    """The text of a one-cell table, as a reader sees it; it must be just text."""
    (content,) = [token for token in RENDER.parse(f"| a | b |\n|---|---|\n| x | {markdown} |") if token.content][3:]
    assert [each.type for each in content.children or []] in ([], ["text"]) or all(
        each.type in ("text", "text_special") for each in content.children or []
    ), content.children
    return "".join(each.content for each in content.children or [])


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_are_shown_as_words(text: str) -> None:
    assert shown(markdown_text(text)) == one_line(text)


@given(st.text(max_size=40).map(one_line).filter(bool))
def test_any_words_are_shown_as_they_are(text: str) -> None:
    assert shown(markdown_text(text)) == text


def test_an_address_is_no_link() -> None:
    for text in ("https://bad.example", "HTTP://bad.example", "www.bad.example", "ftp://bad.example", "a@bad.example"):
        assert not re.search(r"(?i)https?://|www\.|ftp://|@", markdown_text(text))


def test_plain_words_stay_as_they_are() -> None:
    for text in ("contract_set fails: 3 of 4,000 contracts", "BRK.A", "2024-07-01 (472: no data)"):
        assert markdown_text(text) == text


def test_a_table_has_a_cell_for_every_value_whatever_stands_in_it() -> None:
    rows = [(text, None) for text in HOSTILE]

    html = RENDER.render(markdown_table(("what | they say", "n"), rows))

    cells = [unescape(cell) for cell in re.findall(r"<t[hd]>(.*?)</t[hd]>", html)]
    assert cells == ["what | they say", "n", *(cell for text, _ in rows for cell in (one_line(text), "null"))]


def test_the_first_rows_of_a_day_are_a_table_whatever_its_tickers_are() -> None:
    frame = pl.DataFrame({"ticker": ["A|B", "<img src=x>"], "day": [date(2024, 7, 1)] * 2, "volume": [1.5, 2.0]})

    text = first_rows_table(frame)

    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {4}
    assert "<img" not in text
    assert "1.5" in text
