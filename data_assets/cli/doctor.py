"""`data-assets doctor`: whether this project could fill and keep its lake, and what to do where it could not.

Here: what is looked at, and the words for it. Not here: what a vendor is asked (`MarketDataset.probe`).

Judgements: a clock more than a minute off is named, for nights and publication times are told by it; a disk that takes
less than 20 MB a second is, for a day of ten million rows is 70 MB.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, timedelta
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import dagster as dg
import httpx
from rich.markup import escape

from data_assets.cli.arguments import Asked
from data_assets.cli.documents import Finding, write_document
from data_assets.cli.project import blocks_left_out, counted_with_runs, enter_project, open_instance
from data_assets.cli.screen import Screen
from data_assets.cli.selection import Selection
from data_assets.cli.starting import end_loading
from data_assets.cli.vendor_answers import NO_ANSWER, soon
from data_assets.compiled import left_out
from data_assets.counts import count_of
from data_assets.files import tempfiles
from data_assets.ingest.outcome import DayEnded, IngestError, NoData, NotEntitled, NotPublished
from data_assets.ingest.state_folder import StateUnusable
from data_assets.lake.disk_room import nearest_there
from data_assets.lake.errors import NO_SPACE, LakeError, LakeUnusable, one_line
from data_assets.lake.lake import Lake
from data_assets.orchestration.dataset import MarketDataset, asked_of_a_vendor
from data_assets.orchestration.log_lines import LOGS
from data_assets.orchestration.partitions import newest_day, partition_keys
from data_assets.orchestration.vendor_offer import first_day_of_plan
from data_assets.project import DEFS, SettingsError, project_folder, shown_state_folder, state_folder
from data_assets.settings import settings
from data_assets.trading_calendar import LAST_SESSION, next_session, sessions, utc_now
from data_assets.wiring import open_lake

SHOWN_VERSIONS = ("dagster", "polars", "pyarrow", "httpx", "ib_async", "pandas-market-calendars")
CLOCK_SECONDS = 60.0
SLOW_BYTES_PER_SECOND = 20_000_000
WRITTEN_BYTES = 32_000_000
CALENDAR_DAYS = 365

RUN_LOG = "data_assets.orchestration.run_log"
MARKS = {"ok": "[green]✓[/green]", "warn": "[yellow]![/yellow]", "error": "[red]✗[/red]"}
State = Literal["ok", "warn", "error"]
Verdict = tuple[State, str]


def doctor(asked: Asked, as_json: bool) -> None:
    """Print each finding as it is made, and end with 1 if one is an error."""
    selection = Selection.of(asked)
    enter_project()
    findings = []
    console = Screen(stderr=as_json)
    for finding in _examine(selection):
        end_loading()
        findings.append(finding)
        console.print(f"{MARKS[finding.state]} [bold]{escape(finding.subject)}[/bold]  {escape(finding.text)}")
    if as_json:
        write_document(findings)
    sys.exit(selection.exit_code(holds=not any(finding.state == "error" for finding in findings)))


def _examine(selection: Selection) -> Iterator[Finding]:
    lake = open_lake()
    datasets = selection.datasets()
    yield Finding("settings", "ok", f"{settings().profile} profile, project {project_folder()}, lake {lake.url}")
    for line in blocks_left_out:
        yield Finding("defs", "error", f"{line}; correct it: its dataset is left out")
    yield Finding("versions", "ok", _versions())
    yield Finding("compiled code", *_compiled_code())
    yield Finding("calendar", *_calendar())
    yield Finding("clock", *_clock())
    yield Finding("lake", *_lake(lake, datasets))
    yield Finding("state", *_folder(state_folder()))
    yield from _history()
    troubles: set[tuple[str, str]] = set()
    asked = list(dict.fromkeys(map(asked_of_a_vendor, datasets)))
    for dataset in asked if selection.keys or selection.everything else _one_of_each_kind(asked):
        yield from _vendor(lake, dataset, troubles)


def _versions() -> str:
    found = [f"{name} {version(name)}" for name in SHOWN_VERSIONS]
    return f"data_assets {version('data-assets')}, Python {platform.python_version()}, {', '.join(found)}"


def _compiled_code() -> Verdict:
    if names := left_out():
        todo = "install a C compiler, and then data_assets again (in a clone `make -B setup`)"
        return "warn", f"without {', '.join(names)} days come in more slowly, and are the same: {todo}"
    return "ok", "Theta's lines are read, its quotes counted, and rows put in order by it"


def _calendar() -> Verdict:
    left = (LAST_SESSION - utc_now().date()).days
    if left < CALENDAR_DAYS:
        return "warn", f"sessions are known to {LAST_SESSION}, {count_of(left, 'day')} from now: update data_assets"
    return "ok", f"sessions are known to {LAST_SESSION}"


def _clock() -> Verdict:
    here = utc_now()
    shown = f"{here.astimezone():%Y-%m-%d %H:%M:%S %Z}"
    if settings().profile != "live":
        return "ok", f"{shown}; compared with no other in the sandbox"
    try:
        answer = httpx.head(settings().polygon_s3_endpoint, timeout=10)
        there = parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
    except (httpx.HTTPError, KeyError, ValueError) as error:
        return "ok", f"{shown}; {settings().polygon_s3_endpoint} could not be asked for its time ({one_line(error)})"
    off = (here - there).total_seconds()
    if abs(off) > CLOCK_SECONDS:
        direction = "fast" if off > 0 else "slow"
        return "error", f"{shown}, {abs(off):,.0f} s {direction} of {settings().polygon_s3_endpoint}: set it by NTP"
    return "ok", f"{shown}, within {CLOCK_SECONDS:.0f} s of {settings().polygon_s3_endpoint}"


def _lake(lake: Lake, datasets: list[MarketDataset]) -> Verdict:
    try:
        there = lake.is_there()
        for dataset in datasets if there else ():
            lake.check_dataset(dataset.name)
    except LakeError as error:
        return "error", str(error)
    if "://" in lake.url:
        try:
            if there and (why := lake.ignores_conditions()):
                return "warn", why
        except LakeUnusable as error:
            return "error", str(error)
        except LakeError:
            pass  # of a bucket that may only be read
        return "ok", f"{lake.url} {'is there' if there else 'is new: it is made as the first day is stored'}"
    state, text = _folder(Path(lake.url))
    needed = max((dataset.typical_day_bytes * dataset.max_concurrency for dataset in datasets), default=0)
    if state == "ok" and (free := lake.free_bytes()) is not None and free < needed:
        return "error", f"{text}; the days in work at once need {needed / 1e9:.1f} GB: make room"
    return state, text if there or state == "error" else f"{text}; no lake is there yet"


def _folder(folder: Path) -> Verdict:
    """Whether a folder takes files, and how fast: what is written is synced, and removed again."""
    existing, started = folder, time.perf_counter()
    try:
        existing = nearest_there(folder)
        temp, file = tempfiles.create(existing, ".doctor")
        try:
            with file:
                file.write(os.urandom(WRITTEN_BYTES))
                file.flush()
                os.fsync(file.fileno())
        finally:
            temp.unlink(missing_ok=True)  # not its folder too, which may be the empty mount point of a disk
    except OSError as error:
        todo = "make room" if error.errno in NO_SPACE else "check its owner, permissions and mount"
        return "error", f"{existing}: takes no file ({error.strerror}): {todo}"
    speed = WRITTEN_BYTES / (time.perf_counter() - started)
    room = os.statvfs(existing)
    text = f"{folder}: {room.f_bavail * room.f_frsize / 1e9:,.1f} GB free, takes {speed / 1e6:,.0f} MB/s"
    if speed < SLOW_BYTES_PER_SECOND:
        return "warn", f"{text}: slower than a vendor sends; use another disk"
    return "ok", text


def _history() -> Iterator[Finding]:
    try:
        with open_instance() as instance:
            runs = instance.get_runs_count()
            yield Finding("run history", "ok", f"{count_of(runs, 'run')} in {shown_state_folder()}")
            yield Finding("daemon", *_daemon(instance))
            yield Finding("logs", *_logs(instance))
    except (SettingsError, LakeError, StateUnusable) as error:
        yield Finding("run history", "error", str(error))


def _daemon(instance: dg.DagsterInstance) -> Verdict:
    statuses = instance.get_daemon_statuses()
    away = sorted(name for name, status in statuses.items() if status.required and not status.healthy)
    if not away:
        return "ok", "at work"
    if len(away) == sum(status.required for status in statuses.values()):
        return "warn", "not at work: nothing is requested by itself, and backfills of the UI wait; run dagster dev"
    return "error", f"{', '.join(away)} not at work: look at the log of dagster dev, and start it again"


def _logs(instance: dg.DagsterInstance) -> Verdict:
    handlers = instance.get_python_log_dagster_handler_config().get("handlers", {})
    if not any(RUN_LOG in str(handler.get("class")) for handler in handlers.values()):
        return "warn", "dagster.yaml names no log: take `dagster_handler_config` over from a new project's (init)"
    return _folder_of_logs(state_folder() / LOGS)


def _folder_of_logs(folder: Path) -> Verdict:
    existing = nearest_there(folder)
    try:
        temp, file = tempfiles.create(existing, ".doctor")
        file.close()
        temp.unlink(missing_ok=True)
    except OSError as error:
        return "warn", f"{existing}: takes no file ({error.strerror}), so nothing is logged: check it, or move it away"
    return "ok", f"{shown_state_folder()}/{LOGS}, {count_of(settings().log_days, 'day')} of them"


def _one_of_each_kind(datasets: list[MarketDataset]) -> list[MarketDataset]:
    return list({dataset.key[:2]: dataset for dataset in reversed(datasets)}.values())[::-1]


def _vendor(lake: Lake, dataset: MarketDataset, troubles: set[tuple[str, str]]) -> Iterator[Finding]:
    """Ask for the first and the newest day; what a vendor has answered to another question is not said again.

    Args:
        lake: the lake.
        dataset: whose vendor is asked.
        troubles: vendor and text of what keeps it from answering; added to. One that is silent is not asked again.
    """
    vendor = dataset.key[0]
    days = [date.fromisoformat(day) for day in partition_keys(partitions=dataset.partitions)]
    if dataset.probe is None or not days:
        return
    for what, day, ask in (("first day", days[0], _first_day), ("newest day", days[-1], _day)):
        if (vendor, NO_ANSWER) in troubles:
            return
        trouble = ""
        try:
            with counted_with_runs():
                verdict = asyncio.run(ask(lake, dataset, day))
        except TimeoutError:
            trouble = NO_ANSWER
        except DayEnded as ended:
            state: State = "ok" if isinstance(ended.outcome, NotPublished) else "error"
            verdict = ("warn" if isinstance(ended.outcome, NoData) else state, _said(ended))
        except (IngestError, StateUnusable) as error:
            trouble = str(error)
        if (vendor, trouble) in troubles:
            continue
        if trouble:
            troubles.add((vendor, trouble))
            verdict = ("error", trouble)
        yield Finding(f"{dataset.name} {what} {day}", *verdict)


async def _day(lake: Lake, dataset: MarketDataset, day: date) -> Verdict:
    assert dataset.probe is not None
    return "ok", await soon(dataset.probe(lake, day))


async def _first_day(lake: Lake, dataset: MarketDataset, day: date) -> Verdict:
    """Whether the vendor has the day with which a dataset begins, and the plan includes it; else where it could begin.

    Days before either would show as missing for ever, and be asked for by every backfill.
    """
    ask, since = dataset.probe, await soon(dataset.begins(lake)) if dataset.begins else None
    assert ask is not None
    if since is not None and since > day:
        begins = next_session(since - timedelta(days=1))
        return "error", f"the vendor has it since {since}{_to_begin_on(dataset, day, begins)}"
    try:
        said = await soon(ask(lake, day))
    except DayEnded as ended:
        if not isinstance(ended.outcome, NotEntitled):
            raise
        included = await first_day_of_plan(sessions(day, newest_day()), lambda each: soon(ask(lake, each)))
        if included is None:
            raise
        return "error", f"{_said(ended)}; your plan begins on {included}{_to_begin_on(dataset, day, included)}"
    return "ok", said if since is None or str(since) in said else f"{said}; the vendor has it since {since}"


def _to_begin_on(dataset: MarketDataset, day: date, begins: date) -> str:
    lost = count_of(len(sessions(day, begins)) - 1, "session")
    return f": {lost} could never be stored; set first_day of {dataset.name} to {begins}, in {DEFS}"


def _said(ended: DayEnded) -> str:
    return f"{ended.outcome.name}: {ended.outcome.reason}"
