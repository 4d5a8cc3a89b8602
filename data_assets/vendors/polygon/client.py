"""Polygon's wire: flat files in a bucket, or in a folder that mirrors it, and what each refusal means.

Here: listing and reading, and one error per answer. Not here: keeping the files (``raw_cache``), what is in them
(``schema``), and what a file that is not listed means for its day (``day``).

Sources: the vendor's "Flat Files Quickstart" for host, bucket and layout, and its knowledge base for the rest: every
key is listed whatever the plan, while reading one outside the plan answers 403; a published file may be replaced, so a
file is read by the ETag that was listed. So existence is the listing, and 403 is never "no data".
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, PreconditionError
from obstore.store import LocalStore, S3Store
from pydantic import SecretStr

from data_assets.ingest.outcome import (
    DayEnded,
    Failed,
    IngestError,
    NotEntitled,
    RunEnded,
    Throttled,
    Transient,
    VendorDown,
)

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import S3Credential

ENDPOINT = "https://files.massive.com"
DATASET = "us_stocks_sip/minute_aggs_v1"

CONNECT_SECONDS = 10.0
STALL_SECONDS = 60.0
POLL_SECONDS = 5.0

_WHOLE_SECONDS = 6 * 3600.0  # obstore wants a limit on a whole request; a stall is what ends one
_CHUNK_BYTES = 1 << 18
_SYNTHETIC_NAME = b"data_assets-sandbox"  # as the sandbox spells it; vendors know nothing else of it
_GZIP_FLAGS, _HAS_NAME, _GZIP_NAME = 3, 0x08, 10
_REGION = "us-east-1"  # the vendor accepts any
_CHECK_SERVER = "check POLYGON_S3_ENDPOINT and POLYGON_FLAT_FILES_URL"
_KEYS = "set POLYGON_ACCESS_KEY_ID and POLYGON_SECRET_ACCESS_KEY to those on the flat files page of your dashboard"
_CREDENTIALS = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "AuthorizationHeaderMalformed"}
)


class Replaced(Transient):
    """The object is no longer the one that was listed: list again."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One day's file as the listing shows it.

    Attributes:
        day: the trading day.
        key: its key, relative to the bucket or folder that was configured.
        etag: its version, opaque.
        size: its bytes.
        last_modified: when this version appeared; says nothing of the trading day.
    """

    day: date
    key: str
    etag: str
    size: int
    last_modified: datetime


def day_key(day: date) -> str:
    """The key of a day's file: `us_stocks_sip/minute_aggs_v1/2024/01/2024-01-03.csv.gz`."""
    return f"{_month_prefix(day)}/{day:%Y-%m-%d}.csv.gz"


class FlatFileStore:
    """The vendor's files, as one run sees them: each month is listed once and remembered."""

    def __init__(
        self,
        url: str,
        *,
        endpoint: str = ENDPOINT,
        key_id: str = "",
        secret: SecretStr | str = "",
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
            real_data_only: refuse files which say that they are synthetic.
            stall_seconds: how long a server may send no byte.
            poll_seconds: pause between two questions while the server is away.
        """
        self._url = url.rstrip("/")
        self._endpoint = endpoint.rstrip("/")
        self._key_id = key_id
        self._secret = secret if isinstance(secret, SecretStr) else SecretStr(secret)
        self._real_data_only = real_data_only
        self._stall_seconds = stall_seconds
        self._poll_seconds = poll_seconds
        self._has_answered = False
        self._opened: S3Store | LocalStore | None = None
        self._months: dict[str, dict[date, Listed]] = {}
        self._listing = asyncio.Lock()

    def __repr__(self) -> str:
        return f"FlatFileStore({self._url!r})"

    def source(self, listed: Listed) -> str:
        """Where a file is, as a URL, for provenance and messages."""
        return f"{self._url}/{listed.key}"

    async def listed(self, day: date) -> Listed | None:
        """A day's file, if the vendor lists one; its whole month is listed at the first question about it.

        Raises:
            IngestError: see ``error_of``.
        """
        return (await self._month(day)).get(day)

    async def listed_anew(self, day: date) -> Listed | None:
        """The same, after asking again: for a file that turned out to have been replaced."""
        async with self._listing:
            self._months.pop(_month_prefix(day), None)
        return await self.listed(day)

    async def listing(self, start: date, end: date) -> dict[date, Listed]:
        """The files of the days from ``start`` to ``end``, both included, oldest first: one request a month."""
        found: dict[date, Listed] = {}
        month = start.replace(day=1)
        while month <= end:
            found |= await self._month(month)
            month = (month + timedelta(days=31)).replace(day=1)
        return {day: found[day] for day in sorted(found) if start <= day <= end}

    async def read(self, listed: Listed) -> AsyncIterator[bytes]:
        """The bytes of exactly the version that was listed.

        Raises:
            Replaced: there is another version now, or none.
            DayEnded: ``NotEntitled``.
            RunEnded: the file is synthetic, and only real data is wanted.
            IngestError: see ``error_of``.
        """
        with self._asking(f"the flat file of {listed.day}", reading=True):
            answer = await obstore.get_async(self._store(), listed.key, options={"if_match": listed.etag})
            first = True
            async for chunk in answer.stream(min_chunk_size=_CHUNK_BYTES):
                data = bytes(chunk)
                if first and len(data) > _GZIP_NAME:
                    self._refuse_synthetic_data(data)
                first = False
                yield data

    async def wait_until_up(self) -> None:
        """Return when the server lists again; waits as long as it takes.

        Raises:
            RunEnded: it answers, and refuses.
        """
        while True:
            try:
                with self._asking("the list of years"):
                    await obstore.list_with_delimiter_async(self._store(), DATASET)
            except Transient:
                await asyncio.sleep(self._poll_seconds)
            else:
                return

    async def _month(self, day: date) -> dict[date, Listed]:
        prefix = _month_prefix(day)
        async with self._listing:
            if prefix not in self._months:
                with self._asking(f"the list of flat files of {day:%Y-%m}"):
                    found = [meta async for chunk in obstore.list(self._store(), prefix) for meta in chunk]
                    if not found:
                        await self._refuse_wrong_place()
                self._has_answered = True
                self._months[prefix] = self._by_day(found)
            return self._months[prefix]

    def _by_day(self, found: list[ObjectMeta]) -> dict[date, Listed]:
        by_key = {meta["path"]: meta for meta in found}
        days = {}
        for key in by_key:
            name = re.search(r"(\d{4}-\d\d-\d\d)\.csv\.gz$", key)
            try:
                day = date.fromisoformat(name[1]) if name else None
            except ValueError:
                continue
            if day is None or key != day_key(day):
                continue
            meta = by_key[key]
            if not meta["e_tag"]:
                raise RunEnded(f"{self._url} lists files without ETags: {_CHECK_SERVER}")
            days[day] = Listed(day, key, meta["e_tag"], meta["size"], meta["last_modified"])
        return days

    async def _refuse_wrong_place(self) -> None:
        """Tell a month without files from a place without any: only the first can mean that there is no data."""
        years = await obstore.list_with_delimiter_async(self._store(), DATASET)
        if not years["common_prefixes"]:
            raise RunEnded(
                f"{self._url} holds no {DATASET}/YYYY/: set POLYGON_FLAT_FILES_URL to the bucket or folder that does"
            )

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
            self._opened = (
                self._folder(parts.path) if parts.scheme == "file" else self._bucket(parts.netloc, parts.path)
            )
        return self._opened

    def _folder(self, path: str) -> LocalStore:
        folder = Path(unquote(path))
        if not folder.is_dir():
            raise RunEnded(f"there is no folder {folder}: set POLYGON_FLAT_FILES_URL to where the flat files are")
        return LocalStore(folder)

    def _bucket(self, bucket: str, prefix: str) -> S3Store:
        if not self._key_id or not self._secret.get_secret_value():
            raise RunEnded(f"there is no S3 key for {self._shown}: {_KEYS}")
        return S3Store(
            bucket,
            prefix=prefix.strip("/") or None,
            # Every setting that obstore would otherwise take from AWS_* variables, which belong to the lake.
            aws_endpoint_url_s3=self._endpoint,
            region=_REGION,
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
            yield
        except PreconditionError:
            raise Replaced(f"{asked} was replaced by the vendor after it was listed") from None
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise self._error(asked, str(error), reading=reading) from None
            raise Replaced(f"{asked} was listed and is no longer there") from None
        except BaseError as error:
            raise self._error(asked, str(error), reading=reading) from None

    def _error(self, asked: str, said: str, *, reading: bool) -> IngestError:
        if self._url.startswith("file:"):
            return DayEnded(Failed(f"{asked} cannot be read below {self._url}: check the disk and its permissions"))
        status = re.search(r"status code: (\d{3})", said)
        if status is not None:
            self._has_answered = True
            code = re.search(r"<Code>(\w+)</Code>", said)
            return error_of(int(status[1]), code[1] if code else "", asked, self._shown, reading=reading)
        if "Received redirect" in said:
            return RunEnded(f"{self._shown} redirects to another place: {_CHECK_SERVER}")
        if "kind: Connect" in said and not self._has_answered:
            return RunEnded(f"nothing answers at {self._endpoint}: check the network, and POLYGON_S3_ENDPOINT")
        if "kind: Connect" in said:
            return VendorDown(f"{self._endpoint} stopped answering")
        if "kind: Timeout" in said:
            return Transient(f"{asked}: no byte for {self._stall_seconds:.0f} s")
        if "kind: " in said:
            return Transient(f"{asked}: the answer broke off")
        return RunEnded(f"the answer of {self._shown} to {asked} is not that of an S3 server: {_CHECK_SERVER}")

    @property
    def _shown(self) -> str:
        return self._url if self._url.startswith("file:") else f"{self._url} at {self._endpoint}"


def error_of(status: int, code: str, asked: str, shown: str, *, reading: bool) -> IngestError:
    """The one error that a status of the bucket means.

    Args:
        status: the HTTP status.
        code: the S3 error code in the body, where there is one.
        asked: what was asked for, for the reason.
        shown: where, for the reason.
        reading: whether a file was read, which plans restrict; listing they do not.
    """
    said = f"{status} {code}".rstrip()
    match status:
        case _ if code == "RequestTimeTooSkewed":
            return RunEnded(f"{shown} refuses requests of another time ({said}): set this machine's clock")
        case 403 if reading and code not in _CREDENTIALS:
            return DayEnded(
                NotEntitled(
                    f"your plan does not reach {asked} ({said}), though it is listed: plans differ in their data types "
                    "and in how many years they reach back; take a larger one, or ask for later days"
                )
            )
        case 400 if code not in _CREDENTIALS:
            return RunEnded(f"{shown} does not understand the request for {asked} ({said}): {_CHECK_SERVER}")
        case 400 | 401 | 403:
            return RunEnded(f"{shown} refuses the S3 key ({said}): {_KEYS}")
        case 404:
            return RunEnded(f"there is no such bucket, {shown} ({said}): {_CHECK_SERVER}")
        case 429 | 503:
            return Throttled(f"{asked}: the server asks for fewer requests ({said})")
        case 408 | 500 | 502 | 504:
            return Transient(f"{asked}: the server failed ({said})")
        case _:
            return RunEnded(f"{said} of {shown} is no answer of an S3 server to {asked}: {_CHECK_SERVER}")


def _month_prefix(day: date) -> str:
    return f"{DATASET}/{day:%Y/%m}"
