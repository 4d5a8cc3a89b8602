"""Splits: read from the user's small table, applied to bars while they are read, and what the bars say of missing ones.

A table is a CSV, YAML or JSON file with the names of Polygon's reference data: ``ticker``, ``execution_date`` (the
first session at the new price), ``split_from`` and ``split_to``: 1 to 4 is four shares for one, 10 to 1 a reverse
split. An answer of Polygon's ``/v3/reference/splits`` that was saved as JSON is such a file.

Bars of Polygon are unadjusted. Those of IB are adjusted for the splits up to the day on which a session was fetched
(IBKR Campus, "TWS API Documentation", Historical Bar Data), as each file's footer has it: a split is applied to them
only if the session was fetched before it. That a request on the day itself, in New York, gets the new scale is assumed.

Here: the table, the factors, the jumps that no split explains. Not here: what a jump is (``quality.split_jumps``), and
reading bars (``bars``).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from data_assets.counts import count_of
from data_assets.lake.bars import TIME
from data_assets.lake.errors import one_line
from data_assets.quality.split_jumps import NEWS, TOLERANCE, Jump, Night, jump_of

_COLUMNS = ("ticker", "execution_date", "split_from", "split_to")


@dataclass(frozen=True, slots=True)
class Split:
    """One split.

    Attributes:
        ticker: as the bars have it.
        day: the first session at the new price.
        factor: shares after it for each share before; below 1 for a reverse split.
    """

    ticker: str
    day: date
    factor: float


Splits = str | Path | Iterable[Split]


def read_splits(path: Path) -> list[Split]:
    """Read a table of splits, the oldest first.

    Args:
        path: ends with ``.csv``, ``.yaml``, ``.yml`` or ``.json``.

    Raises:
        ValueError: the file cannot be read as such a table, or a row says no split; the text names file and row.
    """
    goes_on = False
    try:
        if path.suffix.lower() == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                lines = (line for line in file if not line.startswith("#"))
                table = csv.DictReader(lines, skipinitialspace=True)
                rows: Any = list(table)
            if not set(_COLUMNS) <= set(table.fieldnames or ()):  # an empty file, too, is no table without splits
                raise ValueError(f"{path}: its first line must name {', '.join(_COLUMNS)}, with commas between them")
        else:
            import yaml  # which reads JSON, too; nobody else needs it here

            rows = yaml.safe_load(path.read_text(encoding="utf-8"))
            goes_on = isinstance(rows, dict) and bool(rows.get("next_url"))
            rows = rows.get("results") if isinstance(rows, dict) else rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: cannot be read as a table of splits ({one_line(error, 120)})") from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "yaml":
            raise
        raise ValueError(f"{path}: is neither YAML nor JSON ({one_line(error, 120)})") from None
    if goes_on:  # the splits of the pages to come would silently be applied to nothing
        raise ValueError(
            f"{path}: is one page of an answer that goes on at its next_url: put the results of all pages into one "
            "file, without next_url, or ask for one ticker with limit=1000"
        )
    if not isinstance(rows, list):
        raise ValueError(f"{path}: must be a list of splits, each with {', '.join(_COLUMNS)}")
    return sorted((_split(path, number, row) for number, row in enumerate(rows, 1)), key=lambda split: split.day)


def _split(path: Path, number: int, row: Any) -> Split:
    where = f"{path}: split {number}"
    if not isinstance(row, Mapping) or any(row.get(name) in (None, "") for name in _COLUMNS):
        raise ValueError(f"{where} must have {', '.join(_COLUMNS)}")
    if not isinstance(row["ticker"], str):  # YAML takes ON, NO and TRUE for truth values: no bar would ever match
        raise ValueError(f"{where}: the ticker is read as {row['ticker']!r}: put it in quotes, as in ticker: 'ON'")
    try:
        day = date.fromisoformat(str(row["execution_date"]).strip())
        before, after = (float(row[name]) for name in ("split_from", "split_to"))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}, of {one_line(row['ticker'], 20)}: {one_line(error, 80)}") from None
    if not (0 < before < math.inf and 0 < after < math.inf):
        raise ValueError(f"{where}, of {one_line(row['ticker'], 20)}: split_from and split_to must be above 0")
    return Split(row["ticker"].strip(), day, after / before)


def splits_of(splits: Splits, ticker: str) -> list[Split]:
    """The splits of one ticker, the oldest first; spelt with a space or a dot, as IB and others do.

    One that is told twice, as where two saved answers overlap, is one.

    Raises:
        ValueError: a file is no table of splits, or two splits of one day contradict each other.
    """
    known = read_splits(Path(splits)) if isinstance(splits, (str, Path)) else splits
    spelt = ticker.replace(" ", ".")
    found: dict[date, Split] = {}
    for each in known:
        if each.ticker.replace(" ", ".") != spelt:
            continue
        if (other := found.setdefault(each.day, each)).factor != each.factor:
            raise ValueError(
                f"splits of {ticker} on {each.day}: told as {_words(other.factor)} and as {_words(each.factor)}; "
                "leave one of them in the table"
            )
    return [found[day] for day in sorted(found)]


def factors(
    days: Iterable[date], splits: Sequence[Split], fetched_on: Callable[[date], date] | None = None
) -> dict[date, float]:
    """By how much the shares of each day are to be multiplied, and its prices to be divided.

    Args:
        days: sessions.
        splits: of one ticker; those after the last of the days count as well.
        fetched_on: the New York date on which a session was fetched, where the vendor adjusts as of then.
    """
    found = {}
    for day in days:
        later = [split for split in splits if day < split.day]
        if later and fetched_on is not None:
            fetched = fetched_on(day)
            later = [split for split in later if fetched < split.day]
        found[day] = math.prod(split.factor for split in later)
    return found


def adjusted(bars: pl.LazyFrame, begins: Mapping[date, datetime], by_day: Mapping[date, float]) -> pl.LazyFrame:
    """Bars with prices and volumes in the shares of after the last split; counts of trades stay.

    Args:
        bars: in the one vocabulary, in order of time.
        begins: the first instant of each day.
        by_day: as `factors` returns them, for the same days.
    """
    steps = [(begins[day], by_day[day]) for day in sorted(by_day)]
    if all(factor == 1 for _, factor in steps):
        return bars
    table = pl.LazyFrame(steps, schema={TIME: pl.Datetime("us", "UTC"), "_factor": pl.Float64()}, orient="row")
    names = bars.collect_schema().names()
    priced = [name for name in ("open", "high", "low", "close", "vwap") if name in names]
    return (
        bars.join_asof(table, on=TIME, strategy="backward", check_sortedness=False)
        .with_columns(*(pl.col(name) / pl.col("_factor") for name in priced), pl.col("volume") * pl.col("_factor"))
        .select(names)
    )


@dataclass(frozen=True, slots=True)
class SplitJump:
    """A night over which the stored bars of a ticker changed as at a split that nobody told of, or one that was told.

    Attributes:
        jump: the two sessions, the ratio of their prices, and the usual split that is closest; or the one that the
            table has and the bars have not.
        fetch_again: sessions that are in the scale of before it, oldest first, where the vendor adjusts as of the
            request: fetched again they fit the others. Empty for a vendor that does not adjust.
        advice: what to do, in one line.
    """

    jump: Jump
    fetch_again: tuple[date, ...]
    advice: str


def found_in(
    dataset: str, ticker: str, night: Night, splits: Sequence[Split], tell: Callable[[Jump], SplitJump]
) -> SplitJump | None:
    """What the unadjusted bars of a night say against the known splits: one is missing, or is not in the bars.

    Args:
        dataset: which bars.
        ticker: whose.
        night: how the price went.
        splits: those of the ticker that are known.
        tell: says what is to be done about a jump that no known split explains.
    """
    known = [split for split in splits if night.before < split.day <= night.after]
    between = math.prod(split.factor for split in known)
    if between == 1:
        return None if (jump := jump_of(night)) is None else tell(jump)
    left = night.ratio / between
    is_near = max(left, 1 / left) <= NEWS and abs(math.log(left)) < abs(math.log(night.ratio))
    if is_near or abs(left - 1) <= 2 * TOLERANCE:  # a split of less than that cannot be told from none
        return None
    told_as = " and ".join(f"{_words(split.factor)} on {split.day}" for split in known)
    advice = (
        f"{_night(dataset, ticker, night)}, and the table of splits has {told_as}, which no bar shows: adjusted by it, "
        "prices before would be wrong; correct that row of the table, or take it out"
    )
    return SplitJump(Jump(night.before, night.after, night.ratio, between), (), advice)


def _night(dataset: str, ticker: str, night: Night | Jump) -> str:
    went = (
        f"went to 1/{night.ratio:.4g} of itself" if night.ratio >= 1 else f"went to {1 / night.ratio:.4g} times itself"
    )
    if abs(night.ratio - 1) <= TOLERANCE:
        went = f"moved by {abs(1 / night.ratio - 1):.1%}"
    return f"{dataset} {ticker}: from {night.before} to {night.after} the price {went}"


def told(
    dataset: str, ticker: str, jump: Jump, days: Sequence[date], fetched_on: Callable[[date], date] | None
) -> SplitJump:
    """What is to be done about a jump.

    Args:
        dataset: which bars.
        ticker: whose.
        jump: as found.
        days: the sessions that the lake holds in the range, in order of time.
        fetched_on: as for `factors`.
    """
    night = _night(dataset, ticker, jump)
    old: tuple[date, ...] = ()
    if fetched_on is None:
        advice = (
            f"{night}, near a split of {_words(jump.factor)}: if it was one, add it to the table of splits "
            f"with the execution_date {jump.after}"
        )
    elif (earlier := fetched_on(jump.before)) != (later := fetched_on(jump.after)):
        old = tuple(day for day in days if fetched_on(day) <= min(earlier, later))
        advice = (
            f"{night}, and the two were fetched on {earlier} and {later}: if there was a split between, fetch the "
            f"{count_of(len(old), 'day')} again that were fetched before it, from {old[0]} to {old[-1]}; "
            f"run: data-assets backfill {dataset} --from {old[0]} --to {old[-1]} --only all"
        )
    else:
        advice = f"{night}, and both were fetched on {later}, so that no split explains it: look at the bars"
    return SplitJump(jump, old, advice)


def _words(factor: float) -> str:
    if factor < 1:
        return f"1 for {1 / factor:.4g}"
    return "3 for 2" if factor == 1.5 else f"{factor:.4g} for 1"
