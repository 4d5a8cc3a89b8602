"""What a Theta dataset is: which history, of which option roots, at which points of the day.

Here: the value that a block of YAML becomes, and what follows from it alone. Not here: the requests for a day
(``plan``), and Dagster (``component``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Literal

from data_assets.ingest.day_bounds import DayBounds
from data_assets.trading_calendar import Session
from data_assets.vendors.theta.client import INTERVALS, HistoryRequest
from data_assets.vendors.theta.histories import HISTORIES, History, Kind
from data_assets.vendors.theta.intake import Grid
from data_assets.vendors.theta.schema import Table, utc_offset

RequestBy = Literal["day", "expiration", "right"]

ABSENT_LIMIT = 0.3
"""Share of a root's listed contracts. A judgement: enough for empty expirations, too little for half a response."""

BOUNDS = DayBounds(rows=50_000_000, size=20_000_000_000)
"""A day of SPX is ten million rows of a hundred bytes."""

START_TIME = "09:30:00"


@dataclass(frozen=True)
class OptionDataset:
    """What to fetch, a few lines of a `defs.yaml`.

    Attributes:
        key: the dataset's key in the lake, such as theta/option_quotes/SPX.
        symbol: its name, such as SPX.
        kind: which history.
        roots: the option roots that a day holds, such as SPX and SPXW; by default the one with the symbol's name.
        request_by: what one request asks for; None to choose by the day's size.
        interval: for a grid, one of ``client.INTERVALS``.
        end_time: for a grid, the last snapshot of the day, New York wall clock, HH:MM:SS.
        absent_tolerance: share of a root's listed contracts, 0 to 1, that may be absent from a complete day; by default
            that of the history.
        absent_limit: share of a root's listed contracts up to which the vendor's repeated response outranks its list:
            the day is stored, and `contract_set` fails. With more absent, it is rejected.
        bounds: the most that the responses for a day may hold.
    """

    key: str
    symbol: str
    kind: Kind = "quotes"
    roots: tuple[str, ...] = ()
    request_by: RequestBy | None = None
    interval: str = "1m"
    end_time: str = "16:15:00"
    absent_tolerance: float = -1
    absent_limit: float = ABSENT_LIMIT
    bounds: DayBounds = BOUNDS

    def __post_init__(self) -> None:
        object.__setattr__(self, "roots", self.roots or (self.symbol,))
        if self.absent_tolerance == -1:
            object.__setattr__(self, "absent_tolerance", self.history.absent_tolerance)
        if len(set(self.roots)) != len(self.roots):
            raise ValueError(f"roots {', '.join(self.roots)}: name each once")
        if self.interval not in INTERVALS:
            raise ValueError(f"interval {self.interval!r}: must be one of {', '.join(INTERVALS)}")
        try:
            last = datetime.strptime(self.end_time, "%H:%M:%S").time()  # noqa: DTZ007  a time of day has no zone
        except ValueError:
            raise ValueError(f"end_time {self.end_time!r}: must be HH:MM:SS in New York, such as 16:15:00") from None
        if last <= time.fromisoformat(START_TIME):
            raise ValueError(f"end_time {self.end_time!r}: must be after {START_TIME}, the open in New York")
        for name, such_as in (("absent_tolerance", 0.005), ("absent_limit", ABSENT_LIMIT)):
            if not 0 <= (share := getattr(self, name)) <= 1:
                raise ValueError(f"{name} {share}: must be a share from 0 to 1, such as {such_as}")
        if self.request_by == "day" and not self.history.takes_all_expirations:
            raise ValueError(
                f"request_by day: Theta's {self.kind} take one expiration per request; say expiration or right"
            )

    @property
    def history(self) -> History:
        """The record of its history."""
        return HISTORIES[self.kind]

    @property
    def table(self) -> Table:
        """Its columns."""
        return self.history.table

    @property
    def by_minute(self) -> bool:
        """Whether a contract has a row at each point of a grid, rather than one a day."""
        return self.history.by_minute

    @property
    def points(self) -> int:
        """How many rows a contract has on a whole day."""
        if not self.by_minute:
            return 1
        first, last = (datetime.fromisoformat(f"2000-01-01T{each}") for each in (START_TIME, self.end_time))
        return (last - first) // INTERVALS[self.interval] + 1

    @property
    def sort_by(self) -> tuple[str, ...]:
        """The columns by which the rows of a day are sorted."""
        roots = ("symbol",) if len(self.roots) > 1 else ()
        return ("expiration", *roots, "strike", "right", *(("timestamp",) if self.by_minute else ()))

    def request(self, day: date, root: str, expiration: str = "*") -> HistoryRequest:
        """Return the request for one root's whole day, or for one expiration of it."""
        grid = {"interval": self.interval, "start_time": START_TIME, "end_time": self.end_time}
        return self.history.request(root, day, expiration=expiration, **(grid if self.by_minute else {}))

    def last_snapshot(self, day: date) -> datetime:
        """Return the instant of the last requested snapshot, UTC."""
        wall_clock = datetime.strptime(f"{day} {self.end_time}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        return wall_clock - utc_offset(day)

    def grid(self, hours: Session) -> Grid:
        """Return the grid of a day.

        It begins at the open, and its last points may lie before the closes: hourly snapshots end at 15:30 for both.
        """
        interval, window_end = INTERVALS[self.interval], self.last_snapshot(hours.day)

        def reached(end: datetime) -> datetime:
            return hours.open + (min(end, window_end) - hours.open) // interval * interval

        return Grid(hours, window_end, (reached(hours.close), reached(hours.option_close)), interval)
