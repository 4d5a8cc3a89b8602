"""Where the file of a dataset's day lies, relative to the lake's root.

Here: names, both ways. Not here: what is behind a name (``storage``).
"""

from __future__ import annotations

import re
from datetime import date

PARTITION_FILE = "data.parquet"
PREVIOUS_FILE = "previous.parquet"

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PARTITION = re.compile(rf"(?P<dataset>.+)/date=(?P<day>\d{{4}}-\d\d-\d\d)/{re.escape(PARTITION_FILE)}")


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


def day_folder(dataset: str, day: date) -> str:
    """The hive-style folder of one day, such as ``theta/option_quotes/QQQ/date=2024-01-03``."""
    return f"{dataset_path(dataset)}/date={day:%Y-%m-%d}"


def partition_path(dataset: str, day: date) -> str:
    """The file of one day, such as ``theta/option_quotes/QQQ/date=2024-01-03/data.parquet``.

    Raises:
        ValueError: ``dataset`` is not a dataset key.
    """
    return f"{day_folder(dataset, day)}/{PARTITION_FILE}"


def previous_path(dataset: str, day: date) -> str:
    """The revision that a day's file replaced, where it was kept; no reader of the dataset takes it for a day.

    Raises:
        ValueError: ``dataset`` is not a dataset key.
    """
    return f"{day_folder(dataset, day)}/{PREVIOUS_FILE}"


def parse_partition_path(path: str) -> tuple[str, date]:
    """The dataset and day whose file ``path`` is; the reverse of ``partition_path``.

    Raises:
        ValueError: ``path`` is no such file.
    """
    match = _PARTITION.fullmatch(path)
    if match is None:
        raise ValueError(f"{path!r} is not the file of a dataset's day (<dataset>/date=YYYY-MM-DD/{PARTITION_FILE})")
    return dataset_path(match["dataset"]), date.fromisoformat(match["day"])
