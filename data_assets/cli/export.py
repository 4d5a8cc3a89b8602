"""`data-assets export`: days of a dataset, written out for a backtest engine.

Here: which days and which format were asked for, and what is said of the result. Not here: formats, refusals and
manifests (`data_assets.export`).

Judgement: without bounds, the days from the first to the last one that is stored or was tried are meant, so that a lake
that has just begun is no row of refusals; what is missing between them, or failed at either end, is refused.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any, NoReturn

import click
import dagster as dg

from data_assets.cli.documents import Export, write_document
from data_assets.cli.line_breaks import say
from data_assets.cli.project import (
    EXIT_OK,
    EXIT_SOME_DAY_DOES_NOT,
    datasets,
    enter_project,
    find_dataset,
    lake_that_is_there,
    open_instance,
)
from data_assets.cli.screen import Screen
from data_assets.cli.selection import days_between
from data_assets.cli.snapshot import snapshot_of
from data_assets.counts import count_of, part_of
from data_assets.export.days import DaysRefused, Fault, nearest_kept, not_kept_text
from data_assets.export.exporting import Exporter
from data_assets.export.exporting import export as export_days
from data_assets.export.folder import ExportFolder, ExportRefused
from data_assets.export.formats import ExportAsked, exporter_of
from data_assets.export.manifest import ExportedDay, ManifestUnreadable
from data_assets.lake.errors import LakeError, LakeUnusable
from data_assets.lake.lake import Lake
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.export_days import found_days, known_span, why_no_days
from data_assets.wiring import exports_folder, open_lake

SHAPE = ("label", "zone", "hours", "every", "grid", "fill")


def export(engine: str, key: str, options: Mapping[str, Any]) -> NoReturn:
    """Write the days, say what was written, and end this process with 1 if days were refused."""
    enter_project()
    dataset = find_dataset(key)
    lake = _lake(options["snapshot"])
    allow = [Fault(name) for name in options["allow"]]
    shape = {name: options[name] for name in SHAPE if options[name] is not None}
    try:
        exporter = exporter_of(ExportAsked(engine, dataset.name, options["ticker"], shape))
        folder = ExportFolder(exports_folder(engine, options["into"]), lake)
    except (ValueError, ExportRefused) as error:
        raise click.UsageError(str(error)) from None
    if why := why_no_days(dataset, datasets().values()):
        raise click.UsageError(why)
    with open_instance() as instance:
        days = _days(instance, dataset, lake, options)
        look = partial(found_days, instance, dataset, lake)
        try:
            if exporter.ticker is not None:
                _refuse_ticker_of_no_day(lake, dataset.name, exporter.ticker, days)
            manifest = export_days(
                exporter,
                lake,
                days,
                look,
                folder,
                allow=allow,
                progress=_progress,
            )
        except DaysRefused as error:
            if options["as_json"]:
                write_document(_document(exporter, folder, [], refused=error.refused))
            _end(str(error))
        except LakeUnusable:
            raise
        except (ExportRefused, ManifestUnreadable, LakeError) as error:
            _end(str(error))
    written = [each for day in days if (each := manifest.day(day)) is not None]
    document = _document(exporter, folder, written)
    if options["as_json"]:
        write_document(document)
    else:
        _print(document, manifest.notes)
    if not document.rows:
        _end(_why_empty(lake, exporter, days))
    sys.exit(EXIT_OK)


def _refuse_ticker_of_no_day(lake: Lake, dataset: str, ticker: str, days: Sequence[date]) -> None:
    """Go on only if some stored day could hold a row of the ticker, whatever is tolerated.

    Raises:
        DaysRefused: none could.
    """
    said = lake.statements(dataset, days)
    if said and not any(each.keeps(ticker) for each in said.values()):
        raise DaysRefused(
            f"{dataset}: not exported, no stored day from {days[0]} to {days[-1]} keeps {ticker}: "
            f"{not_kept_text(lake, dataset, ticker)}",
            {Fault.MISSING: list(said)},
        )


def _why_empty(lake: Lake, exporter: Exporter, days: Sequence[date]) -> str:
    of_days = f"{exporter.dataset}: the export is empty: "
    if exporter.ticker is None:
        return f"{of_days}the lake holds no row from {days[0]} to {days[-1]}"
    near = nearest_kept(lake, exporter.dataset, exporter.ticker)
    meant = f"; did you mean {near}?" if near else ""
    return f"{of_days}the lake holds no bar of {exporter.ticker} from {days[0]} to {days[-1]}{meant}"


def _lake(snapshot: str | None) -> Lake:
    """The lake, as of a snapshot if one is named."""
    lake = open_lake()
    if snapshot is None:
        return lake
    pinned = snapshot_of(lake_that_is_there(), snapshot)
    return Lake(lake.url, synthetic=lake.synthetic, as_of=pinned)


def _end(text: str) -> NoReturn:
    say(f"Error: {' '.join(text.split())}", err=True)
    sys.exit(EXIT_SOME_DAY_DOES_NOT)


def _days(instance: dg.DagsterInstance, dataset: MarketDataset, lake: Lake, options: Mapping[str, Any]) -> list[date]:
    start, end = options["start"], options["end"]
    if lake.as_of is not None:
        pinned = lake.held_days(dataset.name, start.first if start else date.min, end.last if end else date.max)
        if not pinned:
            raise click.UsageError(f"{dataset.name}: the snapshot {lake.as_of.name} has no day of it there")
        return pinned
    keys = days_between([dataset], start, end)[dataset]
    days = [date.fromisoformat(key) for key in keys]
    if start is None or end is None:
        span = known_span(instance, dataset, lake)
        if span is None:
            raise click.UsageError(
                f"{dataset.name}: the lake {lake.url} holds no day of it yet; "
                f"run: data-assets backfill {dataset.name} --days 10"
            )
        days = [day for day in days if (start or span[0] <= day) and (end or day <= span[1])]
        if not days:
            raise click.UsageError(
                f"{dataset.name}: no stored day lies there; there are some from {span[0]} to {span[1]}"
            )
    return days


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{part_of(done, of, 'day')}", err=True, nl=done == of)


def _document(
    exporter: Exporter,
    folder: ExportFolder,
    days: Sequence[ExportedDay],
    refused: Mapping[Fault, Sequence[date]] | None = None,
) -> Export:
    manifest = folder.manifest_path(exporter.engine, exporter.dataset, exporter.ticker)
    return Export(
        engine=exporter.engine,
        dataset=exporter.dataset,
        ticker=exporter.ticker,
        folder=str(folder.path),
        manifest=None if refused else str(manifest),
        days=[each.day for each in days if each.files],
        rows=sum(each.rows for each in days),
        allowed=_by_name((each.day, each.allowed) for each in days),
        warned=_by_name((each.day, each.warned) for each in days),
        rounded=_summed(each.rounded for each in days),
        left_out=_summed(each.left_out for each in days),
        refused={fault.value: [day.isoformat() for day in of] for fault, of in (refused or {}).items()},
    )


def _by_name(named: Iterable[tuple[str, Iterable[str]]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for day, names in named:
        for name in names:
            found.setdefault(name, []).append(day)
    return found


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)


def _print(said: Export, notes: Iterable[str]) -> None:
    console = Screen()
    of = said.dataset if said.dataset.endswith(f"/{said.ticker}") else f"{said.dataset} {said.ticker or ''}".strip()
    span = f", {said.days[0]} to {said.days[-1]}" if said.days else ""
    console.print(
        f"[bold]{said.engine}[/bold]  {of}: {count_of(len(said.days), 'day')}{span}, {count_of(said.rows, 'row')}"
    )
    for fault, days in said.allowed.items():
        console.print(f"  tolerated, {fault}: {_named(days)}", markup=False)
    for check, days in said.warned.items():
        console.print(f"  {check} warns: {_named(days)}", markup=False)
    for column, count in said.rounded.items():
        console.print(f"  rounded, as the format holds no more digits: {count:,} of {column}", markup=False)
    for why, count in said.left_out.items():
        console.print(f"  left out, {why}: {count_of(count, 'row')}", markup=False)
    for note in notes:
        console.print(f"  {note}", markup=False)
    console.print(f"  folder: {said.folder}\n  manifest: {said.manifest}", markup=False)


def _named(days: Sequence[str]) -> str:
    shown = ", ".join(days[:8])
    return shown + (f" and {len(days) - 8:,} more" if len(days) > 8 else "")
