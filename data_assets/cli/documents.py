"""What the verbs print with `--json`: one document on stdout, of one of these shapes.

Here: the shapes, their JSON Schema (`python -m data_assets.cli.documents`), and writing a document. Not here: what is
in one (each verb).

`gaps`, `list`, `status`, `verify`, `repair` and `reconcile` print an object of datasets by name. `backfill` and `retry`
print one `FilledDataset` where one dataset was named by its key, else a list of them in the order in which they came.
Days are written YYYY-MM-DD, the days of a monthly dataset YYYY-MM; lists of days are oldest first unless they say
otherwise.
`coverage` prints the state of each day of each dataset.
`plan` and `backfill --dry-run` print what is expected, `doctor` a list of findings,
`offers` what the vendor has of one dataset, `splits` a list of nights, `export` what was written,
`snapshot` what is in one or has become of it, `add` what was written,
and `accept-hole` the days of each dataset that it has made holes or taken back, or that `--list` found, each with its
reason. Whatever is said in words goes to stderr.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any, Literal

import click

from data_assets.orchestration.day_states import DayHealth


@dataclass(frozen=True)
class NotStoredDay:
    """Why a day did not store.

    Attributes:
        outcome: NoData, NotPublished, NotEntitled, Rejected or Failed.
        reason: why, and what to do next.
    """

    outcome: str
    reason: str


@dataclass(frozen=True)
class FilledDataset:
    """`backfill` and `retry`: how the days that were asked for ended.

    Attributes:
        dataset: its name.
        stored: the days that are stored now.
        not_stored: the others, each with why.
        failed_checks: stored days that failed checks, each with their names; among them may be days of earlier runs
            that were judged again, as more of their neighbours were stored.
        warned: the same of checks that warn, which is no fault.
        interrupted: whether it was told to stop.
        error: why nothing could be done of the dataset; null where something could.
    """

    dataset: str
    stored: list[str]
    not_stored: dict[str, NotStoredDay]
    failed_checks: dict[str, list[str]]
    warned: dict[str, list[str]]
    interrupted: bool
    error: str | None


@dataclass(frozen=True)
class ImportedFiles(FilledDataset):
    """`import`: the same, of days that were taken in from files.

    Attributes:
        skipped: days that were stored already.
        refused: files that no day was taken from, each with why.
    """

    skipped: list[str]
    refused: dict[str, str]


@dataclass(frozen=True)
class Stretch:
    """Days that lie side by side: no session between them is left out.

    Attributes:
        first: the oldest.
        last: the newest.
        count: how many there are.
    """

    first: str
    last: str
    count: int


@dataclass(frozen=True)
class GapCounts:
    """How many days there are of each kind.

    Attributes:
        asked: days that were asked about.
        missing: days without a file, in work or not.
        failed: days that failed last.
        lacking: stored days that lack something.
    """

    asked: int
    missing: int
    failed: int
    lacking: int


@dataclass(frozen=True)
class GapStretches:
    """The days of each kind as stretches.

    Attributes:
        missing: as in `DatasetGaps`.
        failed: likewise.
        lacking: likewise, whatever it is that they lack.
    """

    missing: list[Stretch]
    failed: list[Stretch]
    lacking: list[Stretch]


@dataclass(frozen=True)
class DatasetGaps:
    """`gaps`: the days of a dataset that are not done.

    Attributes:
        missing: days without a file, in work or not.
        failed: days that failed last.
        lacking: stored days that lack something, each with what.
        unrecorded: those of the missing and failed days whose file is there without a record: `reconcile` records them.
        counts: how many there are.
        ranges: the same days as stretches.
    """

    missing: list[str]
    failed: list[str]
    lacking: dict[str, list[str]]
    unrecorded: list[str]
    counts: GapCounts
    ranges: GapStretches


@dataclass(frozen=True)
class DayCounts:
    """The days of a dataset that were asked about, by their state.

    Attributes:
        sessions: how many there are; of a monthly dataset its months.
        stored: stored and whole.
        lacking: stored, and lack something that was added since.
        stale: months that are to be built again.
        hole: accepted as holes.
        failed: failed last.
        in_progress: in work now.
        missing: without a file.
        first_stored: the oldest stored day; null if none is.
        last_stored: the newest one.
    """

    sessions: int
    stored: int
    lacking: int
    stale: int
    hole: int
    failed: int
    in_progress: int
    missing: int
    first_stored: str | None
    last_stored: str | None


@dataclass(frozen=True)
class FailedDay:
    """A day that failed last.

    Attributes:
        day: the day.
        outcome: NoData, NotPublished, NotEntitled, Rejected or Failed.
        reason: why, and what to do next.
    """

    day: str
    outcome: str
    reason: str


@dataclass(frozen=True)
class ListedDataset(DayCounts):
    """`list`: a dataset.

    Attributes:
        failed_days: the days that failed last, newest first; null without `--failed`.
    """

    failed_days: list[FailedDay] | None


@dataclass(frozen=True)
class DatasetStatus(DayCounts):
    """`status`: a dataset.

    Attributes:
        unrecorded: days with a file that nothing was recorded of.
        unreadable: days in a folder that may not be looked into.
        left_to_you: days that were asked for by themselves as often as that is done, and are not stored.
        days: the days one by one, oldest first; null where no KEY is given and `--failed` neither.
    """

    unrecorded: int
    unreadable: int
    left_to_you: list[str]
    days: list[DayHealth] | None


@dataclass(frozen=True)
class VerifiedDataset:
    """`verify`: what was found of the stored days.

    Attributes:
        ok: days whose files are as recorded.
        holes: days that were accepted as holes, and have no file.
        bad: the others, each with what is wrong.
        not_compared: recorded days whose file is not here and need not be, each with where it may be.
        unrecorded: days with a file that nothing was recorded of.
        elsewhere: days that were stored in another lake.
        error: why nothing could be read of the dataset; null where something could.
    """

    ok: list[str]
    holes: list[str]
    bad: dict[str, str]
    not_compared: dict[str, str]
    unrecorded: list[str]
    elsewhere: list[str]
    error: str | None


@dataclass(frozen=True)
class RepairedDataset(VerifiedDataset):
    """`repair`: the same, and what came of fetching the damaged days again.

    Attributes:
        filled: how they ended; null where none was damaged.
    """

    filled: FilledDataset | None


@dataclass(frozen=True)
class ReconciledDataset:
    """`reconcile`: what was recorded of a dataset by its files.

    Attributes:
        recorded: days that were recorded from their files.
        not_recorded: days with a file that could not be, each with why.
        failed_checks: recorded days that failed checks, each with their names.
        warned: the same of checks that warn, which is no fault.
        without_file: recorded days without a file, which are red now.
        elsewhere: days that were stored in another lake.
        interrupted: whether it was told to stop.
        error: why nothing could be read of the dataset; null where something could.
    """

    recorded: list[str]
    not_recorded: dict[str, NotStoredDay]
    failed_checks: dict[str, list[str]]
    warned: dict[str, list[str]]
    without_file: list[str]
    elsewhere: list[str]
    interrupted: bool
    error: str | None


@dataclass(frozen=True)
class Finding:
    """`doctor`: one thing that was looked at.

    Attributes:
        subject: what it is.
        state: ok; warn, if it will be in the way; or error, if it is.
        text: what was found, and what to do about it.
    """

    subject: str
    state: Literal["ok", "warn", "error"]
    text: str


@dataclass(frozen=True)
class PlannedDataset:
    """What the days of one dataset are expected to take.

    Attributes:
        dataset: its name.
        days: how many days are to be downloaded; of a monthly dataset months.
        first: the oldest of them.
        last: the newest.
        requests: to the vendor, for all of them.
        rows: of their files.
        received_bytes: that the vendor sends.
        stored_bytes: of their files.
        minutes: how long it takes at the rate that is allowed.
        sampled_days: how many stored days this is taken from; 0 where it is what the vendor is known to send.
    """

    dataset: str
    days: int
    first: str
    last: str
    requests: int
    rows: int
    received_bytes: int
    stored_bytes: int
    minutes: float
    sampled_days: int


@dataclass(frozen=True)
class Disk:
    """A disk that files come onto.

    Attributes:
        folder: one of the folders on it.
        needed_bytes: expected to come.
        free_bytes: free now.
    """

    folder: str
    needed_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class PlannedBackfill:
    """`plan` and `backfill --dry-run`: what a backfill is expected to take.

    Attributes:
        datasets: those with days to download, in the order of the work.
        disks: each disk that gets files; none for a lake in an object store.
        minutes: how long all of it takes.
        fits: whether there is room for it.
    """

    datasets: list[PlannedDataset]
    disks: list[Disk]
    minutes: float
    fits: bool


@dataclass(frozen=True)
class OfferedDataset:
    """`offers`: what the vendor has of a dataset.

    Attributes:
        dataset: its name.
        first_day: the first day of which the vendor has data, whatever the plan; null if it does not say.
        first_day_of_plan: the first day that the account's plan includes; null if it includes none.
        account: what is known of the account.
        day: the day that names are of.
        unit: what a day is made of: contract, or ticker.
        names: those of the day; none if the plan does not include the list.
    """

    dataset: str
    first_day: str | None
    first_day_of_plan: str | None
    account: str
    day: str
    unit: str
    names: list[str]


@dataclass(frozen=True)
class ListedSnapshot:
    """`snapshot list`: a snapshot of the lake.

    Attributes:
        name: its name.
        id: a digest of its days and their bytes.
        taken_at: when, UTC.
        datasets: whose days are in it.
        days: how many there are, of all datasets.
        bytes: of their files.
        kept_bytes: of those files that no day has any more: what dropping it may free.
    """

    name: str
    id: str
    taken_at: str
    datasets: list[str]
    days: int
    bytes: int
    kept_bytes: int


@dataclass(frozen=True)
class TakenSnapshot:
    """`snapshot take`: the snapshot that was taken.

    Attributes:
        file: where it was written to.
        snapshot: what is in it.
        not_stored: of each dataset that was asked for, how many days of the range are not in it; none where all are.
    """

    file: str
    snapshot: ListedSnapshot
    not_stored: dict[str, int]


@dataclass(frozen=True)
class SnapshotDay:
    """A day that is other than a snapshot says.

    Attributes:
        dataset: its dataset.
        day: the day.
        change: revised (other rows), rewritten (the same rows in another file), changed (another file, and its rows of
            then are not kept), damaged, missing, or added (stored since, in between).
        is_kept: whether the lake still holds what the day was.
        rows_added: rows that are new; null where that is not known.
        rows_removed: rows that are gone; likewise.
        rows_altered: rows of which any value differs; likewise.
        largest_price_change: in the unit that follows; likewise.
        largest_price_change_in: share (of the price before, of bars), dollars (of options) or contracts (of open
            interest); null where no price differs.
        largest_price_change_of: the row, the column, and from what to what; likewise.
    """

    dataset: str
    day: str
    change: str
    is_kept: bool
    rows_added: int | None
    rows_removed: int | None
    rows_altered: int | None
    largest_price_change: float | None
    largest_price_change_in: str | None
    largest_price_change_of: str | None


@dataclass(frozen=True)
class CheckedSnapshot:
    """`snapshot check`: what has become of the days.

    Attributes:
        name: of the snapshot.
        id: its digest.
        unchanged: how many days are as they were, by every byte.
        changed: the others.
    """

    name: str
    id: str
    unchanged: int
    changed: list[SnapshotDay]


@dataclass(frozen=True)
class DroppedSnapshots:
    """`snapshot drop` and `snapshot prune`: what was given up.

    Attributes:
        dropped: their names, in the order in which they were named, or the oldest first.
        freed_bytes: of the files that were kept for them: at most so much was freed.
    """

    dropped: list[str]
    freed_bytes: int


@dataclass(frozen=True)
class AddedSymbol:
    """`add`: a symbol that the project has now.

    Attributes:
        dataset: the dataset that has it.
        added: whether this call has added it; false if it was there already.
        files: the files that were changed, relative to the project.
        first_day: from which day on it is asked for, where one was written with it; else null.
        note: what a person should know of it; empty if there is nothing.
    """

    dataset: str
    added: bool
    files: list[str]
    first_day: str | None
    note: str


@dataclass(frozen=True)
class Export:
    """`export`: what was written, or why nothing was.

    Attributes:
        engine: the format.
        dataset: whose days.
        ticker: of bars, whose; null for a dataset that is exported as a whole.
        folder: where to.
        manifest: the file that says of each day where it came from; null if nothing was written.
        days: the days that were asked for and are exported now.
        rows: how many they have.
        allowed: of what was tolerated, the days.
        warned: of checks that failed as warnings, the days.
        rounded: values that the format could not hold as they are, by column.
        left_out: rows that were not written, by reason.
        refused: of what stopped it, the days.
    """

    engine: str
    dataset: str
    ticker: str | None
    folder: str
    manifest: str | None
    days: list[str]
    rows: int
    allowed: dict[str, list[str]]
    warned: dict[str, list[str]]
    rounded: dict[str, int]
    left_out: dict[str, int]
    refused: dict[str, list[str]]


@dataclass(frozen=True)
class SplitNight:
    """`splits`: a night over which a price changed as at a split that is not known.

    Attributes:
        ticker: whose.
        before: the session before it.
        after: the session after it.
        ratio: close of the one divided by open of the other.
        factor: the usual split that is closest: shares after it for each share before.
        fetch_again: of bars that the vendor adjusts as of the request, the days of the older scale.
        advice: what to do, in one line.
    """

    ticker: str
    before: str
    after: str
    ratio: float
    factor: float
    fetch_again: list[str]
    advice: str


DOCUMENTS: dict[str, Any] = {
    "plan": PlannedBackfill,
    "backfill": FilledDataset | list[FilledDataset],
    "retry": FilledDataset | list[FilledDataset],
    "import": ImportedFiles,
    "gaps": dict[str, DatasetGaps],
    "list": dict[str, ListedDataset],
    "status": dict[str, DatasetStatus],
    "coverage": dict[str, dict[str, str]],
    "verify": dict[str, VerifiedDataset],
    "repair": dict[str, RepairedDataset],
    "reconcile": dict[str, ReconciledDataset],
    "doctor": list[Finding],
    "offers": OfferedDataset,
    "splits": list[SplitNight],
    "export": Export,
    "accept-hole": dict[str, dict[str, str]],
    "snapshot-take": TakenSnapshot,
    "snapshot-check": CheckedSnapshot,
    "snapshot-list": list[ListedSnapshot],
    "snapshot-drop": DroppedSnapshots,
    "snapshot-prune": DroppedSnapshots,
    "add": AddedSymbol,
}
"""The document of each verb."""


def write_document(document: object) -> None:
    """Print a document on stdout, in one line."""
    click.echo(json.dumps(document, default=_fields))  # not `asdict`, which copies each day's text


def _fields(each: Any) -> dict[str, Any]:
    return {field.name: getattr(each, field.name) for field in fields(each)}


def schema() -> dict[str, Any]:
    """The JSON Schema of all documents: that of a verb's stands under ``$defs`` by its name."""
    from pydantic import TypeAdapter

    adapters = [(verb, "serialization", TypeAdapter(kind)) for verb, kind in DOCUMENTS.items()]
    of_verbs, shared = TypeAdapter.json_schemas(adapters)  # type: ignore[arg-type]
    definitions = {**shared["$defs"], **{verb: found for (verb, _), found in of_verbs.items()}}
    for each in definitions.values():
        if "properties" in each:
            each |= {"additionalProperties": False, "required": list(each["properties"])}
            each["description"] = each["description"].split("\n")[0]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": definitions}


if __name__ == "__main__":
    click.echo(json.dumps(schema(), indent=2))
