"""Why the bucket does not answer, or answers with a refusal: each cause in a line of its own, tried on loopback."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

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
from data_assets.vendors.polygon.refusals import Answer, Place, error_of, is_web_page
from data_assets_tests.vendors.polygon.flat_file_fixtures import (
    DAY,
    KEY_ID,
    SECRET,
    at,
    body,
    first_listed,
    raw_server,
    store_of,
)
from data_assets_tests.vendors.polygon.flat_file_fixtures import bucket as bucket_of

bucket = partial(bucket_of, days=(DAY,))
EMPTY_LIST = b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>"
PAGE = b"<!DOCTYPE html>\n<html><head><title>Hotel</title></head><body></body></html>"


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    head = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", "")
    return "\r\n".join(head).encode() + body


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def refused(endpoint: str) -> IngestError:
    with pytest.raises(IngestError) as caught:
        await at(endpoint).listed(DAY)
    assert "\n" not in str(caught.value)
    assert KEY_ID not in str(caught.value)
    assert SECRET not in str(caught.value)
    return caught.value


# Statuses


@pytest.mark.parametrize(
    ("status", "code", "reading", "error"),
    [
        (403, "AccessDenied", True, DayEnded),
        (403, "", True, DayEnded),
        (403, "SignatureDoesNotMatch", True, RunEnded),
        (403, "AccessDenied", False, RunEnded),
        (401, "", False, RunEnded),
        (403, "RequestTimeTooSkewed", True, RunEnded),
        (400, "AuthorizationHeaderMalformed", False, RunEnded),
        (404, "NoSuchBucket", False, RunEnded),
        (407, "", False, RunEnded),
        (511, "", False, RunEnded),
        (429, "", True, Throttled),
        (503, "SlowDown", True, Throttled),
        (500, "InternalError", True, Transient),
        (502, "", False, Transient),
        (504, "", False, Transient),
        (408, "", False, Transient),
        (520, "", False, Transient),
        (529, "SiteIsOverloaded", True, Transient),
        (418, "", False, DayEnded),
        (400, "InvalidRequest", True, DayEnded),
        (451, "", True, DayEnded),
    ],
)
def test_each_status_is_one_kind_of_error(status, code, reading, error):
    answer = Answer(status, f"<Error><Code>{code}</Code></Error>" if code else "")
    place = Place("s3://flatfiles at x", "http://x", has_answered=True, stall_seconds=1)
    assert type(error_of(answer, "a file", place, reading=reading)) is error


@pytest.mark.parametrize("status", [520, 599])
async def test_a_failure_of_the_server_known_or_not_is_worth_another_try(status):
    with bucket({"kind": "file_status", "status": status, "times": 1}) as running:
        store = store_of(running)
        listed = await first_listed(store)
        with pytest.raises(Transient, match=str(status)):
            await body(store.read(listed))
        assert len(await body(store.read(listed))) == listed.size
    with bucket({"kind": "listing_status", "status": status, "times": 1}) as running:
        store = store_of(running)
        with pytest.raises(Transient, match=str(status)):
            await store.listed(DAY)
        assert await store.listed(DAY)


@pytest.mark.parametrize("kind", ["file_status", "listing_status"])
async def test_a_refusal_that_nobody_knows_is_of_its_day_and_quotes_the_server(kind):
    with bucket({"kind": kind, "status": 409, "code": "OperationAborted"}) as running:
        store = store_of(running)
        with pytest.raises(DayEnded) as caught:
            await body(store.read(await first_listed(store)))
    outcome = caught.value.outcome
    assert isinstance(outcome, Failed)
    assert outcome.cause == "409 OperationAborted"
    assert "409 OperationAborted: The sandbox was told to refuse." in outcome.reason


CAUSES = ("the plan", "reach back", "agreement", "S3 key", "VPN, proxy, firewall")


async def test_a_403_lists_its_known_causes_whether_it_comes_to_a_file_or_to_a_listing():
    with bucket({"kind": "forbidden", "day": DAY}) as running:
        store = store_of(running)
        with pytest.raises(DayEnded) as of_file:
            await body(store.read(await first_listed(store)))
    assert isinstance(of_file.value.outcome, NotEntitled)
    refused_listing = {"kind": "listing_status", "status": 403, "code": "AccessDenied"}
    with bucket(refused_listing) as running, pytest.raises(RunEnded) as of_listing:
        await store_of(running).listed(DAY)
    for said in (of_file.value.outcome.reason, str(of_listing.value)):
        assert [cause for cause in CAUSES if cause not in said] == []
        assert "API key" not in said


async def test_a_403_of_a_web_page_is_no_verdict_on_the_plan():
    """`NotEntitled` would be taken as true of all older days."""
    with bucket({"kind": "file_status", "status": 403}) as running:
        store = store_of(running)
        with pytest.raises(DayEnded) as caught:
            await body(store.read(await first_listed(store)))
    assert isinstance(caught.value.outcome, Failed)
    assert "a web page refuses" in caught.value.outcome.reason
    assert "Sign in to the network" in caught.value.outcome.reason


# Regions


async def test_a_bucket_of_another_region_names_the_setting_and_the_region():
    with bucket({"kind": "other_region"}) as running, pytest.raises(RunEnded, match="POLYGON_S3_REGION=eu-west-1"):
        await store_of(running).listed(DAY)


async def test_requests_are_signed_for_the_region_that_is_set():
    with bucket() as running:
        assert await store_of(running, region="eu-west-1").listed(DAY)


async def test_a_redirect_of_s3_names_the_region_too():
    moved = b"<Error><Code>PermanentRedirect</Code><Endpoint>x.s3-eu-west-1.amazonaws.com</Endpoint></Error>"
    with raw_server(http("301 Moved Permanently", moved, "x-amz-bucket-region: eu-west-1")) as endpoint:
        error = await refused(endpoint)
    assert isinstance(error, RunEnded)
    assert "POLYGON_S3_REGION" in str(error)


# Pages in place of the bucket


async def test_a_sign_in_page_is_neither_an_empty_bucket_nor_a_file():
    with bucket({"kind": "web_page"}) as running, pytest.raises(RunEnded, match="sign in"):
        await store_of(running).listed(DAY)
    with bucket({"kind": "web_page", "times": 1, "day": DAY}) as running:
        store = store_of(running)
        listed = await first_listed(store)
        with pytest.raises(RunEnded, match="sign in"):
            await body(store.read(listed))


@pytest.mark.parametrize("pages", [1, 2, 3])
async def test_a_page_in_place_of_one_list_is_no_month_without_data(pages):
    """obstore reads a page as an empty list; it may come to the list of a month and not to the next one."""
    with bucket({"kind": "web_page", "times": pages}) as running:
        store = store_of(running)
        with pytest.raises((Transient, RunEnded)):
            await store.listed(DAY)
        assert await store.listed(DAY)


async def test_waiting_for_the_server_takes_no_page_for_it():
    with bucket({"kind": "web_page"}) as running, pytest.raises(RunEnded, match="sign in"):
        await store_of(running).wait_until_up()


async def test_waiting_ends_where_the_server_answers_with_a_refusal_of_a_day():
    with bucket({"kind": "listing_status", "status": 409, "code": "OperationAborted"}) as running:
        await store_of(running).wait_until_up()


async def test_a_redirect_to_a_sign_in_page_is_followed_and_recognised():
    with raw_server(http("200 OK", PAGE)) as page, raw_server(http("302 Found", b"", f"Location: {page}/")) as endpoint:
        error = await refused(endpoint)
    assert isinstance(error, RunEnded)
    assert "sign in" in str(error)


@pytest.mark.parametrize("page", [b"<html><meta charset=utf-8><br>", b"<!-- x --><html>", b"\xef\xbb\xbf <HTML>"])
async def test_a_page_that_is_no_xml_is_recognised_too(page):
    assert is_web_page(page)
    with raw_server(http("200 OK", page)) as endpoint:
        error = await refused(endpoint)
    assert isinstance(error, RunEnded)
    assert "sign in" in str(error)


async def test_an_empty_bucket_is_no_page():
    with raw_server(http("200 OK", EMPTY_LIST)) as endpoint:
        error = await refused(endpoint)
    assert isinstance(error, RunEnded)
    assert "holds no file" in str(error)


# Certificates


def certificate(folder: Path, *, name: str = "127.0.0.1", days: tuple[int, int] = (-1, 1)) -> ssl.SSLContext:
    """A server's TLS with a certificate for an address, issued by an authority of its own in `folder`/authority.pem."""
    now = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in ("authority", "server")]

    def issued(who: int, first: int, last: int) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(names[who])
            .issuer_name(names[0])
            .public_key(keys[who].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=first))
            .not_valid_after(now + timedelta(days=last))
            .add_extension(x509.BasicConstraints(ca=who == 0, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(name))]), critical=False)
            .sign(keys[0], hashes.SHA256())
        )

    pem = serialization.Encoding.PEM
    (folder / "authority.pem").write_bytes(issued(0, -3, 3).public_bytes(pem))
    key = keys[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(issued(1, *days).public_bytes(pem) + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


async def test_a_certificate_of_an_unknown_authority_names_the_variable_that_makes_it_known(tmp_path, monkeypatch):
    with raw_server(http("200 OK", EMPTY_LIST), certificate(tmp_path)) as endpoint:
        error = await refused(endpoint)
        assert isinstance(error, RunEnded)
        assert "not trusted" in str(error)
        assert "set SSL_CERT_FILE" in str(error)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        assert "holds no file" in str(await refused(endpoint))
        (tmp_path / "other").mkdir()
        certificate(tmp_path / "other")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other" / "authority.pem"))
        assert "authority.pem, which SSL_CERT_FILE names" in str(await refused(endpoint))
        (tmp_path / "empty.pem").write_text("")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "empty.pem"))
        error = await refused(endpoint)
        assert isinstance(error, RunEnded)
        assert "set SSL_CERT_FILE" in str(error)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"name": "127.0.0.9"}, "is for another name"), ({"days": (-3, -2)}, "clock"), ({"days": (1, 2)}, "clock")],
)
async def test_a_certificate_of_another_name_or_time_says_so(tmp_path, monkeypatch, options, said):
    with raw_server(http("200 OK", EMPTY_LIST), certificate(tmp_path, **options)) as endpoint:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        error = await refused(endpoint)
    assert isinstance(error, RunEnded)
    assert said in str(error)


async def test_a_server_without_tls_is_told_from_none():
    with raw_server(http("200 OK", EMPTY_LIST)) as endpoint:
        error = await refused(endpoint.replace("http:", "https:"))
    assert isinstance(error, RunEnded)
    assert "does not speak https" in str(error)


# Proxies


@pytest.fixture
def closed_port():
    """A port where nobody listens, kept from others."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        yield nobody.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("variable", ["{}_PROXY", "{}_proxy", "ALL_PROXY"])
async def test_a_dead_proxy_is_named_with_its_variable_and_without_its_password(
    monkeypatch, closed_port, scheme, variable
):
    name = variable.format(scheme.upper() if variable.isupper() else scheme)
    monkeypatch.setenv(name, f"http://user:secret@127.0.0.1:{closed_port}")
    error = await refused(f"{scheme}://files.example.com")
    assert isinstance(error, RunEnded)
    assert f"the proxy 127.0.0.1:{closed_port} of {name} does not answer" in str(error)
    assert "secret" not in str(error)


async def test_a_proxy_that_dies_later_is_waited_for(monkeypatch, closed_port):
    with bucket() as running:
        store = store_of(running)
        assert await store.listed(DAY)
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port}")
    with pytest.raises(VendorDown):
        await store.listed_anew(DAY)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("407 Proxy Authentication Required", "a user and a password"),
        ("403 Forbidden", "does not let requests through"),
    ],
)
async def test_a_proxy_that_refuses_a_tunnel_says_why(monkeypatch, status, said):
    with raw_server(http(status)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        error = await refused("https://files.example.com")
    assert isinstance(error, RunEnded)
    assert said in str(error)
    assert "HTTPS_PROXY" in str(error)


async def test_a_server_that_no_proxy_stands_before_is_not_blamed_on_one(monkeypatch, closed_port):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    error = await refused(f"http://127.0.0.1:{closed_port}")
    assert "nothing answers" in str(error)
