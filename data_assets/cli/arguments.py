"""Arguments that several commands have, which mean the same in each.

Here: their declarations, and what can be refused by looking at them alone. Not here: what they select (`selection`).
Nothing heavy is imported: `--help` and a call that is wrong by itself wait for none of Dagster's modules.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import wraps
from typing import Any

import click
from click.shell_completion import CompletionItem

from data_assets.cli.known_names import DAGSTERS


@dataclass(frozen=True)
class DaysNamed:
    """What a person named on the command line: a day, or a month.

    Attributes:
        text: as it was written.
        first: its first day.
        last: its last day; of a day the same.
    """

    text: str
    first: date
    last: date

    def __str__(self) -> str:
        return self.text


class DayOrMonth(click.ParamType[DaysNamed]):
    """A day or a month given on the command line; whether a dataset has it is asked of the datasets."""

    name = "day or month"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> DaysNamed:
        """The days, or one line that says how they are written."""
        from data_assets.span import read_days  # and the calendar with it

        try:
            return DaysNamed(value, *read_days(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Gigabytes(click.FloatRange):
    """A number of GB: what is no number, or has no end, would fulfil every bound or none."""

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, or one line that says what is wrong."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no number of GB", param, ctx)
        return float(number)


def refuse_reversed(start: DaysNamed | None, end: DaysNamed | None) -> None:
    """Refuse a range that ends before it starts.

    Raises:
        click.UsageError: it does; one line.
    """
    if start and end and end.last < start.first:
        raise click.UsageError(f"--to {end} lies before --from {start}; swap them")


def refuse_closed(start: DaysNamed, end: DaysNamed) -> None:
    """Refuse a range of the past in which no day has a session.

    Raises:
        click.UsageError: it is one; one line.
    """
    from data_assets.trading_calendar import FIRST_SESSION, sessions, utc_now, why_closed

    if start.first >= FIRST_SESSION and end.last <= utc_now().date() and not sessions(start.first, end.last):
        asked = " to ".join(dict.fromkeys((start.text, end.text)))
        of_range = "" if start.first == end.last else f"no day from {asked} has a session: "
        raise click.UsageError(of_range + why_closed(start.first))


@dataclass(frozen=True)
class Asked:
    """What a command was asked to be about.

    Attributes:
        keys: datasets, folders of them, globs, or Dagster's own syntax, as they were written.
        everything: whether all datasets are named as such.
        start: the oldest day; None for no bound.
        end: the newest day; None for no bound.
        newest: how many sessions, counted back from ``end``; None for no bound.
        failed: whether only days that show red are meant.

    Raises:
        click.UsageError: two of them contradict each other; one line.
    """

    keys: tuple[str, ...] = ()
    everything: bool = False
    start: DaysNamed | None = None
    end: DaysNamed | None = None
    newest: int | None = None
    failed: bool = False

    def __post_init__(self) -> None:
        if self.everything and self.keys:
            raise click.UsageError(f"--all and {self.keys[0]} contradict each other: name datasets, or all of them")
        if self.newest and self.start:
            raise click.UsageError(
                "--days and --from contradict each other: --days counts back from --to, or from the newest day"
            )
        refuse_reversed(self.start, self.end)
        # The first of a month names the month of a monthly dataset, closed or not: only the datasets can tell.
        if self.start and self.end and self.start.first.day > 1 and self.start.text[:7] == self.end.text[:7]:
            refuse_closed(self.start, self.end)

    @property
    def bounds(self) -> list[str]:
        """The arguments that bound its days, to be given again."""
        named = [("--from", self.start), ("--to", self.end), ("--days", self.newest)]
        return [text for option, value in named if value is not None for text in (option, str(value))]


def complete_keys(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    """The datasets and folders that a shell offers for what was typed so far; none where there is no project."""
    from data_assets.cli.known_names import known_names, names_begun

    names = known_names()
    if names is not None:
        return [CompletionItem(name) for name in names_begun(names, begun)]
    from data_assets.cli.selection import complete

    return [CompletionItem(name) for name in complete(begun)]


_LOOKS_LIKE_DAYS = re.compile(r"[0-9][0-9,./ -]*")


def keys_and_days(asked: Asked) -> tuple[Asked, tuple[DaysNamed, ...]]:
    """Of a command whose KEYs days may follow: what it was asked without them, and the days that were named one by one.

    Two days are the ends of a range, which are its bounds then; so are those of a month by itself.

    Raises:
        click.UsageError: a day cannot be read, or they cannot be meant as they stand; one line.
    """
    words = [key for key in asked.keys if _LOOKS_LIKE_DAYS.fullmatch(key)]
    keys = tuple(key for key in asked.keys if key not in words)
    named = [[_read(text.strip()) for text in word.split(",")] for word in words]
    if not named:
        return asked, ()
    if asked.bounds:
        raise click.UsageError(f"{words[0]} and {asked.bounds[0]} contradict each other: name days, or bounds")
    if len(named) > 2 or (len(named) == 2 and any(len(days) > 1 for days in named)):
        raise click.UsageError(f"{' '.join(words)}: a range has two ends, and several days are written with commas")
    first, last = named[0][0], named[-1][-1]
    if len(named) == 2 and last.last < first.first:
        raise click.UsageError(f"LAST {last} lies before DAY {first}; swap them")
    if len(named) == 1 and (len(named[0]) > 1 or first.first == first.last):
        return replace(asked, keys=keys), tuple(named[0])
    return replace(asked, keys=keys, start=first, end=last), ()


def _parted(key: str) -> list[str]:
    """The KEYs of one argument: they may have commas between them, where a comma means nothing else."""
    if DAGSTERS in key or "[" in key or _LOOKS_LIKE_DAYS.fullmatch(key):
        return [key]
    return [part.strip() for part in key.split(",") if part.strip()] or [key]  # none at all would mean every dataset


def _read(text: str) -> DaysNamed:
    try:
        return DayOrMonth().convert(text, None, None)
    except click.BadParameter as error:
        raise click.UsageError(error.message) from None


def takes_selection(
    *, failed: bool = True, days: bool = True, words: str = "[KEY]..."
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The arguments of `Asked`, which the command gets as `asked`.

    Args:
        failed: whether ``--failed`` is one of them.
        days: whether those that bound its days are.
        words: what its arguments without an option are called.
    """
    options = [
        click.argument("keys", metavar=words, nargs=-1, shell_complete=complete_keys),
        click.option("--all", "everything", is_flag=True, help="All datasets."),
    ]
    bounds = [
        click.option(
            "--from",
            "start",
            type=DayOrMonth(),
            help="First day (YYYY-MM-DD), or month (YYYY-MM); default: the oldest.",
        ),
        click.option(
            "--to", "end", type=DayOrMonth(), help="Last day (YYYY-MM-DD), or month (YYYY-MM); default: the newest."
        ),
        click.option(
            "--days", "newest", metavar="N", type=click.IntRange(min=1), help="The newest N sessions, up to --to."
        ),
    ]
    if days:
        options += bounds
    if failed:
        options.append(click.option("--failed", is_flag=True, help="Only days that failed last."))

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def with_selection(
            *,
            keys: tuple[str, ...],
            everything: bool,
            start: DaysNamed | None = None,
            end: DaysNamed | None = None,
            newest: int | None = None,
            failed: bool = False,
            **others: Any,
        ) -> Any:
            each = tuple(part for key in keys for part in _parted(key))
            return command(Asked(each, everything, start, end, newest, failed), **others)

        for option in reversed(options):
            option(with_selection)
        return with_selection

    return decorate


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")(command)
