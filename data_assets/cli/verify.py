"""`data-assets verify`: read stored files again and find damage.

Here: going through the stored days, and turning the damaged ones red. Not here: how a file is verified (`lake`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg
from rich.markup import escape

from data_assets.cli.arguments import Asked
from data_assets.cli.display import Display
from data_assets.cli.documents import VerifiedDataset, write_document
from data_assets.cli.local_run import run_range, wait_for_the_account
from data_assets.cli.project import enter_project, open_instance
from data_assets.cli.screen import Screen
from data_assets.cli.selection import Selection
from data_assets.counts import count_of
from data_assets.lake.errors import LakeUnusable, passed_over
from data_assets.lake.lake import Lake
from data_assets.orchestration.asset_checks import latest_materialization
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_states import DayState, day_states, names_text, unrecorded_days, unrecorded_text
from data_assets.orchestration.holes import HOLE, is_taken_back
from data_assets.orchestration.integrity import damage_without_record, read_back
from data_assets.orchestration.lake_presence import refuse_absent_lake, stored_elsewhere
from data_assets.orchestration.partitions import contiguous_ranges
from data_assets.orchestration.verify_run import VERIFY, DaysRead
from data_assets.wiring import open_lake


def verify(asked: Asked, as_json: bool) -> None:
    """Verify what is asked for, record what changed, and end with 1 if not all of it is whole."""
    selection = Selection.of(asked)
    enter_project()
    selected = selection.days()
    lake = open_lake()
    console = Screen(stderr=as_json)
    found: dict[str, VerifiedDataset] = {}
    any_bad = False
    with open_instance() as instance:
        for dataset, days in selection.that_failed(instance, lake, selected).items():
            verified = verify_and_record(instance, lake, dataset, days, console)
            found[dataset.name] = VerifiedDataset(**verified.document_fields(dataset))
            any_bad |= verified.any_bad
    if as_json:
        write_document(found)
    sys.exit(selection.exit_code(holds=not any_bad))


def verify_and_record(
    instance: dg.DagsterInstance, lake: Lake, dataset: MarketDataset, days: list[str], console: Screen
) -> Verified:
    """Read a dataset's stored days, say what was found, and give those days another colour whose colour is wrong.

    Raises:
        LakeUnusable: the lake as a whole is not there.
    """
    try:
        verified = verify_dataset(instance, lake, dataset, days)
    except LakeUnusable as error:
        refuse_absent_lake(instance, lake)
        verified = Verified(error=str(error))  # of this dataset's folder alone; nothing is recorded of its days
    for line in verified.lines(dataset):
        console.print(line)
    display = Display(dataset.name, len(days), Screen(stderr=True))
    wrong = {*verified.bad, *verified.recovered, *verified.renewed}
    record_verdicts(instance, dataset, sorted(wrong), display)
    return verified


@dataclass(frozen=True)
class Verified:
    """What was found of a dataset's days; those without a file that were never stored are in none.

    Attributes:
        ok: days whose files are as recorded.
        holes: days that were accepted as holes, and have no file.
        bad: the others, with the reason.
        recovered: those of ``ok`` and ``holes`` that show red. Why they do does not matter: the disk may have been
            away, or the vendor when the day was asked for again. What was stored is there and whole.
        renewed: those of ``ok`` whose file is newer than the recorded one, but for those that a run is at, which will
            record it.
        not_compared: recorded days whose file is not here and need not be, each with where it may be.
        unrecorded: days with a whole file that nothing was recorded of, so that nothing can be compared.
        elsewhere: recorded days without a file here that were stored in another lake -> where.
        error: why nothing could be read of the dataset.
        days: the sum of what was read.
    """

    ok: list[str] = field(default_factory=list)
    holes: list[str] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)
    recovered: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    not_compared: dict[str, str] = field(default_factory=dict)
    unrecorded: list[str] = field(default_factory=list)
    elsewhere: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    days: DaysRead = field(default_factory=DaysRead, compare=False)

    @property
    def any_bad(self) -> bool:
        """Whether anything is other than it should be."""
        return bool(self.bad or self.unrecorded or self.elsewhere or self.error)

    def document_fields(self, dataset: MarketDataset) -> dict[str, Any]:
        """The fields of a `VerifiedDataset`."""
        return {
            "ok": [dataset.label(day) for day in self.ok],
            "holes": [dataset.label(day) for day in self.holes],
            "bad": {dataset.label(day): reason for day, reason in self.bad.items()},
            "not_compared": {dataset.label(day): why for day, why in self.not_compared.items()},
            "unrecorded": [dataset.label(day) for day in self.unrecorded],
            "elsewhere": [dataset.label(day) for day in self.elsewhere],
            "error": self.error,
        }

    def lines(self, dataset: MarketDataset) -> Iterator[str]:
        """What was found in words, with Rich's markup."""
        parts = " · ".join(self.days.summary().parts())
        whole = count_of(len(self.ok), dataset.unit)
        yield f"[bold]{dataset.name}[/bold]  {whole} whole, damaged: {len(self.bad):,} · {parts}"
        for day, reason in self.bad.items():
            yield f"  [red]✗[/red] {dataset.label(day)}  {escape(reason)}"
        if self.recovered:
            yield f"  [green]✓[/green] green again: {names_text([dataset.label(day) for day in self.recovered])}"
        if self.renewed:
            yield f"  [green]✓[/green] newer than recorded: {names_text([dataset.label(day) for day in self.renewed])}"
        for why, days in _by_reason(self.not_compared).items():
            yield f"  [yellow]?[/yellow] {names_text([dataset.label(day) for day in days])}  {escape(why)}"
        unrecorded = unrecorded_text(dataset, self.unrecorded) if self.unrecorded else ""
        for text in (unrecorded, self.error, elsewhere_text(dataset, self.elsewhere)):
            if text:
                yield f"  [yellow]?[/yellow] {escape(text)}"


def verify_dataset(instance: dg.DagsterInstance, lake: Lake, dataset: MarketDataset, days: list[str]) -> Verified:
    """Read the files of those of `days` that were stored.

    Raises:
        LakeUnusable: the lake, or the dataset's folder, as a whole is not there (any more).
    """
    if lake.is_there():
        lake.check_dataset(dataset.name)
    states = day_states(instance, dataset.asset_key, days, dataset.partitions)
    found = Verified(unrecorded=unrecorded_days(instance, dataset, states, lake))
    for day in tuple(found.unrecorded):
        if verdict := damage_without_record(lake, dataset, date.fromisoformat(day)):
            found.unrecorded.remove(day)
            found.days.judged(None, [verdict])
            found.bad[day] = verdict.summary
    for day, state in states.items():
        record = latest_materialization(instance, dataset.asset_key, day) if state is not DayState.MISSING else None
        if record is None or is_taken_back(record):
            continue
        when = date.fromisoformat(day)
        where = stored_elsewhere(record, lake)
        if where is not None and dataset.files.held(lake, when, when, passed_over) == set():
            found.elsewhere[day] = where
            continue
        back = read_back(lake, dataset, when, record)
        verdict = back.verdict
        found.days.judged(record, [verdict], back.unrecorded)
        if not back.is_compared:
            found.not_compared[day] = verdict.summary
        elif verdict.passed:
            (found.holes if HOLE in verdict.metadata else found.ok).append(day)
            if state is DayState.FAILED:
                found.recovered.append(day)
            if back.unrecorded is not None and state is not DayState.IN_PROGRESS:
                found.renewed.append(day)
        else:
            found.bad[day] = verdict.summary
    return found


def _by_reason(days: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for day, why in days.items():
        found.setdefault(why, []).append(day)
    return found


def elsewhere_text(dataset: MarketDataset, elsewhere: Mapping[str, str]) -> str:
    """Which days were stored in another lake than this, and what to do; empty if none was."""
    if not elsewhere:
        return ""
    days = list(elsewhere)
    return (
        f"{count_of(len(days), dataset.day)} not in this lake but stored in another, and not read: "
        f"{names_text([dataset.label(day) for day in days])} ({elsewhere[days[-1]]}); set DATA_ASSETS_LAKE to that "
        f"one, or fill this one: data-assets backfill {dataset.name}"
    )


def record_verdicts(instance: dg.DagsterInstance, dataset: MarketDataset, days: list[str], display: Display) -> None:
    """Run the asset's verify mode over days whose colour or record is wrong, so that these say what was found."""
    for first, last in contiguous_ranges(days, dataset.days_per_run, dataset.partitions):
        wait_for_the_account(instance, dataset.asset_key, display.show_wait)
        run_range(instance, dataset.asset_key, first, last, tags={VERIFY: "true"})
