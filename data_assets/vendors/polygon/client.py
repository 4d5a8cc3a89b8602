"""The client of Polygon's flat files, in a bucket or in a folder that mirrors it.

Here: listing and reading. Not here: keeping the files (``raw_cache``), what is in them (``schema``), what a refusal
means (``refusals``), and what a file that is not listed means for its day (``day``).

Sources: the vendor's "Flat Files Quickstart" for host, bucket and layout, and its knowledge base for the rest: every
key is listed whatever the plan, but reading one outside the plan answers 403; a published file may be replaced, so a
file is read by the ETag that was listed. So the listing tells whether a file exists, and 403 is never "no data".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, PreconditionError
from obstore.store import LocalStore, S3Store
from pydantic import SecretStr

from data_assets.ingest.outcome import DayEnded, Failed, IngestError, RunEnded, Transient
from data_assets.ingest.waiting import waiting_for_an_answer
from data_assets.vendors.polygon import names
from data_assets.vendors.polygon.refusals import (
    CHECK_SERVER,
    KEYS,
    Place,
    answer_in,
    error_of,
    error_without_answer,
    is_web_page,
    page_instead,
)

if TYPE_CHECKING:
    from obstore import BytesStream, ObjectMeta
    from obstore.store import S3Credential

ENDPOINT = "https://files.massive.com"
REGION = "us-east-1"  # the vendor accepts any

CONNECT_SECONDS = 10.0
STALL_SECONDS = 60.0
POLL_SECONDS = 5.0

_WHOLE_SECONDS = 6 * 3600.0  # obstore wants a limit on a whole request; a stall is what ends one
_CHUNK_BYTES = 1 << 18
_NAMES_LOOKED_AT = 1_000
_SYNTHETIC_NAME = b"data_assets-sandbox"  # as the sandbox spells it; vendors know nothing else of it
_GZIP_FLAGS, _HAS_NAME, _GZIP_NAME = 3, 0x08, 10


class Replaced(Transient):
    """The object is no longer the one that was listed: list again."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One day's file in the listing.

    Attributes:
        day: the trading day.
        key: its key, relative to the bucket or folder that was configured.
        etag: its version, opaque.
        size: its bytes.
        last_modified: when this version appeared, which may be long after the trading day.
    """

    day: date
    key: str
    etag: str
    size: int
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class _Month:
    """The files of a month in a bucket or folder.

    Attributes:
        days: the files with the vendor's names.
        others: the names of the others.
    """

    days: dict[date, Listed]
    others: tuple[str, ...]


class FlatFileStore:
    """The vendor's files for one run, which lists each month once."""

    def __init__(
        self,
        url: str,
        *,
        endpoint: str = ENDPOINT,
        key_id: str = "",
        secret: SecretStr | str = "",
        region: str = REGION,
        real_data_only: bool = False,
        stall_seconds: float = STALL_SECONDS,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """Prepare a store; nothing is opened or sent yet.

        Args:
            url: ``s3://bucket[/prefix]``, or ``file:///folder`` that holds the same keys.
            endpoint: the S3 server's http or https address; unused for a folder.
            key_id: the S3 access key id; unused for a folder.
            secret: the key that belongs to it.
            region: the region that requests are signed for; it matters for your own bucket only.
            real_data_only: refuse files that say that they are synthetic.
            stall_seconds: how long a server may send no byte.
            poll_seconds: pause between two requests while the server is away.
        """
        self._url = url.rstrip("/")
        self._endpoint = endpoint.rstrip("/")
        self._key_id = key_id
        self._secret = secret if isinstance(secret, SecretStr) else SecretStr(secret)
        self._region = region
        self._real_data_only = real_data_only
        self._stall_seconds = stall_seconds
        self._poll_seconds = poll_seconds
        self._has_answered = False
        self._opened: S3Store | LocalStore | None = None
        self._months: dict[str, _Month] = {}
        self._everything: tuple[frozenset[str], list[str]] | None = None
        self._listing = asyncio.Lock()

    def __repr__(self) -> str:
        return f"FlatFileStore({self._url!r})"

    def source(self, listed: Listed) -> str:
        """Return the URL of a file, for provenance and messages."""
        return f"{self._url}/{listed.key}"

    async def listed(self, day: date) -> Listed | None:
        """Return a day's file, if the vendor lists one; the first call for a month lists it.

        Raises:
            IngestError: see ``refusals``.
        """
        return (await self._month(day)).days.get(day)

    async def misnamed(self, day: date, *, anywhere: bool) -> str | None:
        """Why a day that is not listed may be there under another name; None where nothing says so.

        Args:
            day: the day.
            anywhere: look for its date in other folders than its month's too, which lists all files, once.

        Raises:
            IngestError: see ``refusals``.
        """
        month = await self._month(day)
        found = names.misnamed(day, month.others, self._shown, named=bool(month.days))
        if found is not None or not month.days or not anywhere:
            return found
        async with self._listing:
            _, others = await self._all_files()
        return names.misnamed(day, others, self._shown, named=True)

    async def listed_anew(self, day: date) -> Listed | None:
        """Do as `listed` after listing again, for a file that has been replaced."""
        async with self._listing:
            self._months.pop(names.month_prefix(day), None)
        return await self.listed(day)

    async def listing(self, start: date, end: date) -> dict[date, Listed]:
        """List the files of the days from ``start`` to ``end``, both included, oldest first; one request per month."""
        found: dict[date, Listed] = {}
        month = start.replace(day=1)
        while month <= end:
            found |= (await self._month(month)).days
            month = (month + timedelta(days=31)).replace(day=1)
        return {day: found[day] for day in sorted(found) if start <= day <= end}

    async def first_listed(self) -> Listed | None:
        """Return the oldest file that the vendor lists, whatever the plan; None if it lists none.

        Raises:
            IngestError: see ``refusals``.
        """
        for year in sorted(await self._years()):
            with self._asking(f"the months of {year}"):
                months = await obstore.list_with_delimiter_async(self._store(), year)
            for month in sorted(months["common_prefixes"]):
                with self._asking(f"the list of flat files in {month}"):
                    listed, _ = await self._files(month)
                if listed:
                    return listed[min(listed)]
        return None

    async def read(self, listed: Listed) -> AsyncGenerator[bytes, None]:
        """The bytes of exactly the version that was listed.

        Raises:
            Replaced: there is another version now, or none.
            DayEnded: ``NotEntitled``.
            RunEnded: the file is synthetic, and only real data is wanted.
            IngestError: see ``refusals``.
        """
        with self._asking(f"the flat file of {listed.day}", reading=True):
            with self._waiting():
                answer = await obstore.get_async(self._store(), listed.key, options={"if_match": listed.etag})
            first = True
            chunks = answer.stream(min_chunk_size=_CHUNK_BYTES)
            while (chunk := await self._next(chunks)) is not None:
                data = bytes(chunk)
                if first and len(data) > _GZIP_NAME:
                    self._refuse_synthetic_data(data)
                if first and not self._is_folder and is_web_page(data):
                    raise page_instead(f"the flat file of {listed.day}", self._place)
                first = False
                yield data

    async def _next(self, chunks: BytesStream) -> bytes | None:
        with self._waiting():
            return await anext(chunks, None)

    def _waiting(self) -> AbstractContextManager[None]:
        return waiting_for_an_answer(self._shown, self._stall_seconds)

    async def wait_until_up(self) -> None:
        """Return when the server lists again; waits as long as it takes.

        Raises:
            RunEnded: it answers, and refuses.
        """
        while True:
            try:
                await self._years()
            except Transient:
                await asyncio.sleep(self._poll_seconds)
            except DayEnded:  # it answers, if only with a refusal, which is for the days to tell
                return
            else:
                return

    async def _month(self, day: date) -> _Month:
        prefix = names.month_prefix(day)
        async with self._listing:
            if prefix not in self._months:
                with self._asking(f"the list of flat files of {day:%Y-%m}"):
                    listed, others = await self._files(prefix)
                self._has_answered = True
                if not listed:
                    others += [name for name in await self._misplaced(day) if name not in others]
                self._months[prefix] = _Month(listed, tuple(others))
            return self._months[prefix]

    async def _files(self, prefix: str) -> tuple[dict[date, Listed], list[str]]:
        """The files below a prefix that are named as the vendor's, and the names of the others that hold data."""
        if self._is_folder:
            found, keys = await asyncio.to_thread(self._files_of_folder, prefix)
        else:
            found = [meta async for chunk in obstore.list(self._store(), prefix) for meta in chunk]
            keys = [meta["path"] for meta in found]
        return self._by_day(found), names.other_names(keys)

    def _files_of_folder(self, prefix: str) -> tuple[list[ObjectMeta], list[str]]:
        """The same of a folder, where obstore passes over links to nothing, and lists nothing at all beside a loop."""
        store, found, keys = self._store(), [], []
        for key in names.files_below(self._folder_path, prefix):
            if names.day_of(key) is None:
                keys.append(key)
                continue
            try:
                found.append(obstore.head(store, key))
            except (FileNotFoundError, BaseError):
                keys.append(f"{key} (which cannot be opened)")
        return found, keys

    def _by_day(self, found: Iterable[ObjectMeta]) -> dict[date, Listed]:
        days = {}
        for meta in found:
            day = names.day_of(meta["path"])
            if day is None:
                continue
            if not meta["e_tag"]:
                raise RunEnded(f"{self._url} lists files without ETags: {CHECK_SERVER}")
            days[day] = Listed(day, meta["path"], meta["e_tag"], meta["size"], meta["last_modified"])
        return days

    async def _misplaced(self, day: date) -> list[str]:
        """Files that bear a date of a month, which was listed as empty, and lie elsewhere.

        Tells a month without files from a place without any, and from one that answered wrongly: only in a place that
        holds the vendor's names, and none of this month in the list of all of them, can there be no data.
        """
        months, others = await self._all_files()
        if names.month_prefix(day) in months:
            self._everything = None
            raise Transient(
                f"the list of flat files of {day:%Y-%m} came back empty, and the list of all files holds some"
            )
        return names.of_month(day, others)

    async def _all_files(self) -> tuple[frozenset[str], list[str]]:
        """The months of which there are files with the vendor's names, and the names of the others."""
        if self._everything is None:
            years = await self._years()
            with self._asking("the list of all flat files"):
                listed, others = await self._files(names.DATASET)
            if not listed and (others or not years):
                await self._refuse_wrong_place(others)
            self._everything = frozenset(map(names.month_prefix, listed)), others
        return self._everything

    async def _years(self) -> list[str]:
        """The folders of years; a place without any is asked whether it is an S3 server at all."""
        with self._asking("the list of years"):
            years = await obstore.list_with_delimiter_async(self._store(), names.DATASET)
            if not years["common_prefixes"] and not self._is_folder:
                await self._refuse_web_page()
        return list(years["common_prefixes"])

    async def _refuse_web_page(self) -> None:
        """Tell an empty bucket from a sign-in page, which obstore reads as the list of one.

        An S3 server has no object of the name asked for here; a page answers to any.
        """
        try:
            answer = await obstore.get_async(self._store(), names.DATASET)
        except (FileNotFoundError, PermissionDeniedError):
            return
        if is_web_page(bytes(await answer.bytes_async())):
            raise page_instead("the list of flat files", self._place)

    async def _refuse_wrong_place(self, others: list[str]) -> None:
        more = False
        if not others and self._is_folder:
            others = names.other_names(await asyncio.to_thread(names.files_below, self._folder_path, ""))
        elif not others:
            with self._asking("the list of files"):
                async for chunk in obstore.list(self._store(), chunk_size=_NAMES_LOOKED_AT):
                    others = names.other_names(meta["path"] for meta in chunk)
                    more = len(chunk) == _NAMES_LOOKED_AT
                    break
        raise RunEnded(names.wrong_place(self._shown, others, more=more))

    def _refuse_synthetic_data(self, head: bytes) -> None:
        """Refuse a file whose gzip header (RFC 1952) names the sandbox as its origin; copies keep the mark."""
        if self._real_data_only and head[_GZIP_FLAGS] & _HAS_NAME and head[_GZIP_NAME:].startswith(_SYNTHETIC_NAME):
            raise RunEnded(
                f"the flat files at {self._shown} are the sandbox's, which are synthetic, and DATA_ASSETS_PROFILE is "
                "live: set POLYGON_FLAT_FILES_URL and POLYGON_S3_ENDPOINT to the vendor's, or to your mirror of it"
            )

    def _store(self) -> S3Store | LocalStore:
        if self._opened is None:
            parts = urlsplit(self._url)
            self._opened = self._folder() if self._is_folder else self._bucket(parts.netloc, parts.path)
        return self._opened

    @property
    def _folder_path(self) -> Path:
        return Path(unquote(urlsplit(self._url).path))

    def _folder(self) -> LocalStore:
        folder = self._folder_path
        if not folder.is_dir():
            raise RunEnded(f"there is no folder {folder}: set POLYGON_FLAT_FILES_URL to where the flat files are")
        return LocalStore(folder)

    def _bucket(self, bucket: str, prefix: str) -> S3Store:
        if not self._key_id or not self._secret.get_secret_value():
            raise RunEnded(f"there is no S3 key for {self._shown}: {KEYS}")
        return S3Store(
            bucket,
            prefix=prefix.strip("/") or None,
            # Every setting that obstore would otherwise take from AWS_* variables, which belong to the lake.
            aws_endpoint_url_s3=self._endpoint,
            region=self._region,
            virtual_hosted_style_request=False,
            skip_signature=False,
            credential_provider=self._credentials,
            client_options={
                "allow_http": self._endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
                "read_timeout": timedelta(seconds=self._stall_seconds),
                "timeout": timedelta(seconds=_WHOLE_SECONDS),
            },
            retry_config={"max_retries": 0},  # the engine's own tries are counted and shown
        )

    def _credentials(self) -> S3Credential:
        secret = self._secret.get_secret_value()
        return {"access_key_id": self._key_id, "secret_access_key": secret, "token": None, "expires_at": None}

    @contextmanager
    def _asking(self, asked: str, *, reading: bool = False) -> Iterator[None]:
        """Turn what the store raises into one error without its text, which may quote the request's headers."""
        try:
            with nullcontext() if reading else self._waiting():
                yield
        except PreconditionError:
            raise Replaced(f"{asked} was replaced by the vendor after it was listed") from None
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise self._error(asked, str(error), reading=reading) from None
            raise Replaced(f"{asked} was listed and is no longer there") from None
        except BaseError as error:
            raise self._error(asked, str(error), reading=reading) from None

    def _error(self, asked: str, text: str, *, reading: bool) -> IngestError:
        if self._is_folder:
            return DayEnded(Failed(f"{asked} cannot be read below {self._url}: check the disk and its permissions"))
        answer = answer_in(text.replace(self._key_id, "the key id") if self._key_id else text)
        if answer is None:
            return error_without_answer(text, asked, self._place)
        self._has_answered = True
        return error_of(answer, asked, self._place, reading=reading)

    @property
    def _is_folder(self) -> bool:
        return self._url.startswith("file:")

    @property
    def _shown(self) -> str:
        return self._url if self._is_folder else f"{self._url} at {self._endpoint}"

    @property
    def _place(self) -> Place:
        return Place(self._shown, self._endpoint, self._has_answered, self._stall_seconds)
