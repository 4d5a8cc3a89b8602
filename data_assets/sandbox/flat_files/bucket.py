"""The synthetic flat files over S3, on a loopback port.

Here: an S3 endpoint with one read-only bucket, its credentials, and the faults of its answers. Not here: which files
there are and what is in them (`flat_files`).

Listing, ranges, conditional reads and ETags are moto's. Around it stands what moto lacks and the vendor has: a check of
signatures, a bucket that lists files which it refuses to hand out, and a network on which things go wrong. As the
vendor answers: listing is allowed everywhere, GET and HEAD outside the plan are a 403, a missing key is a 404.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from data_assets.sandbox.fault_schedule import Turns
from data_assets.sandbox.flat_files.faults import ANSWER_KINDS, LISTING_KINDS, REQUEST_KINDS, FlatFileFault
from data_assets.sandbox.flat_files.files import FlatFiles, day_of, key
from data_assets.sandbox.flat_files.s3_objects import Answer, S3Objects
from data_assets.sandbox.flat_files.s3_signature import signature_refusal
from data_assets.sandbox.loopback import HOST, SYNTHETIC_SERVER
from data_assets.sandbox.wsgi_server import WsgiServer, reset_when_closed

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

BUCKET = "flatfiles"

_SIGNATURE = "SignatureDoesNotMatch"
_MESSAGES = {
    "AccessDenied": (403, "Access Denied."),
    "InvalidAccessKeyId": (403, "The access key id does not exist."),
    _SIGNATURE: (403, "The signature does not match the request and the secret."),
    "NoSuchBucket": (404, "The bucket does not exist."),
    "SlowDown": (503, "Please reduce your request rate."),
}
_REASONS = {403: "Forbidden", 404: "Not Found", 503: "Service Unavailable"}
_DAMAGED_BYTES = 64

_REGION = "eu-west-1"
_SIGNED_FOR_ANOTHER = (
    "<Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is malformed; the region 'us-east-1' "
    f"is wrong; expecting '{_REGION}'</Message><Region>{_REGION}</Region>"
)
_PAGE = b"<!DOCTYPE html><html><head><title>Sign in to the network</title></head><body><form></form></body></html>"


@dataclass(frozen=True, slots=True)
class BucketRequest:
    """One request that the bucket has answered.

    Attributes:
        method: such as ``GET``.
        key: of the object; None for a listing.
        prefix: of the listing; None for an object.
        if_match: the ETag that the object must still have; None where the client did not ask for one.
        status: of the answer.
        start: seconds on the process's monotonic clock when it arrived.
    """

    method: str
    key: str | None
    prefix: str | None
    if_match: str | None
    status: int
    start: float


class FlatFileBucket:
    """An S3 endpoint on loopback with the vendor's bucket ``flatfiles``, while its context is open. Path style.

    Args:
        files: what is in the bucket; their faults of answers strike here, and `FlatFiles.fault_seed` decides when.
        days: put into the bucket at once, and no others; None for every day, each made when it is first asked for.
            A listing makes the files it shows: ask for one month of a large market, not for ten years.
        credentials: access key id and secret that requests must be signed with; None for no check.
        port: 0 for any free one.

    Raises:
        PortTaken: on entering, when something else listens on ``port``.
    """

    def __init__(
        self,
        files: FlatFiles,
        *,
        days: Iterable[date] | None = None,
        credentials: tuple[str, str] | None = None,
        port: int = 0,
    ) -> None:
        self._files = files
        self._days = None if days is None else frozenset(days)
        self._credentials = credentials
        self._objects = S3Objects(BUCKET)
        self._server = WsgiServer(self._answer, port, SYNTHETIC_SERVER if files.says_synthetic else None)
        self._open = ExitStack()
        self._revisions: dict[date, int] = {}
        self._turns = Turns(files.fault_seed)
        self._lock = threading.RLock()
        self._requests: list[BucketRequest] = []

    def __enter__(self) -> FlatFileBucket:
        with ExitStack() as opening:
            opening.enter_context(self._objects)
            for day in sorted(self._days or ()):
                self._make(key(day))
            opening.enter_context(self._server)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def endpoint(self) -> str:
        """Such as ``http://127.0.0.1:9000``; known while the context is open."""
        return f"http://{HOST}:{self._server.port}"

    @property
    def requests(self) -> list[BucketRequest]:
        """Every request answered so far, in the order of the answers' beginnings."""
        with self._lock:
            return list(self._requests)

    def replace(self, day: date) -> None:
        """Put the next version of the file of ``day`` in its place, as the vendor does now and then.

        Raises:
            NotListed: there is no such file.
        """
        with self._lock:
            revision = self._revisions.get(day, 0) + 1
            self._objects.put(key(day), self._files.body(day, revision))
            self._revisions[day] = revision

    def _replace_if_there(self, name: str) -> None:
        day = day_of(name)
        if day is not None and day in self._revisions:
            self.replace(day)

    def _make(self, name: str) -> None:
        """Put the file with the key ``name`` into the bucket, if the vendor has it and it is not there yet."""
        day = day_of(name)
        with self._lock:
            if day is None or day in self._revisions or (self._days is not None and day not in self._days):
                return
            if self._files.is_listed(day):
                self._objects.put(name, self._files.body(day))
                self._revisions[day] = 0

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start = time.monotonic()
        method = environ["REQUEST_METHOD"]
        bucket, _, name = environ["PATH_INFO"].removeprefix("/").partition("/")
        prefix = None if name else parse_qs(environ.get("QUERY_STRING", "")).get("prefix", [""])[0]

        refusal, fault = self._refusal(environ, method, bucket), None
        if refusal is None:
            fault = self._strike(method, name, prefix)
            refusal = _refusal_of(fault)
        if refusal is not None:
            status, headers, body = _error(refusal, environ["PATH_INFO"], method, self._credentials)
        elif fault is not None and (instead := _answer_of(fault, method)):
            status, headers, body = instead
        else:
            if fault is not None and fault.kind == "replaced_file":
                self._replace_if_there(name)
            status, headers, body = self._objects.answer(environ)

        with self._lock:
            record = BucketRequest(method, name or None, prefix, environ.get("HTTP_IF_MATCH"), int(status[:3]), start)
            self._requests.append(record)
        start_response(status, headers)
        return _delivered(body, fault if status.startswith("2") else None, environ)

    def _refusal(self, environ: WSGIEnvironment, method: str, bucket: str) -> str | None:
        """Why the request is refused, whatever it asks for: the code of an S3 error, or None."""
        if method not in ("GET", "HEAD"):
            return "AccessDenied"
        if self._credentials is not None and (refusal := signature_refusal(environ, *self._credentials)):
            return refusal
        return None if bucket == BUCKET else "NoSuchBucket"

    def _strike(self, method: str, name: str, prefix: str | None) -> FlatFileFault | None:
        """Make what the request asks for, and find the fault that strikes it, if one does."""
        possible = [name] if prefix is None else self._files.keys(prefix)
        for each in possible:
            self._make(each)
        with self._lock:
            for place, fault in enumerate(self._files.faults):
                if _matches(fault, method, name, prefix) and self._turns.take(place, fault.rate, fault.times):
                    return fault
        return None


def _matches(fault: FlatFileFault, method: str, name: str, prefix: str | None) -> bool:
    if fault.kind not in ANSWER_KINDS:
        return False
    if prefix is not None or fault.kind in LISTING_KINDS:
        of_listings = fault.kind in LISTING_KINDS or (fault.kind in REQUEST_KINDS and fault.day is None)
        return of_listings and prefix is not None and prefix.startswith(fault.prefix)
    if method == "HEAD" and fault.kind not in REQUEST_KINDS | {"forbidden", "slow_down", "file_status"}:
        return False
    return fault.day in (None, day_of(name)) and name.startswith(fault.prefix)


def _refusal_of(fault: FlatFileFault | None) -> str | None:
    if fault is None:
        return None
    return {"forbidden": "AccessDenied", "slow_down": "SlowDown", "listing_slow_down": "SlowDown"}.get(fault.kind)


def _answer_of(fault: FlatFileFault, method: str) -> Answer | None:
    """The whole answer that a fault means; None where it strikes what the bucket answers by itself."""
    body = _PAGE
    match fault.kind:
        case "web_page":
            status = "200 OK"
        case "other_region":
            status, body = "400 Bad Request", _document(_SIGNED_FOR_ANOTHER)
        case "file_status" | "listing_status":
            status = f"{fault.status} {_REASONS.get(fault.status or 0, 'Status')}"
            if fault.code:
                body = _document(f"<Code>{escape(fault.code)}</Code><Message>The sandbox was told to refuse.</Message>")
        case _:
            return None
    kind = "text/html" if body is _PAGE else "application/xml"
    return status, [("Content-Type", kind), ("Content-Length", str(len(body)))], b"" if method == "HEAD" else body


def _document(of_error: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?><Error>{of_error}</Error>'.encode()


def _error(code: str, resource: str, method: str, credentials: tuple[str, str] | None) -> Answer:
    """An S3 error. Like real ones, that about a wrong signature repeats the access key id for all logs to see."""
    number, message = _MESSAGES[code]
    key_id = f"<AWSAccessKeyId>{escape(credentials[0])}</AWSAccessKeyId>" if credentials and code == _SIGNATURE else ""
    document = _document(
        f"<Code>{code}</Code><Message>{message}</Message>{key_id}<Resource>{escape(resource)}</Resource>"
    )
    headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(document)))]
    return f"{number} {_REASONS[number]}", headers, b"" if method == "HEAD" else document


def _delivered(body: bytes, fault: FlatFileFault | None, environ: WSGIEnvironment) -> Iterator[bytes]:
    """``body`` as the network delivers it; the header has declared its whole length already."""
    kind = fault.kind if fault is not None else None
    half = len(body) // 2
    if kind == "damaged_body":
        middle = body[half : half + _DAMAGED_BYTES]
        yield body[:half] + bytes(byte ^ 0xFF for byte in middle) + body[half + _DAMAGED_BYTES :]
        return
    if kind not in ("cut_body", "reset_body"):
        yield body
        return
    yield body[:half]
    if kind == "reset_body":
        reset_when_closed(environ)
