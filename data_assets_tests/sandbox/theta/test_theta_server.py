"""The simulated terminal over real HTTP: every path, spelling, limit and refusal."""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from io import BytesIO

import httpx
import polars as pl
import pytest

from data_assets.sandbox.faults import Fault
from data_assets.sandbox.market.option_chain import chain, open_price
from data_assets.sandbox.serving import SandboxTheta
from data_assets.trading_calendar import session

DAY = date(2024, 1, 3)
QUOTES = "/option/history/quote"
CONTRACTS = "/option/list/contracts/quote"
WHOLE_DAY = {"symbol": "QQQ", "expiration": "*", "date": "2024-01-03", "interval": "1m", "end_time": "16:15:00"}
HEADER = (
    b"symbol,expiration,strike,right,timestamp,"
    b"bid_size,bid_exchange,bid,bid_condition,ask_size,ask_exchange,ask,ask_condition"
)
SMALL = 32


@pytest.fixture(scope="module")
def theta():
    with SandboxTheta(contracts=SMALL) as server:
        yield server


def get(theta: SandboxTheta, path: str, **params: str) -> httpx.Response:
    return httpx.get(theta.base_url + path, params=params, timeout=60, verify=False)


def quotes(theta: SandboxTheta, **changed: str | None) -> httpx.Response:
    """A quote request like ``WHOLE_DAY`` with some parameters changed, or left out where None."""
    return get(theta, QUOTES, **{name: text for name, text in (WHOLE_DAY | changed).items() if text is not None})


def rows(answer: httpx.Response) -> pl.DataFrame:
    assert answer.status_code == 200, answer.text
    return pl.read_csv(BytesIO(answer.content), try_parse_dates=True)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - the server counts in another thread
        await asyncio.sleep(0.005)


def known(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.headers["content-type"]


# --- quotes ---------------------------------------------------------------------------------------------------------


def test_a_day_is_exactly_the_chain_of_the_market(theta):
    truth = pl.concat(listing.quotes() for listing in chain("QQQ", DAY, SMALL))
    answer = quotes(theta)
    assert answer.headers["content-type"].startswith("text/csv")
    got = rows(answer).cast(dict(truth.schema))
    assert got.equals(truth)


def test_an_expiration_of_many_blocks_is_whole_and_filtered_alike():
    listing = chain("QQQ", DAY, 5000)[0]
    assert len(list(listing.blocks())) > 1
    truth = listing.quotes()
    assert truth.equals(pl.concat(block.quotes() for block in listing.blocks()))
    with SandboxTheta(contracts=5000) as server:
        puts = rows(quotes(server, max_dte="0", right="put", start_time="12:00:00", end_time="12:10:00"))
        last = rows(quotes(server, max_dte="0", strike=str(listing.strikes[-1])))
    noon = pl.col("timestamp").dt.time().is_between(time(12, 0), time(12, 10))
    assert last.cast(dict(truth.schema)).equals(truth.filter(pl.col("strike") == listing.strikes[-1]))
    assert puts.cast(dict(truth.schema)).equals(truth.filter(pl.col("right") == "PUT", noon))


def test_a_row_is_spelled_as_the_vendor_spells_it(theta):
    body = quotes(theta, strike="480").content
    lines = body.split(b"\r\n")
    assert lines[0] == HEADER
    assert lines[-1] == b""
    assert b"\n" not in body.replace(b"\r\n", b"")
    expiration = chain("QQQ", DAY, SMALL)[0].expiration.isoformat().encode()
    prefix = b"QQQ,%s,480.000,CALL,2024-01-03T09:30:00,0," % expiration
    assert lines[1].startswith(prefix)
    assert lines[1].endswith(b",0.00,50")
    first_quote = lines[2].decode().split(",")
    assert first_quote[4] == "2024-01-03T09:31:00"
    assert [len(first_quote[place].partition(".")[2]) for place in (2, 7, 11)] == [3, 2, 2]


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
@pytest.mark.parametrize("fraction", ["none", ".000"])
def test_every_spelling_says_the_same(quoted, line_end, fraction):
    with SandboxTheta(contracts=4, quoted=quoted, line_end=line_end, fraction=fraction) as server:
        answer = quotes(server)
        listed = get(server, CONTRACTS, symbol="QQQ", date="20240103").content
    second = answer.content.split(line_end.encode())[1]
    mark = b'"' if quoted else b""
    assert second.startswith(mark + b"QQQ" + mark + b"," + mark + b"2024-01-03" + mark + b",")
    assert mark + b"CALL" + mark + b"," in second
    stamp = b"2024-01-03T09:30:00" + (b".000" if fraction == ".000" else b"")
    assert b"," + stamp + b"," in second
    assert answer.content.count(b"\r\n") == (answer.content.count(b"\n") if line_end == "\r\n" else 0)
    assert listed.split(line_end.encode())[1].startswith(mark + b"QQQ" + mark)
    truth = pl.concat(listing.quotes() for listing in chain("QQQ", DAY, 4))
    assert rows(answer).cast(dict(truth.schema)).equals(truth)


@pytest.mark.parametrize("framing", ["chunked", "content-length"])
def test_both_framings_carry_the_same_body(theta, framing):
    with SandboxTheta(contracts=SMALL, framing=framing) as server:
        answer = quotes(server)
    assert ("content-length" in answer.headers) == (framing == "content-length")
    assert ("transfer-encoding" in answer.headers) == (framing == "chunked")
    assert answer.content == quotes(theta).content


def test_shuffled_expirations_keep_contracts_whole(theta):
    with SandboxTheta(contracts=100, order="vendor") as vendor, SandboxTheta(contracts=100, order="shuffled") as other:
        in_order, shuffled = rows(quotes(vendor)), rows(quotes(other))
    assert in_order["expiration"].is_sorted()
    assert not shuffled["expiration"].is_sorted()
    contract = ["expiration", "strike", "right"]
    runs = shuffled.select(pl.struct(contract).rle_id().n_unique()).item()
    assert runs == shuffled.select(contract).n_unique() == 100
    assert shuffled.sort(*contract, "timestamp").equals(in_order.sort(*contract, "timestamp"))


def test_times_are_inclusive_and_default_to_the_regular_session(theta):
    stamps = rows(quotes(theta, end_time=None))["timestamp"]
    assert (stamps.min(), stamps.max()) == (
        datetime.fromisoformat("2024-01-03T09:30"),
        datetime.fromisoformat("2024-01-03T16:00"),
    )
    window = rows(quotes(theta, start_time="10:00:00", end_time="10:02:00.000"))["timestamp"]
    assert window.unique().sort().to_list() == [
        datetime.fromisoformat(f"2024-01-03T10:{minute:02}") for minute in (0, 1, 2)
    ]
    late = rows(quotes(theta, start_time="10:00:30", end_time="10:01:59"))["timestamp"]
    assert late.unique().to_list() == [datetime.fromisoformat("2024-01-03T10:01")]


@pytest.mark.parametrize(("interval", "minutes"), [("5m", 5), ("10m", 10), ("15m", 15), ("30m", 30), ("1h", 60)])
def test_longer_intervals_are_snapshots_of_the_same_quotes(theta, interval, minutes):
    fine, coarse = rows(quotes(theta)), rows(quotes(theta, interval=interval))
    from_open = (pl.col("timestamp") - datetime.fromisoformat("2024-01-03T09:30")).dt.total_minutes()
    assert coarse.equals(fine.filter(from_open % minutes == 0))


def test_filters_leave_exactly_what_they_name(theta):
    everything = rows(quotes(theta))
    strike = everything["strike"][0]
    assert rows(quotes(theta, strike=f"{strike:.3f}")).equals(everything.filter(pl.col("strike") == strike))
    for spelled, right in (("call", "CALL"), ("put", "PUT"), ("C", "CALL"), ("P", "PUT")):
        assert rows(quotes(theta, right=spelled)).equals(everything.filter(pl.col("right") == right))
    assert rows(quotes(theta, right="both", strike="*")).equals(everything)
    near = rows(quotes(theta, max_dte="30"))
    assert near.equals(everything.filter(pl.col("expiration") <= date(2024, 2, 2)))
    assert near.height < everything.height
    for expiration in (everything["expiration"][-1].isoformat(), everything["expiration"][-1].strftime("%Y%m%d")):
        one = everything.filter(pl.col("expiration") == everything["expiration"][-1])
        assert rows(quotes(theta, expiration=expiration)).equals(one)


def test_a_strike_range_is_so_many_on_either_side_of_the_money():
    with SandboxTheta(contracts=2000) as server:
        near = rows(quotes(server, strike_range="2", max_dte="0"))
    listed = sorted(chain("QQQ", DAY, 2000)[0].strikes)
    money = min(listed, key=lambda strike: abs(strike - open_price("QQQ", DAY)))
    place = listed.index(money)
    assert sorted(near["strike"].unique()) == listed[place - 2 : place + 3]


def test_a_range_of_days_with_one_expiration(theta):
    expiration = chain("QQQ", DAY, SMALL)[-1].expiration.isoformat()
    several = {"date": None, "start_date": "20240102", "end_date": "2024-01-05", "expiration": expiration}
    days = rows(quotes(theta, **several))["timestamp"].dt.date().unique().sort().to_list()
    assert DAY in days
    assert set(days) <= {date(2024, 1, day) for day in (2, 3, 4, 5)}
    assert rows(quotes(theta, **(several | {"date": "20240103"})))["timestamp"].dt.date().unique().to_list() == [DAY]


def test_early_closes_end_earlier(theta):
    stamps = rows(quotes(theta, date="2024-07-03"))
    last = stamps.group_by("expiration").agg(pl.col("timestamp").max()).sort("expiration")["timestamp"]
    assert last.to_list()[0] == datetime.fromisoformat("2024-07-03T13:00")
    assert set(last.to_list()[1:]) == {datetime.fromisoformat("2024-07-03T13:15")}


@pytest.mark.parametrize(
    "changed",
    [
        {"date": "2024-01-01"},  # a holiday
        {"date": "2024-01-06"},  # a Saturday
        {"symbol": "NOSUCH"},
        {"expiration": "2024-01-06"},
        {"strike": "1"},
        {"start_time": "03:00:00", "end_time": "04:00:00"},
    ],
)
def test_no_data_is_472_with_the_vendors_words(theta, changed):
    answer = quotes(theta, **changed)
    assert known(answer) == (472, "text/plain; charset=utf-8")
    assert answer.text == "No data found for your request"


@pytest.mark.parametrize(
    "changed",
    [
        {"symbol": None},
        {"expiration": None},
        {"date": None},
        {"date": None, "start_date": "20240102"},
        {"date": "2024-13-01"},
        {"date": "yesterday"},
        {"expiration": "0"},
        {"interval": None},  # means 1s
        {"interval": "tick"},
        {"interval": "30s"},
        {"interval": "4h"},
        {"interval": "60000"},
        {"right": "calls"},
        {"strike": "atm"},
        {"strike_range": "0"},
        {"max_dte": "-1"},
        {"start_time": "9:30"},
        {"start_time": "12:00:00", "end_time": "11:00:00"},
        {"format": "json"},
        {"symbol": "QQQ,SPY"},
        {"use_csv": "true"},
        {"date": None, "start_date": "20240102", "end_date": "20240105"},  # a range with expiration=*
        {"date": None, "start_date": "20240102", "end_date": "20240301", "expiration": "20240315"},
        {"date": None, "start_date": "20240105", "end_date": "20240102", "expiration": "20240315"},
    ],
)
def test_bad_parameters_are_473_with_a_text(theta, changed):
    answer = quotes(theta, **changed)
    assert known(answer) == (473, "text/plain; charset=utf-8")
    assert len(answer.text) > 10


def test_a_refused_interval_says_what_is_served(theta):
    assert "1m and above" in quotes(theta, interval=None).text


# --- lists ----------------------------------------------------------------------------------------------------------


def test_symbols(theta):
    listed = rows(get(theta, "/option/list/symbols"))
    assert listed.columns == ["symbol"]
    assert {"QQQ", "SPX", "SPXW"} <= set(listed["symbol"])


def test_contracts_are_those_of_the_day(theta):
    listed = rows(get(theta, CONTRACTS, symbol="QQQ", date="20240103"))
    assert listed.columns == ["symbol", "expiration", "strike", "right"]
    contract = ["symbol", "expiration", "strike", "right"]
    assert listed.height == SMALL
    assert listed.sort(contract).equals(rows(quotes(theta)).select(contract).unique().sort(contract))
    several = rows(get(theta, CONTRACTS, symbol="SPX,SPXW", date="20240103", max_dte="40"))
    assert set(several["symbol"]) == {"SPX", "SPXW"}
    assert several["expiration"].max() <= date(2024, 2, 12)
    assert rows(get(theta, CONTRACTS, date="20240103"))["symbol"].n_unique() > 5
    assert get(theta, CONTRACTS, symbol="QQQ", date="20240106").status_code == 472
    assert get(theta, CONTRACTS, symbol="QQQ").status_code == 473


def test_expirations_hold_every_days(theta):
    listed = rows(get(theta, "/option/list/expirations", symbol="QQQ"))
    assert listed.columns == ["symbol", "expiration"]
    assert listed["expiration"].is_sorted()
    assert {listing.expiration for listing in chain("QQQ", DAY, SMALL)} <= set(listed["expiration"])
    both = rows(get(theta, "/option/list/expirations", symbol="SPX,SPXW"))
    assert set(both["symbol"]) == {"SPX", "SPXW"}
    assert get(theta, "/option/list/expirations", symbol="NOSUCH").status_code == 472
    assert get(theta, "/option/list/expirations").status_code == 473


def test_strikes_of_an_expiration_are_the_ones_quoted(theta):
    listed = rows(get(theta, "/option/list/strikes", symbol="QQQ", expiration="2024-01-03"))
    assert listed.columns == ["symbol", "strike"]
    assert sorted(listed["strike"]) == sorted(chain("QQQ", DAY, SMALL)[0].strikes)
    assert get(theta, "/option/list/strikes", symbol="QQQ", expiration="*").status_code == 473
    assert get(theta, "/option/list/strikes", symbol="QQQ", expiration="2024-01-06").status_code == 472


def test_dates_are_the_days_that_have_quotes(theta):
    listed = rows(get(theta, "/option/list/dates/quote", symbol="QQQ", expiration="2024-01-19"))
    assert listed.columns == ["date"]
    days = listed["date"].to_list()
    assert days == sorted(set(days))
    assert days[-1] <= date(2024, 1, 19)
    assert quotes(theta, date=days[0].isoformat(), expiration="2024-01-19").status_code == 200
    narrowed = rows(
        get(theta, "/option/list/dates/quote", symbol="QQQ", expiration="2024-01-19", strike="480", right="call")
    )
    assert set(narrowed["date"]) <= set(days)
    assert get(theta, "/option/list/dates/quote", symbol="QQQ", expiration="2024-01-06").status_code == 472


# --- paths, hosts, status -------------------------------------------------------------------------------------------


def test_status_is_plain_text(theta):
    for system in ("mdds", "fpss"):
        answer = get(theta, f"/terminal/{system}/status")
        assert known(answer) == (200, "text/plain; charset=utf-8")
        assert answer.text == "CONNECTED"


def test_other_paths(theta):
    root = theta.base_url.removesuffix("/v3")
    assert known(httpx.get(root + "/v2/bulk_hist/option/quote", verify=False)) == (410, "text/plain; charset=utf-8")
    assert known(httpx.get(root + "/v3/option/history/nothing", verify=False)) == (404, "text/plain; charset=utf-8")
    assert httpx.get(root + "/", verify=False).status_code == 404
    assert httpx.post(root + "/v3" + QUOTES, verify=False).status_code == 405


def test_a_second_spelling_of_the_host_is_476():
    with SandboxTheta(contracts=4) as server:
        other = server.base_url.replace("127.0.0.1", "localhost")
        assert get(server, "/terminal/mdds/status").status_code == 200
        refused = httpx.get(other + "/terminal/mdds/status", verify=False)
        assert known(refused) == (476, "text/plain; charset=utf-8")
        assert get(server, "/terminal/mdds/status").status_code == 200
    with SandboxTheta(contracts=4) as server:
        other = server.base_url.replace("127.0.0.1", "localhost")
        assert httpx.get(other + "/terminal/mdds/status", verify=False).status_code == 200
        assert get(server, "/terminal/mdds/status").status_code == 476


# --- tiers, queue, time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tier", "before", "first"),
    [
        ("value", "2019-12-31", "2020-01-02"),
        ("standard", "2015-12-31", "2016-01-04"),
        ("pro", "2012-05-31", "2012-06-01"),
    ],
)
def test_a_tiers_history_begins_on_its_first_day(tier, before, first):
    with SandboxTheta(contracts=4, tier=tier, first_day=date(2012, 1, 3)) as server:
        assert quotes(server, date=before).status_code == 403
        assert get(server, CONTRACTS, symbol="QQQ", date=before).status_code == 403
        assert quotes(server, date=first).status_code == 200


def test_the_free_tier_has_lists_and_no_quotes():
    with SandboxTheta(contracts=4, tier="free") as server:
        assert quotes(server).status_code == 403
        assert get(server, CONTRACTS, symbol="QQQ", date="20240103").status_code == 403
        assert get(server, "/option/list/symbols").status_code == 200


def test_there_is_no_data_before_the_first_day():
    with SandboxTheta(contracts=4, first_day=date(2024, 1, 3)) as server:
        assert quotes(server, date="2024-01-02").status_code == 472
        assert quotes(server, date="2024-01-03").status_code == 200
        assert get(server, CONTRACTS, symbol="QQQ", date="20240102").status_code == 472


def at(hour: int, minute: int, day: int = 3) -> datetime:
    """A moment of January 2024 in New York, which is five hours behind UTC."""
    return datetime(2024, 1, day, hour, minute, 20, tzinfo=UTC).replace(
        hour=(hour + 5) % 24, day=day + (hour + 5) // 24
    )


@pytest.mark.parametrize(
    ("now", "status"),
    [
        (at(9, 29), 472),
        (at(9, 30), 200),
        (at(23, 59), 200),
        (at(0, 0, day=4), 472),
        (at(1, 44, day=4), 472),
        (at(1, 45, day=4), 200),
        (at(12, 0, day=2), 472),
    ],
)
def test_a_day_exists_from_its_opening_but_for_the_nightly_reset(now, status):
    with SandboxTheta(contracts=4, now=lambda: now) as server:
        assert quotes(server).status_code == status
        assert get(server, CONTRACTS, symbol="QQQ", date="20240103").status_code == status


def test_a_session_that_has_not_ended_is_served_up_to_now():
    with SandboxTheta(contracts=4, now=lambda: at(11, 5)) as server, SandboxTheta(contracts=4) as later:
        partial, whole = rows(quotes(server)), rows(quotes(later))
    assert partial["timestamp"].max() == datetime.fromisoformat("2024-01-03T11:05")
    assert partial.equals(whole.filter(pl.col("timestamp") <= datetime.fromisoformat("2024-01-03T11:05")))
    assert session(DAY).option_close > at(11, 5)


@pytest.mark.parametrize(("tier", "at_once"), [("free", 1), ("value", 2), ("standard", 4), ("pro", 8)])
async def test_a_tier_serves_so_many_at_once_queues_sixteen_and_turns_the_rest_away(tier, at_once):
    symbols = "/option/list/symbols"
    held = Fault(kind="stall", endpoint="option/list/symbols", times=at_once)
    with SandboxTheta(contracts=4, tier=tier, faults=[held]) as server:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=server.base_url, limits=limits, timeout=60, verify=False) as client:
            holding = [asyncio.create_task(client.get(symbols)) for _ in range(at_once)]
            await until(lambda: [record.status for record in server.requests] == [200] * at_once)
            waiting = [asyncio.create_task(client.get(symbols)) for _ in range(16)]
            await until(lambda: server.most_seen == at_once + 16)
            refused = await client.get(symbols)
            status = await client.get("/terminal/mdds/status")
            for task in holding:
                task.cancel()
            answers = await asyncio.gather(*waiting)
            afterwards = await client.get("/terminal/mdds/status")
    assert known(refused) == (429, "text/plain; charset=utf-8")
    assert status.status_code == 429
    assert afterwards.text == "CONNECTED"
    assert [answer.status_code for answer in answers] == [200] * 16
    assert server.most_in_service == at_once
    assert server.most_seen == at_once + 16


async def test_clients_that_leave_give_their_places_back():
    with SandboxTheta(contracts=4, tier="value", faults=[Fault(kind="stall")]) as server:
        async with httpx.AsyncClient(base_url=server.base_url, timeout=60, verify=False) as client:
            for round_ in range(1, 4):
                leaving = [asyncio.create_task(client.get(QUOTES, params=WHOLE_DAY)) for _ in range(18)]
                await until(lambda seen=18 * round_: len(server.requests) == seen)
                for task in leaving:
                    task.cancel()
                await asyncio.gather(*leaving, return_exceptions=True)
                await until(lambda: all(record.end is not None for record in server.requests))
            assert (await client.get("/option/list/symbols")).status_code == 200
    assert 429 not in {record.status for record in server.requests}


def test_requests_are_recorded():
    with SandboxTheta(contracts=4) as server:
        quotes(server)
        quotes(server, date="2024-01-06")
    stored, empty = server.requests
    assert stored.path == "/v3/option/history/quote"
    assert stored.params == WHOLE_DAY
    assert (stored.status, empty.status) == (200, 472)
    assert stored.start < stored.end <= empty.start + 1


# --- delivery -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["chunked", "content-length"])
@pytest.mark.parametrize("pace", [None, 50_000_000.0])
def test_a_body_file_is_every_days_body(tmp_path, framing, pace):
    path = tmp_path / "day.csv"
    path.write_bytes(HEADER + b"\n" + b"x" * 9_000_000)
    with SandboxTheta(body_file=path, framing=framing, bytes_per_second=pace) as server:
        for day in ("2024-01-03", "2024-01-04"):
            answer = quotes(server, date=day)
            assert answer.content == path.read_bytes()
            assert answer.headers["content-type"].startswith("text/csv")
            assert ("content-length" in answer.headers) == (framing == "content-length")


def test_a_folder_of_body_files_has_one_for_each_day(tmp_path):
    bodies = {day: HEADER + f"\n{day}\n".encode() for day in ("2024-01-03", "2024-01-04")}
    for day, body in bodies.items():
        (tmp_path / f"{day}.csv").write_bytes(body)
    with SandboxTheta(body_file=tmp_path, framing="content-length") as server:
        assert {day: quotes(server, date=day).content for day in bodies} == bodies


def test_a_body_file_leaves_its_connection_usable(tmp_path, caplog):
    path = tmp_path / "day.csv"
    path.write_bytes(HEADER + b"\n" + b"x" * 1_000_000)
    with SandboxTheta(body_file=path, framing="content-length") as server, httpx.Client(verify=False) as client:
        connections = set()
        for _ in range(2):
            answer = client.get(server.base_url + QUOTES, params=WHOLE_DAY)
            assert answer.content == path.read_bytes()
            connections.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(connections) == 1
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_throttled_answer_is_paced():
    with SandboxTheta(contracts=4, bytes_per_second=400_000) as server:
        answer = quotes(server)
    record = server.requests[0]
    assert record.end - record.start >= 0.95 * len(answer.content) / 400_000
