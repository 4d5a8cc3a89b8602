from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

import polars as pl
import pytest

from data_assets.ingest.engine import EnginePolicy, IngestReport, ingest
from data_assets.ingest.outcome import (
    DayEnded,
    Failed,
    NoData,
    NotEntitled,
    NotPublished,
    Outcome,
    Rejected,
    RunEnded,
    Stored,
    Transient,
)
from data_assets.ingest.progress import Progress
from data_assets.ingest.retry import RetryPolicy
from data_assets.lake.lake import MARKER, Lake
from data_assets.sandbox.faults import IB_HEAD_TIMESTAMP, Fault
from data_assets.sandbox.market.minute_bars import minute_bars
from data_assets.sandbox.tws.serving import SandboxTws
from data_assets.sandbox.tws.stocks import STOCKS, Stock
from data_assets.trading_calendar import session
from data_assets.vendors.ib.contracts import Ticker
from data_assets.vendors.ib.day import RETRY, IbBarsSource, evaluate_checks, own_days
from data_assets.vendors.ib.schema import SCHEMA, volume_unit
from data_assets_tests.vendors.ib.hand_tws import Say, bars_message, hand_tws
from data_assets_tests.vendors.ib.ib_client_fixtures import AAPL, DAY, opened

EARLY_CLOSE = date(2024, 7, 3)
LATE_OPEN = date(2006, 12, 27)
THIN = Ticker("DIS")
FAST_RETRY = RetryPolicy(attempts=RETRY.attempts, base_seconds=0.01, throttled_base_seconds=0.01, cap_seconds=0.02)


@dataclass
class Meter:
    bytes: int = 0
    rows: int = 0

    def received(self, size: int) -> None:
        self.bytes += size

    def parsed(self, rows: int) -> None:
        self.rows += rows


@dataclass
class Bench:
    source: IbBarsSource
    lake: Lake
    tws: SandboxTws
    meter: Meter = field(default_factory=Meter)

    async def store(self, day: date = DAY) -> Stored:
        staged = await self.source.fetch(day, self.meter)
        return staged.publish()

    def asked_for_bars(self) -> int:
        return sum(request.number == 20 for request in self.tws.requests)


@asynccontextmanager
async def bench(
    folder: Path,
    *faults: Fault,
    ticker: Ticker = AAPL,
    first_day: date = date(2016, 1, 4),
    now: datetime = datetime(2026, 1, 5, 12, tzinfo=UTC),
    stocks: Sequence[Stock] = STOCKS,
) -> AsyncIterator[Bench]:
    lake = Lake(str(folder / "lake"), synthetic=True)
    with SandboxTws(faults=faults, first_day=first_day, pacing_scale=0, stocks=stocks) as tws:
        async with opened(tws, folder, now=lambda: now) as ib:
            yield Bench(IbBarsSource(ticker, lake=lake, client=ib.client, clock=lambda: now), lake, tws)


def regular(symbol: str, day: date) -> pl.DataFrame:
    hours = session(day)
    return minute_bars(symbol, day).filter(pl.col("timestamp") >= hours.open, pl.col("timestamp") < hours.close)


def files(lake: Lake) -> list[str]:
    root = Path(lake.url)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.name != MARKER)


@pytest.mark.parametrize(("day", "bars"), [(DAY, 390), (EARLY_CLOSE, 210), (LATE_OPEN, 388)])
async def test_a_whole_session_is_stored_as_it_was_sent(tmp_path, day, bars) -> None:
    async with bench(tmp_path, first_day=date(2004, 1, 2)) as ib:
        stored = await ib.store(day)
    assert stored.path == f"ib/bars_1m/AAPL/date={day}/data.parquet"
    assert stored.rows == bars
    frame = ib.lake.scan("ib/bars_1m/AAPL", day, day).collect()
    assert frame.schema == SCHEMA
    expected = regular("AAPL", day)
    assert (
        frame.rows()
        == expected.select(
            "timestamp", "open", "high", "low", "close", pl.col("volume").cast(pl.Float64), "vwap", "trades"
        ).rows()
    )
    assert ib.meter.rows == bars
    assert ib.meter.bytes > 20 * bars
    ib.lake.verify("ib/bars_1m/AAPL", day, sha256=stored.sha256, rows=bars)
    assert files(ib.lake) == [stored.path]


async def test_what_is_worth_plotting_and_where_it_came_from(tmp_path) -> None:
    async with bench(tmp_path) as ib:
        stored = await ib.store()
    expected = regular("AAPL", DAY)
    assert stored.metadata == {
        "expected_bars": 390,
        "actual_bars": 390,
        "missing_minutes": 0,
        "last_timestamp": "2024-01-03T20:59:00+00:00",
        "zero_volume_bars": 0,
        "fractional_volume_bars": 0,
        "volume": float(expected["volume"].sum()),
        "volume_unit": "unknown",
        "trades": expected["trades"].sum(),
        "requests": 1,
        "raw_megabytes": round(ib.meter.bytes / 1e6, 6),
        "written_at": ib.lake.written_at("ib/bars_1m/AAPL", DAY).isoformat(),
    }
    provenance = ib.lake.provenance("ib/bars_1m/AAPL", DAY)
    assert provenance.source.startswith("tws://historical_data?conId=")
    assert "endDateTime=20240103-21:00:00" in provenance.source
    assert provenance.synthetic
    assert provenance.raw_size == ib.meter.bytes
    assert len(provenance.raw_sha256) == 64
    details = provenance.details
    assert (details["account"], details["server_version"], details["volume_unit"]) == ("sandbox", 178, "unknown")
    assert (details["expected_bars"], details["missing_minutes"], details["completeness"]) == (390, "", "strict")
    assert "DUSANDBOX" not in str(details)


async def test_a_session_that_has_not_settled_is_not_asked_for(tmp_path) -> None:
    async with bench(tmp_path, now=datetime(2024, 1, 3, 21, 14, tzinfo=UTC)) as ib:
        with pytest.raises(DayEnded, match="ends at 16:00 New York: ask again from 16:15 on") as ended:
            await ib.store()
        assert type(ended.value.outcome) is NotPublished
        assert not ib.tws.requests or ib.asked_for_bars() == 0
    async with bench(tmp_path, now=datetime(2024, 1, 3, 21, 15, tzinfo=UTC)) as ib:
        assert (await ib.store()).rows == 390


async def test_days_before_the_head_timestamp_are_answered_without_a_request(tmp_path) -> None:
    async with bench(tmp_path, ticker=Ticker("COIN", completeness="lenient")) as ib:
        with pytest.raises(DayEnded, match=r"IB's history of COIN begins on 2021-04-14 \(head timestamp\)") as ended:
            await ib.store(date(2021, 4, 13))
        assert type(ended.value.outcome) is NoData
        assert ended.value.outcome.tried is False
        assert ib.asked_for_bars() == 0
        assert (await ib.store(date(2021, 4, 14))).rows > 100


@pytest.mark.parametrize(
    ("kind", "words", "rows"),
    [
        ("short_day", ["bar_count: 351 of 390 minutes; missing 15:21-15:59 New York"], 351),
        ("bad_bar", ["ohlc: 1 bar with the open or the close outside low to high"], 390),
        ("wrong_session", ["bar_count: 0 of 390 minutes", "session_hours: 09:30 to 16:00", "390 bars before it"], 390),
    ],
)
async def test_a_day_that_cannot_be_right_is_kept_aside_and_no_day_of_the_dataset(tmp_path, kind, words, rows) -> None:
    async with bench(tmp_path, Fault(kind=kind, day=DAY, times=1)) as ib:
        with pytest.raises(DayEnded) as ended:
            await ib.store()
        outcome = ended.value.outcome
        assert type(outcome) is Rejected
        for word in [*words, "Symbol: AAPL, Date: 2024-01-03", "nothing was stored", "run the day again"]:
            assert word in outcome.reason
        aside = "_rejected/ib/bars_1m/AAPL/date=2024-01-03/data.parquet"
        assert files(ib.lake) == [aside]
        assert ib.lake.locate(aside) in outcome.reason
        assert pl.read_parquet(ib.lake.locate(aside)).height == rows
        assert ib.lake.datasets() == []
        assert ib.lake.held_days("ib/bars_1m/AAPL") == []
        assert (await ib.store()).rows == 390  # a later success is stored like any other
        assert ib.lake.stored_days("ib/bars_1m/AAPL") == [DAY]
        assert ib.lake.scan("ib/bars_1m/AAPL", DAY, DAY).collect().height == 390


async def test_a_price_that_stands_alone_is_stored_and_warned_of(tmp_path) -> None:
    async with bench(tmp_path, Fault(kind="price_spike", day=DAY)) as ib:
        assert (await ib.store()).rows == 390
    bars = ib.lake.scan("ib/bars_1m/AAPL", DAY, DAY).collect()
    found = {each.name: each for each in evaluate_checks(bars, session(DAY), "strict", list)}
    assert [name for name, verdict in found.items() if not verdict.passed] == ["ohlc"]
    verdict = found["ohlc"]
    assert (verdict.severity, verdict.metadata["spikes"]) == ("warn", 1)
    assert verdict.summary.startswith("a price stands alone, a bad one or a flash: 12:45: high ")


async def test_bars_twice_or_between_minutes_are_refused(tmp_path) -> None:
    opening = int(session(DAY).open.timestamp())
    starts = [opening + 60 * minute for minute in range(390)]
    for spoilt, words in (
        ([*starts[:-1], starts[0]], "1 bar has the ticker and minute of another"),
        ([*starts[:-1], starts[-1] + 1], "1 bar does not start on a minute"),
        ([*starts, starts[-1] + 60], "1 bar after it"),
    ):

        async def script(asked: list[str], say: Say, spoilt: Sequence[int] = spoilt) -> bool:
            if asked[0] == "20":
                say(*bars_message(asked[1], *spoilt))
            return asked[0] == "20"

        async with hand_tws(script) as tws, opened(tws, tmp_path) as ib:
            lake = Lake(str(tmp_path / "lake"), synthetic=False)
            with pytest.raises(DayEnded, match=words) as ended:
                await IbBarsSource(AAPL, lake=lake, client=ib.client).fetch(DAY, Meter())
            assert type(ended.value.outcome) is Rejected


async def test_a_thin_ticker_is_refused_unless_its_absent_minutes_are_accepted(tmp_path) -> None:
    traded = regular("DIS", DAY).height
    assert 300 < traded < 390
    async with bench(tmp_path, ticker=THIN) as ib:
        with pytest.raises(DayEnded, match=f"{traded} of 390 minutes; missing"):
            await ib.store()
    lenient = Ticker("DIS", completeness="lenient")
    async with bench(tmp_path, ticker=lenient) as ib:
        stored = await ib.store()
    assert (stored.rows, stored.metadata["missing_minutes"]) == (traded, 390 - traded)
    assert ib.lake.provenance("ib/bars_1m/DIS", DAY).details["missing_minutes"].endswith("New York")
    bars = ib.lake.scan("ib/bars_1m/DIS", DAY, DAY).collect()
    assert [verdict.passed for verdict in evaluate_checks(bars, session(DAY), "lenient", list)] == [True] * 6
    strict = evaluate_checks(bars, session(DAY), "strict", list)
    assert [verdict.name for verdict in strict if not verdict.passed] == ["bar_count"]


def damage(lake: Lake, day: date) -> None:
    Path(lake.locate(f"ib/bars_1m/AAPL/date={day}/data.parquet")).write_bytes(b"damaged")


WEEK = [date(2024, 1, day) for day in (8, 9, 10, 11, 12)]
SILENT_AFTER_TEN = "trades: 360 of 390 minutes without a trade, at most 360 in a row (10:00-15:59 New York)"


@pytest.mark.parametrize("stored", [[], WEEK])
@pytest.mark.parametrize(("kind", "silent"), [("frozen", "10:00-15:59"), ("flat", "09:30-15:59")])
async def test_a_day_on_which_the_feed_stood_still_has_every_bar_and_is_refused(tmp_path, kind, silent, stored) -> None:
    async with bench(tmp_path, Fault(kind=kind, day=DAY, times=1)) as ib:
        for day in stored:
            await ib.store(day)
        with pytest.raises(DayEnded) as ended:
            await ib.store()
        assert type(ended.value.outcome) is Rejected
        assert (
            f"in a row ({silent} New York); this ticker trades all the time" in ended.value.outcome.reason or not stored
        )
        assert f"in a row ({silent} New York); " in ended.value.outcome.reason
        assert "set the completeness of its row to lenient" in ended.value.outcome.reason
        assert "bar_count" not in ended.value.outcome.reason
        assert (await ib.store()).rows == 390  # once the feed is there again


async def test_a_ticker_that_may_be_silent_is_stored_with_the_warning(tmp_path) -> None:
    ticker = Ticker("AAPL", completeness="lenient")
    async with bench(tmp_path, Fault(kind="frozen", day=DAY), ticker=ticker) as ib:
        for day in [*WEEK, DAY]:
            await ib.store(day)
        bars = ib.lake.scan(ticker.dataset, DAY, DAY).collect()
        verdict = evaluate_checks(bars, session(DAY), "lenient", partial(own_days, ib.lake, ticker.dataset, DAY))[-1]
    assert (verdict.name, verdict.passed, verdict.severity) == ("trades", False, "warn")
    assert verdict.summary.startswith(SILENT_AFTER_TEN.removeprefix("trades: "))
    assert verdict.metadata["own_days"] == 5


@pytest.mark.parametrize("completeness", ["strict", "lenient"])
async def test_a_ticker_that_is_often_silent_may_be_so_on_every_day(tmp_path, completeness) -> None:
    """Be a minute without trades a bar or none: of either IB says nothing."""
    ticker = Ticker("SELDOM", completeness=completeness)
    faults = [Fault(kind="silent_bars")] if completeness == "strict" else []
    seldom = Stock("SELDOM", "NYSE", "TRADES NOW AND THEN", date(2000, 1, 3))
    async with bench(tmp_path, *faults, ticker=ticker, stocks=[seldom]) as ib:
        for day in [*WEEK, DAY]:
            stored = await ib.store(day)
            assert (stored.rows == 390) == (completeness == "strict")
            bars = ib.lake.scan(ticker.dataset, day, day).collect()
            verdict = evaluate_checks(
                bars, session(day), completeness, partial(own_days, ib.lake, ticker.dataset, day)
            )[-1]
            assert verdict.passed, verdict.summary
            assert 0.5 < verdict.metadata["silent_share"] < 1
            assert verdict.metadata["longest_silence"] > 10
    assert verdict.metadata["own_days"] == 5


async def test_a_damaged_neighbour_does_not_keep_a_day_from_being_judged(tmp_path) -> None:
    async with bench(tmp_path, Fault(kind="frozen", day=DAY)) as ib:
        for day in WEEK:
            await ib.store(day)
        damage(ib.lake, WEEK[0])
        with pytest.raises(DayEnded, match=re.escape(SILENT_AFTER_TEN)):
            await ib.store()


@pytest.mark.parametrize("kind", ["fractional_volume", "reverse_split"])
async def test_fractions_of_an_older_day_do_not_tell_lots_from_a_reverse_split(tmp_path, kind) -> None:
    async with bench(tmp_path, Fault(kind=kind, day=DAY)) as ib:
        stored = await ib.store()
    assert stored.metadata["volume_unit"] == "unknown"
    assert stored.metadata["fractional_volume_bars"] > 200
    assert ib.lake.provenance("ib/bars_1m/AAPL", DAY).details["volume_unit"] == "unknown"


async def test_on_the_evening_of_the_session_no_split_explains_hundredths(tmp_path) -> None:
    evening = session(DAY).close + timedelta(hours=1)
    async with bench(tmp_path, Fault(kind="fractional_volume", day=DAY), now=evening) as ib:
        stored = await ib.store()
    assert stored.metadata["volume_unit"] == "lots"
    assert ib.lake.provenance("ib/bars_1m/AAPL", DAY).details["volume_unit"] == "lots"
    bars = ib.lake.scan("ib/bars_1m/AAPL", DAY, DAY).collect()
    whole = pl.col("volume").ceil()
    for volume, unit in (
        (pl.col("volume"), "lots"),
        (whole, "unknown"),
        (pl.when(pl.int_range(pl.len()) == 5).then(pl.lit(12.33)).otherwise(whole), "unknown"),  # one fraction
        (pl.col("volume") / 3, "unknown"),  # a fraction of a share, traded as such
        (pl.lit(0.0), "unknown"),
    ):
        assert volume_unit(bars.with_columns(volume=volume), fetched_on=DAY) == unit
        assert volume_unit(bars.with_columns(volume=volume), fetched_on=DAY + timedelta(days=1)) == "unknown"
    assert volume_unit(bars.with_columns(volume=whole, bar_count=pl.lit(10**6)), fetched_on=DAY) == "unknown"


async def test_a_full_disk_ends_the_run_and_a_lake_of_the_other_kind_too(tmp_path) -> None:
    Lake(str(tmp_path / "lake"), synthetic=False)._claim()
    async with bench(tmp_path) as ib:
        with pytest.raises(RunEnded, match="DATA_ASSETS_LAKE"):
            await ib.store()
    assert files(ib.lake) == []


async def run(ib: Bench, days: Sequence[date], stop: asyncio.Event | None = None) -> IngestReport:
    async def record(_day: date, _outcome: Outcome) -> None:
        pass

    policy = EnginePolicy(max_concurrency=1, retry=FAST_RETRY)
    progress = Progress(asyncio.get_running_loop().time)
    return await ingest(
        days, ib.source, record, policy=policy, progress=progress, stop=stop, memory_share=lambda: 0.1, rng=Random(1)
    )


async def test_a_run_through_every_trouble_stores_each_day_once_it_is_over(tmp_path) -> None:
    kinds = ["pacing", "hmds_disconnect", "half_frame", "half_frame_reset", "connection_lost", "farm_lost", "restart"]
    kinds += ["wrong_count", "no_data"]
    days = [date(2024, 1, 22 + number) for number in range(5)] + [date(2024, 2, 5 + number) for number in range(4)]
    faults = [Fault(kind=kind, day=day, times=1, seconds=0.2) for kind, day in zip(kinds, days, strict=True)]
    async with bench(tmp_path, *faults) as ib:
        report = await run(ib, days)
    assert {type(outcome) for outcome in report.outcomes.values()} == {Stored}
    assert ib.lake.stored_days("ib/bars_1m/AAPL") == days


async def test_a_day_that_keeps_failing_fails_after_three_tries_with_ibs_words(tmp_path) -> None:
    text = "Historical Market Data Service error message:Query failed"
    faults = [Fault(kind="tws_error", code=162, text=text, day=DAY)]
    async with bench(tmp_path, *faults) as ib:
        report = await run(ib, [DAY, date(2024, 1, 4)])
    failed = report.outcomes[DAY]
    assert isinstance(failed, Failed)
    assert failed.reason.startswith(f"IB Error 162: {text} - Symbol: AAPL, Date: 2024-01-03; ")
    assert failed.reason.endswith(" (gave up after 3 failed attempts)")
    assert type(report.outcomes[date(2024, 1, 4)]) is Stored
    assert ib.asked_for_bars() == 4


async def test_a_missing_permission_answers_the_older_days_too(tmp_path) -> None:
    async with bench(tmp_path, Fault(kind="permissions")) as ib:
        report = await run(ib, [date(2024, 1, 2), DAY])
    assert [type(outcome) for outcome in report.outcomes.values()] == [NotEntitled, NotEntitled]
    assert ib.asked_for_bars() == 1


async def test_a_run_told_to_stop_stores_the_day_it_has_asked_for_and_no_other(tmp_path) -> None:
    stop = asyncio.Event()

    async def script(asked: list[str], say: Say) -> bool:
        if asked[0] == "20":
            stop.set()
            await asyncio.sleep(0.2)
            opening = int(session(DAY).open.timestamp())
            say(*bars_message(asked[1], *(opening + 60 * minute for minute in range(390))))
        return asked[0] == "20"

    lake = Lake(str(tmp_path / "lake"), synthetic=False)
    async with hand_tws(script) as tws:
        async with opened(tws, tmp_path) as ib:
            asking = Bench(IbBarsSource(AAPL, lake=lake, client=ib.client), lake, tws)  # type: ignore[arg-type]
            report = await run(asking, [date(2024, 1, 2), DAY], stop)
        assert [type(outcome) for outcome in report.outcomes.values()] == [Stored]
        assert report.unfinished == (date(2024, 1, 2),)
        assert tws.numbers().count("20") == 1
    assert lake.stored_days("ib/bars_1m/AAPL") == [DAY]


async def test_a_head_timestamp_that_nobody_knows_lets_every_day_be_asked_for(tmp_path) -> None:
    async with bench(tmp_path, Fault(kind="no_data", endpoint=IB_HEAD_TIMESTAMP)) as ib:
        assert (await ib.store()).rows == 390
        with pytest.raises(DayEnded, match="IB said so twice"):
            await ib.store(date(2015, 12, 31))


async def test_an_answer_that_does_not_parse_leaves_no_file(tmp_path) -> None:
    async with bench(tmp_path, Fault(kind="wrong_count")) as ib:
        with pytest.raises(Transient, match="does not parse"):
            await ib.store()
        assert files(ib.lake) == []
