"""Which requests make a day.

Here: turning the vendor's lists into requests in the order of the day's file, and splitting requests. Not here: sending
them (``whole_day``, ``by_expiration``, ``reports``), and what their responses hold.

A whole chain in one response is the fastest way, and the only one that needs no list of expirations. It fails where
responses grow to gigabytes (the vendor may say 570), and greeks cannot be requested like that at all. Then each
expiration of each root is a request, or each right of it.
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
"""A day of more rows is requested by expiration. Users are served up to 5 million rows, 400 MB, in one response."""

_RIGHTS = ("call", "put")


def expected_rows(dataset: OptionDataset, listed: pl.DataFrame | None, points: int) -> int | None:
    """Estimate the rows of a day; None if the vendor has no contract list for it.

    Args:
        dataset: what to fetch.
        listed: the vendor's contract list for the day.
        points: number of points of the day's grid.
    """
    if listed is None or listed.is_empty():
        return None
    return listed.height * (points if dataset.by_minute else 1)


def choose_request_unit(dataset: OptionDataset, rows: int | None) -> RequestBy:
    """Choose what one request asks for, by the number of rows of the day."""
    if dataset.request_by is not None:
        return dataset.request_by
    large = rows is not None and rows > LARGE_DAY_ROWS
    return "expiration" if large or not dataset.history.takes_all_expirations else "day"


@dataclass(frozen=True, slots=True)
class Group:
    """The requests for one expiration, whose rows are together in the day's file, in its order.

    Attributes:
        expiration: the expiration.
        requests: by root, and perhaps by right.
    """

    expiration: date
    requests: tuple[HistoryRequest, ...]


def groups(
    dataset: OptionDataset, day: date, by: RequestBy, expirations: Mapping[str, Sequence[date]]
) -> tuple[Group, ...]:
    """Return the requests of a day, expiration by expiration.

    Args:
        dataset: what to fetch.
        day: the trading day.
        by: expiration or right.
        expirations: the expirations to request, by root. Those before the day are left out here: lists of old days hold
            OPRA's test contracts, with expirations such as 1882. Those on the day are requested, although roots that
            are settled in the morning have no data for them (`audit`).
    """
    of_day: dict[date, list[HistoryRequest]] = {}
    for root in dataset.roots:
        for expiration in expirations.get(root, ()):
            if expiration >= day:
                request = dataset.request(day, root, expiration.isoformat())
                of_day.setdefault(expiration, []).extend(split(request) if by == "right" else [request])
    return tuple(Group(expiration, tuple(of_day[expiration])) for expiration in sorted(of_day))


def listed_expirations(listed: pl.DataFrame) -> dict[str, list[date]]:
    """Return each root's expirations in the vendor's contract list."""
    pairs = listed.select("symbol", "expiration").unique().sort("expiration")
    return {str(root): of_root["expiration"].to_list() for (root,), of_root in pairs.group_by("symbol")}


def split(request: HistoryRequest, expirations: Sequence[date] = (), why: str = "") -> list[HistoryRequest]:
    """Split a request into smaller ones for the same data: by right first, then by expiration.

    Args:
        request: the request that is too large.
        expirations: the expirations of its root.
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
