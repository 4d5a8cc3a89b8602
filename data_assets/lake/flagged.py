"""Rows with flags beside them, or without the flagged ones: computed while they are read, a stretch of days at a time.

Here: the lazy frame that reads, flags, drops and says how much. Not here: the rules (``quality.row_flags``).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import groupby

import polars as pl
from polars.io.plugins import register_io_source

from data_assets.lake.bar_columns import IB_BARS, POLYGON_BARS
from data_assets.lake.bars import TIME
from data_assets.lake.chains import GREEKS, QUOTES
from data_assets.quality.row_flags import BAR_FLAGS, BAR_INPUT, QUOTE_FLAGS, QUOTE_INPUT, bar_flags, quote_flags
from data_assets.trading_calendar import NEW_YORK

Clean = bool | Collection[str]

_PREFIX = "flag_"
_NIGHT_BEGINS = time(20)

logger = logging.getLogger("data_assets.lake")


@dataclass(frozen=True, slots=True)
class Rule:
    """How the rows of a dataset are flagged.

    Attributes:
        flags: the columns that are added.
        reads: the columns that they are computed from, of those that are there.
        judge: computes them for one stretch of whole days.
    """

    flags: tuple[str, ...]
    reads: frozenset[str]
    judge: Callable[[pl.DataFrame], pl.DataFrame]


def rule_of(dataset: str) -> Rule:
    """The rule for a dataset's stored days, one at a time.

    Raises:
        ValueError: there is none.
    """
    if dataset.startswith((f"{QUOTES}/", f"{GREEKS}/")):
        return Rule(QUOTE_FLAGS, QUOTE_INPUT, quote_flags)
    if dataset == POLYGON_BARS or dataset.startswith(f"{IB_BARS}/"):
        return Rule(BAR_FLAGS, BAR_INPUT | {"ticker"}, _by_ticker)
    raise ValueError(
        f"{dataset}: rows are flagged of minute bars, option quotes and greeks; read this without flags and clean"
    )


def of_bars() -> Rule:
    """The rule for one ticker's bars over any stretch of days, by their time."""
    return Rule(BAR_FLAGS, BAR_INPUT | {TIME}, _by_day)


def wanted_flags(rule: Rule, clean: Clean, dataset: str) -> tuple[str, ...]:
    """The flags whose rows are to be dropped.

    Raises:
        ValueError: one of the names is none of the rule's.
    """
    if isinstance(clean, bool):
        return rule.flags if clean else ()
    names = tuple(f"{_PREFIX}{name.removeprefix(_PREFIX)}" for name in ([clean] if isinstance(clean, str) else clean))
    if unknown := [name for name in names if name not in rule.flags]:
        known = ", ".join(name.removeprefix(_PREFIX) for name in rule.flags)
        raise ValueError(f"{dataset}: clean={unknown[0].removeprefix(_PREFIX)!r} is no flag of it; it has {known}")
    return names


def flagged(
    stretches: Sequence[pl.LazyFrame], rule: Rule, *, drop: Sequence[str], keep: bool, about: str
) -> pl.LazyFrame:
    """The rows of all stretches, in order, with their flags.

    Each stretch is read as a whole, with those columns that are asked for, and given up before the next one is read.

    Args:
        stretches: frames of whole days, all with the columns of the first; at least one.
        rule: how they are flagged.
        drop: the flags whose rows are left out. How many is logged, as a warning, once the last stretch was read.
        keep: whether the flags stay, as the last columns.
        about: what is read, for that warning.
    """
    stored = stretches[0].collect_schema()
    schema = pl.Schema({**stored, **(dict.fromkeys(rule.flags, pl.Boolean()) if keep else {})})
    read_always = [name for name in stored if name in rule.reads]

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch: int | None
    ) -> Iterator[pl.DataFrame]:
        shown = list(schema) if columns is None else columns
        asked = {*shown, *(predicate.meta.root_names() if predicate is not None else ())}
        needed = [name for name in stored if name in asked or name in read_always]
        rows = dropped = 0
        reasons: Counter[str] = Counter()
        left = n_rows
        for stretch in stretches:
            frame = stretch.select(needed).collect()
            flags = rule.judge(frame)
            if keep:
                frame = frame.with_columns(flags)
            if drop:
                bad = flags.select(pl.any_horizontal(drop)).to_series()
                reasons.update({name: int(flags[name].sum()) for name in drop})
                rows, dropped = rows + frame.height, dropped + int(bad.sum())
                frame = frame.filter(~bad)
            if predicate is not None:
                frame = frame.filter(predicate)
            if left is not None:
                frame = frame.head(left)
                left -= frame.height
            yield frame.select(shown)
            if left == 0:
                break
        if drop:
            why = ", ".join(f"{name.removeprefix(_PREFIX)} {count:,}" for name, count in reasons.items() if count)
            logger.warning("%s: clean dropped %s of %s rows%s", about, f"{dropped:,}", f"{rows:,}", why and f" ({why})")

    return register_io_source(read, schema=schema)


def months_of(bars: pl.LazyFrame, days: Sequence[date]) -> list[pl.LazyFrame]:
    """Bars cut at the end of each month's last day, 20:00 in New York, where no day's bars go on."""
    lasts = [max(group) for _, group in groupby(days, key=lambda day: (day.year, day.month))]
    ends = [datetime.combine(last, _NIGHT_BEGINS, NEW_YORK) for last in lasts[:-1]]
    cuts = [pl.lit(end).dt.convert_time_zone("UTC") for end in ends]
    parts = []
    for begin, end in zip([None, *cuts], [*cuts, None], strict=True):
        part = bars if begin is None else bars.filter(pl.col(TIME) >= begin)
        parts.append(part if end is None else part.filter(pl.col(TIME) < end))
    return parts


def _by_ticker(bars: pl.DataFrame) -> pl.DataFrame:
    one = pl.Series([""]).new_from_index(0, bars.height)
    return bar_flags(bars, bars["ticker"] if "ticker" in bars.columns else one)


def _by_day(bars: pl.DataFrame) -> pl.DataFrame:
    return bar_flags(bars, bars[TIME].dt.convert_time_zone(NEW_YORK.key).dt.date())
