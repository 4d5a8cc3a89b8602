"""A stored day read back: whether its file is still the recorded one, or a newer one, and all verdicts on it.

Here: what is judged when a day has been stored, and whenever its checks run again. Not here: the rules (`quality`), how
a file is verified (`lake`), and how a verdict is recorded (`asset_checks`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial

import dagster as dg

from data_assets.ingest.outcome import MACHINE, WRITTEN_AT, Stored
from data_assets.lake.errors import MISSING, LakeError, LakeUnusable, one_line
from data_assets.lake.lake import Corrupt, Lake
from data_assets.orchestration.asset_checks import latest_materialization
from data_assets.orchestration.dataset import NOT_COMPARED, MarketDataset, Recorded
from data_assets.orchestration.holes import HOLE, TAKEN_BACK_REASON, hole_reason, is_taken_back
from data_assets.quality.verdict import Verdict
from data_assets.trading_calendar import utc_now

NOT_READABLE, NOT_RECORDED = "not readable", "without a record"
NO_FILE = ""
"""The digest that is recorded of a hole: that of no file."""
DAMAGE = "damage"
"""Metadata of an integrity verdict that did not pass: what is wrong, in the words of `lake.errors` or one of these."""


def recorded_file(record: dg.EventLogRecord | None) -> Recorded | None:
    """Return what a materialization recorded of its file; None if that is not enough to know the file again."""
    if record is None:
        return None
    materialization = record.asset_materialization
    metadata: Mapping[str, dg.MetadataValue] = materialization.metadata if materialization else {}
    if "sha256" not in metadata:
        return None
    said = {name: metadata[name].value for name in ("sha256", "rows", WRITTEN_AT, MACHINE) if name in metadata}
    return _as_said(said, datetime.fromtimestamp(record.timestamp, UTC))


def as_recorded(stored: Stored) -> Recorded:
    """Return what `recorded_file` will find in the record of a day that was stored just now.

    Where nothing says when the file was written, that is now, and of the record the instant at which it is made.
    """
    return _as_said({"rows": stored.rows, **stored.metadata, "sha256": stored.sha256}, utc_now())


def _as_said(said: Mapping[str, object], at: datetime) -> Recorded:
    return Recorded(
        str(said["sha256"]),
        int(str(said["rows"])) if "rows" in said else None,
        datetime.fromisoformat(str(said[WRITTEN_AT])) if WRITTEN_AT in said else at,
        str(said[MACHINE]) if MACHINE in said else None,
    )


@dataclass(frozen=True)
class ReadBack:
    """What a stored day turned out to be.

    Attributes:
        verdict: whether it is whole: the integrity check.
        unrecorded: the file that is there, if it is whole and newer than the recorded one: the run that replaced it has
            not recorded it yet, or died before it could.
        is_compared: False where the file is kept elsewhere, or was deleted to make room: it may be anything.
    """

    verdict: Verdict
    unrecorded: Stored | None = None
    is_compared: bool = True


def integrity(lake: Lake, dataset: MarketDataset, day: date, record: dg.EventLogRecord) -> Verdict:
    """Check that the file on disk is whole: the recorded one, or a newer one (`read_back`)."""
    return read_back(lake, dataset, day, record).verdict


def read_back(
    lake: Lake, dataset: MarketDataset, day: date, record: dg.EventLogRecord, *, pages: bool = True
) -> ReadBack:
    """Compare the file on disk with the record; a file that cannot be read does not pass.

    Args:
        lake: where the file is.
        dataset: the dataset of the day.
        day: the day.
        record: its newest materialization, taken from the event log before this is called: of a file that is replaced
            and recorded meanwhile, the older record must be the one to be compared.
        pages: read every page even where the digest is the recorded one; False if the day's checks are about to.

    Raises:
        LakeUnusable: the lake as a whole is not there or does not answer, which says nothing about the day.
    """
    recorded, why = recorded_file(record), hole_reason(record)
    if why is not None:
        recorded = Recorded(NO_FILE, None, datetime.fromtimestamp(record.timestamp, UTC))
    if recorded is None:
        text = TAKEN_BACK_REASON if is_taken_back(record) else "no sha256 was recorded with this day; backfill it again"
        return ReadBack(Verdict("integrity", False, "error", text, metadata={DAMAGE: NOT_RECORDED}))
    return _compared(lake, dataset, day, recorded, why, pages=pages)


def _compared(
    lake: Lake, dataset: MarketDataset, day: date, recorded: Recorded, why: str | None, *, pages: bool
) -> ReadBack:
    """As ``read_back``; ``why`` is the reason of an accepted hole, None of a day that was stored."""
    try:
        found = dataset.files.verify(lake, day, recorded, pages=pages)
    except LakeUnusable:
        if why is not None and not lake.is_there():  # no day of this lake was stored yet
            return _hole(why)
        raise
    except LakeError as error:
        if why is not None:
            return _hole(why)
        if not isinstance(error, Corrupt):
            lake.is_there()
        return ReadBack(_damaged(error))
    if why is not None and found.unrecorded is None:
        return _hole(why)
    if not found.is_compared:
        nothing = Verdict("integrity", True, "warn", found.said, metadata={NOT_COMPARED: True})
        return ReadBack(nothing, is_compared=False)
    sha256 = found.unrecorded.sha256 if found.unrecorded else recorded.sha256
    whole = Verdict("integrity", passed=True, severity="error", summary=found.said, metadata={"sha256": sha256})
    return ReadBack(whole, found.unrecorded)


def damage_without_record(lake: Lake, dataset: MarketDataset, day: date) -> Verdict | None:
    """Read a day's file, of which nothing is recorded, as a whole; None if it is whole, or there is none.

    Raises:
        LakeUnusable: the lake as a whole is not there or does not answer, which says nothing about the day.
    """
    try:
        dataset.files.found(lake, day)
    except LakeUnusable:
        raise
    except LakeError as error:
        damaged = _damaged(error)
        return None if damaged.metadata[DAMAGE] == MISSING else damaged
    return None


def _damaged(error: LakeError) -> Verdict:
    kind = error.kind if isinstance(error, Corrupt) else NOT_READABLE
    return Verdict("integrity", False, "error", str(error), metadata={DAMAGE: kind})


def _hole(why: str) -> ReadBack:
    text = f"a hole, accepted by hand: {why}"
    return ReadBack(Verdict("integrity", passed=True, severity="warn", summary=text, metadata={HOLE: why}))


def damaged_days(
    instance: dg.DagsterInstance, dataset: MarketDataset, lake: Lake, days: Iterable[date]
) -> dict[date, Verdict]:
    """Find those of `days` that were stored and are damaged or missing, each with its verdict.

    A canceled run gives its days back the colour of their last good run: green, even if the file is damaged.
    """
    damaged = {}
    for day in days:
        record = latest_materialization(instance, dataset.asset_key, day.isoformat())
        if record is not None and not (verdict := integrity(lake, dataset, day, record)).passed:
            damaged[day] = verdict
    return damaged


def day_verdicts(instance: dg.DagsterInstance, dataset: MarketDataset, lake: Lake, day: str) -> list[Verdict]:
    """Return all verdicts on one day, by reading the stored file back; none if nothing is recorded."""
    record = latest_materialization(instance, dataset.asset_key, day)
    return [] if record is None else recorded_verdicts(record, dataset, lake, date.fromisoformat(day))


def recorded_verdicts(record: dg.EventLogRecord, dataset: MarketDataset, lake: Lake, when: date) -> list[Verdict]:
    """Return all verdicts on the day of a materialization; for a damaged file, only that it is damaged."""
    read = partial(read_back, lake, dataset, when, record)
    return _verdicts(dataset, lake, when, read, is_hole=hole_reason(record) is not None)


def stored_verdicts(stored: Stored, dataset: MarketDataset, lake: Lake, when: date) -> list[Verdict]:
    """Return the same of a day that was stored just now: `recorded_verdicts` before its record is there."""
    read = partial(_compared, lake, dataset, when, as_recorded(stored), None)
    return _verdicts(dataset, lake, when, read, is_hole=False)


def _verdicts(
    dataset: MarketDataset, lake: Lake, when: date, read: Callable[..., ReadBack], *, is_hole: bool
) -> list[Verdict]:
    """All verdicts on a day; ``read`` compares its file with what is known of it, with every page or without."""
    whole = read(pages=False).verdict
    others = [name for name in dataset.checks if name != whole.name]
    if not whole.passed:
        return [*_not_judged(others, "the file is damaged"), whole]
    if is_hole:
        return [*(Verdict(name, True, whole.severity, whole.summary, whole.metadata) for name in others), whole]
    try:
        judged = list(dataset.evaluate(lake, when))
    except Exception as error:  # noqa: BLE001  a defect of a rule must not hide that the day is stored
        whole = read(pages=True).verdict  # for not every page has been read
        why = f"unexpected {type(error).__name__}: {one_line(error)}" if whole.passed else "the file is damaged"
        judged = _not_judged(others, why)
    return [*judged, whole]


def _not_judged(checks: Iterable[str], why: str) -> list[Verdict]:
    text = f"not judged: {why}"
    return [Verdict(name, passed=False, severity="error", summary=text, metadata={}) for name in checks]
