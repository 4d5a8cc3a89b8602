"""`data-assets splits`: nights over which stored bars changed as at a split that nobody told of.

Here: which bars, and what is said. Not here: the rule and the advice (`Lake.split_jumps`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from data_assets.cli.documents import SplitNight, write_document
from data_assets.cli.line_breaks import say
from data_assets.cli.project import (
    EXIT_OK,
    EXIT_SOME_DAY_DOES_NOT,
    enter_project,
    find_dataset,
    lake_that_is_there,
)
from data_assets.cli.selection import days_between
from data_assets.lake.bar_columns import IB_BARS, POLYGON_BARS
from data_assets.lake.errors import LakeError, LakeUnusable
from data_assets.lake.lake import Lake
from data_assets.lake.splits import Split, SplitJump, read_splits


def splits(key: str, tickers: Sequence[str], table: Path | None, options: Mapping[str, Any]) -> NoReturn:
    """Print what is found, and end this process with 1 if there is anything."""
    enter_project()
    found_dataset = find_dataset(key)
    dataset = found_dataset.name
    if dataset.startswith(f"{IB_BARS}/"):
        if tickers or table:
            raise click.UsageError(f"{dataset}: is of one ticker, and adjusted by IB: leave --ticker and --table out")
        tickers = [dataset.removeprefix(f"{IB_BARS}/")]
    elif dataset != POLYGON_BARS:
        raise click.UsageError(f"{dataset}: splits are looked for in {POLYGON_BARS} and {IB_BARS}/TICKER")
    elif not tickers:
        raise click.UsageError(f"{dataset}: holds many tickers: say which with --ticker, once for each")
    days_between([found_dataset], options["start"], options["end"])
    try:
        known = read_splits(table) if table else []
        lake = lake_that_is_there()
        found = {ticker: _found(lake, dataset, ticker, known, options) for ticker in tickers}
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except LakeUnusable:
        raise
    except LakeError as error:
        say(f"Error: {error}", err=True)
        sys.exit(EXIT_SOME_DAY_DOES_NOT)
    nights = [_night(ticker, jump) for ticker, of_ticker in found.items() for jump in of_ticker]
    if options["as_json"]:
        write_document(nights)
    else:
        for night in nights:
            say(night.advice)
        if not nights:
            say(f"{dataset}: no night of {', '.join(tickers)} looks like a split that is not known")
    sys.exit(EXIT_SOME_DAY_DOES_NOT if nights else EXIT_OK)


def _found(
    lake: Lake, dataset: str, ticker: str, known: Sequence[Split], options: Mapping[str, Any]
) -> list[SplitJump]:
    stored = lake.held_days(dataset)
    if not stored:
        raise LakeError(f"{dataset}: the lake {lake.url} holds no day of it yet; run: data-assets backfill {dataset}")
    start = options["start"].first if options["start"] else stored[0]
    end = options["end"].last if options["end"] else max(stored[-1], start)
    return lake.split_jumps(ticker, start, end, splits=known, dataset=dataset)


def _night(ticker: str, found: SplitJump) -> SplitNight:
    jump = found.jump
    return SplitNight(
        ticker=ticker,
        before=str(jump.before),
        after=str(jump.after),
        ratio=jump.ratio,
        factor=jump.factor,
        fetch_again=[str(day) for day in found.fetch_again],
        advice=found.advice,
    )
