"""Where a file's rows came from, as key-value metadata in the file's own Parquet footer.

Keys start with ``data_assets.``; beside the provenance they hold the row count and the columns, which `Lake.verify`
compares with the file.

Here: the value and its two translations. Not here: who writes or reads the footer (``parquet_file``, ``lake``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pyarrow as pa

PREFIX = "data_assets."

_SECRET_PARAMETER = re.compile(
    r"x-(amz|goog|ms)-.*|awsaccesskeyid|sig|signature|(access|auth|session)?[_-]?token|api[_-]?key|password|secret",
    re.IGNORECASE,
)


def public_source(source: str) -> str:
    """``source`` without what would let its reader in: user and password, signatures, tokens and keys in the query."""
    if "://" not in source:
        return source
    parts = urlsplit(source)
    kept = [
        (key, value)
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
        if not _SECRET_PARAMETER.fullmatch(key)
    ]
    query = (
        parts.query
        if len(kept) == len(parse_qsl(parts.query, keep_blank_values=True))
        else urlencode(kept, safe="*:,/")
    )
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query))


@dataclass(frozen=True)
class Provenance:
    """What a file is and where its rows came from.

    Attributes:
        dataset: the dataset's key, such as ``theta/option_quotes/QQQ``.
        day: the trading day.
        source: the request's URL or the source object's key; user, password, signatures and tokens are taken out of it.
        fetched_at: when the answer was complete; with a time zone, kept in UTC.
        schema_version: the version of the dataset's columns and types.
        raw_sha256: hexadecimal digest of the bytes as they were received.
        raw_size: the number of those bytes.
        synthetic: whether a simulator made them.
        etag: the source object's version, where there is one.
        details: more facts of this day, as JSON knows them; without secrets.
    """

    dataset: str
    day: date
    source: str
    fetched_at: datetime
    schema_version: int
    raw_sha256: str
    raw_size: int
    synthetic: bool
    etag: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.fetched_at.tzinfo is None:
            raise ValueError("fetched_at needs a time zone")
        object.__setattr__(self, "source", public_source(self.source))
        object.__setattr__(self, "fetched_at", self.fetched_at.astimezone(UTC))


@dataclass(frozen=True)
class Footer:
    """What the lake wrote into a file's footer.

    Attributes:
        provenance: where the rows came from.
        rows: how many rows were written.
        columns: the columns as they were written: name and Arrow type, in order.
        written_at: when the file was made, UTC, which is later than any of its rows was fetched; None in files of
            earlier versions.
    """

    provenance: Provenance
    rows: int
    columns: tuple[tuple[str, str], ...]
    written_at: datetime | None = None


def columns_of(schema: pa.Schema) -> tuple[tuple[str, str], ...]:
    """Name and Arrow type of each column, as text.

    Text columns are one kind here: Arrow's readers choose between 32 and 64 bit offsets by themselves.
    """
    return tuple((column.name, str(column.type).replace("large_string", "string")) for column in schema)


def to_metadata(
    provenance: Provenance, rows: int, schema: pa.Schema, *, written_at: datetime | None = None
) -> dict[str, str]:
    """The footer's key-value metadata.

    Raises:
        TypeError: a detail is not JSON.
    """
    values = {
        "dataset": provenance.dataset,
        "day": provenance.day.isoformat(),
        "source": provenance.source,
        "fetched_at": provenance.fetched_at.isoformat(),
        "schema_version": str(provenance.schema_version),
        "raw_sha256": provenance.raw_sha256,
        "raw_size": str(provenance.raw_size),
        "synthetic": json.dumps(provenance.synthetic),
        "details": json.dumps(provenance.details, sort_keys=True),
        "rows": str(rows),
        "columns": json.dumps(columns_of(schema)),
    }
    if provenance.etag is not None:
        values["etag"] = provenance.etag
    if written_at is not None:
        values["written_at"] = written_at.isoformat()
    return {PREFIX + key: value for key, value in values.items()}


def from_metadata(metadata: Mapping[bytes, bytes] | None) -> Footer:
    """Read back what `to_metadata` wrote.

    Raises:
        ValueError: the metadata is absent, incomplete or damaged.
    """
    try:
        values = {key.decode().removeprefix(PREFIX): value.decode() for key, value in (metadata or {}).items()}
        provenance = Provenance(
            dataset=values["dataset"],
            day=date.fromisoformat(values["day"]),
            source=values["source"],
            fetched_at=datetime.fromisoformat(values["fetched_at"]),
            schema_version=int(values["schema_version"]),
            raw_sha256=values["raw_sha256"],
            raw_size=int(values["raw_size"]),
            synthetic=bool(json.loads(values["synthetic"])),
            etag=values.get("etag"),
            details=json.loads(values["details"]),
        )
        return Footer(
            provenance,
            int(values["rows"]),
            tuple((name, kind) for name, kind in json.loads(values["columns"])),
            datetime.fromisoformat(values["written_at"]) if "written_at" in values else None,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"the footer holds no whole provenance ({type(error).__name__}: {error})") from None
