"""The bodies of one day on their way from the wire to the lake: read in threads while they arrive, in flat memory.

Here: blocks, threads, the order of what is written, and what one body tells of its own wholeness. Not here: which
requests make a day, and whether its contracts are all there (``day``).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

import polars as pl

from data_assets.ingest.line_blocks import LineBlocks, LineTooLong
from data_assets.ingest.outcome import DayEnded, Rejected, Transient
from data_assets.ingest.source import DayMeter
from data_assets.lake.provenance import Provenance
from data_assets.lake.writer import DayWriter, StagedFile
from data_assets.quality.completeness import last_contract_whole
from data_assets.quality.contract_summary import contract_summary, merge_summaries
from data_assets.quality.naming import contract_names
from data_assets.trading_calendar import Session
from data_assets.vendors.theta import schema

LOOK_AHEAD = 4
PARSERS = 2
_PIECES = 16


class Intake:
    """Takes a day's bodies in: blocks are read in threads while the next ones arrive, and written in their order.

    At most ``LOOK_AHEAD`` blocks are between the wire and the disk. Leaving the context waits for the threads, so that
    none of them touches a writer that has cleaned up; on an error nothing stays on disk.
    """

    def __init__(
        self,
        writer: DayWriter,
        *,
        symbol: str,
        hours: Session,
        window_end: datetime,
        last_points: tuple[datetime, datetime],
        interval: timedelta,
        meter: DayMeter,
    ) -> None:
        """Take in a day.

        Args:
            writer: where rows go; the intake leaves its context for it.
            symbol: option root.
            hours: the day's session.
            window_end: the last instant that was asked for, UTC.
            last_points: of the grid, by the underlying's close and by the option close, UTC.
            interval: between two snapshots of a contract.
            meter: told of bytes and rows, on the event loop's thread.
        """
        self.hours = hours
        self.bodies = 0
        self.raw_size = 0
        self.line_end = ""
        self.extra_columns: set[str] = set()
        self.summary = pl.DataFrame()
        self._symbol = symbol
        self._interval = interval
        self._window_end = window_end
        self._last_points = last_points
        self._meter = meter
        self._digest = hashlib.sha256()
        self._writer = writer
        self._parsers = ThreadPoolExecutor(PARSERS, "theta-parse")
        self._in_order = ThreadPoolExecutor(1, "theta-write")
        self._digests = ThreadPoolExecutor(1, "theta-digest")
        self._staged: Future[StagedFile] | None = None

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._in_order.shutdown(cancel_futures=True)
        self._parsers.shutdown(cancel_futures=True)
        self._digests.shutdown(cancel_futures=True)
        staged = self._staged
        if kind is not None and staged is not None and not staged.cancelled() and staged.exception() is None:
            staged.result().discard()
        self._writer.__exit__(kind, error, traceback)

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
        return self.summary.filter(pl.col("expiration") < self.hours.day).height

    async def body(self, chunks: AsyncIterator[bytes]) -> int:
        """Take in one body and audit it as far as it can be by itself.

        Returns:
            Its rows.

        Raises:
            DayEnded: ``Rejected``.
            Transient: it stops inside a line or a contract.
        """
        body = _Body(self._symbol, self.hours, self._window_end, self._interval)
        blocks, pending = LineBlocks(), deque[Future[int]]()
        try:
            async for chunk in chunks:
                self._meter.received(len(chunk))
                if (block := blocks.feed(chunk)) is not None:
                    await self._take(block, body, pending)
        except LineTooLong as error:
            raise DayEnded(Rejected(f"the body is no CSV: {error}")) from error
        lines, tail = blocks.finish()
        if lines:
            await self._take(lines, body, pending)
        while pending:
            self._meter.parsed(await asyncio.wrap_future(pending.popleft()))
        if tail:
            raise Transient(f"the body stopped short: its last line is cut after {len(tail)} bytes")
        self.bodies += 1
        self.extra_columns.update(body.extra_columns)
        self.line_end = body.line_end
        summary = body.summary()
        if summary is None:
            return 0
        close, option_close = self._last_points
        if reason := last_contract_whole(summary, close=close, option_close=option_close):
            raise Transient(f"the body stopped short: {reason}")
        self.summary = merge_summaries([self.summary, summary]) if self.rows else summary
        return int(summary["rows"].sum())

    async def finish(self, provenance: Provenance) -> StagedFile:
        """Bring the day to disk under its temporary name.

        Raises:
            DayEnded: ``Rejected``, if a contract has two rows of one instant.
        """
        self._staged = self._in_order.submit(self._finish, provenance)
        return await asyncio.wrap_future(self._staged)

    def _finish(self, provenance: Provenance) -> StagedFile:
        staged = self._writer.finish(provenance)
        try:
            # Rows that came in order are unique. The others show only in the sorted file, where repeats lie together.
            if self.summary["disordered"].sum():
                _refuse_repeats(merge_summaries([self._summarize(batch) for batch in staged.batches()]))
        except BaseException:
            staged.discard()
            raise
        return staged

    def _summarize(self, rows: pl.DataFrame) -> pl.DataFrame:
        return contract_summary(rows, open_=self.hours.open, close=self._window_end, interval=self._interval)

    async def _take(self, block: bytes, body: _Body, pending: deque[Future[int]]) -> None:
        if len(pending) >= LOOK_AHEAD:
            self._meter.parsed(await asyncio.wrap_future(pending.popleft()))
        lines = body.without_header(block)
        read = self._parsers.submit(body.read, lines)
        digested = self._digests.submit(self._digest.update, block)
        self.raw_size += len(block)
        pending.append(self._in_order.submit(self._keep, read, digested, body))

    def _keep(self, read: Future[tuple[pl.DataFrame, pl.DataFrame]], digested: Future[None], body: _Body) -> int:
        frame, summary = read.result()
        self._writer.write(frame)
        body.add(summary)
        digested.result()
        return frame.height


def _refuse_repeats(sorted_day: pl.DataFrame) -> None:
    repeated = sorted_day.filter(pl.col("disordered") > 0)
    if repeated.is_empty():
        return
    raise DayEnded(
        Rejected(
            f"{repeated['disordered'].sum():,} rows repeat the contract and timestamp of another, in "
            f"{repeated.height:,} contracts such as {contract_names(repeated.head(1))[0]}: the vendor sent them twice, "
            "as an older terminal may that ignores a parameter; update the terminal and run this day again"
        )
    )


class _Body:
    """What is known of one body while it arrives: its columns, and the summary of its contracts."""

    def __init__(self, symbol: str, hours: Session, window_end: datetime, interval: timedelta) -> None:
        self.line_end = ""
        self._symbol = symbol
        self._hours = hours
        self._window_end = window_end
        self._interval = interval
        self._reader: schema.QuoteReader | None = None
        self._pieces: list[pl.DataFrame] = []

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """Columns that are not stored."""
        return self._reader.extra_columns if self._reader else ()

    def without_header(self, block: bytes) -> bytes:
        """The block's lines of data; the first block also holds the header, which is learnt."""
        if self._reader is not None:
            return block
        header, _, lines = block.partition(b"\n")
        self._reader = schema.QuoteReader(header, self._symbol, self._hours.day)
        self.line_end = "CRLF" if header.endswith(b"\r") else "LF"
        return lines

    def read(self, lines: bytes) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows and their summary; called from several threads at once."""
        assert self._reader is not None
        frame = self._reader.read(lines)
        summary = contract_summary(frame, open_=self._hours.open, close=self._window_end, interval=self._interval)
        return frame, summary

    def add(self, summary: pl.DataFrame) -> None:
        """Take the next block's summary; merged now and then, so that many blocks of many contracts stay small."""
        if not summary.is_empty():
            self._pieces.append(summary)
        if len(self._pieces) >= _PIECES:
            self._pieces = [merge_summaries(self._pieces)]

    def summary(self) -> pl.DataFrame | None:
        """One row per contract; None for a body without rows."""
        return merge_summaries(self._pieces) if self._pieces else None
