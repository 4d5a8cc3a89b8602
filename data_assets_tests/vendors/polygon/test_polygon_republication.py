"""Files that the vendor replaces: who notices, what is recorded, and what is built again because of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster._core.test_utils import freeze_time

from data_assets.cli.backfill import run_backfill
from data_assets.cli.display import open_display
from data_assets.cli.local_run import run_range
from data_assets.cli.project import definitions, find_dataset
from data_assets.ingest.engine import IngestReport
from data_assets.ingest.outcome import Outcome
from data_assets.ingest.progress import Progress
from data_assets.lake.lake import Lake
from data_assets.orchestration.day_run import run_watcher
from data_assets.orchestration.day_states import DayState, day_health, states_on_disk
from data_assets.orchestration.partitions import partition_keys
from data_assets.quality.verdict import Verdict
from data_assets.vendors.polygon import sensor
from data_assets.vendors.polygon.sensor import NEWEST_DAYS
from data_assets.wiring import open_lake
from data_assets_tests.orchestration.in_process import AssetInProcess, of_day
from data_assets_tests.vendors.polygon.flat_file_project import FlatFileProject, flat_file_project

FEBRUARY = partition_keys(date(2024, 2, 1), date(2024, 2, 29))
OLD = FEBRUARY[3:5]
NEWEST = partition_keys()[-4:-2]
"""Two of the newest days, old enough to be published at any hour."""
MONTH = "2024-02-01"


def look(project: FlatFileProject, cursor: str | None) -> tuple[list[dg.RunRequest], str, str | None]:
    """What the sensor asks for, what it says, and the cursor that it leaves."""
    republications = definitions().get_repository_def().get_sensor_def("polygon_republications")
    with dg.build_sensor_context(
        instance=project.instance, cursor=cursor, repository_def=definitions().get_repository_def()
    ) as context:
        data = republications.evaluate_tick(context)
        return list(data.run_requests or ()), data.skip_message or "", data.cursor


@contextmanager
def next_session() -> Iterator[None]:
    """Dagster's clock a week on, when there is a newer session."""
    with freeze_time(datetime.now(UTC) + timedelta(days=7)):
        yield


def asked_for(requests: list[dg.RunRequest]) -> list[str | None]:
    assert all(request.asset_selection == [dg.AssetKey(["polygon", "minute_aggs"])] for request in requests)
    return [request.partition_key for request in requests]


def store(project: FlatFileProject, days: list[str]) -> None:
    assert run_range(project.instance, project.bars.asset, days[0], days[-1]).success


@contextmanager
def waiting_run(project: FlatFileProject, asset: AssetInProcess, partition: str) -> Iterator[None]:
    """A run of one partition that is not begun meanwhile, and is canceled then."""
    run = project.instance.create_run_for_job(
        definitions().resolve_implicit_global_asset_job_def(),
        asset_selection={asset.asset},
        tags=of_day(partition),
    )
    yield
    project.instance.report_run_canceled(run)


def listings(project: FlatFileProject, since: int) -> list[str]:
    return sorted(request.prefix for request in project.bucket.requests[since:] if request.prefix is not None)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[FlatFileProject]:
    with flat_file_project(tmp_path, [*OLD, *NEWEST]) as project:
        store(project, OLD)
        store(project, NEWEST)
        yield project


def test_nothing_is_asked_for_while_nothing_was_replaced(project: FlatFileProject) -> None:
    before = len(project.bucket.requests)

    requests, said, cursor = look(project, None)

    assert (requests, said) == ([], "4 stored days are as the vendor lists them")
    assert cursor == partition_keys()[-1][:7]
    assert project.days_read() == project.days_read(0)[:4], "it reads no file"
    assert all(each.key is None for each in project.bucket.requests[before:])


def test_the_first_look_of_a_month_sees_all_days_and_the_others_the_newest(project: FlatFileProject) -> None:
    this_month = partition_keys()[-1][:7]
    for day in (OLD[0], NEWEST[0]):
        project.bucket.replace(date.fromisoformat(day))
    before = len(project.bucket.requests)

    requests, _, cursor = look(project, this_month)

    assert asked_for(requests) == [NEWEST[0]]
    assert cursor == this_month
    months = {day[:7].replace("-", "/") for day in partition_keys()[-NEWEST_DAYS:]}
    seen = listings(project, before)
    assert len(seen) == len(set(seen)) <= len(months), "one call a month"

    for cursor in (None, "2024-02"):
        requests, _, cursor = look(project, cursor)
        assert asked_for(requests) == [NEWEST[0], OLD[0]], "newest first"
        assert cursor == partition_keys()[-1], "all days again with the next session, as these are not stored yet"


def test_a_version_is_asked_for_once_and_the_next_one_again(project: FlatFileProject) -> None:
    project.bucket.replace(date.fromisoformat(OLD[0]))
    (first,), _, _ = look(project, None)
    (again,), _, _ = look(project, None)
    assert first.run_key == again.run_key, "Dagster starts no second run of the same key"
    project.bucket.replace(date.fromisoformat(OLD[0]))
    (newer,), _, _ = look(project, None)
    assert newer.run_key != first.run_key


ASKED_ALREADY = "replaced files being fetched, or attempted in this session already: 1"


def test_a_replaced_day_whose_run_failed_is_asked_for_again_with_the_next_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, day = OLD
    days = [*OLD, NEWEST[0]]
    with flat_file_project(tmp_path, days) as project:
        store(project, OLD)
        store(project, NEWEST[:1])
    with flat_file_project(tmp_path, days, {"kind": "forbidden", "day": day}) as project:
        project.bucket.replace(date.fromisoformat(day))
        (first,), _, cursor = look(project, None)
        with waiting_run(project, project.bars, day), next_session():
            assert look(project, cursor)[:2] == ([], ASKED_ALREADY)
        assert first.run_key is not None
        assert not project.bars.materialize(of_day(day) | {sensor.RUN_KEY_TAG: first.run_key}).success
        assert project.why(day)[0] == "NotEntitled"

        assert look(project, None)[:2] == ([], ASKED_ALREADY)
        assert look(project, cursor) == ([], "1 stored days are as the vendor lists them", cursor)
        with next_session():
            (again,), _, cursor = look(project, cursor)
        assert again.partition_key == day
        assert again.run_key != first.run_key

        monkeypatch.setattr(sensor, "AT_ONCE", 1)
        project.bucket.replace(date.fromisoformat(other))
        requests, _, again_cursor = look(project, None)
        assert (asked_for(requests), again_cursor) == ([other], partition_keys()[-1]), (
            "a day that failed keeps no other from its turn"
        )
    with flat_file_project(tmp_path, days) as project:
        project.bucket.replace(date.fromisoformat(day))
        assert project.bars.materialize(of_day(day)).success
        assert look(project, cursor) == ([], "3 stored days are as the vendor lists them", partition_keys()[-1][:7])


def test_a_look_without_an_answer_says_why_and_sweeps_again(project: FlatFileProject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        from data_assets.settings import settings

        patch.setenv("POLYGON_SECRET_ACCESS_KEY", "another")
        settings.cache_clear()
        requests, said, cursor = look(project, None)
    assert (requests, cursor) == ([], None)
    assert "refuses the S3 key" in said


def test_on_an_empty_history_it_asks_the_vendor_nothing(tmp_path: Path) -> None:
    with flat_file_project(tmp_path, OLD) as project:
        assert look(project, None)[:2] == ([], "no day is stored yet")
        assert project.bucket.requests == []


def test_the_run_says_what_changed_and_keeps_the_version_before(project: FlatFileProject) -> None:
    day = OLD[0]
    before = pl.read_parquet(project.bars.file(day))
    assert "rows_added" not in project.metadata(project.bars, day)
    project.bucket.replace(date.fromisoformat(day))
    (request,), _, cursor = look(project, None)
    assert request.partition_key is not None

    assert project.bars.materialize(of_day(request.partition_key)).success

    after, said = pl.read_parquet(project.bars.file(day)), project.metadata(project.bars, day)
    lake = Lake(str(project.folder / "lake" / "live"), synthetic=False)
    previous = lake.previous("polygon/minute_aggs", date.fromisoformat(day))
    assert previous is not None
    assert previous.collect().equals(before)
    keys = ["ticker", "window_start"]
    both = before.join(after, on=keys, suffix="_after")
    altered = both.filter(
        pl.any_horizontal(pl.col(name) != pl.col(f"{name}_after") for name in before.columns if name not in keys)
    )
    prices = ("open", "close", "high", "low")
    largest = max(altered.select((pl.col(f"{name}_after") / pl.col(name) - 1).abs().max()).item() for name in prices)
    assert said["rows_added"] == after.height - both.height
    assert said["rows_removed"] == before.height - both.height
    assert said["rows_altered"] == altered.height > 0
    assert largest > 0
    assert said["largest_price_change"] == pytest.approx(largest, rel=1e-5)
    assert project.metadata(project.raw, day)["etag"] == said["etag"]
    assert project.raw.times_materialized()[day] == project.bars.times_materialized()[day] == 2

    assert look(project, None)[:2] == ([], "4 stored days are as the vendor lists them")
    assert look(project, cursor)[0] == []


# Months


def months_on_disk(project: FlatFileProject) -> dict[str, DayState]:
    keys = ["2024-01-01", MONTH, "2024-03-01"]
    return states_on_disk(project.instance, find_dataset("polygon/minute_aggs_monthly"), keys, open_lake())


def rebuild(project: FlatFileProject) -> list[str]:
    """What `data-assets backfill` does for the months that are missing or failed."""
    dataset = find_dataset("polygon/minute_aggs_monthly")
    wanted = [key for key, state in months_on_disk(project).items() if state is not DayState.STORED and key == MONTH]
    with open_display(dataset.name, len(wanted)) as display:
        return run_backfill(project.instance, dataset, wanted, display, open_lake()).stored


def completeness(project: FlatFileProject) -> tuple[bool, str]:
    run = project.months.execute_checks(["complete"], of_day(MONTH))
    (complete,) = project.months.evaluations(run.run_id)
    return complete.passed, complete.summary or ""


def test_a_month_lacks_sessions_then_is_whole_then_has_a_replaced_day(tmp_path: Path) -> None:
    with flat_file_project(tmp_path, FEBRUARY, POLYGON_TICKERS="SPY,QQQ,NA") as project:
        lacking = FEBRUARY[5:7]
        store(project, FEBRUARY[:5])
        store(project, FEBRUARY[7:])
        assert months_on_disk(project)[MONTH] is DayState.MISSING

        assert rebuild(project) == [MONTH]

        said = project.metadata(project.months, MONTH)
        assert (said["sessions"], said["sessions_lacking"]) == (len(FEBRUARY) - 2, 2)
        assert said["lacking"] == ", ".join(lacking)
        assert completeness(project) == (False, f"lacks the sessions of {', '.join(day[5:] for day in lacking)}")
        assert months_on_disk(project)[MONTH] is DayState.STORED, "it holds all that there is"

        store(project, lacking)
        assert months_on_disk(project)[MONTH] is DayState.STALE, "what arrived is not in it"
        assert rebuild(project) == [MONTH]
        assert project.metadata(project.months, MONTH)["lacking"] == ""
        assert completeness(project) == (True, f"holds all {len(FEBRUARY)} sessions that have ended")
        assert months_on_disk(project)[MONTH] is DayState.STORED

        project.bucket.replace(date.fromisoformat(OLD[1]))
        store(project, OLD[1:])
        assert months_on_disk(project) == {
            "2024-01-01": DayState.MISSING,
            MONTH: DayState.STALE,
            "2024-03-01": DayState.MISSING,
        }
        (health,) = day_health(project.instance, find_dataset("polygon/minute_aggs_monthly"), [MONTH], open_lake())
        assert (health.state, health.outcome, (health.rows or 0) > 0) == (DayState.STALE, "Stale", True)
        assert "a plain backfill builds it again" in (health.reason or "")
        assert completeness(project) == (False, f"replaced since it was built: {OLD[1][5:]}")
        ticker_bars = open_lake().bars("NA", date(2024, 2, 1), date(2024, 2, 29)).collect()
        assert rebuild(project) == [MONTH]
        assert completeness(project)[0]
        assert open_lake().bars("NA", date(2024, 2, 1), date(2024, 2, 29)).collect().equals(ticker_bars)
        assert project.months.times_materialized() == Counter({MONTH: 3})


class Automation:
    """The automation of the months, one tick after another."""

    def __init__(self, project: FlatFileProject) -> None:
        self._project = project
        self._cursor: dg.AssetDaemonCursor | None = None
        assert self.tick() == set()

    def tick(self) -> set[str]:
        """The months that it asks for."""
        months = self._project.months.asset
        result = dg.evaluate_automation_conditions(
            defs=definitions(),
            instance=self._project.instance,
            asset_selection=dg.AssetSelection.assets(months),
            cursor=self._cursor,
        )
        self._cursor = result.cursor
        return result.get_requested_partitions(months)


def test_the_automation_asks_for_the_months_of_new_days_once(tmp_path: Path) -> None:
    march = partition_keys(date(2024, 3, 1))[0]
    with flat_file_project(tmp_path, [*FEBRUARY, march], POLYGON_TICKERS="SPY") as project:
        automation = Automation(project)
        store(project, OLD)
        assert automation.tick() == {MONTH}
        assert automation.tick() == set()
        assert project.months.materialize(of_day(MONTH)).success
        assert automation.tick() == set(), "built, and nothing has changed since"

        store(project, [march])
        assert automation.tick() == {"2024-03-01"}
        project.bucket.replace(date.fromisoformat(OLD[0]))
        store(project, OLD[:1])
        assert automation.tick() == {MONTH}
        assert automation.tick() == set()


def test_a_month_waits_for_its_days_that_are_in_work_and_for_its_own_run(tmp_path: Path) -> None:
    with flat_file_project(tmp_path, OLD, POLYGON_TICKERS="SPY") as project:
        automation = Automation(project)
        with waiting_run(project, project.bars, OLD[1]):
            store(project, OLD[:1])
            assert automation.tick() == set()
            assert automation.tick() == set()
        assert automation.tick() == {MONTH}
        assert automation.tick() == set(), "once, however its run may end"

        with waiting_run(project, project.months, MONTH):
            store(project, OLD[1:])
            assert automation.tick() == set()
            assert automation.tick() == set()
        assert automation.tick() == {MONTH}


@dataclass
class AsTheBuildBegins:
    """Lets something happen between the request for a month and the reading of its days; implements `RunWatcher`."""

    act: Callable[[], None]

    @contextmanager
    def watch(self, progress: Progress) -> Iterator[None]:
        """See `RunWatcher`."""
        self.act()
        yield

    def day_judged(self, day: date, verdicts: Sequence[Verdict]) -> None:
        """See `RunWatcher`."""

    def day_ended(self, day: date, outcome: Outcome) -> None:
        """See `RunWatcher`."""

    def run_ended(self, report: IngestReport) -> None:
        """See `RunWatcher`."""


def test_a_day_that_is_replaced_while_its_month_is_built_has_it_built_again(tmp_path: Path) -> None:
    """The other run waits for the vendor's account, so the day is stored just after the month: between two ticks."""
    day = OLD[0]
    with flat_file_project(tmp_path, OLD, POLYGON_TICKERS="SPY") as project, ThreadPoolExecutor(1) as other_run:
        automation = Automation(project)
        store(project, OLD)
        assert automation.tick() == {MONTH}
        storing: list[Future[None]] = []

        def have_a_day_replaced() -> None:
            project.bucket.replace(date.fromisoformat(day))
            storing.append(other_run.submit(store, project, [day]))
            while project.bars.states([day]) != {day: "in progress"}:
                assert not storing[0].done(), storing[0].result()
            assert automation.tick() == set(), "it is being built, and its day is in work"

        watching = run_watcher.set(AsTheBuildBegins(have_a_day_replaced))
        assert project.months.materialize(of_day(MONTH)).success
        run_watcher.reset(watching)
        storing[0].result()

        assert months_on_disk(project)[MONTH] is DayState.STALE, "it was built from the version before"
        assert automation.tick() == {MONTH}
        assert automation.tick() == set()
        assert project.months.materialize(of_day(MONTH)).success
        assert months_on_disk(project)[MONTH] is DayState.STORED
        assert automation.tick() == set()

        project.bucket.replace(date.fromisoformat(day))
        store(project, [day])
        assert rebuild(project) == [MONTH]
        assert automation.tick() == set(), "somebody was quicker"


# The partitions of days and months


def mapping_of_days_to_months() -> tuple[dg.PartitionMapping, dg.PartitionsDefinition, dg.PartitionsDefinition]:
    days, months = (dg.AssetKey(["polygon", name]) for name in ("minute_aggs", "minute_aggs_monthly"))
    graph = definitions().get_repository_def().asset_graph
    of_days, of_months = graph.get(days).partitions_def, graph.get(months).partitions_def
    assert of_days is not None
    assert of_months is not None
    return graph.get_partition_mapping(months, days), of_days, of_months


def test_every_day_belongs_to_its_month_alone() -> None:
    mapping, of_days, of_months = mapping_of_days_to_months()
    for day in partition_keys(date(2023, 12, 1), date(2025, 1, 31)):
        downstream = mapping.get_downstream_partitions_for_partitions(
            of_days.subset_with_partition_keys([day]), of_days, of_months
        )
        assert list(downstream.get_partition_keys()) == [f"{day[:7]}-01"]


@pytest.mark.parametrize(
    ("month", "closed_at_first"),
    [
        ("2016-08-01", False),  # begins before the first day there is
        ("2024-01-01", True),  # begins with a holiday
        ("2024-03-01", False),  # ends with a holiday and a weekend
        ("2024-06-01", True),  # begins and ends with a weekend
        ("2024-09-01", True),  # begins with a weekend and a holiday
    ],
)
def test_the_lineage_of_a_month_is_its_sessions(month: str, closed_at_first: bool) -> None:
    """And the session before, where it begins with closed days: Dagster looks for the day that holds its first instant.

    The lineage alone shows that one; a month is built from the lake's days of that month.
    """
    mapping, of_days, of_months = mapping_of_days_to_months()
    upstream = mapping.get_upstream_mapped_partitions_result_for_partitions(
        of_months.subset_with_partition_keys([month]), of_months, of_days
    ).partitions_subset
    keys = sorted(upstream.get_partition_keys())
    sessions = [day for day in partition_keys() if day[:7] == month[:7]]
    before = [day for day in partition_keys() if day < sessions[0]][-1:] if closed_at_first else []
    assert keys == before + sessions
