"""Which requests make a day.

Here: from the vendor's lists to requests in the order of the day's file, and to smaller ones. Not here: sending them
(``day``, ``reports``), and what their answers hold.

A whole chain in one answer is the fastest way, and the only one in which nothing can be forgotten. It has an end where
answers grow to gigabytes (the vendor may say 570), and greeks are not to be had like that at all. Then each expiration
of each root is a request, or each right of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import polars as pl

from data_assets.ingest.outcome import DayEnded, Failed
from data_assets.vendors.theta.client import HistoryRequest
from data_assets.vendors.theta.dataset import OptionDataset, RequestBy

LARGE_DAY_ROWS = 6_000_000
"""From here on a day is asked for by expiration. Users are served up to 5 million rows, 400 MB, in one answer."""

_RIGHTS = ("call", "put")


def expected_rows(dataset: OptionDataset, listed: pl.DataFrame | None, points: int) -> int | None:
    """The rows that a day is expected to have; None where the vendor has no list that tells.

    Args:
        dataset: what to fetch.
        listed: the vendor's list of the day.
        points: of the day's grid.
    """
    if listed is None or listed.is_empty():
        return None
    return listed.height * (points if dataset.by_minute else 1)


def choose_request_unit(dataset: OptionDataset, rows: int | None) -> RequestBy:
    """What one request of a day of so many rows is about."""
    if dataset.request_by is not None:
        return dataset.request_by
    large = rows is not None and rows > LARGE_DAY_ROWS
    return "expiration" if large or not dataset.history.takes_all_expirations else "day"


@dataclass(frozen=True, slots=True)
class Group:
    """The requests whose rows lie together in the day's file, in its order: one expiration.

    Attributes:
        expiration: the expiration.
        requests: by root, and perhaps by right.
    """

    expiration: date
    requests: tuple[HistoryRequest, ...]


def groups(
    dataset: OptionDataset, day: date, by: RequestBy, expirations: Mapping[str, Sequence[date]]
) -> tuple[Group, ...]:
    """A day expiration by expiration.

    Args:
        dataset: what to fetch.
        day: the trading day.
        by: expiration or right.
        expirations: of each root, those to ask for. What had expired before the day is left out here: lists of old days
            hold OPRA's test contracts, with expirations such as 1882. What expires on it is asked for, although roots
            that are settled in the morning have no data of it (`audit`).
    """
    of_day: dict[date, list[HistoryRequest]] = {}
    for root in dataset.roots:
        for expiration in expirations.get(root, ()):
            if expiration >= day:
                request = dataset.request(day, root, expiration.isoformat())
                of_day.setdefault(expiration, []).extend(split(request) if by == "right" else [request])
    return tuple(Group(expiration, tuple(of_day[expiration])) for expiration in sorted(of_day))


def listed_expirations(listed: pl.DataFrame) -> dict[str, list[date]]:
    """Of each root, the expirations of the vendor's list of contracts."""
    pairs = listed.select("symbol", "expiration").unique().sort("expiration")
    return {str(root): of_root["expiration"].to_list() for (root,), of_root in pairs.group_by("symbol")}


def split(request: HistoryRequest, expirations: Sequence[date] = (), why: str = "") -> list[HistoryRequest]:
    """The same data in smaller requests: half of the rights first, then one expiration at a time.

    Args:
        request: what is too large.
        expirations: those of its root.
        why: the vendor's words.

    Raises:
        DayEnded: ``Failed``: one expiration and right cannot be split.
    """
    if request.right == "both":
        return [replace(request, right=right) for right in _RIGHTS]
    if request.expiration != "*":
        raise DayEnded(Failed(f"{why}, and one expiration and right cannot be split: take a longer interval"))
    return [
        replace(request, expiration=expiration.isoformat()) for expiration in expirations if expiration >= request.day
    ]
