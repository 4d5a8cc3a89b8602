"""Where the file of a dataset's day, or of a ticker's month, lies, relative to the lake's root.

Under a dataset's folder lie the files of its days and nothing else, not for a moment: readers are given the folder and
take all that is in it (Polars refuses one with a half-written file in it). What is rejected, replaced or unfinished has
folders of its own at the root, whose names start with ``_``.

Here: names, both ways. Not here: what is behind a name (``storage``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import date
from functools import lru_cache

PARTITION_FILE = "data.parquet"
PREVIOUS = "_previous"
REJECTED = "_rejected"
UNFINISHED = "_unfinished"
PINNED = "_pinned"
SNAPSHOTS = "_snapshots"
LAYOUT = 2
"""The layout of the lakes that are written now; in the first, revisions, unfinished work and months lay elsewhere."""

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_UNSAFE = re.compile(rb"[^A-Z0-9._-]")
_PARTITION = re.compile(rf"(?P<dataset>.+)/date=(?P<day>\d{{4}}-\d\d-\d\d)/{re.escape(PARTITION_FILE)}")
_DAY = len("2024-01-03")
_OF_TICKER = "ticker_folder=_"
_MONTH = re.compile(rf"(?P<dataset>.+)/{_OF_TICKER}[^/]+/month=\d{{4}}-\d\d/{re.escape(PARTITION_FILE)}")
_FORMER_MONTH = re.compile(rf"(?P<before>.+)/ticker=(?P<after>[^/]+/month=\d{{4}}-\d\d/{re.escape(PARTITION_FILE)})")
_FORMER_PREVIOUS = re.compile(r"(?P<folder>.+/date=\d{4}-\d\d-\d\d)/previous\.parquet")
_FORMER_PIECE = re.compile(r".+/date=\d{4}-\d\d-\d\d/\.parts/[^/]+")


@lru_cache(maxsize=1_000)
def dataset_path(dataset: str) -> str:
    """The folder of a dataset: its key, once every segment of it is known to stay inside the lake.

    Raises:
        ValueError: a segment is empty, hidden, or holds anything but letters, digits, ``.``, ``_`` and ``-``.
    """
    for segment in dataset.split("/"):
        if not _SEGMENT.fullmatch(segment):
            raise ValueError(
                f"{dataset!r} is not a dataset key: each segment between '/' starts with a letter or digit "
                f"and holds only letters, digits, '.', '_' and '-' (this one does not: {segment!r})"
            )
    return dataset


def dataset_folder(name: str) -> str:
    """The folder of the dataset that a day's or month's file belongs to."""
    folder, _, _ = name.partition("=")
    return folder.rpartition("/")[0]


def day_folder(dataset: str, day: date) -> str:
    """The hive-style folder of one day, such as ``theta/option_quotes/QQQ/date=2024-01-03``."""
    return f"{dataset_path(dataset)}/date={day:%Y-%m-%d}"


def partition_path(dataset: str, day: date) -> str:
    """The file of one day, such as ``theta/option_quotes/QQQ/date=2024-01-03/data.parquet``.

    Raises:
        ValueError: ``dataset`` is not a dataset key.
    """
    return f"{day_folder(dataset, day)}/{PARTITION_FILE}"


def rejected_path(dataset: str, day: date) -> str:
    """The file of one day's rows that arrived and were not believed; no reader takes it for a day of the dataset.

    Such as ``_rejected/ib/bars_1m/AAPL/date=2024-01-03/data.parquet``.

    Raises:
        ValueError: ``dataset`` is not a dataset key.
    """
    return f"{REJECTED}/{partition_path(dataset, day)}"


def previous_path(dataset: str, day: date) -> str:
    """The revision that a day's file replaced, where it was kept; no reader of the dataset takes it for a day.

    Such as ``_previous/polygon/minute_aggs/date=2024-01-03/data.parquet``.

    Raises:
        ValueError: ``dataset`` is not a dataset key.
    """
    return f"{PREVIOUS}/{partition_path(dataset, day)}"


def pinned_path(dataset: str, day: date, sha256: str) -> str:
    """One revision of a day that a snapshot needs, by the digest of its bytes: no other file ever has that name.

    Such as ``_pinned/polygon/minute_aggs/date=2024-01-03/<sha256>.parquet``.

    Raises:
        ValueError: ``dataset`` is not a dataset key.
    """
    return f"{PINNED}/{day_folder(dataset, day)}/{sha256}.parquet"


def snapshot_path(name: str) -> str:
    """The lake's own copy of a snapshot, such as ``_snapshots/straddles-2026.json``.

    Raises:
        ValueError: the name does not start with a letter or digit, or holds anything but those, ``.``, ``_`` and ``-``.
    """
    if not _SEGMENT.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name for a snapshot: it starts with a letter or digit and holds only letters, digits, "
            "'.', '_' and '-'"
        )
    return f"{SNAPSHOTS}/{name}.json"


def parse_partition_path(path: str) -> tuple[str, date]:
    """The dataset and day whose file ``path`` is; the reverse of ``partition_path``.

    Raises:
        ValueError: ``path`` is no such file.
    """
    match = _PARTITION.fullmatch(path)
    if match is None:
        raise ValueError(f"{path!r} is not the file of a dataset's day (<dataset>/date=YYYY-MM-DD/{PARTITION_FILE})")
    return dataset_path(match["dataset"]), date.fromisoformat(match["day"])


def days_among(dataset: str, names: Iterable[str]) -> list[date]:
    """The days of those of ``names`` that are the files of a dataset's days, in their order; others are left out.

    As `parse_partition_path` one by one, at a tenth of its cost, which counts over thousands of days.
    """
    before, behind = f"{dataset_path(dataset)}/date=", f"/{PARTITION_FILE}"
    found = []
    for name in names:
        text = name[len(before) : -len(behind)]
        if len(text) == _DAY and text[4] == text[7] == "-" and name == f"{before}{text}{behind}":
            with suppress(ValueError):  # such as a thirtieth of February
                found.append(date.fromisoformat(text))
    return found


def monthly_dataset(dataset: str) -> str:
    """The key of the dataset that holds the months of a daily one: ``polygon/minute_aggs_monthly``."""
    return f"{dataset}_monthly"


def escape_ticker(ticker: str) -> str:
    """A ticker as part of a file name: every byte but ``A`` to ``Z``, digits, ``.``, ``_`` and ``-`` becomes ``%XX``.

    Lower-case letters too, so that ``ABRpA`` (``ABR%70A``) and ``ABRPA`` differ on disks that ignore case, and ``/``,
    so that no ticker leaves its folder. It is the percent-encoding of URLs, which readers of hive-style paths undo.

    Raises:
        ValueError: the ticker is empty, or no text.
    """
    if not ticker:
        raise ValueError("a ticker has at least one character")
    return _UNSAFE.sub(lambda byte: b"%%%02X" % ord(byte[0]), ticker.encode()).decode()


def month_path(dataset: str, ticker: str, month: date) -> str:
    """The file of one ticker's month: ``polygon/minute_aggs_monthly/ticker_folder=_SPY/month=2024-01/data.parquet``.

    Engines read ``key=value`` folders as columns, and each has its own idea of the type. So the key is no column of the
    file (pandas and pyarrow refuse a ``ticker`` of two types), and its value starts like no number, date, truth value
    or null, whatever the ticker: all of them take it for text, and the month's too. Without keys Spark would find no
    file below the dataset's folder.

    Raises:
        ValueError: ``dataset`` is not a dataset key, or the ticker is empty.
    """
    return f"{dataset_path(dataset)}/{_OF_TICKER}{escape_ticker(ticker)}/month={month:%Y-%m}/{PARTITION_FILE}"


def monthly_dataset_of(path: str) -> str | None:
    """The dataset of whose ticker's month ``path`` is the file; None where it is no such file."""
    match = _MONTH.fullmatch(path)
    return match["dataset"] if match else None


def former_name(name: str) -> str | None:
    """Where a lake of the first layout holds what is ``name`` now; None for what has not moved since.

    A day's previous revision lay beside it, and a month in a folder ``ticker=SPY``.
    """
    if name.startswith(f"{PREVIOUS}/"):
        return f"{name.removeprefix(f'{PREVIOUS}/').removesuffix(PARTITION_FILE)}previous.parquet"
    return name.replace(f"/{_OF_TICKER}", "/ticker=") if _MONTH.fullmatch(name) else None


def present_name(former: str) -> str | None:
    """The name that a file of a lake of the first layout has now; None where it has not moved."""
    if match := _FORMER_PREVIOUS.fullmatch(former):
        return f"{PREVIOUS}/{match['folder']}/{PARTITION_FILE}"
    if match := _FORMER_MONTH.fullmatch(former):
        return f"{match['before']}/{_OF_TICKER}{match['after']}"
    if _FORMER_PIECE.fullmatch(former) and not former.startswith(f"{UNFINISHED}/"):
        return f"{UNFINISHED}/{former}"
    return None
