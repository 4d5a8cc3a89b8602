"""What a refusal of the bucket means, or a missing response: one error for each, which says what to do next.

Here: the statuses of S3, and what stands between this machine and the bucket: certificates, proxies, sign-in pages,
regions. Not here: sending requests (``client``), and what a file that is not listed means (``day``).

Sources: the vendor's knowledge base for the causes of a 403; Amazon's list of S3 error codes; the texts of obstore
0.12, tried out for each of these errors. Its texts are never shown, because they may quote the request's headers.

A refusal that is known to concern the account or the address ends the run. Any other refusal ends its day and names a
cause, so that the engine ends the run if it comes for several days in a row. A 5xx, known or not, is a fault of the
server and worth another attempt.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

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
from data_assets.lake.errors import one_line

CHECK_SERVER = "check POLYGON_S3_ENDPOINT and POLYGON_FLAT_FILES_URL"
KEYS = "set POLYGON_ACCESS_KEY_ID and POLYGON_SECRET_ACCESS_KEY to those on the flat files page of your dashboard"

_KNOWN_CAUSES = (
    "known causes: the plan lacks this kind of file or does not reach back so far (take a larger one, or ask for later "
    "days), an agreement on your dashboard is not signed, the S3 key is another account's, or a network between "
    "(VPN, proxy, firewall) is blocked"
)
_SIGN_IN = (
    "if this network has a sign-in page or a filter (guest Wi-Fi, company proxy), sign in or leave it, and otherwise "
    + CHECK_SERVER
)
_CREDENTIALS = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "AuthorizationHeaderMalformed"}
)
_ANOTHER_REGION = frozenset({"PermanentRedirect", "IllegalLocationConstraintException"})
_WORDS = 120


@dataclass(frozen=True, slots=True)
class Place:
    """Where requests are sent.

    Attributes:
        shown: the bucket and its server, for people.
        endpoint: the server's address.
        has_answered: whether it has answered in this run; if so, silence is an outage, else a wrong setting.
        stall_seconds: how long it may send no byte.
    """

    shown: str
    endpoint: str
    has_answered: bool
    stall_seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A response other than success.

    Attributes:
        status: the HTTP status.
        body: its text.
    """

    status: int
    body: str

    @property
    def code(self) -> str:
        """The S3 error code; empty if there is none."""
        return self._element("Code")

    @property
    def region(self) -> str:
        """The region that a request should have been signed for; empty if the response does not say."""
        return self._element("Region") or next(iter(re.findall(r"expecting '([\w-]+)'", self.body)), "")

    @property
    def is_page(self) -> bool:
        """Whether the body is a web page."""
        return is_web_page(self.body.encode())

    @property
    def said(self) -> str:
        """Status, code, and what the server says in its own words, cut if it is long."""
        words = self._element("Message") or self._element("title")
        return f"{self.status} {self.code}".rstrip() + (f": {one_line(words, _WORDS)}" if words else "")

    def _element(self, name: str) -> str:
        found = re.search(rf"<{name}>([^<]*)</{name}>", self.body)
        return found[1].strip() if found else ""


def answer_in(text: str) -> Answer | None:
    """Return the response that an error of obstore quotes; None if it quotes none."""
    found = re.search(r"status code: (\d{3})[^:\n]*:?(.*?)(?:\n\nDebug source|\Z)", text, re.DOTALL)
    return Answer(int(found[1]), found[2]) if found else None


def is_web_page(body: bytes) -> bool:
    """Whether bytes begin like a web page, rather than like a flat file or a response of S3."""
    head = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:14].lower()
    return head.startswith((b"<!doctype html", b"<html", b"<head", b"<!--"))


def page_instead(asked: str, place: Place) -> RunEnded:
    """Return the error for a web page in place of the bucket's response."""
    return RunEnded(f"a web page answers in place of {place.shown} when asked for {asked}: {_SIGN_IN}")


def error_of(answer: Answer, asked: str, place: Place, *, reading: bool) -> IngestError:
    """Return the error that a response of the bucket means.

    Args:
        answer: the response.
        asked: what was requested, for the reason.
        place: where, for the reason.
        reading: whether a file was read, which plans restrict, rather than listed, which they do not.
    """
    shown, status, code = place.shown, answer.status, answer.code
    said = f"{status} {code}".rstrip()
    if code == "RequestTimeTooSkewed":
        return RunEnded(f"{shown} refuses requests because their time is wrong ({said}): set this machine's clock")
    if code in _ANOTHER_REGION or (code == "AuthorizationHeaderMalformed" and answer.region):
        region = f"POLYGON_S3_REGION={answer.region}" if answer.region else "POLYGON_S3_REGION to the bucket's"
        return RunEnded(f"{shown} is a bucket of another region ({said}): set {region}, and {CHECK_SERVER}")
    match status:
        case 400 | 403 if code in _CREDENTIALS:
            return RunEnded(f"{shown} refuses the S3 key ({said}): {KEYS}")
        case 401:
            return RunEnded(f"{shown} refuses the S3 key ({said}): {KEYS}")
        case 403 if answer.is_page:
            return _unknown(f"a web page refuses {asked} in place of {shown} ({answer.said}): {_SIGN_IN}", answer)
        case 403 if reading:
            return DayEnded(NotEntitled(f"{asked} is refused, though it is listed ({said}); {_KNOWN_CAUSES}"))
        case 403:
            return RunEnded(f"{shown} refuses {asked} ({said}); {_KNOWN_CAUSES}; for the key, {KEYS}")
        case 404:
            return RunEnded(f"there is no such bucket, {shown} ({said}): {CHECK_SERVER}")
        case 407:
            return RunEnded(f"{_proxy_shown(place)} wants a user and a password ({said}): put them into that variable")
        case 511:
            return page_instead(asked, place)
        case 429 | 503:
            return Throttled(f"{asked}: the server asks for fewer requests ({said})")
        case 408 | 500 | 502 | 504:
            return Transient(f"{asked}: the server failed ({said})")
        case _ if status >= 500:
            return Transient(f"{asked}: the server failed with an unknown response ({answer.said})")
    return _unknown(
        f"{asked} is refused with an unknown response ({answer.said}): ask for this day again, and if that repeats, "
        f"{CHECK_SERVER}",
        answer,
    )


def error_without_answer(text: str, asked: str, place: Place) -> IngestError:
    """Return the error that a request without a response means.

    Args:
        text: obstore's text; not shown.
        asked: what was requested, for the reason.
        place: where, for the reason.
    """
    if "Received redirect" in text:
        return RunEnded(
            f"{place.shown} redirects without saying where to, as S3 does for a bucket of another region: set "
            f"POLYGON_S3_REGION to the bucket's, and {CHECK_SERVER}"
        )
    if "No CA certificates" in text:
        return RunEnded(
            f"no certificate of an authority was found to check {place.endpoint} with: set SSL_CERT_FILE to a PEM file "
            "with the usual ones"
        )
    if "InvalidCertificate" in text:
        return RunEnded(_why_no_certificate(text, place))
    if "ProxyAuthRequired" in text:
        return RunEnded(f"{_proxy_shown(place)} wants a user and a password: put them into that variable")
    if "kind: Connect" in text and (proxy := _proxy_of(place.endpoint)):
        does = "does not let requests through to" if "TunnelUnsuccessful" in text else "does not answer on the way to"
        reason = f"{_proxy_shown(place)} {does} {place.endpoint}"
        if place.has_answered:
            return VendorDown(reason)
        return RunEnded(f"{reason}: correct {proxy[0]}, unset it, or name the server in NO_PROXY")
    if "kind: Connect" in text and place.has_answered:
        return VendorDown(f"{place.endpoint} stopped answering")
    if "InvalidContentType" in text or "InvalidMessage" in text:
        return RunEnded(f"{place.endpoint} does not speak https: write http:// in POLYGON_S3_ENDPOINT if it is yours")
    if "kind: Connect" in text:
        return RunEnded(f"nothing answers at {place.endpoint}: check the network, and POLYGON_S3_ENDPOINT")
    if "kind: Timeout" in text:
        return Transient(f"{asked}: no byte for {place.stall_seconds:.0f} s")
    if "kind: " in text and "kind: Builder" not in text:
        return Transient(f"{asked}: the response broke off")
    return RunEnded(f"the response of {place.shown} to {asked} is not from an S3 server: {_SIGN_IN}")


def _unknown(reason: str, answer: Answer) -> DayEnded:
    return DayEnded(Failed(reason, cause=f"{answer.status} {answer.code}".rstrip()))


def _why_no_certificate(text: str, place: Place) -> str:
    if "Expired" in text or "NotValidYet" in text:
        return (
            f"the certificate of {place.endpoint} is out of date: set this machine's clock, or renew it if it is yours"
        )
    if "NotValidForName" in text:
        return f"the certificate at {place.endpoint} is for another name: {_SIGN_IN}"
    file = os.environ.get("SSL_CERT_FILE")
    known = f"{file}, which SSL_CERT_FILE names, does not hold its authority" if file else "no authority here issued it"
    return (
        f"the certificate of {place.endpoint} is not trusted: {known}; if the server or a proxy before it is your own, "
        "set SSL_CERT_FILE to a PEM file with its authority and the usual ones; if not, another server answers instead"
    )


def _proxy_of(endpoint: str) -> tuple[str, str] | None:
    """The variable that puts a proxy before an address, and the proxy without its user; None where there is none."""
    parts = urlsplit(endpoint)
    if proxy_bypass(parts.hostname or ""):
        return None
    proxies = getproxies_environment()
    for scheme in (parts.scheme, "all"):
        if scheme in proxies:
            name = f"{scheme}_proxy"
            return (name if os.environ.get(name) else name.upper()), proxies[scheme].rpartition("@")[2]
    return None


def _proxy_shown(place: Place) -> str:
    proxy = _proxy_of(place.endpoint)
    return f"the proxy {proxy[1]} of {proxy[0]}" if proxy else "a proxy"
