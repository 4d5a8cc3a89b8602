"""Days in files of an older downloader, imported as if they had just been downloaded.

Here: finding the files, and reading them in place of the terminal. Not here: what a body must be like (``intake``,
``audit``): a file passes the same parsing and audit as a response of the terminal, or is refused.

The downloader requested a root's whole day and wrote the body as it came: `QQQ_options_2024-01-03_1m.csv`, here also
compressed as .gz or .zst. It wrote under the final name from the first byte on, so its files may be cut anywhere.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from data_assets.ingest.outcome import DayEnded, IngestError, Rejected, Transient
from data_assets.ingest.source import DayMeter, StagedDay
from data_assets.lake.errors import one_line
from data_assets.lake.lake import Lake
from data_assets.trading_calendar import NotASession, session
from data_assets.vendors.theta.audit import ContractList
from data_assets.vendors.theta.client import HistoryRequest
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.day import ThetaSource
from data_assets.vendors.theta.terminal import OptionSource

CHUNK = 1 << 20

_NAME = re.compile(r"(?P<symbol>[A-Z][A-Z0-9]*)_options_(?P<day>\d{4}-\d\d-\d\d)_(?P<interval>\w+)\.csv(?:\.gz|\.zst)?")
_OF_FILES = re.compile(r".*\.csv(\.gz|\.zst)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """The files of a folder.

    Attributes:
        of_days: the file of each day.
        refused: files that are of no day of the dataset, with the reason.
    """

    of_days: Mapping[date, Path]
    refused: Mapping[Path, str]


def find_files(path: Path, dataset: OptionDataset) -> FoundFiles:
    """Find the files of a dataset's days: ``path`` itself, or those in and below the folder ``path``.

    Only CSV files count; if a day is there in several forms, the plain file is taken, whatever its folder.
    """
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    found = sorted(files, key=lambda file: (file.name, file))
    of_days: dict[date, Path] = {}
    refused: dict[Path, str] = {}
    for file in found:
        if path.is_dir() and not _OF_FILES.fullmatch(file.name):
            continue
        try:
            day = _day_of(file.name, dataset)
        except ValueError as error:
            refused[file] = str(error)
            continue
        if day in of_days:
            refused[file] = f"{of_days[day]} is the same day"
        else:
            of_days[day] = file
    return FoundFiles(of_days, refused)


def _day_of(name: str, dataset: OptionDataset) -> date:
    parts = _NAME.fullmatch(name)
    expected = f"{dataset.symbol}_options_YYYY-MM-DD_{dataset.interval}.csv, .csv.gz or .csv.zst"
    if parts is None or (parts["symbol"], parts["interval"]) != (dataset.symbol, dataset.interval):
        raise ValueError(f"not named like a day of {dataset.key}: {expected}")
    try:
        return session(date.fromisoformat(parts["day"])).day
    except NotASession as error:
        raise ValueError(str(error)) from None


class LegacyFiles:
    """Files in place of the terminal's responses; implements ``OptionSource``.

    The terminal still provides the contract list, if it is running; without it, nothing tells which contracts a day
    must hold. If it is running and fails, it is asked again: without its list a file cut between two contracts looks
    whole.
    """

    def __init__(self, files: Mapping[date, Path], terminal: OptionSource) -> None:
        """Read these files, and ask an open terminal for lists."""
        self._files = files
        self._terminal = terminal
        self._no_terminal: str | None = None
        self._lists: dict[date, ContractList] = {}

    @property
    def at_once(self) -> int:
        """See ``OptionSource``."""
        return self._terminal.at_once

    @property
    def answers_anew(self) -> bool:
        """See ``OptionSource``: a file says the same however often it is read."""
        return False

    @asynccontextmanager
    async def history(self, request: HistoryRequest) -> AsyncIterator[AsyncIterator[bytes]]:
        """See ``OptionSource``: the file of the request's day, unpacked."""
        path = self._files[request.day]
        try:
            file = await asyncio.to_thread(_open, path)
        except OSError as error:
            raise DayEnded(Rejected(f"cannot be opened: {error.strerror or error}")) from error
        with file:
            yield _chunks(file)

    async def ask_for_list(self, roots: Sequence[str], day: date) -> None:
        """Get the list that `listed_contracts` gives, before the file is opened.

        Raises:
            Transient: the terminal is there and could not answer.
        """
        if self._no_terminal is None:
            try:
                self._lists[day] = await self._terminal.listed_contracts(roots, day)
            except Transient:
                raise
            except DayEnded as ended:  # about this day alone
                self._lists[day] = ContractList(None, f"the terminal has no list to give: {ended}")
            except IngestError as error:
                self._no_terminal = str(error)

    async def listed_contracts(self, roots: Sequence[str], day: date) -> ContractList:
        """See ``OptionSource``: the terminal's list, or none."""
        nobody_can_tell = ContractList(None, f"the terminal has no list to give: {self._no_terminal}")
        return self._lists.pop(day, nobody_can_tell)

    async def expirations(self, roots: Sequence[str]) -> Mapping[str, Sequence[date]]:
        """See ``OptionSource``; a file is one body and never split."""
        return await self._terminal.expirations(roots)

    async def trades_on_last_day(self, root: str, day: date) -> bool | None:
        """See ``OptionSource``: the terminal knows, as it gave the list."""
        return await self._terminal.trades_on_last_day(root, day)

    def source(self, request: HistoryRequest) -> str:
        """See ``OptionSource``: the file's path."""
        return str(self._files[request.day])

    async def wait_until_up(self, root: str) -> None:
        """See ``OptionSource``: files are always there, and the terminal was."""
        await self._terminal.wait_until_up(root)


class LegacySource:
    """Days in files, for the engine; implements ``ingest.source.Source``. A file that is not whole is rejected."""

    def __init__(
        self, dataset: OptionDataset, *, lake: Lake, files: Mapping[date, Path], terminal: OptionSource
    ) -> None:
        """Bind files to the dataset that they are of.

        Args:
            dataset: quotes of one root.
            lake: where days are staged.
            files: by day.
            terminal: an open terminal, perhaps not running.
        """
        self._files = files
        self._roots = dataset.roots
        self._bodies = LegacyFiles(files, terminal)
        self._source = ThetaSource(replace(dataset, request_by="day"), lake=lake, bodies=self._bodies)

    async def fetch(self, day: date, meter: DayMeter) -> StagedDay:
        """See ``Source``."""
        await self._bodies.ask_for_list(self._roots, day)
        try:
            return await self._source.fetch(day, meter)
        except Transient as error:
            raise DayEnded(Rejected(f"{self._files[day].name}: {error}; download the day instead")) from error
        except DayEnded as ended:
            reason = f"{self._files[day].name}: {ended.outcome.reason}"
            raise DayEnded(replace(ended.outcome, reason=reason)) from ended

    async def wait_until_up(self) -> None:
        """See ``Source``."""
        await self._source.wait_until_up()


def _open(path: Path) -> BinaryIO:
    match path.suffix:
        case ".gz":
            return cast(BinaryIO, gzip.open(path, "rb"))
        case ".zst":
            return cast(BinaryIO, pa.input_stream(path, compression="zstd"))
        case _:
            return path.open("rb")


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    while True:
        try:
            chunk = await asyncio.to_thread(file.read, CHUNK)
        except (OSError, EOFError, zlib.error, pa.ArrowException) as error:  # so gzip and Arrow say it
            raise Transient(f"the file stopped short or is damaged: {one_line(error)}") from error
        if not chunk:
            return
        yield chunk
