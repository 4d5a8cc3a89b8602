"""kill -9 of the real command amid a backfill of flat files: what is recorded stays, nothing is asked for twice."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random
from signal import SIGKILL

import dagster as dg
import polars as pl

from data_assets.orchestration.day_states import DayState, day_states
from data_assets.orchestration.partitions import TRADING_DAYS, partition_keys
from data_assets_tests.end_to_end.project_folder import Project, document, run_statuses, span
from data_assets_tests.vendors.polygon.flat_file_project import FlatFileProject, bucket_of, variables

DATASET = "polygon/minute_aggs"
DAYS = partition_keys()[-60:-30]
SEED = 3
KILLS = 4
MOST_READ = 5
"""Files that are read before a kill; so that there is something left to do for the last one."""


def recorded(instance: dg.DagsterInstance, name: str) -> list[str]:
    """The day of every materialization of a dataset."""
    records = instance.fetch_materializations(dg.AssetKey(name.split("/")), limit=1000).records
    return sorted(record.partition_key or "" for record in records)


def without_footer(file: Path) -> bytes:
    """The bytes of a Parquet file up to its footer, which holds the time of fetching."""
    whole = file.read_bytes()
    return whole[: -8 - int.from_bytes(whole[-8:-4], "little")]


def test_a_backfill_killed_at_random_instants_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    rng = Random(SEED)
    with bucket_of(DAYS) as bucket:
        project = Project(tmp_path / "killed", DATA_ASSETS_PROFILE="live", **variables(bucket))
        undisturbed = Project(tmp_path / "undisturbed", DATA_ASSETS_PROFILE="live", **variables(bucket))
        try:
            with project.instance() as instance:
                seen = FlatFileProject(project.folder, instance, bucket)
                at_kill: list[tuple[int, set[str]]] = []
                for _ in range(KILLS):
                    before, files = len(bucket.requests), rng.randint(1, MOST_READ)
                    command = project.start("backfill", DATASET, *span(DAYS))
                    command.wait_for(lambda before=before, files=files: len(seen.days_read(before)) >= files)
                    time.sleep(rng.uniform(0, 0.3))
                    assert command.end(SIGKILL).returncode == -SIGKILL, command.lines
                    at_kill.append((len(bucket.requests), set(recorded(instance, DATASET))))
                assert 0 < len(at_kill[-1][1]) < len(DAYS), "the kills did not meet a backfill at work"

                last = project.run("backfill", DATASET, *span(DAYS), "--json")

                assert (last.returncode, document(last)["not_stored"]) == (0, {}), last.stderr
                for requests_then, days_then in at_kill:
                    assert not days_then & set(seen.days_read(requests_then))
                assert recorded(instance, DATASET) == DAYS
                assert recorded(instance, "polygon/flat_files/minute_aggs_v1") == DAYS
                states = day_states(instance, seen.bars.asset, DAYS, TRADING_DAYS)
                assert set(states.values()) == {DayState.STORED}
                assert set(run_statuses(instance)) == {"SUCCESS", "CANCELED"}
            assert project.temp_files() == []
            assert project.run("verify", "polygon", *span(DAYS)).returncode == 0

            assert undisturbed.run("backfill", DATASET, *span(DAYS)).returncode == 0
            for day in DAYS:
                file, reference = (
                    each.lake_folder / DATASET / f"date={day}" / "data.parquet" for each in (project, undisturbed)
                )
                assert pl.read_parquet(file).equals(pl.read_parquet(reference))
                assert without_footer(file) == without_footer(reference)
                assert not (project.lake_folder / "_previous").exists()
        finally:
            project.close()
            undisturbed.close()
