"""The vendor's names of flat files, and files that have other names.

A mirror made by hand may hold a day under another name, which nobody finds: unpacked, a folder higher or deeper, or as
a broken link. The vendor does have such a day, so it never counts as a day without data.

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

_HOLDS_DATA = re.compile(r"\.(csv|gz|zst|bz2|xz|lz4|7z|zip|tar|parquet)\b|\d{4}-?\d\d-?\d\d$", re.IGNORECASE)


def day_key(day: date) -> str:
    """Return the key of a day's file: `us_stocks_sip/minute_aggs_v1/2024/01/2024-01-03.csv.gz`."""
    return f"{month_prefix(day)}/{day:%Y-%m-%d}.csv.gz"


def month_prefix(day: date) -> str:
    """Return the folder of a month's files: `us_stocks_sip/minute_aggs_v1/2024/01`."""
    return f"{DATASET}/{day:%Y/%m}"


def day_of(key: str) -> date | None:
    """Return the day whose file has this key; None if it is not one of the vendor's names."""
    found = re.search(r"(\d{4}-\d\d-\d\d)\.csv\.gz$", key)
    try:
        day = date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None
    return day if day is not None and key == day_key(day) else None


def other_names(keys: Iterable[str]) -> list[str]:
    """Return those without a vendor's name that look like data, sorted; hidden files do not count."""
    return sorted(
        key
        for key in keys
        if day_of(key) is None and not key.rpartition("/")[2].startswith(".") and _HOLDS_DATA.search(key)
    )


def misnamed(day: date, others: Iterable[str], where: str, *, named: bool) -> str | None:
    """Say why a day that is not listed may be there under another name; None if nothing suggests that.

    Args:
        day: the day that is not listed.
        others: what `other_names` found in its month.
        where: the folder or bucket, for the reason.
        named: whether its month holds any file with a vendor's name. If so, only a file with the day's own date counts;
            otherwise every file does.
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
    """Return those of the names that contain a date of the day's month."""
    bears = re.compile(rf"{day:%Y-%m}-\d\d|{day:%Y%m}\d\d(?!\d)")
    return [name for name in names if bears.search(name)]


def wrong_place(where: str, others: list[str], *, more: bool) -> str:
    """Say what is wrong with a place without a single file that has a vendor's name."""
    held = f"{_files(len(others), more=more)}, none named as the vendor's, such as {others[0]}" if others else "no file"
    return (
        f"{where} holds {held}: expected are {PATTERN}; set POLYGON_FLAT_FILES_URL to the bucket or folder above "
        f"{DATASET.partition('/')[0]}, and name the files so"
    )


def files_below(root: Path, folder: str) -> list[str]:
    """Return the names of all files below a folder of ``root``, relative to ``root``, broken links included."""
    walk = os.walk(root / folder, onerror=_raise_unless_missing, followlinks=True)
    return [Path(parent, name).relative_to(root).as_posix() for parent, _, files in walk for name in files]


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _files(count: int, *, more: bool = False) -> str:
    return f"{count:,} file{'s' if count != 1 else ''}{' or more' if more else ''}"
