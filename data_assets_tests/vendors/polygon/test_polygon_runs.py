"""Runs over days of flat files, on a real instance and through real S3: what the event log holds of each day."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from datetime import date
from io import StringIO
from pathlib import Path
from socket import gethostname

import dagster as dg
import polars as pl
import pytest
from rich.console import Console

from data_assets.cli.backfill import WANTED, BackfillResult, run_backfill
from data_assets.cli.display import Display, open_display
from data_assets.cli.local_run import run_range
from data_assets.cli.project import find_dataset
from data_assets.cli.verify import Verified, record_verdicts, verify_dataset
from data_assets.ingest.outcome import Outcome
from data_assets.lake.errors import LakeUnusable
from data_assets.orchestration.day_states import states_on_disk
from data_assets.orchestration.verify_run import VERIFY
from data_assets.settings import settings
from data_assets.vendors.polygon import component as polygon_component
from data_assets.vendors.polygon import day as polygon_day
from data_assets.wiring import open_lake
from data_assets_tests.orchestration.in_process import flip_a_byte, of_day, of_days
from data_assets_tests.vendors.polygon.flat_file_fixtures import KEY_ID, SECRET
from data_assets_tests.vendors.polygon.flat_file_project import (
    DAY_CHECKS,
    LIQUID,
    TICKERS,
    FlatFileProject,
    bucket_of,
    flat_file_project,
    project_of,
)

WEEK = ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05", "2024-07-08"]
"""With an early close, a holiday inside and a weekend."""
DAY = WEEK[1]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[FlatFileProject]:
    with flat_file_project(tmp_path, WEEK) as project:
        yield project


def judged(project: FlatFileProject, run_id: str) -> Counter[tuple[str, str, str | None]]:
    """How often each check of each asset was evaluated on each day."""
    return Counter(
        (asset.asset.to_user_string(), each.check, each.day)
        for asset in (project.raw, project.bars)
        for each in asset.evaluations(run_id)
    )


def once_each(days: list[str], raw: bool = True) -> Counter[tuple[str, str, str | None]]:
    found = Counter(("polygon/minute_aggs", check, day) for check in DAY_CHECKS for day in days)
    return found + Counter(("polygon/flat_files/minute_aggs_v1", "integrity", day) for day in days if raw)


def test_a_range_records_each_day_once_and_its_raw_file_with_it(project: FlatFileProject) -> None:
    result = run_range(project.instance, project.bars.asset, WEEK[0], WEEK[-1])

    assert result.success
    assert project.bars.times_materialized() == project.raw.times_materialized() == Counter(WEEK)
    assert project.bars.states(WEEK) == project.raw.states(WEEK) == dict.fromkeys(WEEK, "stored")
    assert judged(project, result.run_id) == once_each(WEEK)
    assert sorted(project.days_read()) == WEEK
    for day in WEEK:
        file, raw_file = project.bars.file(day), project.raw_file(day)
        frame, of_raw = pl.read_parquet(file), project.metadata(project.raw, day)
        of_bars = project.metadata(project.bars, day)
        assert of_raw["sha256"] == hashlib.sha256(raw_file.read_bytes()).hexdigest()
        assert of_raw["size"] == of_bars["raw_size"] == raw_file.stat().st_size
        assert of_raw["path"] == str(raw_file)
        assert of_raw["etag"] == of_bars["etag"] != ""
        assert of_raw["rows"] == of_bars["file_rows"] > of_bars["rows"] == frame.height
        assert of_bars["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert of_bars["path"] == str(file)
        assert of_bars["tickers"] == frame["ticker"].n_unique() == len(LIQUID)
        assert of_bars["coverage_share"] == 1
        assert (of_bars["synthetic"], of_raw["synthetic"]) == (False, False), "the live profile's own statement"


def test_what_is_plotted_is_a_number(project: FlatFileProject) -> None:
    run_range(project.instance, project.bars.asset, DAY, DAY)

    (record,) = project.bars.materializations()
    assert record.asset_materialization is not None
    values = record.asset_materialization.metadata
    for name in ("rows", "tickers", "MB", "raw_megabytes", "seconds", "coverage_share"):
        assert isinstance(values[name], dg.IntMetadataValue | dg.FloatMetadataValue), name
    assert isinstance(values["preview"], dg.MarkdownMetadataValue)


@pytest.mark.parametrize("tags", [of_day(DAY), of_days(DAY, DAY), of_days(*WEEK[1:3])], ids=["day", "range", "days"])
def test_a_run_of_raw_and_bars_together_runs_both_and_records_each_once(
    project: FlatFileProject, tags: dict[str, str]
) -> None:
    result = project.run(tags, project.raw, project.bars)

    days = [day for day in WEEK[1:3] if day in tags.values()]
    assert result.success
    assert project.bars.times_materialized() == project.raw.times_materialized() == Counter(days)
    assert judged(project, result.run_id) == once_each(days), "by the ingest steps, and not again by those of checks"
    assert sorted(project.days_read()) == days, "the raw file is downloaded once"
    assert project.bars.states(days) == project.raw.states(days) == dict.fromkeys(days, "stored")


def test_checks_alone_judge_the_stored_day_and_fetch_nothing(project: FlatFileProject) -> None:
    run_range(project.instance, project.bars.asset, WEEK[0], WEEK[1])
    before = len(project.bucket.requests)

    result = project.bars.execute_checks(DAY_CHECKS, of_day(DAY))
    one = project.bars.execute_checks(["coverage"], of_days(*WEEK[:2]))
    raw = project.raw.execute_checks(["integrity"], of_day(DAY))

    assert result.success
    assert judged(project, result.run_id) == once_each([DAY], raw=False)
    assert all(each.passed for each in project.bars.evaluations(result.run_id))
    assert [(each.check, each.day) for each in project.bars.evaluations(one.run_id)] == [
        ("coverage", day) for day in WEEK[:2]
    ]
    (integrity,) = project.raw.evaluations(raw.run_id)
    assert (integrity.day, integrity.passed) == (DAY, True)
    assert len(project.bucket.requests) == before


def test_the_days_of_a_cached_download_are_not_recorded_as_downloaded_again(project: FlatFileProject) -> None:
    run_range(project.instance, project.bars.asset, DAY, DAY)
    run_range(project.instance, project.bars.asset, DAY, DAY)

    assert project.bars.times_materialized() == Counter({DAY: 2})
    assert project.raw.times_materialized() == Counter([DAY])
    assert project.days_read() == [DAY]
    assert project.metadata(project.bars, DAY)["downloaded"] is False


def test_a_raw_file_that_an_unfinished_try_left_is_recorded_with_the_day_that_uses_it(tmp_path: Path) -> None:
    with bucket_of(WEEK) as bucket:
        with project_of(tmp_path, bucket, POLYGON_TICKERS="NOPE") as project:
            assert not run_range(project.instance, project.bars.asset, DAY, DAY).success
            assert project.raw_file(DAY).exists()
            assert project.raw.materializations() == []
        with project_of(tmp_path, bucket) as project:
            assert run_range(project.instance, project.bars.asset, DAY, DAY).success
            assert project.raw.times_materialized() == Counter([DAY])
            assert project.metadata(project.raw, DAY)["downloaded"] is False
            assert project.days_read() == [DAY]


def test_no_credential_is_in_the_history_or_the_lake(tmp_path: Path) -> None:
    """Not after good runs, nor after a refusal, nor after the one that repeats the key id."""
    wrong = "the-secret-of-somebody-else"
    spoken = ""
    with bucket_of(WEEK[:3], {"kind": "forbidden", "day": WEEK[2]}) as bucket:
        with project_of(tmp_path, bucket) as project:
            assert not run_range(project.instance, project.bars.asset, WEEK[0], WEEK[2]).success
            assert project.run(of_day(DAY), project.raw, project.bars).success
            spoken += (
                f"{settings()!r} {find_dataset('polygon/minute_aggs')!r} {find_dataset('polygon/minute_aggs').files!r}"
            )
        with project_of(tmp_path, bucket, POLYGON_SECRET_ACCESS_KEY=wrong) as project:
            refused = run_range(project.instance, project.bars.asset, DAY, DAY)
            assert "refuses the S3 key (403 SignatureDoesNotMatch)" in project.bars.messages(refused.run_id)
            spoken += "".join(project.bars.messages(run.run_id) for run in project.instance.get_runs())

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {".db", ".parquet", ".gz", ".json"} <= {path.suffix for path in files}
    said = [spoken.encode(), *(path.read_bytes() for path in files)]
    assert any(b"SignatureDoesNotMatch" in content for content in said), "where the event log is"
    for secret in (SECRET, KEY_ID, wrong):
        assert [content for content in said if secret.encode() in content] == []


LISTED = (*LIQUID[:3], "NA")


def test_another_ticker_needs_no_download_while_the_raw_days_are_cached(tmp_path: Path) -> None:
    days = WEEK[:3]
    with bucket_of(days) as bucket:
        with project_of(tmp_path, bucket, POLYGON_TICKERS=",".join(LISTED[:-1])) as project:
            assert run_range(project.instance, project.bars.asset, days[0], days[-1]).success
            assert set(pl.read_parquet(project.bars.file(DAY))["ticker"]) == set(LISTED[:-1])
        before = len(bucket.requests)
        with project_of(tmp_path, bucket, POLYGON_TICKERS=",".join(LISTED)) as project:
            ended = backfill(project, days, "all")

            assert (sorted(ended.stored), ended.not_stored) == (days, {})
            assert project.days_read(before) == [], "listed again, and not read"
            assert set(pl.read_parquet(project.bars.file(DAY))["ticker"]) == set(LISTED)
            assert project.metadata(project.bars, DAY)["rows_added"] > 0
            assert project.raw.times_materialized() == Counter(days)

            project.raw_file(days[0]).unlink()
            before = len(bucket.requests)
            with project_of(tmp_path, bucket, POLYGON_TICKERS="all") as same:
                assert sorted(backfill(same, days, "all").stored) == days
                assert same.days_read(before) == [days[0]], "only what was evicted"
                assert pl.read_parquet(same.bars.file(DAY))["ticker"].n_unique() == TICKERS


def test_an_evicted_day_stays_green_and_verify_says_so(tmp_path: Path) -> None:
    with flat_file_project(tmp_path, WEEK, POLYGON_CACHE_BYTES="1") as project:
        assert run_range(project.instance, project.bars.asset, WEEK[0], WEEK[-1]).success

        assert [day for day in WEEK if project.raw_file(day).exists()] == []
        assert project.raw.states(WEEK) == dict.fromkeys(WEEK, "stored")
        raw = find_dataset("polygon/flat_files/minute_aggs_v1")
        on_disk = states_on_disk(project.instance, raw, WEEK, open_lake())
        assert {state.value for state in on_disk.values()} == {"stored"}
        found = verify_dataset(project.instance, open_lake(), raw, WEEK)
        why = "not compared: the vendor's file is no longer in the cache; it is fetched again when something needs it"
        assert found == Verified(not_compared=dict.fromkeys(WEEK, why)), "what is not there is not called whole"
        assert not found.any_bad
        assert f"0 sessions whole, damaged: 0 · {len(WEEK)} not compared · " in next(found.lines(raw))
        assert found.days.summary().metadata()["not_compared"] == len(WEEK)
        checked = project.raw.execute_checks(["integrity"], of_day(DAY))
        (integrity,) = project.raw.evaluations(checked.run_id)
        assert integrity.passed
        assert integrity.summary == why


def on_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (polygon_component, polygon_day):
        monkeypatch.setattr(module, "gethostname", lambda: "elsewhere")


def test_a_file_of_another_machines_disk_is_not_called_whole_and_a_red_day_stays_red(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bucket_of(WEEK) as bucket:
        with project_of(tmp_path, bucket, POLYGON_CACHE_FOLDER="first") as project:
            run_range(project.instance, project.bars.asset, WEEK[0], DAY)
            flip_a_byte(next((tmp_path / "first").rglob(f"{DAY}.csv.gz")))
            raw = find_dataset("polygon/flat_files/minute_aggs_v1")
            record_verdicts(project.instance, raw, [DAY], Display(raw.name, 1, Console(stderr=True)))
        on_another_machine(monkeypatch)
        monkeypatch.setattr(polygon_component, "raw_cache_folder", lambda: tmp_path / "second")
        with project_of(tmp_path, bucket) as project:
            raw = find_dataset("polygon/flat_files/minute_aggs_v1")
            found = verify_dataset(project.instance, open_lake(), raw, WEEK[:2])
            project.raw.materialize({**of_days(WEEK[0], DAY), VERIFY: "true"})

            assert (found.ok, found.bad, found.recovered) == ([], {}, [])
            assert set(found.not_compared) == set(WEEK[:2])
            assert (
                f"not in the cache of this machine, and {gethostname()} downloaded it: verify it there"
                in (found.not_compared[DAY])
            )
            assert project.raw.states(WEEK[:2]) == {WEEK[0]: "stored", DAY: "failed"}


def test_machines_that_share_a_cache_download_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = str(tmp_path / "shared")
    with bucket_of(WEEK) as bucket:
        for machine in ("one", "other"):
            (tmp_path / machine).mkdir()
            with project_of(tmp_path / machine, bucket, POLYGON_CACHE_FOLDER=shared) as project:
                assert run_range(project.instance, project.bars.asset, DAY, DAY).success
                raw = find_dataset("polygon/flat_files/minute_aggs_v1")
                assert verify_dataset(project.instance, open_lake(), raw, [DAY]) == Verified([DAY])
                assert project.days_read() == [DAY]
            on_another_machine(monkeypatch)


def test_a_damaged_raw_file_is_found_and_fetched_again(project: FlatFileProject) -> None:
    run_range(project.instance, project.bars.asset, DAY, DAY)
    flip_a_byte(project.raw_file(DAY))
    raw = find_dataset("polygon/flat_files/minute_aggs_v1")

    found = verify_dataset(project.instance, open_lake(), raw, [DAY])

    assert (found.ok, list(found.bad)) == ([], [DAY])
    assert "sha256" in found.bad[DAY]
    record_verdicts(project.instance, raw, [DAY], Display(raw.name, 1, Console(stderr=True)))
    assert project.raw.states([DAY]) == {DAY: "failed"}
    assert run_range(project.instance, project.raw.asset, DAY, DAY).success
    assert project.raw.states([DAY]) == {DAY: "stored"}
    assert project.days_read() == [DAY, DAY]
    assert verify_dataset(project.instance, open_lake(), raw, [DAY]) == Verified([DAY])


class BreakingOff(Display):
    """Ends the run at the first day that is recorded, perhaps with the lake gone, as a pulled plug does."""

    unplugged: Path | None = None

    def day_ended(self, day: date, outcome: Outcome) -> None:
        super().day_ended(day, outcome)
        if self.unplugged is not None:
            self.unplugged.rename(self.unplugged.with_name("unplugged"))
        raise RuntimeError("the run breaks off")


def test_of_a_run_that_breaks_off_what_was_recorded_counts_as_stored(project: FlatFileProject) -> None:
    screen = StringIO()
    display = BreakingOff("polygon/minute_aggs", len(WEEK), Console(file=screen, width=200))
    result = run_backfill(project.instance, find_dataset("polygon/minute_aggs"), WEEK, display, open_lake())
    assert result.stored == [day for day, state in project.bars.states(WEEK).items() if state == "stored"]
    assert len(result.stored) == 1
    assert set(result.not_stored) == set(WEEK) - set(result.stored)
    assert "polygon/minute_aggs: the run broke off" in screen.getvalue()


def test_a_lake_unplugged_under_a_run_is_named(project: FlatFileProject) -> None:
    display = BreakingOff("polygon/minute_aggs", len(WEEK), Console(file=StringIO()))
    display.unplugged = Path(open_lake().url)
    with pytest.raises(LakeUnusable, match="is not there"):
        run_backfill(project.instance, find_dataset("polygon/minute_aggs"), WEEK, display, open_lake())
    assert not display.unplugged.exists()


def backfill(project: FlatFileProject, days: list[str], only: str) -> BackfillResult:
    with open_display("polygon/minute_aggs", len(days)) as display:
        dataset = find_dataset("polygon/minute_aggs")
        return run_backfill(project.instance, dataset, days, display, open_lake(), WANTED[only])
