"""Every fault of the simulated terminal, as a real HTTP client sees it."""

import http.client
import time
from contextlib import closing
from datetime import date
from io import BytesIO
from urllib.parse import urlencode, urlsplit

import httpx
import polars as pl
import pytest

from data_assets.sandbox.faults import Fault
from data_assets.sandbox.market.option_chain import chain
from data_assets.sandbox.serving import SandboxTheta

DAY = date(2024, 1, 3)
QUOTES = "/option/history/quote"
CONTRACTS = 64
WHOLE_DAY = {"symbol": "QQQ", "expiration": "*", "date": "2024-01-03", "interval": "1m", "end_time": "16:15:00"}
FRAMINGS = pytest.mark.parametrize("framing", ["chunked", "content-length"])


def quotes(theta: SandboxTheta, **changed: str) -> httpx.Response:
    return httpx.get(theta.base_url + QUOTES, params=WHOLE_DAY | changed, timeout=60, verify=False)


def read(theta: SandboxTheta) -> tuple[bytes, httpx.Headers, Exception | None]:
    """What of a day arrives, the headers before it, and how it ended."""
    body = b""
    with httpx.stream("GET", theta.base_url + QUOTES, params=WHOLE_DAY, timeout=60, verify=False) as answer:
        assert answer.status_code == 200
        try:
            for piece in answer.iter_raw():
                body += piece
        except httpx.HTTPError as error:
            return body, answer.headers, error
    return body, answer.headers, None


@pytest.fixture(scope="module")
def whole() -> bytes:
    with SandboxTheta(contracts=CONTRACTS) as theta:
        return quotes(theta).content


@pytest.mark.parametrize(
    "status", [403, 404, 410, 429, 470, 471, 472, 473, 475, 476, 477, 478, 500, 502, 570, 571, 572]
)
def test_a_status_is_answered_once_and_then_data(status):
    with SandboxTheta(contracts=4, faults=[Fault(kind="status", status=status, times=1)]) as theta:
        struck = quotes(theta)
        assert struck.status_code == status
        assert struck.headers["content-type"].startswith("text/plain")
        assert len(struck.text) > 5
        assert quotes(theta).status_code == 200
    assert [record.status for record in theta.requests] == [status, 200]


def test_a_status_may_have_its_own_words():
    with SandboxTheta(contracts=4, faults=[Fault(kind="status", status=400, text="Bad date", times=1)]) as theta:
        assert quotes(theta).text == "Bad date"


def test_a_status_by_day_and_endpoint_leaves_the_others_alone():
    faults = [
        Fault(kind="status", status=500, day=DAY),
        Fault(kind="status", status=571, endpoint="option/list/contracts/quote"),
        Fault(kind="status", status=429, endpoint="terminal/mdds/status", times=1),
    ]
    with SandboxTheta(contracts=4, faults=faults) as theta:
        assert [quotes(theta).status_code for _ in range(3)] == [500] * 3
        assert quotes(theta, date="2024-01-04").status_code == 200
        listing = {"symbol": "QQQ", "date": "2024-01-04"}
        assert (
            httpx.get(theta.base_url + "/option/list/contracts/quote", params=listing, verify=False).status_code == 571
        )
        probes = [httpx.get(theta.base_url + "/terminal/mdds/status", verify=False).status_code for _ in range(2)]
        assert probes == [429, 200]


def test_a_rate_strikes_the_same_requests_in_every_server():
    def statuses(seed: int) -> list[int]:
        with (
            SandboxTheta(contracts=4, fault_seed=seed, faults=[Fault(kind="status", status=500, rate=0.5)]) as theta,
            httpx.Client(base_url=theta.base_url, timeout=60, verify=False) as client,
        ):
            return [client.get(QUOTES, params=WHOLE_DAY | {"right": "call"}).status_code for _ in range(24)]

    assert statuses(1) == statuses(1)
    assert set(statuses(1)) == {200, 500}
    assert statuses(1) != statuses(2)


def test_a_lost_connection_is_474_for_every_request_and_the_status_says_so():
    with SandboxTheta(contracts=4, faults=[Fault(kind="disconnected", seconds=600, day=DAY)]) as theta:
        status = theta.base_url + "/terminal/mdds/status"
        assert quotes(theta, date="2024-01-04").status_code == 200
        assert httpx.get(status, verify=False).text == "CONNECTED"
        assert quotes(theta).status_code == 474
        assert httpx.get(status, verify=False).text == "DISCONNECTED"
        assert quotes(theta, date="2024-01-04").status_code == 474
        assert httpx.get(theta.base_url + "/option/list/symbols", verify=False).status_code == 474


def test_a_lost_connection_comes_back():
    with SandboxTheta(contracts=4, faults=[Fault(kind="disconnected", seconds=0.2, times=1)]) as theta:
        assert quotes(theta).status_code == 474
        while httpx.get(theta.base_url + "/terminal/mdds/status", verify=False).text == "DISCONNECTED":
            time.sleep(0.02)
        assert quotes(theta).status_code == 200


@FRAMINGS
def test_a_cut_body_ends_cleanly_in_the_middle_of_a_row(framing, whole):
    faults = [Fault(kind="cut", times=1)]
    with SandboxTheta(contracts=CONTRACTS, framing=framing, faults=faults) as theta:
        body, headers, error = read(theta)
        assert error is None
        assert quotes(theta).content == whole
    assert whole.startswith(body)
    assert 0.4 * len(whole) < len(body) < 0.6 * len(whole)
    assert 0 < body.splitlines()[-1].count(b",") < 12
    assert not body.endswith(b"\n")
    assert headers.get("content-length") == (str(len(body)) if framing == "content-length" else None)


@FRAMINGS
def test_a_reset_body_stops_with_an_error(framing, whole):
    faults = [Fault(kind="reset", times=1)]
    with SandboxTheta(contracts=CONTRACTS, framing=framing, faults=faults) as theta:
        body, headers, error = read(theta)
        assert quotes(theta).content == whole
    assert isinstance(error, httpx.ReadError)
    assert "reset" in str(error.__cause__).lower() or "reset" in str(error).lower()
    assert whole.startswith(body)
    assert len(body) < 0.6 * len(whole)
    assert headers.get("content-length") == (str(len(whole)) if framing == "content-length" else None)


@FRAMINGS
def test_a_stalled_body_sends_half_and_then_nothing_until_the_client_leaves(framing, whole):
    faults = [Fault(kind="stall", times=1)]
    with SandboxTheta(contracts=CONTRACTS, framing=framing, faults=faults) as theta:
        connection = http.client.HTTPConnection(urlsplit(theta.base_url).netloc, timeout=60)
        connection.request("GET", f"{urlsplit(theta.base_url).path}{QUOTES}?{urlencode(WHOLE_DAY)}")
        body = b""
        with closing(connection), connection.getresponse() as answer:
            while len(body) < 0.4 * len(whole):
                body += answer.read1()
            connection.sock.settimeout(0.5)  # only now: however long the first half took
            more: list[bytes] = []
            with pytest.raises(TimeoutError):
                more.extend(iter(answer.read1, b""))
            body += b"".join(more)
        while theta.requests[0].end is None:  # over only because the client has gone
            time.sleep(0.01)
        assert quotes(theta).content == whole
    assert whole.startswith(body)
    assert 0.4 * len(whole) < len(body) < 0.6 * len(whole)


def test_a_server_stops_without_waiting_for_a_stalled_client(caplog):
    with httpx.Client(timeout=60, verify=False) as client:
        with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="stall")]) as theta:
            request = client.build_request("GET", theta.base_url + QUOTES, params=WHOLE_DAY)
            pieces = client.send(request, stream=True).iter_raw()
            next(pieces)
        with pytest.raises(httpx.TransportError):
            list(pieces)
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]


def test_a_client_that_leaves_in_the_middle_makes_no_noise(caplog):
    with SandboxTheta(contracts=2000) as theta:
        for _ in range(3):
            with httpx.stream("GET", theta.base_url + QUOTES, params=WHOLE_DAY, timeout=60, verify=False) as answer:
                next(answer.iter_raw())
        while any(record.end is None for record in theta.requests):
            time.sleep(0.01)
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]


def test_a_large_request_is_570_until_it_is_split(whole):
    rows = whole.count(b"\n") - 1
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="large_request", rows=rows - 1)]) as theta:
        assert quotes(theta).status_code == 570
        halves = [quotes(theta, right=right) for right in ("call", "put")]
    assert [half.status_code for half in halves] == [200, 200]
    assert sum(half.content.count(b"\n") - 1 for half in halves) == rows
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="large_request", rows=rows)]) as theta:
        assert quotes(theta).status_code == 200


@pytest.mark.parametrize(("contracts", "missing"), [(4, 1), (200, 10)])
def test_a_missing_contract_is_missing_whole_and_still_listed(contracts, missing):
    contract = ["expiration", "strike", "right"]
    with SandboxTheta(contracts=contracts, faults=[Fault(kind="missing_contract", times=1)]) as theta:
        short, full = (pl.read_csv(BytesIO(quotes(theta).content)) for _ in range(2))
        answer = httpx.get(
            theta.base_url + "/option/list/contracts/quote",
            params={"symbol": "QQQ", "date": "2024-01-03"},
            verify=False,
        )
        listed = pl.read_csv(BytesIO(answer.content)).select(contract)
    sent = short.select(contract).unique()
    assert listed.height == contracts == sent.height + missing
    assert short.equals(full.join(sent, on=contract, how="semi", maintain_order="left"))
    gone = listed.join(sent, on=contract, how="anti")
    every = {listing.expiration.isoformat() for listing in chain("QQQ", DAY, contracts)}
    assert set(gone["expiration"]) <= every


def test_a_renamed_column_changes_the_header_and_nothing_else(whole):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="renamed_column", times=1)]) as theta:
        renamed = quotes(theta).content
    assert renamed == whole.replace(b",bid,", b",bid_price,", 1)


def test_words_come_under_a_200_as_they_are_given():
    faults = [Fault(kind="words", times=1), Fault(kind="words", text='{"error": "busy"}', times=1)]
    with SandboxTheta(contracts=CONTRACTS, faults=faults) as theta:
        said = [quotes(theta) for _ in range(2)]
        assert quotes(theta).text.startswith("symbol,")
    assert [(answer.status_code, answer.text) for answer in said] == [
        (200, "No data found for your request"),
        (200, '{"error": "busy"}'),
    ]


def test_a_fault_strikes_the_lists_too():
    contracts = "option/list/contracts/quote"
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="cut", endpoint=contracts, times=1)]) as theta:
        cut, full = (
            httpx.get(
                f"{theta.base_url}/{contracts}", params={"symbol": "QQQ", "date": "2024-01-03"}, verify=False
            ).content
            for _ in range(2)
        )
    assert full.startswith(cut)
    assert len(cut) < len(full)


@FRAMINGS
@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_a_body_file_can_break_like_any_body(tmp_path, framing, kind, whole):
    path = tmp_path / "day.csv"
    path.write_bytes(whole)
    with SandboxTheta(body_file=path, framing=framing, faults=[Fault(kind=kind, times=1)]) as theta:
        body, _, error = read(theta)
        assert (error is not None) == (kind == "reset")
        assert quotes(theta).content == whole
    assert whole.startswith(body)
    assert len(body) < len(whole)


def test_faults_that_change_rows_do_not_go_with_a_body_file(tmp_path):
    with pytest.raises(ValueError, match="renamed_column"):
        SandboxTheta(body_file=tmp_path / "day.csv", faults=[Fault(kind="renamed_column")])
