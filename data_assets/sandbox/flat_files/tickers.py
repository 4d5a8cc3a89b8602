"""The tickers of the synthetic stock market, spelt and ordered as in the vendor's flat files.

Here: which tickers there are, and their order. Not here: their bars (`minute_bars`), and the files (`flat_files`).

The vendor marks classes with a dot and preferred shares, rights and when-issued shares with lower-case letters, so that
case matters; some tickers look like a null, a number or a truth value to a reader that guesses. Files are ordered by
root and then by the suffix as the Consolidated Tape spells it, which is not the order of bytes: ``ABR, ABRpA, ABRN``.
A file names a security as it was called on its day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from itertools import chain, count, islice

from data_assets.sandbox.market.minute_bars import LIQUID

KNOWN_TICKERS = ("AMD", "DIA", "GLD", "JPM", "KO")
"""Names that people try, in every universe that has room for them."""

TEST_TICKERS = ("CBOA", "MTEST.A", "ZJZZT", "ZTEST", "ZVZZT", "ZWZZT", "ZXZZT", "ZZZTA")
"""Tickers with which exchanges test their systems: they have bars, and nobody owns them."""

ODD_TICKERS = (
    *("BRK.A", "BRK.B", "AGM.A"),  # share classes
    *("AA", "AApB", "AAAP", "AAC"),  # where the vendor's order is not that of bytes
    *("ABR", "ABRpA", "ABRPA", "ABRN", "TPC", "TpC"),  # apart by case alone
    *("AIG", "AIGpA", "AIG.WS", "NE.WS.A", "ACND.U", "MTBpC.CL"),  # preferred, warrants, units, called
    *("BMYr", "FTVw", "BCATrw"),  # rights and when-issued
    *("NA", "NAN", "TRUE", "INF"),  # a null, a number or a truth value to a reader that guesses
    "PRN",  # no name for a file on Windows
)

RENAMED = {"META": (date(2022, 6, 9), "FB")}
"""Of a ticker, the first day on which it is the name of its company, and the name before."""

FEWEST_TICKERS = len(LIQUID) + len(ODD_TICKERS) + len(TEST_TICKERS)

_ROOT = re.compile("[A-Z]*")
_TAPE_SPELLING = str.maketrans({"p": "PR", "r": "RT", "w": "WI", ".": " "})
_LETTERS = 26
_STRIDE = 123_457  # has no factor in common with 26, so that every name comes up once
_SUFFIXES = {7: "pA", 15: ".WS", 23: ".U"}


@lru_cache(maxsize=8)
def universe(size: int) -> tuple[str, ...]:
    """``size`` tickers in the vendor's order; a larger universe holds every smaller one.

    Raises:
        ValueError: ``size`` is less than the liquid, odd and test tickers, which are in every universe.
    """
    if size < FEWEST_TICKERS:
        raise ValueError(f"a universe of {size} tickers is too small: it holds {FEWEST_TICKERS} at least")
    always = {*LIQUID, *ODD_TICKERS, *TEST_TICKERS}
    others = chain(KNOWN_TICKERS, (name for name in _names() if name not in {*always, *KNOWN_TICKERS}))
    return tuple(sorted((*always, *islice(others, size - len(always))), key=vendor_order))


def securities_on(size: int, day: date) -> tuple[tuple[str, ...], dict[str, str]]:
    """The securities of a universe by their newest names, in the order of their names on ``day``; those that differ.

    Raises:
        ValueError: as `universe`.
    """
    names = {ticker: before for ticker, (first_day, before) in RENAMED.items() if day < first_day}
    securities = universe(size)
    if names:
        in_order = sorted((vendor_order(names.get(ticker, ticker)), ticker) for ticker in securities)
        securities = tuple(ticker for _, ticker in in_order)
    return securities, names


def vendor_order(ticker: str) -> tuple[str, str]:
    """What the vendor sorts by: the root, then the suffix in the spelling of the Consolidated Tape (CMS)."""
    root = _ROOT.match(ticker)
    end = root.end() if root else 0
    return ticker[:end], ticker[end:].translate(_TAPE_SPELLING).strip()


def _names() -> Iterator[str]:
    """Four-letter names without end in sight, some followed by a preferred share, a warrant or a unit of theirs."""
    for number in count():
        rest, letters = number * _STRIDE % _LETTERS**4, ""
        for _ in range(4):
            rest, letter = divmod(rest, _LETTERS)
            letters += chr(ord("A") + letter)
        yield letters
        if number % 24 in _SUFFIXES:
            yield letters + _SUFFIXES[number % 24]
