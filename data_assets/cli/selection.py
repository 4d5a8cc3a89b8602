"""Which datasets, and which of their days, a command is about: the same arguments mean the same to every verb.

Here: what the arguments select. Not here: their declarations (`arguments`), what is done with it (a module for each
verb), and how a single dataset or day is named (`project`).

Judgements: a KEY is a dataset, a folder of datasets such as a vendor, or a glob over either, whose ``*`` crosses
slashes, so that ``*QQQ`` means what it looks like. Where a ":" is in it, it is Dagster's own selection syntax.
``--days N`` counts sessions of the calendar and not of a dataset, so that all datasets are asked for the same days;
it counts back from ``--to``. A failed day is one that shows red.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import click
import dagster as dg

from data_assets.cli.arguments import Asked, DaysNamed, refuse_closed, refuse_reversed
from data_assets.cli.known_names import DAGSTERS, names_begun
from data_assets.cli.project import (
    EXIT_OK,
    EXIT_SOME_DAY_DOES_NOT,
    blocks_left_out,
    datasets,
    datasets_alone,
    definitions,
    enter_project,
    unknown,
)
from data_assets.dataset_names import WHAT_THERE_IS, named
from data_assets.lake.lake import Lake
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_states import DayState, Found, states_of, unreadable_text
from data_assets.orchestration.partitions import OutsideSpan, check_reach, newest_day, partition_keys
from data_assets.project import SettingsError
from data_assets.trading_calendar import FIRST_SESSION, sessions


@dataclass(frozen=True)
class SelectedStates:
    """The days that a command is about, as they stand.

    Attributes:
        states: dataset -> day -> its state.
        closed: dataset -> the days whose folder may not be looked into, and why.
        found: dataset -> what the look at its folders showed.
    """

    states: dict[MarketDataset, dict[str, DayState]]
    closed: dict[MarketDataset, dict[str, str]]
    found: dict[MarketDataset, Found]

    @property
    def closed_texts(self) -> list[str]:
        """What is to be said of them: a line for each dataset that has some."""
        return [unreadable_text(dataset, days) for dataset, days in self.closed.items() if days]


class Selection(Asked):
    """The datasets and days that a command was asked to be about."""

    @classmethod
    def of(cls, asked: Asked) -> Selection:
        """What was asked, to be resolved in the project."""
        return cls(**vars(asked))

    @property
    def is_one_dataset(self) -> bool:
        """Whether one dataset was named by its key, and nothing else."""
        return len(self.keys) == 1 and self.keys[0].strip("/") in datasets()

    def datasets(self) -> list[MarketDataset]:
        """The datasets, each once: those of the first key first; without any key, all.

        Raises:
            click.UsageError: a key names none; one line that says which, and what there is.
        """
        if not self.keys:
            return list(datasets().values())
        return list({each.name: each for key in self.keys for each in _named(key)}.values())

    def days(self) -> dict[MarketDataset, list[str]]:
        """The partitions of each dataset between the bounds, oldest first, whatever their state.

        Raises:
            click.UsageError: as `datasets` and `days_between`.
        """
        start, end = self._counted_back() if self.newest else (self.start, self.end)
        return days_between(self.datasets(), start, end)

    def days_to_look_at(self) -> dict[MarketDataset, list[str]]:
        """The same for a command that only looks at days: the assets of most datasets are not made for it."""
        with datasets_alone():
            return self.days()

    def _counted_back(self) -> tuple[DaysNamed | None, DaysNamed | None]:
        last = min(self.end.last, newest_day()) if self.end else newest_day()
        days = sessions(FIRST_SESSION, last)[-(self.newest or 0) :]
        return (_named_day(days[0]), _named_day(days[-1])) if days else (None, self.end)

    def that_failed(
        self, instance: dg.DagsterInstance, lake: Lake, days: Mapping[MarketDataset, list[str]]
    ) -> dict[MarketDataset, list[str]]:
        """Of `days`, those that show red where ``--failed`` asks for them alone; else all."""
        if not self.failed:
            return dict(days)
        return {dataset: list(states) for dataset, states in self.states(instance, lake, days).states.items()}

    def states(
        self, instance: dg.DagsterInstance, lake: Lake, days: Mapping[MarketDataset, list[str]]
    ) -> SelectedStates:
        """The states of `days`, or of those that show red where ``--failed`` asks for them alone."""
        found = {dataset: Found() for dataset in days}
        states = states_of(instance, days, lake, found)
        closed = {dataset: of.unreadable for dataset, of in found.items()}
        if self.failed:
            states = {
                dataset: {day: state for day, state in of.items() if state == DayState.FAILED}
                for dataset, of in states.items()
            }
            closed = {dataset: {day: of[day] for day in of if day in states[dataset]} for dataset, of in closed.items()}
        return SelectedStates(states, closed, found)

    def exit_code(self, *, holds: bool) -> int:
        """How a command about it ends: over several datasets also with 1 where a block was left out."""
        if holds and (self.is_one_dataset or not blocks_left_out):
            return EXIT_OK
        return EXIT_SOME_DAY_DOES_NOT


def _named(key: str) -> list[MarketDataset]:
    if DAGSTERS in key:
        return _by_dagster(key)
    try:
        return [datasets()[name] for name in named(datasets(), key)]
    except ValueError as error:
        raise unknown(error) from None


def _by_dagster(text: str) -> list[MarketDataset]:
    """What Dagster's selection syntax selects, such as `group:polygon` or `+key:"polygon/minute_aggs"`."""
    try:
        with warnings.catch_warnings(action="ignore"):  # Dagster warns of what its own parser calls
            selected = dg.AssetSelection.from_string(text).resolve(definitions().resolve_asset_graph())
    except dg.DagsterError as error:
        raise click.UsageError(f"{text!r} is no selection in Dagster's syntax: {error}") from None
    names = {key.to_user_string() for key in selected}
    found = [each for name, each in datasets().items() if name in names]
    if not found:
        raise unknown(ValueError(f"no dataset matches {text!r}; {WHAT_THERE_IS}"))
    return found


def days_between(
    datasets: Sequence[MarketDataset], start: DaysNamed | None, end: DaysNamed | None
) -> dict[MarketDataset, list[str]]:
    """The partitions of each dataset that `--from` and `--to` ask for, oldest first; of one dataset alone never none.

    The bounds of a range need no partition of their own: a holiday, today, or a day before the dataset's first stands
    for the nearest one inside the range. Only a day asked for by itself (the same on both sides) has to be there.

    Raises:
        click.UsageError: the range ends before it starts, is one closed day, or holds no day of any of the datasets;
            one line.
    """
    refuse_reversed(start, end)
    oldest, newest = start.first if start else None, end.last if end else None
    asked = " to ".join(dict.fromkeys(named.text for named in (start, end) if named))
    keys: dict[MarketDataset, list[str]] = {}
    outside: list[str] = []
    for dataset in datasets:
        try:
            check_reach(asked, oldest or date.min, newest or date.max, dataset.span, of=dataset.name)
        except OutsideSpan as error:
            outside.append(str(error))
        keys[dataset] = partition_keys(oldest, newest, partitions=dataset.partitions)
    if keys and len(outside) == len(keys):
        others = {1: "", 2: "; the other dataset does not have it either"}.get(
            len(outside), f"; the other {len(outside) - 1} datasets do not have it either"
        )
        raise click.UsageError(outside[0] + others)
    if start and end and not all(keys.values()):
        refuse_closed(start, end)
    return keys


def _named_day(day: date) -> DaysNamed:
    return DaysNamed(day.isoformat(), day, day)


def complete(begun: str) -> list[str]:
    """The datasets and folders whose names begin so; none where there is no project."""
    try:
        enter_project()
        return names_begun(datasets(), begun)
    except (SettingsError, click.ClickException):
        return []  # the command itself will say what is wrong
