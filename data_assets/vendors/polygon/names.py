"""The names of flat files: the vendor's, and what it means that a place holds files under other ones.

A mirror that somebody made by hand may hold a day that nobody finds: unpacked, a folder higher or deeper, as a link to
nothing. Such a day is not one that the vendor lacks, so it never counts as one without data.

Here: names, and folders of this machine. Not here: listing a bucket (``client``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path

DATASET = "us_stocks_sip/minute_aggs_v1"
PATTERN = f"{DATASET}/YYYY/MM/YYYY-MM-DD.csv.gz"

_HOLDS_DATA = re.compile(r"\.(csv|gz|zst|bz2|xz|lz4|7z|zip|tar|parquet)\b", re.IGNORECASE)


def day_key(day: date) -> str:
    """The key of a day's file: `us_stocks_sip/minute_aggs_v1/2024/01/2024-01-03.csv.gz`."""
    return f"{month_prefix(day)}/{day:%Y-%m-%d}.csv.gz"


def month_prefix(day: date) -> str:
    """The folder of a month's files: `us_stocks_sip/minute_aggs_v1/2024/01`."""
    return f"{DATASET}/{day:%Y/%m}"


def day_of(key: str) -> date | None:
    """The day whose file has this key; None where it is not named as the vendor's."""
    found = re.search(r"(\d{4}-\d\d-\d\d)\.csv\.gz$", key)
    try:
        day = date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None
    return day if day is not None and key == day_key(day) else None


def other_names(keys: Iterable[str]) -> list[str]:
    """Those that are not named as the vendor's and look like data, sorted; hidden files do not count."""
    return sorted(
        key
        for key in keys
        if day_of(key) is None and not key.rpartition("/")[2].startswith(".") and _HOLDS_DATA.search(key)
    )


def misnamed(day: date, others: Iterable[str], where: str, *, named: bool) -> str | None:
    """Why a day that is not listed is not known to be without data; None where nothing speaks against that.

    Args:
        day: not listed.
        others: what `other_names` found in its month.
        where: the folder or bucket, for the reason.
        named: whether its month holds any file that is named as the vendor's. If it does, only a file that bears the
            day's own date tells; if not, each does.
    """
    own = [name for name in others if f"{day:%Y-%m-%d}" in name or f"{day:%Y%m%d}" in name]
    found = own or ([] if named else list(others))
    if not found:
        return None
    what = f"{day}" if own else f"{day:%Y-%m}"
    return (
        f"{where} holds {_files(len(found))} of {what}, none named as the vendor's, such as {found[0]}: expected is "
        f"{day_key(day)}, compressed with gzip and no link to nothing"
    )


def of_month(day: date, names: Iterable[str]) -> list[str]:
    """Those of the names that bear a date of the day's month."""
    bears = re.compile(rf"{day:%Y-%m}-\d\d|{day:%Y%m}\d\d(?!\d)")
    return [name for name in names if bears.search(name)]


def wrong_place(where: str, others: list[str], *, more: bool) -> str:
    """What to say of a place without a single file that is named as the vendor's."""
    held = f"{_files(len(others), more=more)}, none named as the vendor's, such as {others[0]}" if others else "no file"
    return (
        f"{where} holds {held}: expected are {PATTERN}; set POLYGON_FLAT_FILES_URL to the bucket or folder above "
        f"{DATASET.partition('/')[0]}, and name the files so"
    )


def files_below(root: Path, folder: str) -> list[str]:
    """The names of all files below a folder of ``root``, relative to ``root``; links to nothing are among them."""
    walk = os.walk(root / folder, onerror=_raise_unless_missing, followlinks=True)
    return [Path(parent, name).relative_to(root).as_posix() for parent, _, files in walk for name in files]


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _files(count: int, *, more: bool = False) -> str:
    return f"{count:,} file{'s' if count != 1 else ''}{' or more' if more else ''}"
