"""Stored days looked at again, through each vendor's own protocol: the same, revised, and worse answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from data_assets.cli.local_run import run_range
from data_assets.cli.project import datasets, definitions
from data_assets.lake.lake import Lake
from data_assets.orchestration.day_states import why_not_stored
from data_assets.sandbox.faults import Fault
from data_assets.sandbox.tws.serving import SandboxTws
from data_assets_tests.end_to_end.ib_project import AAPL, last_asked_long_ago, live_ib
from data_assets_tests.orchestration.in_process import (
    QUIET,
    AssetInProcess,
    InProcess,
    in_process_project,
    open_project,
)
from data_assets_tests.vendors.polygon.flat_file_project import FlatFileProject, flat_file_project

DAY, OTHER = "2024-07-01", "2024-07-02"


def look(project: AssetInProcess, days: dict[str, int]) -> dg.ExecuteInProcessResult:
    """Look again at stored days, as the sensor's run does."""
    vendor, name = project.asset.path[0], project.asset.to_user_string()
    job = definitions().get_repository_def().get_job(f"look_at_{vendor}_days_again")
    config = {"ops": {f"compare_{vendor}_days": {"config": {"days": {name: days}}}}, **QUIET}
    return job.execute_in_process(instance=project.instance, run_config=config, raise_on_error=False)


def seen(project: AssetInProcess, day: str = DAY) -> dict[str, Any]:
    """What the newest look at a day has left."""
    of_day = dg.AssetRecordsFilter(asset_key=project.asset, asset_partitions=[day])
    (record,) = project.instance.fetch_observations(of_day, limit=1).records
    assert record.asset_observation is not None
    return {name: value.value for name, value in record.asset_observation.metadata.items()}


def stored(project: AssetInProcess, *days: str) -> AssetInProcess:
    assert run_range(project.instance, project.asset, days[0], days[-1]).success
    return project


# --- Theta ---------------------------------------------------------------------------------------------------------


def theta_project(folder: Path, *faults: Fault) -> Any:
    return in_process_project(folder, faults=faults)


def looked_at(project: InProcess) -> InProcess:
    """Quotes are looked at only if their block says so."""
    block = project.folder / "defs/theta/option_quotes_qqq/defs.yaml"
    block.write_text(block.read_text().rstrip() + "\n  look_again: true\n")
    stored(project, DAY, OTHER)
    return project


def test_the_same_rows_are_recorded_as_seen_and_the_file_is_left_alone(tmp_path: Path) -> None:
    with theta_project(tmp_path) as project:
        looked_at(project)
        before, times = project.file(DAY).stat(), project.times_materialized()

        assert look(project, {DAY: 3, OTHER: 1}).success

        assert seen(project) == {"look": "T+3", "found": "Same", "what": seen(project)["what"]}
        assert seen(project, OTHER)["look"] == "T+1"
        after = project.file(DAY).stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert project.times_materialized() == times
        assert project.states([DAY, OTHER]) == {DAY: "stored", OTHER: "stored"}
        assert project.days_fetched().count(DAY) == 2


def test_what_differs_becomes_a_revision_with_its_difference_and_its_checks(tmp_path: Path) -> None:
    with theta_project(tmp_path, Fault(kind="revised", day=date.fromisoformat(DAY), skip=1)) as project:
        looked_at(project)
        before = pl.read_parquet(project.file(DAY))

        run = look(project, {DAY: 1})

        assert run.success
        after = pl.read_parquet(project.file(DAY))
        moved = before.filter(before["bid"].ne_missing(after["bid"])).height
        assert moved > 0
        recorded = {
            name: value.value for name, value in project.materializations()[-1].asset_materialization.metadata.items()
        }  # type: ignore[union-attr]
        for said in (recorded, seen(project)):
            assert (said["rows_added"], said["rows_removed"], said["rows_altered"]) == (0, 0, moved)
            assert said["largest_price_change"] >= 0.5
        assert (recorded["look"], recorded["rows"], seen(project)["found"]) == ("T+1", after.height, "Revised")
        previous = Lake(str(tmp_path / "lake/live"), synthetic=False).previous(
            project.asset.to_user_string(), date.fromisoformat(DAY)
        )
        assert previous is not None
        assert previous.collect().equals(before)
        assert {each.check for each in project.evaluations(run.run_id)} == set(
            datasets()[project.asset.to_user_string()].checks
        )
        assert project.states([DAY]) == {DAY: "stored"}

        assert look(project, {DAY: 3}).success
        assert seen(project)["found"] == "Same", "the revision is what is compared with from now on"


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (Fault(kind="renamed_column", skip=1), "Rejected"),
        (Fault(kind="words", skip=1), "Rejected"),
        (Fault(kind="status", status=403, skip=1), "NotEntitled"),
        (Fault(kind="one_row", skip=1), "Worse"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_an_answer_that_is_worse_changes_nothing(tmp_path: Path, fault: Fault, found: str) -> None:
    with theta_project(tmp_path, fault) as project:
        block = project.folder / "defs/theta/option_quotes_qqq/defs.yaml"
        block.write_text(block.read_text().rstrip() + "\n  look_again: true\n")
        stored(project, DAY)
        before, times = project.file(DAY).read_bytes(), project.times_materialized()

        assert look(project, {DAY: 1}).success

        said = seen(project)
        assert (said["found"], project.states([DAY])) == (found, {DAY: "stored"}), said["what"]
        assert (project.file(DAY).read_bytes(), project.times_materialized()) == (before, times)
        if found == "Worse":
            command = f"data-assets backfill {project.asset.to_user_string()} --from {DAY} --to {DAY} --only all"
            assert said["what"].endswith(command)
        assert why_not_stored(project.instance, project.asset, DAY) is None, "no attempt at the day has failed"


def test_a_look_that_breaks_off_leaves_the_grid_as_it_is(tmp_path: Path) -> None:
    with theta_project(tmp_path) as project:
        looked_at(project)
        (tmp_path / "lake").rename(tmp_path / "unplugged")

        assert not look(project, {DAY: 1}).success

        assert project.states([DAY, OTHER]) == {DAY: "stored", OTHER: "stored"}


# --- IB ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "found"), [("revised_bars", "Revised"), ("reverse_split", "Worse")])
def test_bars_that_ib_corrected_are_a_revision_and_those_of_another_scale_are_not(
    tmp_path: Path, kind: Any, found: str
) -> None:
    with (
        SandboxTws(says_synthetic=False, pacing_scale=0, faults=[Fault(kind=kind, skip=1)]) as tws,
        open_project(tmp_path, **live_ib(tws)) as instance,
    ):
        last_asked_long_ago(tmp_path)
        project = stored(AssetInProcess(tmp_path, instance, dg.AssetKey(AAPL.split("/"))), DAY)
        before = pl.read_parquet(project.file(DAY))

        last_asked_long_ago(tmp_path)  # the same request again within 15 seconds would have to wait
        assert look(project, {DAY: 30}).success

        after, said = pl.read_parquet(project.file(DAY)), seen(project)
        assert (said["look"], said["found"]) == ("T+30", found), said["what"]
        assert after.equals(before) == (found == "Worse")
        if found == "Revised":
            assert said["rows_altered"] == before.filter(before["close"] != after["close"]).height > 0
        else:
            assert "10 times" in said["what"]
            assert said["what"].endswith(
                f"1 day fetched before it, {DAY} to {DAY}, do not fit what is fetched now; "
                f"run: data-assets backfill {AAPL} --from {DAY} --to {DAY} --only all"
            )
            assert project.check_states("splits")[DAY] == "FAILED"
        assert project.states([DAY]) == {DAY: "stored"}


# --- Polygon -------------------------------------------------------------------------------------------------------


@pytest.fixture
def bars(tmp_path: Path) -> Iterator[FlatFileProject]:
    with flat_file_project(tmp_path, [DAY, OTHER]) as project:
        stored(project.bars, DAY, OTHER)
        yield project


def test_polygon_is_asked_for_the_versions_alone_and_reads_the_file_that_was_replaced(bars: FlatFileProject) -> None:
    before, times = bars.days_read(), bars.bars.times_materialized()
    assert look(bars.bars, {DAY: 1, OTHER: 1}).success
    assert (seen(bars.bars)["found"], seen(bars.bars, OTHER)["found"]) == ("Same", "Same")
    assert (bars.days_read(), bars.bars.times_materialized()) == (before, times), "a listing tells"

    bars.bucket.replace(date.fromisoformat(DAY))
    assert look(bars.bars, {DAY: 3, OTHER: 3}).success

    assert bars.days_read()[len(before) :] == [DAY]
    said, recorded = seen(bars.bars), bars.metadata(bars.bars, DAY)
    assert (said["found"], seen(bars.bars, OTHER)["found"]) == ("Revised", "Same")
    assert said["rows_altered"] == recorded["rows_altered"] > 0
    assert bars.metadata(bars.raw, DAY)["etag"] == recorded["etag"], "the vendor's new file is recorded with it"
