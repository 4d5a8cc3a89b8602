"""Trading days as Dagster sees them: in its definitions, in its subsets, and in a backfill by its own daemon."""

import asyncio
import importlib.util
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._grpc.client import DagsterGrpcClient
from dagster_graphql.schema import create_schema
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets import trading_calendar as calendar
from data_assets.orchestration.partitions import (
    DAYS_PER_RUN,
    TRADING_DAYS,
    ZONE,
    OutsideSpan,
    asked_keys,
    check_day,
    contiguous_ranges,
    months,
    partition_keys,
    trading_days,
)
from data_assets.span import FIRST_DAY, SHIPPED, Span

NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2024, 8, 5, 12, tzinfo=UTC)  # a Monday
KEYS = partition_keys(now=NOW)
DEADLINE = 120  # seconds; how long a hanging daemon may hold up the suite


def is_partition(day: str, now: datetime) -> bool:
    return day in partition_keys(now=now)


# --- which days exist ---------------------------------------------------------------------------------------------


def test_the_first_eight_years_are_2012_days():
    keys = partition_keys(date(2016, 8, 4), date(2024, 8, 2), now=NOW)
    assert len(keys) == 2012
    assert keys == KEYS
    assert (keys[0], keys[-1]) == ("2016-08-04", "2024-08-02")


def test_partition_keys_are_the_sessions_up_to_the_calendars_end_and_never_a_closed_day():
    keys = partition_keys(now=datetime(2041, 1, 1, tzinfo=UTC))
    assert keys == [day.isoformat() for day in calendar.sessions(FIRST_DAY, calendar.LAST_SESSION)]


def test_partition_keys_keeps_both_bounds():
    assert partition_keys(date(2024, 7, 3), date(2024, 7, 8), now=NOW) == ["2024-07-03", "2024-07-05", "2024-07-08"]
    assert partition_keys(start=date(2024, 8, 1), now=NOW) == ["2024-08-01", "2024-08-02"]
    assert partition_keys(end=date(2016, 8, 5), now=NOW) == ["2016-08-04", "2016-08-05"]
    assert partition_keys(date(2024, 7, 8), date(2024, 7, 3), now=NOW) == []


@pytest.mark.parametrize("friday", ["2024-01-12", "2024-07-12"])
def test_friday_is_a_day_from_the_end_of_its_late_trading_on_and_all_weekend(friday):
    end = calendar.session(date.fromisoformat(friday)).option_close
    assert not is_partition(friday, end - timedelta(seconds=1))
    for hours in (0, 12, 24, 48, 60):
        moment = end + timedelta(hours=hours)
        assert partition_keys(now=moment)[-1] == friday, moment


@pytest.mark.parametrize(
    "day",
    ["2024-03-08", "2024-03-11", "2024-07-03", "2024-11-01", "2024-11-04", "2024-11-29"],
    ids=["winter", "summer", "summer, 13:00", "still summer", "winter again", "winter, 13:00"],
)
def test_dagster_has_the_partition_of_a_day_when_its_session_ends_and_not_in_the_morning(day):
    """Otherwise it refuses to run what a vendor publishes at once; of a closed day there is none at any hour."""
    hours = calendar.session(date.fromisoformat(day))
    morning = datetime.combine(hours.day, datetime.min.time(), NEW_YORK).replace(hour=11, minute=59)
    at_the_close = TRADING_DAYS.get_partition_keys(current_time=hours.close)[-1]
    before = TRADING_DAYS.get_partition_keys(current_time=morning)[-1]
    assert (at_the_close, before) == (day, calendar.previous_session(hours.day).isoformat())


def test_a_closed_day_has_no_partition_at_any_hour():
    thanksgiving = datetime(2024, 11, 28, 20, tzinfo=NEW_YORK)
    assert TRADING_DAYS.get_partition_keys(current_time=thanksgiving)[-1] == "2024-11-27"


@settings(max_examples=40)
@given(st.integers(0, int((datetime(2040, 12, 31, tzinfo=UTC) - datetime(2016, 8, 6, tzinfo=UTC)).total_seconds())))
def test_at_any_moment_the_newest_day_is_the_newest_session_that_has_ended(second):
    now = datetime(2016, 8, 6, tzinfo=UTC) + timedelta(seconds=second)
    assert partition_keys(now=now)[-1] == calendar.last_ended_session(now).isoformat()


# --- one definition, in every process -----------------------------------------------------------------------------


def test_two_fresh_processes_derive_the_identical_definition():
    code = (
        "from data_assets.orchestration.partitions import TRADING_DAYS as days\n"
        "print(days.get_serializable_unique_identifier(), hash(days.exclusions[-1].timestamp), len(days.exclusions))"
    )
    zones = {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "1"}, {"TZ": "America/New_York", "PYTHONHASHSEED": "2"}
    running = [
        subprocess.Popen([sys.executable, "-c", code], env=os.environ | zone, stdout=subprocess.PIPE, text=True)
        for zone in zones
    ]
    first, second = (process.communicate(timeout=DEADLINE)[0] for process in running)
    assert first == second
    assert first.split()[0] == TRADING_DAYS.get_serializable_unique_identifier()


# --- datasets that begin or end elsewhere --------------------------------------------------------------------------

SPANS = [
    Span(date(2003, 9, 10)),
    Span(date(2012, 6, 1)),
    Span(date(2016, 1, 1)),
    Span(date(2016, 8, 4), date(2022, 6, 8)),
    Span(date(2024, 7, 6), date(2024, 12, 31)),
    Span(date(2023, 2, 28), date(2024, 2, 29)),
    Span(date(2024, 7, 4), date(2024, 7, 6)),
]


@pytest.mark.parametrize("span", SPANS, ids=str)
def test_the_grid_of_a_span_is_its_sessions_and_that_of_months_theirs(span: Span):
    sessions = calendar.sessions(span.first_day, min(date(2024, 8, 2), span.last_day or date.max))
    assert partition_keys(now=NOW, partitions=trading_days(span)) == [day.isoformat() for day in sessions]
    late = datetime(2041, 1, 1, tzinfo=UTC)
    of_all = calendar.sessions(span.first_day, span.last_day or calendar.LAST_SESSION)
    assert partition_keys(now=late, partitions=trading_days(span)) == [day.isoformat() for day in of_all]
    begun = [day for day in calendar.sessions(span.first_day, span.last_day or date.max) if day < date(2024, 9, 1)]
    assert partition_keys(now=NOW, partitions=months(span)) == sorted({f"{day:%Y-%m}-01" for day in begun})


def test_the_flat_files_begin_3248_sessions_before_the_shipped_datasets():
    whole = partition_keys(now=NOW, partitions=trading_days(Span(date(2003, 9, 10))))
    assert whole[3248:] == KEYS


def test_equal_spans_share_one_object_and_so_do_the_months_of_spans_within_the_same_months():
    assert trading_days(Span(date(2016, 8, 4))) is TRADING_DAYS
    assert trading_days(Span(date(2016, 1, 1))) is trading_days(Span(date(2016, 1, 4)))
    assert trading_days(Span(date(2016, 1, 4), date(2022, 1, 2))) is trading_days(
        Span(date(2016, 1, 1), date(2021, 12, 31))
    )
    assert months(Span(date(2016, 8, 4))) is months(Span(date(2016, 8, 29)))


@pytest.mark.parametrize("first", [date(2003, 9, 10), date(2016, 8, 4), date(2024, 1, 2), date(2024, 1, 8)])
def test_what_others_fetch_for_themselves_has_the_same_days_in_a_definition_that_reads_differently(first: date):
    """The UI compares how definitions read, and would call days that such an upstream lacks impossible."""
    own, fetched = trading_days(Span(first)), trading_days(Span(first), fetched_downstream=True)
    assert partition_keys(now=NOW, partitions=fetched) == partition_keys(now=NOW, partitions=own)
    assert str(fetched) != str(own)
    assert fetched is trading_days(Span(first), fetched_downstream=True)
    newest = own.subset_with_partition_keys(partition_keys(now=NOW, partitions=own)[-300:])
    needed = dg.TimeWindowPartitionMapping().get_upstream_mapped_partitions_result_for_partitions(
        newest, own, fetched, current_time=NOW
    )
    assert list(needed.partitions_subset.get_partition_keys()) == list(newest.get_partition_keys())


def test_a_span_that_is_still_to_come_has_no_day():
    assert partition_keys(now=NOW, partitions=trading_days(Span(date(2024, 8, 5)))) == []
    with pytest.raises(OutsideSpan, match="X has no day yet: its first_day is 2024-08-05"):
        check_day("2024-08-05", now=NOW, span=Span(date(2024, 8, 5)), of="X")


@pytest.mark.parametrize(
    ("day", "complaint"),
    [
        ("2022-06-09", "2022-06-09 lies after 2022-06-08, the last_day of X"),
        ("2024-08-03", "2024-08-03 lies after 2022-06-08, the last_day of X"),
        ("2015-12-31", "2015-12-31 lies before 2016-01-04, the first_day of X"),
    ],
)
def test_a_day_outside_of_a_span_is_one_line_that_names_its_bound(day: str, complaint: str):
    with pytest.raises(OutsideSpan) as raised:
        check_day(day, now=NOW, span=Span(date(2016, 1, 1), date(2022, 6, 8)), of="X")
    assert str(raised.value) == complaint


@pytest.mark.parametrize("span", SPANS, ids=str)
def test_the_newest_day_that_may_be_asked_for_is_the_newest_key(span: Span):
    keys = partition_keys(now=NOW, partitions=trading_days(span))
    assert check_day(keys[0], now=NOW, span=span) == keys[0]
    assert check_day(keys[-1], now=NOW, span=span) == keys[-1]
    after = calendar.next_session(date.fromisoformat(keys[-1])).isoformat()
    with pytest.raises(OutsideSpan):
        check_day(after, now=NOW, span=span)


def test_ranges_reach_back_to_the_calendars_first_day():
    days = trading_days(Span(date(2003, 9, 10)))
    assert contiguous_ranges(["2003-09-11", "2003-09-10", "2003-09-15"], partitions=days) == [
        ("2003-09-15", "2003-09-15"),
        ("2003-09-10", "2003-09-11"),
    ]
    with pytest.raises(OutsideSpan):
        contiguous_ranges(["2016-08-03"])
    ended = Span(date(2016, 8, 4), date(2022, 6, 8))
    assert contiguous_ranges(["2022-06-01", "2022-05-01"], partitions=months(ended)) == [("2022-05-01", "2022-06-01")]
    for key in ("2022-07-01", "2016-07-01", "2022-05-02"):
        with pytest.raises(ValueError):
            contiguous_ranges([key], partitions=months(ended))


# --- a day that a person typed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("day", ["2016-08-04", "2024-07-03", "2024-08-02"])
def test_a_day_with_a_partition_is_its_own_key(day):
    assert check_day(day, now=NOW) == day


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("2024-07-04", "2024-07-04 is a market holiday; the nearest sessions are 2024-07-03 and 2024-07-05"),
        ("2024-07-06", "2024-07-06 is a weekend day; the nearest sessions are 2024-07-05 and 2024-07-08"),
        ("2024-08-05", "2024-08-05 lies after 2024-08-02, the newest session that has ended"),
        ("2024-08-03", "2024-08-03 lies after 2024-08-02, the newest session that has ended"),
        ("2050-01-03", "2050-01-03 lies after 2024-08-02, the newest session that has ended"),
        ("2016-08-03", "2016-08-03 lies before 2016-08-04, the first_day of the dataset"),
        ("1999-12-25", "1999-12-25 lies before 2016-08-04, the first_day of the dataset"),
        ("20240703", "'20240703' is not a date: write it as YYYY-MM-DD, such as 2016-08-04"),
        ("2024-7-3", "'2024-7-3' is not a date: write it as YYYY-MM-DD, such as 2016-08-04"),
        ("2024-02-30", "'2024-02-30' is not a date: write it as YYYY-MM-DD, such as 2016-08-04"),
        ("yesterday\n", "'yesterday\\n' is not a date: write it as YYYY-MM-DD, such as 2016-08-04"),
    ],
)
def test_any_other_text_is_refused_in_one_line_that_names_the_nearest_days(text, complaint):
    with pytest.raises(ValueError) as raised:
        check_day(text, now=NOW)
    assert str(raised.value) == complaint


@given(st.one_of(st.text(max_size=12), st.dates(date(2016, 1, 1), date(2025, 1, 1)).map(date.isoformat)))
def test_a_text_is_accepted_exactly_when_it_is_a_key(text):
    if text in KEYS:
        assert check_day(text, now=NOW) == text
    else:
        with pytest.raises(ValueError) as raised:
            check_day(text, now=NOW)
        assert len(str(raised.value).splitlines()) == 1


# --- ranges a run can cover ---------------------------------------------------------------------------------------

KEY_SETS = st.one_of(
    st.sets(st.sampled_from(KEYS), max_size=60),
    st.tuples(st.integers(0, len(KEYS) - 1), st.integers(0, 180), st.sets(st.sampled_from(KEYS), max_size=5)).map(
        lambda drawn: set(KEYS[drawn[0] : drawn[0] + drawn[1]]) - drawn[2]
    ),
)


def test_neighbours_over_a_weekend_or_a_holiday_share_a_range_and_others_do_not():
    days = ["2024-05-28", "2024-05-10", "2024-05-13", "2024-05-15", "2024-05-24", "2024-05-10"]
    assert contiguous_ranges(days) == [
        ("2024-05-24", "2024-05-28"),
        ("2024-05-15", "2024-05-15"),
        ("2024-05-10", "2024-05-13"),
    ]
    assert contiguous_ranges([]) == []


def test_a_run_covers_at_most_fifty_days_unless_told_otherwise():
    newest = KEYS[-51:]
    assert contiguous_ranges(newest) == [(newest[1], newest[-1]), (newest[0], newest[0])]
    assert contiguous_ranges(newest, longest=None) == [(newest[0], newest[-1])]


@given(KEY_SETS, st.sampled_from([DAYS_PER_RUN, 1, 7, None]))
def test_ranges_cover_exactly_the_keys_newest_first_and_are_as_few_as_can_be(keys, longest):
    ranges = contiguous_ranges(keys, longest=longest)
    covered = [TRADING_DAYS.get_partition_keys_in_range(dg.PartitionKeyRange(*bounds)) for bounds in ranges]
    newest_first = [key for range_keys in covered for key in reversed(range_keys)]
    assert newest_first == sorted(keys, reverse=True)
    assert all(longest is None or len(range_keys) <= longest for range_keys in covered)
    for newer, older in pairwise(covered):
        neighbours = KEYS.index(older[-1]) + 1 == KEYS.index(newer[0])
        assert not neighbours or len(newer) == longest


@pytest.mark.parametrize("key", ["2024-07-04", "2024-07-06", "2016-08-03", "today"])
def test_a_range_of_what_is_no_trading_day_is_refused(key):
    with pytest.raises(ValueError):
        contiguous_ranges(["2024-07-03", key])


@pytest.mark.parametrize(
    ("first", "last", "asked", "added"),
    [
        ("2025-11-25", "2025-11-27", ["2025-11-25", "2025-11-26"], ["2025-11-28"]),  # to Thanksgiving
        ("2025-11-29", "2025-11-30", [], ["2025-12-01"]),  # a weekend
        ("2025-11-22", "2025-11-24", ["2025-11-24"], []),  # from a weekend
        ("2025-11-25", "2025-11-28", ["2025-11-25", "2025-11-26", "2025-11-28"], []),
    ],
)
def test_what_dagster_adds_to_a_range_that_ends_on_a_closed_day_was_not_asked_for(first, last, asked, added):
    keys = TRADING_DAYS.get_partition_keys_in_range(dg.PartitionKeyRange(first, last))
    assert keys == asked + added, "what Dagster makes of the range"
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    assert asked_keys(tags, keys) == asked


def test_a_closed_day_alone_asks_for_no_session() -> None:
    tag = {"dagster/partition": "2025-11-27"}
    assert asked_keys(tag, ["2025-11-28"]) == [], "which is what Dagster makes of Thanksgiving"
    assert asked_keys({"dagster/partition": "2025-11-28"}, ["2025-11-28"]) == ["2025-11-28"]
    assert asked_keys({}, ["2025-11-28"]) == ["2025-11-28"]


# --- what is left of a subset -------------------------------------------------------------------------------------


@given(st.integers(0, len(KEYS) - 40), st.sets(st.integers(0, 39), min_size=1))
def test_what_a_subset_lacks_is_exactly_the_days_taken_out_of_it(first, gaps):
    wanted = KEYS[first : first + 40]
    missing = [wanted[index] for index in sorted(gaps)]
    whole = TRADING_DAYS.subset_with_partition_keys(wanted)
    stored = TRADING_DAYS.subset_with_partition_keys(set(wanted) - set(missing))
    left = whole - stored
    assert list(left.get_partition_keys()) == missing
    assert len(left) == len(missing)
    assert all((key in left) == (key in missing) for key in wanted)


# --- a backfill of missing and failed days, by the real daemon ----------------------------------------------------

PROBE = """
import json
import os
from pathlib import Path

import dagster as dg

from data_assets.orchestration.partitions import DAYS_PER_RUN, TRADING_DAYS

HOME = Path(os.environ["DAGSTER_HOME"])


@dg.asset(
    partitions_def=TRADING_DAYS,
    backfill_policy=dg.BackfillPolicy.multi_run(DAYS_PER_RUN),
    output_required=False,
)
def probe(context) -> None:
    (HOME / f"{context.run.run_id}.asked").write_text(json.dumps(list(context.partition_keys)))
    if (HOME / "down").exists():
        raise dg.Failure("the vendor is down", allow_retries=False)
    for day in context.partition_keys:
        context.log_event(dg.AssetMaterialization("probe", partition=day))


defs = dg.Definitions(assets=[probe], executor=dg.in_process_executor)
"""

HEALTH = """
query ($asset: AssetKeyInput!) { assetNodeOrError(assetKey: $asset) { ... on AssetNode {
    partitionKeysByDimension { partitionKeys }
    assetPartitionStatuses { ... on TimePartitionStatuses { ranges { status startTime startKey endKey } } }
} } }"""

BACKFILL = """
mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
} }"""


@contextmanager
def process(log: Path, *arguments: str) -> Iterator[None]:
    """A process at work; what it said is shown if the test fails or the process ends too early."""
    with log.open("w") as output:
        started = subprocess.Popen([sys.executable, "-m", *arguments], stdout=output, stderr=subprocess.STDOUT)
        try:
            yield
            assert started.poll() is None, f"{arguments} ended by itself"
        except BaseException:
            print(log.read_text())
            raise
        finally:
            started.terminate()
            try:
                started.wait(20)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def eventually(what: str, holds) -> None:
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, f"waited {DEADLINE} s in vain: {what}"
        time.sleep(0.2)


class Deployment:
    """A Dagster home with one probe asset: its instance, its code server, and the questions that the UI asks."""

    def __init__(self, home: Path, instance: dg.DagsterInstance, workspace: WorkspaceProcessContext) -> None:
        self.home, self.instance, self.workspace = home, instance, workspace
        self.schema = create_schema()

    def graphql(self, query: str, **variables: object) -> dict:
        context = self.workspace.create_request_context()
        result = asyncio.run(self.schema.execute_async(query, variables=variables, context_value=context))
        assert not result.errors
        return result.data

    def health(self) -> tuple[list[str], list[dict]]:
        node = self.graphql(HEALTH, asset={"path": ["probe"]})["assetNodeOrError"]
        statuses = node["assetPartitionStatuses"]
        return node["partitionKeysByDimension"][0]["partitionKeys"], statuses["ranges"]

    def missing_and_failed(self, start: str, end: str) -> list[str]:
        """The launch dialog's choice: a day's status is that of the first range that holds it, none means missing."""
        keys, ranges = self.health()

        def status(key: str) -> str:
            holding = (found["status"] for found in ranges if found["startKey"] <= key <= found["endKey"])
            return next(holding, "MISSING")

        return [key for key in keys if start <= key <= end and status(key) in ("MISSING", "FAILED")]

    def backfill(self, days: list[str]) -> str:
        params = {"assetSelection": [{"path": ["probe"]}], "partitionNames": days, "fromFailure": False, "tags": []}
        launched = self.graphql(BACKFILL, params=params)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return launched["backfillId"]

    def run_here(self, start: str, end: str) -> None:
        spec = importlib.util.spec_from_file_location("probe_location", self.home / "probe.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        tags = {"dagster/asset_partition_range_start": start, "dagster/asset_partition_range_end": end}
        dg.materialize([module.probe], instance=self.instance, tags=tags, raise_on_error=False)

    def store(self, days: list[str]) -> None:
        for day in days:
            self.instance.report_runless_asset_event(dg.AssetMaterialization("probe", partition=day))


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    # Not tmp_path: a socket's path may be no longer than 104 characters on macOS.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = Path(folder)
        monkeypatch.setenv("DAGSTER_HOME", folder)
        (home / "dagster.yaml").write_text(
            "telemetry: {enabled: false}\n"
            "run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}\n"
        )
        (home / "probe.py").write_text(PROBE)
        socket, workspace_file = str(home / "code.sock"), home / "workspace.yaml"
        workspace_file.write_text(f"load_from: [grpc_server: {{socket: {socket}, host: localhost}}]\n")
        command = ("dagster", "api", "grpc", "-f", str(home / "probe.py"), "--socket", socket)
        # The instance first: of two processes that make its databases at the same instant, one fails.
        with dg.DagsterInstance.get() as instance, process(home / "server.log", *command):

            def answers() -> bool:
                try:
                    return DagsterGrpcClient(socket=socket).ping("there?") is not None
                except DagsterUserCodeUnreachableError:
                    return False

            eventually("the code server answers", answers)
            with WorkspaceProcessContext(instance, WorkspaceFileTarget([str(workspace_file)])) as workspace:
                yield Deployment(home, instance, workspace)


def test_a_backfill_of_missing_and_failed_days_asks_for_exactly_each_lone_day(deployment: Deployment):
    """A failed Monday, a failed Tuesday after Memorial Day and a Friday found rotten, each among stored neighbours."""
    monday, friday, tuesday = "2024-05-13", "2024-05-17", "2024-05-28"
    days = partition_keys(date(2024, 5, 9), date(2024, 5, 29))
    (deployment.home / "down").touch()
    deployment.run_here(days[0], days[-1])
    assert deployment.missing_and_failed(days[0], days[-1]) == days
    deployment.store([day for day in days if day not in (monday, tuesday)])
    assert deployment.missing_and_failed(days[0], days[-1]) == [monday, tuesday]
    deployment.run_here(friday, friday)
    (deployment.home / "down").unlink()

    # The hard case is there: what remains of the failed week begins on the closed days before the lone day.
    failed = {found["startTime"] for found in deployment.health()[1] if found["status"] == "FAILED"}
    assert {datetime.fromtimestamp(start, ZoneInfo(ZONE)).strftime("%a %d") for start in failed} == {
        "Sat 11",
        "Fri 17",
        "Sat 25",
    }

    wanted = deployment.missing_and_failed(days[0], days[-1])
    assert wanted == [monday, friday, tuesday]
    statuses = deployment.instance.get_status_by_partition(dg.AssetKey("probe"), days, TRADING_DAYS)
    assert [day for day in days if statuses[day].value == "FAILED"] == wanted

    backfill_id = deployment.backfill(wanted)

    def runs() -> list[dg.DagsterRun]:
        return list(deployment.instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill_id})))

    def asked() -> list[list[str]]:
        files = (deployment.home / f"{run.run_id}.asked" for run in runs())
        return sorted(json.loads(file.read_text()) for file in files if file.exists())

    def over() -> bool:
        return {*wanted} <= {day for days in asked() for day in days} and all(run.is_finished for run in runs())

    with process(
        deployment.home / "daemon.log", "dagster._daemon", "run", "-w", str(deployment.home / "workspace.yaml")
    ):
        eventually("every wanted day was asked for and the runs ended", over)
    assert asked() == [[monday], [friday], [tuesday]]
    assert deployment.missing_and_failed(days[0], days[-1]) == []


def plain(days: dg.TimeWindowPartitionsDefinition) -> dg.TimeWindowPartitionsDefinition:
    """The same days as Dagster's own object."""
    return dg.TimeWindowPartitionsDefinition(
        start=days.start_ts,
        end=days.end_ts,
        fmt=days.fmt,
        timezone=days.timezone,
        cron_schedule=days.cron_schedule,
        exclusions=days.exclusions,
    )


SPANS_OF_DAYS = [SHIPPED, Span(date(2003, 9, 10), date(2010, 12, 31)), Span(date(2024, 11, 1), date(2024, 12, 31))]


@pytest.mark.parametrize("span", SPANS_OF_DAYS, ids=str)
def test_days_that_remember_answer_as_dagsters_own(span: Span):
    ours, dagsters = trading_days(span), plain(trading_days(span))
    assert (ours == dagsters, dagsters == ours, hash(ours)) == (True, True, hash(dagsters))
    assert ours.get_serializable_unique_identifier() == dagsters.get_serializable_unique_identifier()
    keys = dagsters.get_partition_keys()
    assert partition_keys(partitions=ours) == keys[: len(partition_keys(partitions=ours))]
    asked = {*keys[:40], *keys[-40:], "2024-11-28", "2024-11-30", "1999-01-04", "2199-01-04", "2024-1-3", "no day", ""}
    valid = dagsters.filter_valid_partition_keys(asked)
    assert ours.filter_valid_partition_keys(asked) == valid
    mixed = set(keys[:3] + keys[5:30] + keys[-20:-7] + keys[-1:])
    subset, same = (days.empty_subset().with_partition_keys(mixed) for days in (ours, dagsters))
    assert subset.serialize() == same.serialize()
    assert sorted(subset.get_partition_keys()) == sorted(mixed)


@given(st.dates(date(2016, 1, 1), date(2026, 12, 31)), st.timedeltas(timedelta(0), timedelta(days=9)))
@settings(max_examples=60, deadline=None)
def test_a_window_holds_a_day_exactly_when_dagster_says_so(start: date, length: timedelta):
    ours = trading_days(SHIPPED)
    first = datetime.combine(start, datetime.min.time(), ZoneInfo(ZONE))
    window = dg.TimeWindow(first, first + length)
    assert ours.has_any_partitions_in_window(window) == plain(ours).has_any_partitions_in_window(window)


def test_what_exists_is_asked_anew_when_a_day_has_ended():
    ours = trading_days(SHIPPED)
    evening = datetime(2024, 1, 3, 21, 30, tzinfo=UTC)
    for now in (evening, evening - timedelta(days=1), evening + timedelta(days=5), evening):
        assert partition_keys(now=now, partitions=ours)[-1] == calendar.last_ended_session(now).isoformat()


def test_a_pickled_definition_comes_back_equal_and_remembers_nothing():
    ours = trading_days(SHIPPED)
    hash(ours)
    again = pickle.loads(pickle.dumps(ours))
    assert (again == ours, type(again) is type(ours), hash(again)) == (True, True, hash(ours))
    assert len(pickle.dumps(again)) == len(pickle.dumps(ours))
