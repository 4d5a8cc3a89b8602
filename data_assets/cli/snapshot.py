"""`data-assets snapshot`: which bytes of which days were used, and what has become of them.

Here: choosing the days, and the tables. Not here: snapshots themselves (`lake.snapshot`, `lake.pins`).
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data_assets.cli.arguments import Asked
from data_assets.cli.documents import (
    CheckedSnapshot,
    DroppedSnapshots,
    ListedSnapshot,
    SnapshotDay,
    TakenSnapshot,
    write_document,
)
from data_assets.cli.line_breaks import say
from data_assets.cli.project import (
    EXIT_OK,
    EXIT_SOME_DAY_DOES_NOT,
    datasets,
    enter_project,
    lake_that_is_there,
    open_instance,
)
from data_assets.cli.screen import FittingTable, Heading, Screen
from data_assets.cli.selection import Selection
from data_assets.counts import count_of
from data_assets.ingest.progress import bytes_text
from data_assets.lake.lake import Lake, LakeError
from data_assets.lake.layout import snapshot_path
from data_assets.lake.pins import ADDED, UNCHANGED, DayChange
from data_assets.lake.revision import MEASURES
from data_assets.lake.snapshot import Snapshot
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_states import check_states, names_text
from data_assets.orchestration.export_days import known_span, why_no_days
from data_assets.wiring import open_lake

SHORT_ID = 12
COLOURS = {
    "revised": "red",
    "changed": "red",
    "damaged": "red",
    "missing": "red",
    "added": "yellow",
    "rewritten": "dim",
}
MEANING = {
    "rewritten": "the same rows in another file",
    "changed": "another file; its rows of then are not kept, so nobody can tell whether they differ",
    "damaged": "what is there now cannot be read: backfill this day again",
    "missing": "no longer there",
    "added": "stored since, between days of the snapshot",
}


def take(name: str, asked: Asked, into: Path | None, keep: bool, as_json: bool) -> None:
    """Take a snapshot of the stored days that are asked for, and write it to a file that is not there yet."""
    try:
        snapshot_path(name)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    path = (into or Path(f"{name}.snapshot.json")).absolute()
    selection = Selection.of(asked)
    enter_project()
    selected = selection.days()
    if path.exists():
        raise click.UsageError(f"{path} is there already: give another --into, or remove it")
    if not path.parent.is_dir():
        raise click.UsageError(f"{path.parent} is no folder: give another --into")
    lake = open_lake()
    found: dict[str, list[date]] = {}
    checks: dict[str, dict[date, dict[str, str]]] = {}
    without: dict[str, list[str]] = {}
    with open_instance() as instance:
        for dataset, named in selected.items():
            keys = _as_far_as_known(named, selection, known_span(instance, dataset, lake))
            there = (
                lake.held_days(dataset.name, date.fromisoformat(keys[0]), date.fromisoformat(keys[-1])) if keys else []
            )
            asked_for = set(keys)
            days = [day for day in there if day.isoformat() in asked_for]
            without[dataset.name] = sorted(asked_for - {day.isoformat() for day in days})
            if days:
                found[dataset.name] = days
                ended = check_states(instance, dataset, [day.isoformat() for day in days])
                checks[dataset.name] = {
                    date.fromisoformat(day): {check: state.lower() for check, state in each.items()}
                    for day, each in ended.items()
                }
    if not found:
        raise click.UsageError(_why_none(selected, bounded=bool(selection.bounds)))
    with _progress(f"snapshot {name}", sum(map(len, found.values()))) as step:
        snapshot = lake.take_snapshot(name, found, keep=keep, checks=checks, pinned=lambda *_: step())
    try:
        path.write_text(snapshot.text(), encoding="utf-8")
    except OSError as error:
        raise click.ClickException(
            f"{path}: cannot be written ({error.strerror}); the lake has the snapshot {name} all the same: "
            f"{lake.locate(snapshot_path(name))}"
        ) from None
    if as_json:
        not_stored = {of: len(missing) for of, missing in without.items() if missing}
        write_document(TakenSnapshot(str(path), _listed(lake, snapshot), not_stored))
        return
    for dataset_name, of_dataset in snapshot.days.items():
        say(f"{dataset_name}: {_days(list(of_dataset))}")
    for dataset_name, missing in without.items():
        if missing and dataset_name in found:
            count = count_of(len(missing), "day")
            say(f"{dataset_name}: {count} of the range not stored, and so no part of it: {names_text(missing)}")
    say(f"{name}: {count_of(snapshot.count, 'day')}, {bytes_text(snapshot.size)}, id {snapshot.id[:SHORT_ID]}")
    say(f"written to {os.path.relpath(path)}")


def _as_far_as_known(keys: Sequence[str], asked: Asked, span: tuple[date, date] | None) -> list[str]:
    """Where a bound is left out, no day beyond the first or last that is stored or was tried is meant."""
    if span is None or asked.newest:
        return list(keys)
    first, last = (day.isoformat() for day in span)
    return [key for key in keys if (asked.start or first <= key) and (asked.end or key <= last)]


def _why_none(selected: Mapping[MarketDataset, Sequence[str]], *, bounded: bool) -> str:
    """Why none of the days that are asked for can be in a snapshot, and what to do."""
    of_days = {each: keys for each, keys in selected.items() if not why_no_days(each, datasets().values())}
    if not of_days:
        return why_no_days(next(iter(selected)), datasets().values()) or ""
    dataset, keys = next(iter(of_days.items()))
    others = f", nor any of {count_of(len(of_days) - 1, 'other dataset')}" if len(of_days) > 1 else ""
    if keys and bounded:
        span, between = " to ".join(dict.fromkeys((keys[0], keys[-1]))), f"--from {keys[0]} --to {keys[-1]}"
    else:
        span, between = "any day", "--days 10"
    return f"{dataset.name}: the lake does not hold {span}{others}; run: data-assets backfill {dataset.name} {between}"


def check(name_or_file: str, as_json: bool) -> None:
    """Say what has become of a snapshot's days, and end with 1 if any is other than it was."""
    path = Path(name_or_file).absolute()
    enter_project()
    lake = lake_that_is_there()
    snapshot = snapshot_of(lake, str(path) if path.is_file() else name_or_file)
    stamps = {name: each.revisions.stamps for name, each in datasets().items() if each.revisions is not None}
    found: list[DayChange] = []
    with _progress(f"snapshot {snapshot.name}", snapshot.count) as step:
        for change in lake.changes(snapshot, stamps):
            found.append(change)
            if change.change != ADDED:
                step()
    changed = [change for change in found if change.change != UNCHANGED]
    if as_json:
        days = [_document(change) for change in changed]
        write_document(CheckedSnapshot(snapshot.name, snapshot.id, len(found) - len(changed), days))
    else:
        _print_changes(snapshot, found, changed)
    sys.exit(EXIT_SOME_DAY_DOES_NOT if changed else EXIT_OK)


def snapshot_of(lake: Lake, name_or_file: str) -> Snapshot:
    """The lake's snapshot of a name, or that of a file, which is of the lake's kind of data."""
    path = Path(name_or_file)
    snapshot = Snapshot.read(path) if path.is_file() else _named(lake, name_or_file)
    if snapshot.synthetic != lake.synthetic:
        kind = "synthetic" if snapshot.synthetic else "real"
        raise click.UsageError(f"{snapshot.name} is of {kind} data: set DATA_ASSETS_PROFILE to the profile of its lake")
    return snapshot


def _print_changes(snapshot: Snapshot, found: Sequence[DayChange], changed: Sequence[DayChange]) -> None:
    console = Screen()
    if changed:
        headings = (Heading("dataset"), Heading("day", is_clear=True), Heading("what", is_clear=True), Heading("how"))
        rows = []
        for change in changed:
            colour = COLOURS[change.change]
            rows.append(
                (change.dataset, str(change.day), f"[{colour}]{change.change}[/{colour}]", escape(_how(change)))
            )
        console.print(FittingTable(headings, rows, rule=True))
    same = len(found) - len(changed)
    counts = Counter(change.change for change in changed)
    other = "".join(f", {count:,} {what}" for what, count in sorted(counts.items()))
    taken = f"{snapshot.taken_at:%Y-%m-%d %H:%M} UTC"
    say(f"{snapshot.name}, taken {taken}: {same:,} of {count_of(snapshot.count, 'day')} unchanged{other}")
    if lost := sum(not change.is_kept for change in changed):
        say(f"{count_of(lost, 'day')} cannot be read as of it: the lake does not hold what they were")


def _how(change: DayChange) -> str:
    if change.change in MEANING:
        return MEANING[change.change]
    return change.difference.text if change.difference else ""


def _document(change: DayChange) -> SnapshotDay:
    measured = dict.fromkeys(MEASURES) | (change.difference.metadata if change.difference else {})
    return SnapshotDay(change.dataset, change.day.isoformat(), change.change, change.is_kept, **measured)  # type: ignore[arg-type]


def list_all(as_json: bool) -> None:
    """Print the lake's snapshots."""
    enter_project()
    lake = lake_that_is_there()
    damaged: list[str] = []
    listed = [_listed(lake, snapshot) for snapshot in _all(lake, damaged)]
    if as_json:
        write_document(listed)
    elif listed:
        _print_list(listed)
    elif not damaged:
        say("the lake has no snapshot: data-assets snapshot NAME KEY...")
    if damaged:
        sys.exit(EXIT_SOME_DAY_DOES_NOT)


def _all(lake: Lake, damaged: list[str]) -> list[Snapshot]:
    """The lake's snapshots, the oldest first; each that cannot be read is said, and added to `damaged`.

    Raises:
        LakeUnusable: the lake of which the history speaks is not there; one that nobody has written has none.
    """
    if not lake.is_there():
        with open_instance():  # which refuses it
            return []
    return lake.snapshots(_telling(damaged))


def _telling(damaged: list[str]) -> Callable[[str, LakeError], None]:
    """Collect the snapshots that cannot be read, and say each in a line."""

    def tell(name: str, why: LakeError) -> None:
        damaged.append(name)
        say(f"Error: {why}; or give it up: data-assets snapshot drop {name}", err=True)

    return tell


def _print_list(listed: Sequence[ListedSnapshot]) -> None:
    numbers = ("days", "size", "kept for it")
    headings = (
        Heading("name"),
        Heading("taken (UTC)"),
        *(Heading(name, is_number=True) for name in numbers),
        Heading("id"),
        Heading("datasets"),
    )
    rows = [
        (
            escape(each.name),
            each.taken_at[:16].replace("T", " "),
            f"{each.days:,}",
            bytes_text(each.bytes),
            bytes_text(each.kept_bytes),
            each.id[:SHORT_ID],
            ", ".join(each.datasets),
        )
        for each in listed
    ]
    Screen().print(FittingTable(headings, rows))


def drop(names: Sequence[str], as_json: bool) -> None:
    """Give snapshots up."""
    enter_project()
    lake = lake_that_is_there()
    wanted = list(dict.fromkeys(names))
    damaged: list[str] = []
    there = {each.name: each for each in lake.snapshots(lambda name, _: damaged.append(name))}
    snapshots = [there[name] if name in there else _named(lake, name) for name in wanted if name not in damaged]
    freed = lake.kept_bytes(*snapshots)
    damaged_still = lake.drop_snapshots(wanted)
    _say_dropped(damaged_still, f"dropped {', '.join(wanted)}: up to {bytes_text(freed)} freed", as_json)
    if as_json:
        write_document(DroppedSnapshots(wanted, 0 if damaged_still else freed))


def _say_dropped(damaged: Sequence[str], text: str, as_json: bool) -> None:
    if damaged:
        text = (
            f"{text.partition(':')[0]}; no file was freed, as {', '.join(damaged)} may need it and cannot be read: put "
            f"it back, or give it up: data-assets snapshot drop {' '.join(damaged)}"
        )
    say(text, err=as_json)


def prune(newest: int | None, days: int | None, gb: float | None, yes: bool, as_json: bool) -> None:
    """Drop the oldest snapshots until those that are left fulfil every bound."""
    enter_project()
    lake = lake_that_is_there()
    damaged: list[str] = []
    left = _all(lake, damaged)
    dropped: list[str] = []
    since = None if days is None else datetime.now(UTC) - timedelta(days=days)
    kept = {snapshot.name: lake.kept_files(snapshot) for snapshot in left}

    def size(names: Iterable[str]) -> int:
        return sum({pin: size for name in names for pin, size in kept[name].items()}.values())

    while left and (
        (newest is not None and len(left) > newest)
        or (since is not None and left[0].taken_at < since)
        or (gb is not None and size(snapshot.name for snapshot in left) > gb * 1e9)
    ):
        dropped.append(left.pop(0).name)
    if not dropped:
        say("nothing to drop", err=as_json)
        if as_json:
            write_document(DroppedSnapshots([], 0))
        sys.exit(EXIT_SOME_DAY_DOES_NOT if damaged else EXIT_OK)
    freed = size(dropped)
    say(f"to be dropped: {', '.join(dropped)} (up to {bytes_text(freed)})", err=as_json)
    if not yes and not click.confirm("go on?", err=True):
        raise click.Abort
    damaged_still = lake.drop_snapshots(dropped)
    _say_dropped(damaged_still, f"dropped {count_of(len(dropped), 'snapshot')}", as_json)
    if as_json:
        write_document(DroppedSnapshots(dropped, 0 if damaged_still else freed))


def _named(lake: Lake, name: str) -> Snapshot:
    try:
        return lake.snapshot(name)
    except ValueError:
        raise click.UsageError(f"{name}: there is no such file, and no snapshot can have that name") from None
    except LakeError as error:
        raise click.UsageError(str(error)) from None


def _listed(lake: Lake, snapshot: Snapshot) -> ListedSnapshot:
    return ListedSnapshot(
        name=snapshot.name,
        id=snapshot.id,
        taken_at=snapshot.taken_at.isoformat(timespec="seconds"),
        datasets=list(snapshot.days),
        days=snapshot.count,
        bytes=snapshot.size,
        kept_bytes=lake.kept_bytes(snapshot),
    )


def _days(days: Sequence[date]) -> str:
    return f"{count_of(len(days), 'day')}, {days[0]}" + (f" to {days[-1]}" if len(days) > 1 else "")


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show in a terminal how many days are done; what it yields is called after each."""
    console = Screen(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task(what, total=total)
        yield lambda: shown.advance(task)
