"""One export from its first day to its manifest: the days are looked at, refused or written, and recorded.

Here: the order of things, whatever the format. Not here: any format (a module each), and what is known of days
(`orchestration.export_days`).

Days that share a file are written together: those asked for, and those that an earlier run has exported into it. So a
file never holds less than before because somebody asked for a few days of it, and a day that was fetched again since is
replaced with them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from importlib.metadata import version
from itertools import groupby
from typing import Any, Protocol, runtime_checkable

import polars as pl

from data_assets.export.days import Fault, FoundDay, check_days, not_kept_text, that_keep
from data_assets.export.folder import ExportFolder, ExportRefused
from data_assets.export.manifest import ExportedDay, Manifest
from data_assets.lake.lake import Lake
from data_assets.lake.layout import partition_path
from data_assets.lake.parquet_file import SEAL
from data_assets.lake.patient_store import POLARS_OPTIONS


@dataclass(frozen=True, slots=True)
class WrittenDay:
    """What a format wrote of a day.

    Attributes:
        rows: rows written.
        files: names of the files that hold it, relative to the folder.
        rounded: values that the format could not hold as they are, by column.
        left_out: rows that were not written, by reason.
    """

    rows: int
    files: tuple[str, ...]
    rounded: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)


NOTHING = WrittenDay(0, ())

SHARE_UNSAVED = 0.05
"""How many days may be written, of those in the manifest, before it is: it is written whole, so after each of thousands
of days it would be most of the work. Files that it does not name yet are known by the folder's journal."""


class Exporter(Protocol):
    """A format, for one dataset and, of bars, one ticker."""

    @property
    def engine(self) -> str:
        """The format."""

    @property
    def dataset(self) -> str:
        """Whose days."""

    @property
    def ticker(self) -> str | None:
        """Of bars, whose."""

    @property
    def options(self) -> Mapping[str, Any]:
        """How it writes, for the manifest."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of the data before it is used."""

    def unit(self, day: date) -> str:
        """What the days that are written together have in common, such as their month."""

    def write(
        self, lake: Lake, days: Sequence[date], without: Sequence[date], folder: ExportFolder
    ) -> dict[date, WrittenDay]:
        """Write the days of one unit in place of what the folder holds of it.

        Args:
            lake: the lake.
            days: those that have a file in the lake, oldest first.
            without: those that have none, of which nothing may stay in the folder.
            folder: where to; its lock is held.

        Returns:
            Of each of ``days``, what was written.
        """


def remove_former(
    folder: ExportFolder, manifest: Manifest | None, days: Iterable[date], written: Mapping[date, WrittenDay]
) -> None:
    """Remove the files that an earlier export wrote of some days and this one did not, as of a root that is gone."""
    for day in days:
        before = manifest.day(day) if manifest else None
        for name in set(before.files if before else ()).difference(written.get(day, NOTHING).files):
            folder.remove(name)


@runtime_checkable
class Indexed(Protocol):
    """A format whose files are found by an index of all of them."""

    def index(self, manifest: Manifest, folder: ExportFolder) -> None:
        """Make the index name what the manifest names; called after each export, whether or not anything was written.

        Args:
            manifest: as it is saved.
            folder: where; its lock is held.
        """


def export(
    exporter: Exporter,
    lake: Lake,
    days: Sequence[date],
    look: Callable[[Sequence[date]], Iterable[FoundDay]],
    folder: ExportFolder,
    *,
    allow: Collection[Fault] = (),
    only_changed: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Manifest:
    """Export days, each file whole or as it was before, and record them; nothing is written if a day is refused.

    Args:
        exporter: the format.
        lake: the lake.
        days: those asked for.
        look: says what is known of days.
        folder: where to.
        allow: what is tolerated of days.
        only_changed: leave files alone whose days are as the manifest has them: the same revisions, states and checks.
        progress: told after each file how many days of how many are written.

    Returns:
        The manifest: of these days, and of those that earlier runs have exported.

    Raises:
        DaysRefused: something speaks against a day.
        ExportRefused: the folder holds something else, or the rows cannot be had in this format.
        LakeError: a file cannot be read, or is damaged.
    """
    with folder.locked(exporter.engine, exporter.dataset, exporter.ticker):
        manifest = folder.manifest(exporter.engine, exporter.dataset, exporter.ticker) or _new(exporter, lake)
        _refuse_other_options(manifest, exporter, lake, folder)
        _refuse_other_dataset(exporter, folder)
        asked = set(days)
        units = {exporter.unit(day) for day in asked}
        before = {date.fromisoformat(each.day) for each in manifest.days}
        together = sorted(asked | {day for day in before if exporter.unit(day) in units})
        found = {each.day: each for each in _looked_at(exporter, lake, look(together))}
        tolerated = {day: {*allow, *_tolerated_before(manifest, day)} for day in together}
        check_days(
            exporter.dataset,
            found.values(),
            {day: allow if day in asked else tolerated[day] for day in together},
            snapshot=lake.as_of.name if lake.as_of else None,
            not_kept=partial(not_kept_text, lake, exporter.dataset, exporter.ticker) if exporter.ticker else None,
        )
        done = 0
        records: list[ExportedDay] = []
        try:
            for _, group in groupby(together, exporter.unit):
                of_unit = list(group)
                held = [day for day in of_unit if found[day].has_file]
                revisions = {day: _revision(lake, exporter.dataset, day) for day in held}
                done += len(of_unit)
                if not only_changed or not all(
                    _is_as_recorded(manifest, found[day], revisions.get(day), tolerated[day], folder) for day in of_unit
                ):
                    written = exporter.write(lake, held, [day for day in of_unit if day not in held], folder)
                    records += [
                        _record(found[day], written.get(day, NOTHING), revisions.get(day), tolerated[day])
                        for day in of_unit
                    ]
                    if len(records) > len(manifest.days) * SHARE_UNSAVED:
                        manifest, records = _saved(manifest, records, folder), []
                progress(done, len(together))
        finally:
            if records:
                manifest = _saved(manifest, records, folder)
        if isinstance(exporter, Indexed):
            exporter.index(manifest, folder)
    return manifest


def _saved(manifest: Manifest, records: Iterable[ExportedDay], folder: ExportFolder) -> Manifest:
    after = manifest.with_days(records, written_at=datetime.now(UTC), tool=version("data-assets"))
    folder.save(after)
    return after


def _looked_at(exporter: Exporter, lake: Lake, found: Iterable[FoundDay]) -> Iterable[FoundDay]:
    return found if exporter.ticker is None else that_keep(lake, exporter.dataset, exporter.ticker, found)


def _new(exporter: Exporter, lake: Lake) -> Manifest:
    return Manifest(
        engine=exporter.engine,
        dataset=exporter.dataset,
        ticker=exporter.ticker,
        synthetic=lake.synthetic,
        options=_options(exporter, lake),
        notes=exporter.notes,
        tool=version("data-assets"),
        written_at="",
    )


def _options(exporter: Exporter, lake: Lake) -> dict[str, Any]:
    """How the files are made; of a lake that is read as of a snapshot, with its id, so that no other day mixes in."""
    return {**exporter.options, **({"snapshot": lake.as_of.id} if lake.as_of else {})}


def _refuse_other_options(manifest: Manifest, exporter: Exporter, lake: Lake, folder: ExportFolder) -> None:
    wanted = _options(exporter, lake)
    if manifest.options != wanted:
        names = [name for name in {**manifest.options, **wanted} if manifest.options.get(name) != wanted.get(name)]
        of = manifest.options
        held = ", ".join(f"with {name} {of[name]}" if name in of else f"without a {name}" for name in names)
        raise ExportRefused(
            f"{folder.path} holds {exporter.dataset} {held}: ask for the same, or name another folder with --into"
        )


def _refuse_other_dataset(exporter: Exporter, folder: ExportFolder) -> None:
    """Two vendors' bars of a ticker have the same names of files, and the later would take the place of the earlier."""
    if exporter.ticker is None:
        return
    for other in folder.other_datasets(exporter.engine, exporter.dataset, exporter.ticker):
        raise ExportRefused(
            f"{folder.path} holds {exporter.ticker} from {other}, whose files have the same names as those of "
            f"{exporter.dataset}: name another folder with --into"
        )


def _tolerated_before(manifest: Manifest, day: date) -> set[Fault]:
    """What was allowed of a day when it was asked for; it may be written again with others that share its file."""
    recorded = manifest.day(day)
    return {Fault(name) for name in recorded.allowed} if recorded else set()


def _is_as_recorded(
    manifest: Manifest, found: FoundDay, revision: str | None, tolerated: Collection[Fault], folder: ExportFolder
) -> bool:
    """Whether a day would be written as it was, and its files are still there."""
    before = manifest.day(found.day)
    if before is None:
        return False
    written = WrittenDay(before.rows, before.files, before.rounded, before.left_out)
    same = before == _record(found, written, revision, tolerated)
    return same and all((folder.path / name).is_file() for name in before.files)


def _record(found: FoundDay, written: WrittenDay, revision: str | None, tolerated: Collection[Fault]) -> ExportedDay:
    return ExportedDay(
        day=found.day.isoformat(),
        state=found.state,
        revision=revision,
        rows=written.rows,
        files=written.files,
        allowed=tuple(fault.value for fault in found.faults if fault in tolerated),
        red=found.red,
        warned=found.warned,
        rounded={name: count for name, count in written.rounded.items() if count},
        left_out={why: count for why, count in written.left_out.items() if count},
    )


def _revision(lake: Lake, dataset: str, day: date) -> str | None:
    """The seal of a day's file; of one that an earlier version has written, what the storage tells of it."""
    try:
        metadata = pl.read_parquet_metadata(
            lake.locate(partition_path(dataset, day)), storage_options=POLARS_OPTIONS, credential_provider=None
        )
    except (pl.exceptions.PolarsError, OSError):  # who reads the rows says what is wrong with it
        return None
    return metadata.get(SEAL) or lake.day_versions(dataset, [day]).get(day)
