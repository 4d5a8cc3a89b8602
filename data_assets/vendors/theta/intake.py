"""Responses of snapshots on their way to the lake: read in threads while they arrive, in flat memory.

Here: blocks, threads, the order of what is kept, and whether one body is whole by itself. Not here: which requests make
a day (``plan``), and whether all of its contracts are there (``audit``).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import deque
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Protocol, Self

import polars as pl

from data_assets.counts import count_of, count_that
from data_assets.ingest.line_blocks import LineBlocks, LineTooLong
from data_assets.ingest.outcome import DayEnded, Rejected, Transient
from data_assets.ingest.source import DayMeter
from data_assets.ingest.threads import in_thread
from data_assets.lake.provenance import Provenance
from data_assets.lake.writer import DayWriter, StagedFile
from data_assets.quality.completeness import last_contract_whole
from data_assets.quality.contract_summary import contract_pieces, contract_summary, merge_summaries
from data_assets.quality.naming import contract_names
from data_assets.trading_calendar import Session
from data_assets.vendors.theta.schema import Asked, RowReader, Table
from data_assets.vendors.theta.stages import Stages
from data_assets.vendors.theta.strict_lines import is_compiled

LOOK_AHEAD = 2 if is_compiled() else 4
"""Blocks that are read before they are kept: one is read while another is put in order. Compiled code is never waited
for longer, and to read more ahead would only take processors from the encoders."""

_SUMMARIES = 16
_LINE_END = re.compile(rb"\n")


@dataclass(frozen=True, slots=True)
class Grid:
    """The points at which a day's contracts have a row.

    Attributes:
        hours: the day's session.
        window_end: the last requested instant, UTC.
        last_points: the last points of the grid by the underlying's close and by the option close, UTC.
        interval: time between two snapshots of a contract.
    """

    hours: Session
    window_end: datetime
    last_points: tuple[datetime, datetime]
    interval: timedelta

    @property
    def points(self) -> int:
        """Number of rows of a contract that trades to the option close."""
        return (self.last_points[1] - self.hours.open) // self.interval + 1

    def summary(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Summarize rows per contract, for the rules."""
        return contract_summary(rows, open_=self.hours.open, close=self.window_end, interval=self.interval)

    def pieces(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Summarize a batch of rows for `merge_summaries`."""
        return contract_pieces(rows, open_=self.hours.open, close=self.window_end, interval=self.interval)


@dataclass(frozen=True, slots=True)
class BodyEnd:
    """The end of a body whose last line is whole.

    Attributes:
        rows: its rows.
        short: why it seems to stop inside its last contract; None if that contract goes on like the others.
    """

    rows: int
    short: str | None = None


class RowsRepeated(Transient):
    """Rows came twice: perhaps a part of the response was sent again on the way."""


class Rows(Protocol):
    """Where an intake puts rows: into a day's file, or aside."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def write(self, frame: pl.DataFrame) -> None:
        """Take the next rows, in the order they arrived."""


class Collected:
    """Rows kept in memory; implements ``Rows``."""

    def __init__(self) -> None:
        self._frames: list[pl.DataFrame] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, frame: pl.DataFrame) -> None:
        """See ``Rows``."""
        self._frames.append(frame)

    def frames(self) -> list[pl.DataFrame]:
        """All of them, once; at least one frame was written."""
        frames, self._frames = self._frames, []
        return frames


class Intake:
    """Reads bodies: blocks are parsed in a thread while the next ones arrive, and kept in their order.

    At most ``LOOK_AHEAD`` blocks have been received and not yet kept. Once the context is left, no more are kept; one
    that was received may still be parsed, for nobody.

    Attributes:
        bodies: how many were read.
        raw_size: their bytes.
        line_end: of the newest, CRLF or LF.
        extra_columns: columns that they had and that are not stored.
        summary: one row per contract, from `Grid.summary`.
    """

    def __init__(self, rows: Rows, *, stages: Stages, table: Table, grid: Grid, meter: DayMeter) -> None:
        """Read bodies of one day.

        Args:
            rows: where rows go; the intake enters and leaves its context.
            stages: the threads that read them.
            table: the table of the bodies' history.
            grid: the day's grid.
            meter: counts bytes and rows, on the event loop's thread.
        """
        self.bodies = 0
        self.raw_size = 0
        self.line_end = ""
        self.extra_columns: set[str] = set()
        self.summary = pl.DataFrame()
        self._rows = rows
        self._table = table
        self._grid = grid
        self._meter = meter
        self._digest = hashlib.sha256()
        self._stages = stages
        self._pending: deque[Future[int]] = deque()  # to be kept

    def __enter__(self) -> Self:
        self._rows.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for each in self._pending:
            each.cancel()  # or wait for its end, as the rows do that are left now
        self._rows.__exit__(kind, error, traceback)

    @property
    def raw_sha256(self) -> str:
        """Digest of all bodies, in the order of their requests."""
        return self._digest.hexdigest()

    @property
    def rows(self) -> int:
        """Rows taken in so far."""
        return 0 if self.summary.is_empty() else int(self.summary["rows"].sum())

    def stale_expirations(self) -> int:
        """Contracts that had expired before the day; old days hold test contracts with years such as 1882."""
        return self.summary.filter(pl.col("expiration") < self._grid.hours.day).height

    async def body(self, chunks: AsyncIterator[bytes], asked: Asked) -> BodyEnd:
        """Read one body and audit it as far as it can be audited by itself.

        Args:
            chunks: its bytes.
            asked: what its rows must match.

        Returns:
            Its rows, and what is odd about its end.

        Raises:
            DayEnded: ``Rejected``.
            Transient: it stops inside a line.
        """
        body = _Body(self._table, asked, self._grid)
        blocks = LineBlocks()
        try:
            async for chunk in chunks:
                self._meter.received(len(chunk))
                # Here, in no thread: what has just come is in this processor's cache, where a digest takes less time.
                self._digest.update(chunk)
                self.raw_size += len(chunk)
                if (block := blocks.feed(chunk)) is not None:
                    await self._take(block, body)
        except LineTooLong as error:
            raise DayEnded(Rejected(f"the body is no CSV: {error}")) from error
        block, tail = blocks.finish()
        if block:
            await self._take(block, body)
        while self._pending:
            await self._oldest_kept()
        if tail:
            raise Transient(f"the body stopped short: its last line is cut after {count_of(len(tail), 'byte')}")
        self.bodies += 1
        self.extra_columns.update(body.extra_columns)
        self.line_end = body.line_end
        summary = body.summary()
        if summary is None:
            return BodyEnd(0)
        close, option_close = self._grid.last_points
        self.summary = merge_summaries([self.summary, summary]) if self.rows else summary
        return BodyEnd(int(summary["rows"].sum()), last_contract_whole(summary, close=close, option_close=option_close))

    async def _take(self, block: Sequence[memoryview], body: _Body) -> None:
        if len(self._pending) >= LOOK_AHEAD:
            await self._oldest_kept()
        lines = body.without_header(block)
        read = self._stages.parse.submit(body.read, lines)
        self._pending.append(self._stages.keep.submit(self._keep, read, body))

    async def _oldest_kept(self) -> None:
        """Wait for the oldest block that is pending; who is canceled meanwhile cancels it."""
        self._meter.parsed(await asyncio.wrap_future(self._pending.popleft()))

    def _keep(self, read: Future[tuple[pl.DataFrame, pl.DataFrame]], body: _Body) -> int:
        frame, summary = read.result()
        self._rows.write(frame)
        body.add(summary)
        return frame.height


class DayIntake(Intake):
    """An intake whose rows go straight into the day's file; on an error nothing stays on disk."""

    def __init__(self, writer: DayWriter, *, stages: Stages, table: Table, grid: Grid, meter: DayMeter) -> None:
        """Read a day; see ``Intake``."""
        super().__init__(writer, stages=stages, table=table, grid=grid, meter=meter)
        self._writer = writer
        self._rows_end: Future[None] | None = None
        self._staged: StagedFile | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._rows_end is not None:
            self._rows_end.cancel()
        super().__exit__(kind, error, traceback)
        if kind is not None and self._staged is not None:
            self._staged.discard()

    def end_rows(self) -> None:
        """Say that all bodies are read: the last rows are put in order and encoded while the day is audited."""
        self._rows_end = self._stages.keep.submit(self._writer.end_rows)

    async def finish(self, provenance: Provenance) -> StagedFile:
        """Write the day to disk under its temporary name; to be called after ``end_rows``.

        Raises:
            RowsRepeated: a contract has two rows with the same timestamp.
        """
        assert self._rows_end is not None, "end_rows comes first"
        await asyncio.wrap_future(self._rows_end)
        # In none of the stages, where all other days would wait for the disk with this one.
        self._staged = await in_thread(lambda: self._finish(provenance), StagedFile.discard)
        return self._staged

    def _finish(self, provenance: Provenance) -> StagedFile:
        staged = self._writer.finish(provenance)
        try:
            # Rows that came in order are unique. The others show only in the sorted file, where repeats lie together.
            if self.summary["disordered"].sum():
                refuse_repeats(merge_summaries([self._grid.pieces(batch) for batch in staged.batches()]))
        except BaseException:
            staged.discard()
            raise
        return staged


def refuse_repeats(sorted_day: pl.DataFrame) -> None:
    """Refuse rows that come twice; in sorted rows they lie together.

    Args:
        sorted_day: the summary of sorted rows.

    Raises:
        RowsRepeated: naming a contract.
    """
    repeated = sorted_day.filter(pl.col("disordered") > 0)
    if repeated.is_empty():
        return
    raise RowsRepeated(
        f"{count_that(int(repeated['disordered'].sum()), 'row', 'repeat')} the contract and timestamp of another, in "
        f"{count_of(repeated.height, 'contract')} such as {contract_names(repeated.head(1))[0]}: the vendor "
        "sent them twice, "
        "as an older terminal may if it ignores a parameter"
    )


class _Body:
    """What is known of one body while it arrives: its columns, and the summary of its contracts."""

    def __init__(self, table: Table, asked: Asked, grid: Grid) -> None:
        self.line_end = ""
        self._table = table
        self._asked = asked
        self._grid = grid
        self._reader: RowReader | None = None
        self._summaries: list[pl.DataFrame] = []

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """Columns that are not stored."""
        return self._reader.extra_columns if self._reader else ()

    def without_header(self, block: Sequence[memoryview]) -> Sequence[memoryview]:
        """Return the block's lines of data; read the header, which the first block begins with."""
        if self._reader is not None:
            return block
        first = block[0]
        line_end = _LINE_END.search(first)  # where they lie: there are as many bodies as expirations
        assert line_end is not None
        header = bytes(first[: line_end.start()])
        self._reader = RowReader(self._table, header, self._asked)
        self.line_end = "CRLF" if header.endswith(b"\r") else "LF"
        return [first[line_end.end() :], *block[1:]]

    def read(self, lines: Sequence[memoryview]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows and their summary."""
        assert self._reader is not None
        frame = self._reader.read(*lines)
        return frame, self._grid.pieces(frame)

    def add(self, summary: pl.DataFrame) -> None:
        """Add the next block's summary; they are merged now and then, to save memory."""
        if not summary.is_empty():
            self._summaries.append(summary)
        if len(self._summaries) >= _SUMMARIES:
            self._summaries = [merge_summaries(self._summaries)]

    def summary(self) -> pl.DataFrame | None:
        """One row per contract; None for a body without rows."""
        return merge_summaries(self._summaries) if self._summaries else None
