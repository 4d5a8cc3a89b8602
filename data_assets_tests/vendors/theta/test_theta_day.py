from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import re
import resource
import signal
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import polars as pl
import pytest

from data_assets.counts import count_of, count_that
from data_assets.ingest.line_blocks import BLOCK_SIZE
from data_assets.ingest.outcome import (
    DayEnded,
    Failed,
    IngestError,
    NoData,
    NotEntitled,
    NotPublished,
    NotStored,
    Rejected,
    RunEnded,
    Stored,
    Throttled,
    Transient,
    VendorDown,
)
from data_assets.lake.lake import MARKER, Lake
from data_assets.lake.parquet_file import ROW_GROUP_ROWS
from data_assets.quality.verdict import Verdict
from data_assets.sandbox.faults import Fault
from data_assets.sandbox.serving import SandboxTheta
from data_assets.trading_calendar import session
from data_assets.vendors.theta.client import ThetaClient
from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.day import ThetaSource, not_yet
from data_assets.vendors.theta.day_checks import evaluate_checks
from data_assets.vendors.theta.schema import QUOTES as TABLE
from data_assets.vendors.theta.short_answers import ShortAnswer
from data_assets.vendors.theta.stages import new_stages
from data_assets.vendors.theta.terminal import Terminal
from data_assets.vendors.theta.values import Limits
from data_assets_tests.vendors.theta.raw_http import by_path, response, terminal, until_close

pytestmark = pytest.mark.slow

DAY = date(2024, 1, 3)
NEW_YORK = ZoneInfo("America/New_York")
AFTERWARDS = datetime(2024, 1, 4, 12, tzinfo=UTC)
DATASET = OptionDataset("theta/option_quotes/QQQ", "QQQ")
CONTRACTS = 24
QUOTES = "option/history/quote"
LIST = "option/list/contracts/quote"


@dataclass
class Meter:
    bytes: int = 0
    rows: int = 0

    def received(self, size: int) -> None:
        self.bytes += size

    def parsed(self, rows: int) -> None:
        self.rows += rows


def left_in(folder: Path) -> list[str]:
    """Every file of the lake but its marker and what is remembered of answers, temporary ones included."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name[0] != "_" and path.suffix != ".note"]
    return sorted(str(path.relative_to(folder)) for path in files)


async def fetch(
    base_url: str,
    folder: Path,
    dataset: OptionDataset = DATASET,
    day: date = DAY,
    *,
    meter: Meter | None = None,
    stall_seconds: float = 20.0,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Stored:
    lake = Lake(str(folder), synthetic=True)
    async with ThetaClient(base_url, max_concurrent=2, stall_seconds=stall_seconds, poll_seconds=0.01) as client:
        source = ThetaSource(dataset, lake=lake, bodies=Terminal(client), clock=clock)
        staged = await source.fetch(day, meter or Meter())
        return staged.publish()


async def failure(base_url: str, folder: Path, dataset: OptionDataset = DATASET, **more: Any) -> IngestError:
    """The error of a fetch that must fail, and must leave nothing in the lake."""
    with pytest.raises(IngestError) as caught:
        await fetch(base_url, folder, dataset, **more)
    assert left_in(folder) == []
    assert "\n" not in str(caught.value)
    return caught.value


async def ending(base_url: str, folder: Path, dataset: OptionDataset = DATASET, **more: Any) -> NotStored:
    error = await failure(base_url, folder, dataset, **more)
    assert isinstance(error, DayEnded)
    return error.outcome


async def ending_when_asked_again(base_url: str, folder: Path) -> NotStored:
    """How a day ends whose first answer is not believed."""
    assert isinstance(await failure(base_url, folder), Transient)
    return await ending(base_url, folder)


def stored(folder: Path, day: date = DAY, key: str = DATASET.key) -> pl.DataFrame:
    return Lake(str(folder), synthetic=True).scan(key, day, day).collect()


def details(folder: Path, day: date = DAY) -> dict[str, Any]:
    return Lake(str(folder), synthetic=True).provenance(DATASET.key, day).details


async def bodies_of(base_url: str, queries: list[dict[str, str]]) -> list[bytes]:
    """What another client gets for the same requests."""
    async with httpx.AsyncClient(verify=False) as other:
        return [(await other.get(f"{base_url}/{QUOTES}", params=query)).content for query in queries]


def by_hand(body: bytes) -> list[tuple[object, ...]]:
    """The rows of a body, read the slow way, in the order of the lake."""
    rows = []
    for row in csv.DictReader(io.StringIO(body.decode())):
        wall_clock = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=NEW_YORK)
        typed: dict[str, Any] = {name: int(text) for name, text in row.items() if name[:3] in ("bid", "ask")
                                 and name not in ("bid", "ask")}  # fmt: skip
        typed |= {name: float(row[name]) for name in ("strike", "bid", "ask")}
        typed |= {"symbol": row["symbol"], "right": row["right"], "timestamp": wall_clock.astimezone(UTC)}
        typed["expiration"] = date.fromisoformat(row["expiration"])
        rows.append(typed)
    rows.sort(key=lambda row: [row[name] for name in DATASET.sort_by])
    return [tuple(row[name] for name in TABLE.columns) for row in rows]


async def test_a_day_is_stored_as_the_vendor_sent_it(tmp_path: Path):
    meter = Meter()
    with SandboxTheta(contracts=CONTRACTS) as theta:
        ended = await fetch(theta.base_url, tmp_path, meter=meter)
        requests = theta.requests
        query = requests[-1].params
        [body] = await bodies_of(theta.base_url, [query])
    frame = stored(tmp_path)
    assert frame.schema == TABLE.schema
    assert frame.rows() == by_hand(body)
    assert [request.path for request in requests] == [f"/v3/{LIST}", f"/v3/{QUOTES}"]
    assert (meter.bytes, meter.rows) == (len(body), frame.height)

    assert ended.path == "theta/option_quotes/QQQ/date=2024-01-03/data.parquet"
    assert left_in(tmp_path) == [ended.path]
    assert ended.rows == frame.height
    assert hashlib.sha256((tmp_path / ended.path).read_bytes()).hexdigest() == ended.sha256
    assert ended.metadata["contracts"] == frame.select("expiration", "strike", "right").n_unique()
    assert ended.metadata["absent_contracts"] == 0
    assert ended.metadata["raw_megabytes"] == round(len(body) / 1e6, 3)
    assert ended.metadata["seconds"] > 0
    assert ended.metadata["rows_per_second"] > 0
    assert {"crossed_share", "no_quote_share", "stale_expirations", "requests"} <= ended.metadata.keys()

    provenance = Lake(str(tmp_path), synthetic=True).provenance(DATASET.key, DAY)
    assert provenance.raw_sha256 == hashlib.sha256(body).hexdigest()
    assert provenance.raw_size == len(body)
    assert provenance.source.startswith(f"{theta.base_url}/{QUOTES}?symbol=QQQ&expiration=%2A&right=both&date=20240103")
    assert provenance.synthetic
    assert provenance.details == {
        "requests": 1,
        "line_end": "CRLF",
        "extra_columns": [],
        "stale_expirations": 0,
        "contracts_listed": ended.metadata["contracts"],
        "contracts_absent": 0,
        "contracts_absent_names": [],
        "contracts_extra": 0,
    }


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """The sandbox's day, from a body in one piece, bare strings, CRLF and no fractions."""
    folder = tmp_path_factory.mktemp("usual")
    with SandboxTheta(contracts=CONTRACTS) as theta:
        asyncio.run(fetch(theta.base_url, folder))
    return stored(folder)


@pytest.mark.parametrize("quoted", [False, True], ids=["bare", "quoted"])
@pytest.mark.parametrize("line_end", ["\r\n", "\n"], ids=["crlf", "lf"])
@pytest.mark.parametrize("fraction", ["none", ".000"], ids=["seconds", "millis"])
@pytest.mark.parametrize(
    "more", [{}, {"order": "shuffled", "framing": "content-length"}], ids=["chunked", "shuffled, sized"]
)
async def test_every_spelling_of_the_body_stores_the_same(
    tmp_path: Path, usual: pl.DataFrame, quoted: bool, line_end: Any, fraction: Any, more: dict[str, Any]
):
    with SandboxTheta(contracts=CONTRACTS, quoted=quoted, line_end=line_end, fraction=fraction, **more) as theta:
        await fetch(theta.base_url, tmp_path)
    assert stored(tmp_path).equals(usual)
    assert details(tmp_path)["line_end"] == ("CRLF" if line_end == "\r\n" else "LF")


@pytest.mark.parametrize(
    ("day", "first", "last"),
    [
        (date(2024, 3, 8), "14:30", "21:15"),
        (date(2024, 3, 11), "13:30", "20:15"),
        (date(2024, 11, 1), "13:30", "20:15"),
        (date(2024, 11, 4), "14:30", "21:15"),
        (date(2024, 7, 3), "13:30", "17:15"),
        (date(2024, 11, 29), "14:30", "18:15"),
    ],
    ids=lambda value: str(value),
)
async def test_clock_changes_and_early_closes(tmp_path: Path, day: date, first: str, last: str):
    with SandboxTheta(contracts=CONTRACTS) as theta:
        await fetch(theta.base_url, tmp_path, day=day)
    timestamps = stored(tmp_path, day)["timestamp"]
    assert [f"{end:%Y-%m-%d %H:%M}" for end in (timestamps.min(), timestamps.max())] == [
        f"{day} {first}",
        f"{day} {last}",
    ]


async def test_another_root_interval_and_end_are_only_values(tmp_path: Path):
    dataset = OptionDataset("theta/option_quotes/SPXW", "SPXW", interval="5m", end_time="15:00:00")
    with SandboxTheta(contracts=CONTRACTS) as theta:
        await fetch(theta.base_url, tmp_path, dataset)
    timestamps = stored(tmp_path, key=dataset.key)["timestamp"]
    assert timestamps.max() == datetime(2024, 1, 3, 20, 0, tzinfo=UTC)
    assert timestamps.unique().sort().diff().drop_nulls().unique().to_list() == [timedelta(minutes=5)]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"interval": "1min"}, "interval '1min': must be one of 1s"),
        ({"interval": "tick"}, "interval 'tick'"),
        ({"end_time": "4pm"}, "end_time '4pm': must be HH:MM:SS"),
        ({"end_time": "09:30:00"}, "end_time '09:30:00': must be after 09:30:00"),
        ({"end_time": "04:15:00"}, "end_time '04:15:00': must be after 09:30:00"),
        ({"absent_tolerance": 5}, "absent_tolerance 5"),
    ],
)
def test_a_wrong_value_is_named(wrong: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=says):
        replace(DATASET, **wrong)


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (Fault(kind="cut"), Transient, "its last line is cut"),
        (Fault(kind="reset"), Transient, "stopped short"),
        (Fault(kind="stall"), Transient, "no byte for"),
        (Fault(kind="missing_contract"), ShortAnswer, "listed contracts are absent"),
        (Fault(kind="disconnected"), VendorDown, "474"),
        (Fault(kind="status", status=429), Throttled, "429"),
        (Fault(kind="status", status=500), Transient, "500"),
        (Fault(kind="status", status=478), RunEnded, "second Theta Terminal"),
        (Fault(kind="status", status=500, endpoint=LIST), Transient, "500"),
        (Fault(kind="cut", endpoint=LIST), Transient, "stopped short"),
        (Fault(kind="stall", endpoint=LIST), Transient, "no byte for"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else None,
)
@pytest.mark.parametrize("framing", ["chunked", "content-length"])
async def test_a_fault_is_one_error_and_leaves_nothing(
    tmp_path: Path, fault: Fault, kind: type[IngestError], says: str, framing: Any
):
    with SandboxTheta(contracts=CONTRACTS, faults=[fault], framing=framing) as theta:
        error = await failure(theta.base_url, tmp_path, stall_seconds=0.2 if fault.kind == "stall" else 20.0)
    assert type(error) is kind
    assert says in str(error)


async def test_after_an_outage_the_day_is_had(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="disconnected", seconds=0.1, times=1)]) as theta:
        async with ThetaClient(theta.base_url, max_concurrent=2, poll_seconds=0.01) as client:
            source = ThetaSource(DATASET, lake=Lake(str(tmp_path), synthetic=True), bodies=Terminal(client))
            with pytest.raises(VendorDown):
                await source.fetch(DAY, Meter())
            await source.wait_until_up()
            (await source.fetch(DAY, Meter())).publish()
    assert stored(tmp_path).height


async def test_a_renamed_column_is_rejected_with_both_headers(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="renamed_column")]) as theta:
        outcome = await ending(theta.base_url, tmp_path)
    assert isinstance(outcome, Rejected)
    assert "lacks bid: got symbol," in outcome.reason
    assert "expected symbol," in outcome.reason


@pytest.mark.parametrize("status", [403, 471])
async def test_a_refusal_is_an_outcome(tmp_path: Path, status: int):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="status", status=status)]) as theta:
        outcome = await ending(theta.base_url, tmp_path)
    assert type(outcome) is NotEntitled


async def test_no_data_of_a_day_whose_contracts_are_listed_is_not_believed(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="status", status=472)]) as theta:
        error = await failure(theta.base_url, tmp_path)
    assert type(error) is ShortAnswer
    assert "holds no data for QQQ option quotes of 2024-01-03" in str(error)
    assert re.search(r"though its own list names \d+ contracts", str(error))


@pytest.mark.parametrize("list_status", [471, 472])
async def test_no_data_without_a_list_of_contracts_is_believed(tmp_path: Path, list_status: int):
    faults = [Fault(kind="status", status=472), Fault(kind="status", status=list_status, endpoint=LIST)]
    with SandboxTheta(contracts=CONTRACTS, faults=faults) as theta:
        outcome = await ending(theta.base_url, tmp_path)
    assert type(outcome) is NoData


NO_DATA_IN_WORDS = [
    "No data found for your request",
    "No data found for your request\n",
    '{"header":{"error_type":"NO_DATA","error_msg":"No data for the specified timeframe"},"response":[]}',
    '{\n  "error": "no-data"\n}\n',
]


@pytest.mark.parametrize("said", NO_DATA_IN_WORDS)
@pytest.mark.parametrize("framing", ["chunked", "content-length"])
async def test_no_data_in_words_under_a_200_is_no_data(tmp_path: Path, said: str, framing: Any):
    words = Fault(kind="words", text=said)
    no_list = Fault(kind="words", text=said, endpoint=LIST)
    shown = f"(200: {' '.join(said.split())})"
    with SandboxTheta(contracts=CONTRACTS, faults=[words, no_list], framing=framing) as theta:
        outcome = await ending(theta.base_url, tmp_path)
    assert type(outcome) is NoData
    assert shown in outcome.reason
    with SandboxTheta(contracts=CONTRACTS, faults=[words]) as theta:
        error = await failure(theta.base_url, tmp_path)
    assert type(error) is ShortAnswer
    assert shown in str(error)
    assert re.search(r"though its own list names \d+ contracts", str(error))


@pytest.mark.parametrize("said", ["The server is busy", "<html>\n<b>Sign in</b>\n</html>\n", '{"error":"no database"}'])
@pytest.mark.parametrize("endpoint", [QUOTES, LIST])
async def test_other_words_under_a_200_are_shown_and_asked_again(tmp_path: Path, said: str, endpoint: str):
    fault = Fault(kind="words", text=said, endpoint=endpoint, times=1)
    with SandboxTheta(contracts=CONTRACTS, faults=[fault]) as theta:
        error = await failure(theta.base_url, tmp_path)
        await fetch(theta.base_url, tmp_path)
    assert type(error) is Transient
    assert f"sent words instead of a table (200: {' '.join(said.split())})" in str(error)
    assert error.cause


async def test_before_the_vendors_first_day_there_is_no_data(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS, first_day=date(2024, 1, 4)) as theta:
        outcome = await ending(theta.base_url, tmp_path)
    assert type(outcome) is NoData
    assert "though" not in outcome.reason


async def test_absent_contracts_within_the_tolerance_are_named(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="missing_contract")]) as theta:
        ended = await fetch(theta.base_url, tmp_path, replace(DATASET, absent_tolerance=0.1))
    said = details(tmp_path)
    absent = said["contracts_listed"] - ended.metadata["contracts"]
    assert absent > 0
    assert ended.metadata["absent_contracts"] == said["contracts_absent"] == absent
    assert len(said["contracts_absent_names"]) == absent
    assert all(name.startswith("QQQ 202") for name in said["contracts_absent_names"])


@pytest.mark.parametrize(
    ("status", "why"), [(471, "the account's tier lacks the call"), (472, "the vendor has no list for this day")]
)
async def test_without_a_contract_list_the_day_is_stored_and_says_so(tmp_path: Path, status: int, why: str):
    faults = [Fault(kind="status", status=status, endpoint=LIST), Fault(kind="missing_contract")]
    with SandboxTheta(contracts=CONTRACTS, faults=faults) as theta:
        ended = await fetch(theta.base_url, tmp_path)
    assert details(tmp_path)["contract_list"] == f"cannot tell: {why}"
    assert "contracts_listed" not in details(tmp_path)
    assert "absent_contracts" not in ended.metadata


@pytest.mark.parametrize("has_list", [True, False])
@pytest.mark.parametrize(("share", "by"), [(0.7, "right"), (0.3, "expiration")])
async def test_a_day_too_large_is_had_in_parts(
    tmp_path: Path, usual: pl.DataFrame, share: float, by: str, has_list: bool
):
    faults = [Fault(kind="large_request", rows=int(usual.height * share))]
    if not has_list:
        faults.append(Fault(kind="status", status=471, endpoint=LIST))
    # Its expirations all begin on this day, so that the list of every expiration ever stays short.
    with SandboxTheta(contracts=CONTRACTS, first_day=DAY, faults=faults, now=lambda: AFTERWARDS) as theta:
        ended = await fetch(theta.base_url, tmp_path)
        parts = [r.params for r in theta.requests if r.path.endswith(QUOTES) and r.status == 200]
        bodies = await bodies_of(theta.base_url, parts)
    assert stored(tmp_path).equals(usual)
    assert {part["right"] for part in parts} == {"call", "put"}
    assert all(part["expiration"] == "*" for part in parts) == (by == "right")
    assert ended.metadata["requests"] == len(parts)
    provenance = Lake(str(tmp_path), synthetic=True).provenance(DATASET.key, DAY)
    assert provenance.raw_sha256 == hashlib.sha256(b"".join(bodies)).hexdigest()
    assert provenance.raw_size == sum(map(len, bodies))


async def test_a_part_that_is_too_large_fails_the_day_and_says_what_to_do(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS, faults=[Fault(kind="large_request", rows=10)]) as theta:
        outcome = await ending(theta.base_url, tmp_path)
    assert type(outcome) is Failed
    assert "longer interval" in outcome.reason


@pytest.mark.parametrize(
    ("now", "early"),
    [
        ("2024-01-03 09:00", "the session of 2024-01-03 ends at 16:15 New York"),
        ("2024-01-03 16:14", "the session of 2024-01-03 ends at 16:15 New York"),
        ("2024-01-03 16:15", None),
        ("2024-01-03 23:59", None),
        ("2024-01-04 00:00", "between 00:00 and 01:45 New York of the next day"),
        ("2024-01-04 01:44", "between 00:00 and 01:45 New York of the next day"),
        ("2024-01-04 01:45", None),
        ("2024-01-05 00:30", None),
    ],
)
async def test_too_early_is_not_published_and_nothing_is_asked(tmp_path: Path, now: str, early: str | None):
    instant = datetime.strptime(now, "%Y-%m-%d %H:%M").replace(tzinfo=NEW_YORK)
    with SandboxTheta(contracts=CONTRACTS) as theta:
        if early is None:
            await fetch(theta.base_url, tmp_path, clock=lambda: instant.astimezone(UTC))
        else:
            outcome = await ending(theta.base_url, tmp_path, clock=lambda: instant.astimezone(UTC))
            assert type(outcome) is NotPublished
            assert early in outcome.reason
            assert theta.requests == []


@pytest.mark.parametrize(
    ("day", "now", "early"),
    [
        (date(2024, 7, 3), "2024-07-03T17:14:00", True),
        (date(2024, 7, 3), "2024-07-03T17:15:00", False),
        (date(2024, 3, 8), "2024-03-09T06:44:00", True),
        (date(2024, 3, 8), "2024-03-09T06:45:00", False),
        (date(2024, 11, 4), "2024-11-05T06:44:00", True),
        (date(2024, 11, 1), "2024-11-02T05:44:00", True),
        (date(2024, 11, 1), "2024-11-02T05:45:00", False),
    ],
)
def test_early_closes_and_both_clocks_are_known(day: date, now: str, early: bool):
    reason = not_yet(session(day), datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert (reason is not None) == early


# What only raw bytes can show: bodies that look whole to HTTP.

HEADER = ",".join(TABLE.columns)


def grid(strike: int, minutes: int, *, expiration: str = "2024-01-05", right: str = "CALL") -> str:
    opening = datetime(2024, 1, 3, 9, 30)  # noqa: DTZ001  New York's wall clock
    return "".join(
        f"QQQ,{expiration},{strike}.000,{right},{opening + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%S}"
        ",1,5,1.05,50,2,9,1.10,50\r\n"
        for minute in range(minutes)
    )


ALL_DAY = 406
BODY = HEADER + "\r\n" + "".join(grid(strike, ALL_DAY) for strike in range(400, 420))
LISTED = "symbol,expiration,strike,right\r\n" + "".join(f"QQQ,2024-01-05,{s}.000,CALL\r\n" for s in range(400, 420))


@asynccontextmanager
async def raw_terminal(body: str, listed: str | None = LISTED):
    contracts = response(471, b"tier") if listed is None else response(200, listed.encode())
    if listed == "":
        contracts = response(472, b"No data found for your request")
    async with terminal(by_path({QUOTES: until_close(body.encode()), LIST: contracts})) as server:
        yield server


async def test_a_whole_raw_body_is_stored(tmp_path: Path):
    async with raw_terminal(BODY) as server:
        ended = await fetch(server.base_url, tmp_path)
    assert ended.rows == 20 * ALL_DAY
    assert stored(tmp_path).rows() == by_hand(BODY.encode())


NOTHING = response(472, b"No data found for your request")


async def test_no_data_is_believed_if_all_that_is_listed_had_expired(tmp_path: Path):
    stale = LISTED.partition("\n")[0] + "\nQQQ,1882-01-05,7.000,CALL\n"
    async with terminal(by_path({QUOTES: NOTHING, LIST: response(200, stale.encode())})) as server:
        assert type(await ending(server.base_url, tmp_path)) is NoData


@pytest.mark.parametrize(("listed", "kind"), [(response(200, LISTED.encode()), ShortAnswer), (NOTHING, DayEnded)])
async def test_no_data_in_any_part_is_held_against_the_list_too(tmp_path: Path, listed: bytes, kind: type[IngestError]):
    async def answer(path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        too_large = query.get("right") == "both"
        writer.write(listed if path == LIST else response(570, b"large") if too_large else NOTHING)

    async with terminal(answer) as server:
        error = await failure(server.base_url, tmp_path)
    assert type(error) is kind
    assert "no quotes of this day in any part" in str(error)
    assert not isinstance(error, DayEnded) or type(error.outcome) is NoData


ROWS = BODY.splitlines(keepends=True)[1:]
ONE_CONTRACT = slice(ALL_DAY, 2 * ALL_DAY)


@pytest.mark.parametrize(
    ("rows", "repeated", "contracts", "example"),
    [
        ([row for row in ROWS for _ in range(2)], 20 * ALL_DAY, 20, 400),
        (ROWS + ROWS, 20 * ALL_DAY, 20, 400),
        (ROWS[ONE_CONTRACT] + ROWS, ALL_DAY, 1, 401),
        ([*ROWS[:500], ROWS[499], *ROWS[500:]], 1, 1, 401),
        ([*ROWS[:500], ROWS[499].replace("1.05", "1.06"), *ROWS[500:]], 1, 1, 401),
        ([ROWS[-1], *ROWS], 1, 1, 419),
    ],
    ids=["each row", "the day", "a contract, apart", "one row", "another price", "far apart"],
)
async def test_a_contract_with_two_rows_of_one_instant_is_rejected(
    tmp_path: Path, rows: list[str], repeated: int, contracts: int, example: int
):
    async with raw_terminal(HEADER + "\r\n" + "".join(rows)) as server:
        outcome = await ending_when_asked_again(server.base_url, tmp_path)
    assert isinstance(outcome, Rejected)
    assert outcome.reason.startswith(
        f"{count_that(repeated, 'row', 'repeat')} the contract and timestamp of another, "
        f"in {count_of(contracts, 'contract')} such as QQQ 2024-01-05 {example} C:"
    )


async def test_a_repeat_on_the_border_of_two_row_groups_is_rejected(tmp_path: Path):
    rows = [row for strike in range(400, 710) for row in grid(strike, ALL_DAY).splitlines(keepends=True)]
    last_of_a_group = rows[ROW_GROUP_ROWS - 1]
    async with raw_terminal(HEADER + "\r\n" + "".join([last_of_a_group, *rows]), listed=None) as server:
        outcome = await ending_when_asked_again(server.base_url, tmp_path)
    assert isinstance(outcome, Rejected)
    assert outcome.reason.startswith("1 row repeats")


async def test_a_terminal_that_ignores_the_right_does_not_store_every_row_twice(tmp_path: Path):
    async def answer(path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        too_large = query.get("right") == "both"
        quotes = response(570, b"large") if too_large else until_close(BODY.encode())
        writer.write(response(200, LISTED.encode()) if path == LIST else quotes)

    async with terminal(answer) as server:
        outcome = await ending(server.base_url, tmp_path)
    assert isinstance(outcome, Rejected)
    assert "have the right CALL, and not PUT, which was asked for" in outcome.reason


async def test_calls_in_the_answer_about_puts_are_refused_though_the_day_would_be_whole(tmp_path: Path):
    halves = {"call": ROWS[:-ALL_DAY], "put": ROWS[-ALL_DAY:]}

    async def answer(path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        right = query.get("right", "both")
        if path == LIST:
            writer.write(response(200, LISTED.encode()))
        elif right == "both":
            writer.write(response(570, b"large"))
        else:
            writer.write(until_close((HEADER + "\r\n" + "".join(halves[right])).encode()))

    async with terminal(answer) as server:
        outcome = await ending(server.base_url, tmp_path)
    assert isinstance(outcome, Rejected)
    assert f"{ALL_DAY} rows have the right CALL, and not PUT, which was asked for" in outcome.reason


async def test_disorder_alone_is_sorted_and_stored(tmp_path: Path):
    rows = [row for minute in range(ALL_DAY) for row in ROWS[ALL_DAY - 1 - minute :: ALL_DAY]]
    async with raw_terminal(HEADER + "\r\n" + "".join([*rows[20:], *rows[:20]])) as server:
        await fetch(server.base_url, tmp_path)
    assert stored(tmp_path).rows() == by_hand(BODY.encode())


def judged(folder: Path, dataset: OptionDataset = DATASET, day: date = DAY) -> dict[str, Verdict]:
    lake = Lake(str(folder), synthetic=True)
    verdicts = evaluate_checks(lake, dataset, day, Limits(grid_tolerance=0.0))
    return {verdict.name: verdict for verdict in verdicts}


@pytest.mark.parametrize(
    ("interval", "end_time", "day", "last"),
    [
        ("1m", "16:15:00", DAY, "16:15"),
        ("10m", "16:15:00", DAY, "16:10"),
        ("30m", "16:15:00", DAY, "16:00"),
        ("1h", "16:15:00", DAY, "15:30"),
        ("1h", "16:15:00", date(2024, 7, 3), "12:30"),
        ("1m", "15:59:30", DAY, "15:59"),
        ("1m", "16:07:30", DAY, "16:07"),
        ("1h", "10:00:00", DAY, "09:30"),
    ],
)
async def test_every_interval_and_end_is_stored_and_regular(
    tmp_path: Path, interval: str, end_time: str, day: date, last: str
):
    dataset = replace(DATASET, interval=interval, end_time=end_time)
    with SandboxTheta(contracts=CONTRACTS) as theta:
        await fetch(theta.base_url, tmp_path, dataset, day)
    latest = stored(tmp_path, day)["timestamp"].dt.convert_time_zone(NEW_YORK.key).max()
    assert f"{latest:%H:%M}" == last
    verdict = judged(tmp_path, dataset, day)["grid"]
    assert verdict.passed, verdict.summary


async def test_the_check_counts_every_absent_contract_not_only_the_named(tmp_path: Path):
    absent = "".join(f"QQQ,2024-01-05,{strike}.000,CALL\r\n" for strike in range(500, 560))
    async with raw_terminal(BODY, LISTED + absent) as server:
        await fetch(server.base_url, tmp_path, replace(DATASET, absent_tolerance=0.75))
    assert len(details(tmp_path)["contracts_absent_names"]) < 60
    verdict = judged(tmp_path, replace(DATASET, absent_tolerance=0.7))["contract_set"]
    assert (verdict.passed, verdict.severity, verdict.metadata["absent"]) == (False, "error", 60)


@pytest.mark.parametrize("listed", [LISTED, None], ids=["list", "no list"])
@pytest.mark.parametrize("kept", [1, 2, 390, 405])
async def test_an_end_inside_the_last_contract_is_transient(tmp_path: Path, kept: int, listed: str | None):
    lines = BODY.splitlines(keepends=True)
    async with raw_terminal("".join(lines[: 1 + 19 * ALL_DAY + kept]), listed) as server:
        error = await failure(server.base_url, tmp_path)
    assert type(error) is ShortAnswer
    assert "the body stops inside a contract" in str(error)


async def test_an_end_between_two_contracts_is_transient_if_there_is_a_list(tmp_path: Path):
    lines = BODY.splitlines(keepends=True)
    async with raw_terminal("".join(lines[: 1 + 19 * ALL_DAY])) as server:
        error = await failure(server.base_url, tmp_path)
    assert type(error) is ShortAnswer
    assert "1 of 20 listed contracts are absent (5.0%, 0.5% tolerated): QQQ 2024-01-05 419 C" in str(error)


async def test_strikes_in_another_unit_are_told_from_an_answer_that_was_cut(tmp_path: Path):
    cents = "".join(re.sub(r"(-\d\d,)(\d+)\.(\d{3}),", r"\1\2\3,", line) for line in BODY.splitlines(keepends=True))
    assert cents != BODY
    async with raw_terminal(cents) as server:
        error = await failure(server.base_url, tmp_path)
    assert "20 of 20 listed contracts are absent" in str(error)
    assert "while 20 came that are not listed" in str(error)


@pytest.mark.parametrize("length", [0, 1, 40, len(HEADER) + 1])
async def test_an_end_inside_or_before_the_header_is_transient(tmp_path: Path, length: int):
    async with raw_terminal(BODY[:length]) as server:
        error = await failure(server.base_url, tmp_path)
    assert type(error) in (Transient, ShortAnswer)
    assert "stopped short" in str(error)


@pytest.mark.parametrize("body", ["", HEADER + "\r\n"], ids=["nothing", "header only"])
async def test_a_200_without_rows_is_no_data_only_if_the_list_is_empty_too(tmp_path: Path, body: str):
    async with raw_terminal(body) as server:
        assert type(await failure(server.base_url, tmp_path)) is ShortAnswer
    async with raw_terminal(body, listed=None) as server:
        assert type(await failure(server.base_url, tmp_path)) is Transient
    async with raw_terminal(body, listed="") as server:
        assert type(await ending(server.base_url, tmp_path)) is NoData


async def test_a_cut_at_every_offset_of_the_last_two_lines_never_stores(tmp_path: Path):
    answers = {LIST: response(200, LISTED.encode())}
    async with terminal(by_path(answers)) as server, ThetaClient(server.base_url, max_concurrent=1) as client:
        source = ThetaSource(DATASET, lake=Lake(str(tmp_path), synthetic=True), bodies=Terminal(client))
        for missing in range(1, 150):
            answers[QUOTES] = until_close(BODY[:-missing].encode())
            with pytest.raises(Transient, match="stopped short"):
                await source.fetch(DAY, Meter())
            assert left_in(tmp_path) == []
        answers[QUOTES] = until_close(BODY.encode())
        (await source.fetch(DAY, Meter())).discard()


async def test_a_body_without_line_ends_is_rejected(tmp_path: Path):
    async with raw_terminal("x" * (BLOCK_SIZE + 1)) as server:
        outcome = await ending(server.base_url, tmp_path)
    assert isinstance(outcome, Rejected)
    assert "without a line end" in outcome.reason


async def test_a_bad_value_in_a_late_block_is_rejected(tmp_path: Path):
    late = BODY + "".join(grid(strike, ALL_DAY) for strike in range(500, 1100)) + grid(1100, 1).replace("1.05", "n/a")
    assert len(late) > BLOCK_SIZE
    async with raw_terminal(late, listed=None) as server:
        outcome = await ending(server.base_url, tmp_path)
    assert isinstance(outcome, Rejected)
    assert 'column bid holds "n/a"' in outcome.reason


async def test_test_contracts_of_1882_are_kept_and_counted_and_extra_columns_named(tmp_path: Path):
    junk = grid(7, ALL_DAY, expiration="1882-01-05")
    lines = (HEADER + ",venue\r\n" + junk + BODY.partition("\n")[2]).splitlines()
    body = "\r\n".join([lines[0], *(f"{line},x" for line in lines[1:]), ""])
    async with raw_terminal(body) as server:
        ended = await fetch(server.base_url, tmp_path)
    assert ended.metadata["stale_expirations"] == 1
    assert ended.metadata["extra_columns"] == "venue"
    assert details(tmp_path)["extra_columns"] == ["venue"]
    assert stored(tmp_path)["expiration"].min() == date(1882, 1, 5)
    assert stored(tmp_path).columns == list(TABLE.columns)


async def test_a_days_folder_that_cannot_be_written_fails_that_day_alone(tmp_path: Path):
    folder = tmp_path / "theta/option_quotes/QQQ"
    folder.mkdir(parents=True)
    (folder / f"date={DAY}").write_bytes(b"a file where the day's folder should be")
    with SandboxTheta(contracts=CONTRACTS) as theta:
        with pytest.raises(DayEnded, match="cannot be written") as caught:
            await fetch(theta.base_url, tmp_path)
        await fetch(theta.base_url, tmp_path, day=date(2024, 1, 4))
    assert type(caught.value.outcome) is Failed
    assert stored(tmp_path, date(2024, 1, 4)).height


async def test_a_day_that_cannot_get_its_name_fails_that_day_alone(tmp_path: Path):
    lake = Lake(str(tmp_path), synthetic=True)
    with SandboxTheta(contracts=CONTRACTS) as theta:
        async with ThetaClient(theta.base_url, max_concurrent=2) as client:
            staged = await ThetaSource(DATASET, lake=lake, bodies=Terminal(client)).fetch(DAY, Meter())
    day = tmp_path / "theta/option_quotes/QQQ/date=2024-01-03"
    (day / "data.parquet").mkdir(parents=True)
    with pytest.raises(DayEnded, match="cannot be written") as caught:
        staged.publish()
    assert type(caught.value.outcome) is Failed
    assert left_in(tmp_path) == []


async def test_a_lake_that_cannot_be_written_ends_the_run(tmp_path: Path):
    (tmp_path / "lake").write_bytes(b"a file where the lake's folder should be")
    with SandboxTheta(contracts=CONTRACTS) as theta, pytest.raises(RunEnded, match="lake"):
        await fetch(theta.base_url, tmp_path / "lake")


@pytest.mark.parametrize("marker", [b"{", None], ids=["damaged", "a folder"])
async def test_a_lake_whose_marker_is_unreadable_ends_the_run(tmp_path: Path, marker: bytes | None):
    if marker is None:
        (tmp_path / MARKER).mkdir()
    else:
        (tmp_path / MARKER).write_bytes(marker)
    with SandboxTheta(contracts=CONTRACTS) as theta, pytest.raises(RunEnded, match=str(tmp_path)):
        await fetch(theta.base_url, tmp_path)


@pytest.mark.parametrize("step", ["marker", "rows"])
async def test_a_full_disk_ends_the_run(tmp_path: Path, step: str):
    if step == "rows":
        Lake(str(tmp_path), synthetic=True).writer(DATASET.key, DAY, TABLE.arrow_schema, DATASET.sort_by)
    limit, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with SandboxTheta(contracts=CONTRACTS) as theta:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        try:
            with pytest.raises(RunEnded, match="no room to write it"):
                await fetch(theta.base_url, tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            signal.signal(signal.SIGXFSZ, ignored)
    assert left_in(tmp_path) == []


async def test_real_data_never_enters_a_synthetic_lake(tmp_path: Path):
    with SandboxTheta(contracts=CONTRACTS) as theta:
        await fetch(theta.base_url, tmp_path)
        async with ThetaClient(theta.base_url, max_concurrent=2) as client:
            real = ThetaSource(DATASET, lake=Lake(str(tmp_path), synthetic=False), bodies=Terminal(client))
            with pytest.raises(RunEnded, match="synthetic"):
                await real.fetch(DAY, Meter())


@dataclass
class Canceller(Meter):
    """Cancels the task it is told of when so many bytes are here, or a moment after so many rows are read."""

    at_bytes: int | None = None
    at_rows: int | None = None
    seconds_later: float = 0.0
    task: asyncio.Task[Any] | None = None

    def received(self, size: int) -> None:
        super().received(size)
        if self.at_bytes is not None and self.bytes >= self.at_bytes:
            self._cancel()

    def parsed(self, rows: int) -> None:
        super().parsed(rows)
        if self.at_rows is not None and self.rows >= self.at_rows:
            self._cancel()

    def _cancel(self) -> None:
        assert self.task is not None
        asyncio.get_running_loop().call_later(self.seconds_later, self.task.cancel)


async def test_cancelling_at_any_moment_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stages = new_stages()
    monkeypatch.setattr("data_assets.vendors.theta.day.new_stages", lambda: stages)
    lake = Lake(str(tmp_path), synthetic=True)
    with SandboxTheta(contracts=340) as theta:
        async with ThetaClient(theta.base_url, max_concurrent=2) as client:
            source = ThetaSource(DATASET, lake=lake, bodies=Terminal(client))
            whole = Meter()
            (await source.fetch(DAY, whole)).discard()
            assert whole.rows > 122_880, "a row group is on disk before the last block is read"
            moments = [Canceller(at_bytes=whole.bytes * percent // 100) for percent in (1, 50, 95, 100)]
            moments += [Canceller(at_rows=whole.rows, seconds_later=delay) for delay in (0.0, 0.001, 0.003, 0.01, 0.02)]
            cancelled = 0
            for meter in moments:
                meter.task = asyncio.create_task(source.fetch(DAY, meter))
                try:
                    (await meter.task).discard()
                except asyncio.CancelledError:
                    cancelled += 1
                assert left_in(tmp_path) == [], meter
                for stage in (stages.parse, stages.keep, stages.encode):
                    stage.submit(int).result(60)
                assert left_in(tmp_path) == [], "a thread that still worked has made the file again"
    assert cancelled >= 4


async def test_a_discarded_day_leaves_nothing_and_publishing_replaces(tmp_path: Path):
    lake = Lake(str(tmp_path), synthetic=True)
    with SandboxTheta(contracts=CONTRACTS) as theta:
        async with ThetaClient(theta.base_url, max_concurrent=2) as client:
            source = ThetaSource(DATASET, lake=lake, bodies=Terminal(client))
            (await source.fetch(DAY, Meter())).discard()
            assert left_in(tmp_path) == []
            first = (await source.fetch(DAY, Meter())).publish()
            second = (await source.fetch(DAY, Meter())).publish()
    assert left_in(tmp_path) == [first.path] == [second.path]
