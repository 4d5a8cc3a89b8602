"""`data-assets coverage`: the calendar of each dataset as a picture in the terminal, or as a page.

Here: the picture, a year a row and a character a week (two weeks or more in a narrow terminal). Not here: the page
(`coverage_page`), and the days one by one (`status`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import groupby
from pathlib import Path

import click
from rich.text import Text

from data_assets.cli.arguments import Asked
from data_assets.cli.documents import write_document
from data_assets.cli.line_breaks import say
from data_assets.cli.project import enter_project, open_instance
from data_assets.cli.screen import Screen, joined
from data_assets.cli.selection import Selection
from data_assets.cli.status import COLOURS
from data_assets.orchestration.coverage import week_of_year
from data_assets.orchestration.coverage_asset import write_page
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_states import DONE, DayState
from data_assets.wiring import open_lake

WEEKS = 54
"""Of a year that begins on a Sunday in a leap year; others have fewer."""

MONTHS = "JFMAMJJASOND"
BESIDE = len("2024 ") + len(" 252/252")

STORED, PARTLY, MISSING = "█", "▄", "·"
MARKS = {
    DayState.FAILED: "x",
    DayState.IN_PROGRESS: ">",
    DayState.LACKING: "▒",
    DayState.STALE: "▒",
    DayState.HOLE: "o",
}
LEGEND = (
    (STORED, COLOURS[DayState.STORED], "stored"),
    (PARTLY, "yellow", "some missing"),
    (MISSING, "yellow", "missing"),
    ("x", COLOURS[DayState.FAILED], "failed"),
    ("▒", COLOURS[DayState.LACKING], "lacking or stale"),
    ("o", COLOURS[DayState.HOLE], "hole"),
    (">", COLOURS[DayState.IN_PROGRESS], "in progress"),
)


def coverage(asked: Asked, html: Path | None, as_json: bool) -> None:
    """Print the picture, write the page, or print one document, and end with 1 if a day has failed or is closed."""
    selection = Selection.of(asked)
    html = html and html.resolve()  # before the project's folder becomes the working one
    if html is not None and not html.parent.is_dir():
        raise click.UsageError(f"--html {html}: there is no folder {html.parent}")
    enter_project()
    days = selection.days_to_look_at()
    lake = open_lake()
    with open_instance() as instance:
        selected = selection.states(instance, lake, days)
        states = selected.states
        if html is not None:
            try:
                size = write_page(instance, states, lake, html)
            except OSError as error:
                say(f"Error: {html}: the page cannot be written: {error.strerror}", err=True)
                sys.exit(1)
    for text in selected.closed_texts:
        say(text, err=True)
    if as_json:
        write_document(
            {each.name: {each.label(day): str(state) for day, state in of.items()} for each, of in states.items()}
        )
    elif html is not None:
        say(f"wrote {html} ({-(-size // 1000):,} kB); open it in a browser")
    else:
        _print(states)
    failed = any(state is DayState.FAILED for of in states.values() for state in of.values())
    sys.exit(selection.exit_code(holds=not failed and not any(selected.closed.values())))


def _print(states: Mapping[MarketDataset, Mapping[str, DayState]]) -> None:
    console = Screen()
    weeks = next((n for n in (1, 2, 4) if BESIDE + -(-WEEKS // n) <= console.width), 8)
    for dataset, days in states.items():
        if not days:
            continue
        done = sum(state in DONE for state in days.values())
        console.print(f"[bold]{dataset.name}[/bold]  {done:,} of {len(days):,} {dataset.unit}s")
        console.print(Text("     " + _heads(weeks), style="dim"), no_wrap=True)
        for year, keys in groupby(days, lambda day: int(day[:4])):
            console.print(_row(dataset, year, {key: days[key] for key in keys}, weeks), no_wrap=True)
        console.print()
    if not any(states.values()):
        console.print("no day has failed")
        return
    length = {1: "a week", 2: "two weeks"}.get(weeks, f"{weeks} weeks")
    signs = [Text.assemble((mark, colour), f" {text}") for mark, colour, text in LEGEND]
    for line in joined([*signs, Text(f"a character is {length}", style="dim")], console.width, indent=""):
        console.print(line)


def _heads(weeks: int) -> str:
    """The initials of the months above the weeks in which they begin, in a usual year."""
    line = [" "] * -(-WEEKS // weeks)
    for month, initial in enumerate(MONTHS, 1):
        line[week_of_year(date(2026, month, 1)) // weeks] = initial
    return "".join(line)


def _weeks(dataset: MarketDataset, key: str) -> range:
    """The weeks of its year in which a day, or the most of a month, lies."""
    first = date.fromisoformat(key)
    if not dataset.monthly:
        return range(week_of_year(first), week_of_year(first) + 1)
    end = week_of_year(date(first.year, first.month + 1, 1)) if first.month < 12 else WEEKS - 1
    return range(week_of_year(first), end)


def _row(dataset: MarketDataset, year: int, days: Mapping[str, DayState], weeks: int) -> Text:
    cells: list[list[DayState]] = [[] for _ in range(-(-WEEKS // weeks))]
    for key, state in days.items():
        for place in dict.fromkeys(week // weeks for week in _weeks(dataset, key)):
            cells[place].append(state)
    row = Text(f"{year} ")
    for held in cells:
        row.append(*_cell(held))
    done = sum(state in DONE for state in days.values())
    return row.append(f" {done:,}/{len(days):,}")


def _cell(states: Sequence[DayState]) -> tuple[str, str]:
    """The mark of a few days, and its colour: of the most pressing one."""
    if not states:
        return " ", ""
    for state in (DayState.FAILED, DayState.IN_PROGRESS):
        if state in states:
            return MARKS[state], COLOURS[state]
    if DayState.MISSING in states:
        return (MISSING if all(each is DayState.MISSING for each in states) else PARTLY), COLOURS[DayState.MISSING]
    for state in (DayState.STALE, DayState.LACKING, DayState.HOLE):
        if state in states:
            return MARKS[state], COLOURS[state]
    return STORED, COLOURS[DayState.STORED]
