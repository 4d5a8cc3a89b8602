"""A project whose runs happen in the test's own process, on a real SQLite instance, against a simulated vendor.

Here: launching as the daemon, the UI and the command do, and reading what the event log holds afterwards. Not here: any
expectation.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from data_assets.cli.project import datasets, definitions
from data_assets.orchestration.day_states import day_states
from data_assets.sandbox.serving import SandboxTheta
from data_assets.settings import settings
from data_assets.vendors.ib import component as ib_component
from data_assets.vendors.ib.resets import never
from data_assets_tests.end_to_end.project_folder import write_project

ASSET = dg.AssetKey(["theta", "option_quotes", "QQQ"])
CHECKS = ("contract_set", "grid", "integrity", "quotes", "timestamps")
PARTITION, RANGE_START, RANGE_END = (
    "dagster/partition",
    "dagster/asset_partition_range_start",
    "dagster/asset_partition_range_end",
)

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def flip_a_byte(path: Path) -> None:
    """Damage a file as a bad disk does."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def why_not_stored(instance: dg.DagsterInstance, asset: dg.AssetKey, day: str) -> tuple[str, str] | None:
    """The outcome and the reason in the newest observation of a day, or None without one."""
    days = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[day])
    records = instance.fetch_observations(days, limit=1).records
    if not records:
        return None
    observation = records[0].asset_observation
    assert observation is not None
    return str(observation.metadata["outcome"].value), str(observation.metadata["reason"].value)


def of_day(day: str) -> dict[str, str]:
    """The tag of a run that the UI launches for one day."""
    return {PARTITION: day}


def of_days(first: str, last: str) -> dict[str, str]:
    """The tags of a run that a backfill launches for a range of days."""
    return {RANGE_START: first, RANGE_END: last}


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a check in the event log."""

    check: str
    day: str | None
    passed: bool
    severity: str
    summary: str | None
    judged: int | None
    """The storage id of the materialization it judged."""


@dataclass(frozen=True)
class AssetInProcess:
    """A project folder, its instance, and one of its assets."""

    folder: Path
    instance: dg.DagsterInstance
    asset: dg.AssetKey

    def materialize(self, tags: Mapping[str, str]) -> dg.ExecuteInProcessResult:
        """Run the asset as the UI and the daemon do: the asset selected, and its checks' steps with it."""
        job = definitions().resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            asset_selection=[self.asset],
            instance=self.instance,
            tags=dict(tags),
            raise_on_error=False,
            run_config=QUIET,
        )

    def execute_checks(self, names: Collection[str], tags: Mapping[str, str]) -> dg.ExecuteInProcessResult:
        """Run checks alone."""
        keys = {dg.AssetCheckKey(self.asset, name) for name in names}
        job = definitions().resolve_implicit_global_asset_job_def()
        return job.get_subset(asset_selection=set(), asset_check_selection=keys).execute_in_process(
            instance=self.instance, tags=dict(tags), raise_on_error=False, run_config=QUIET
        )

    def states(self, days: Sequence[str]) -> dict[str, str]:
        """The days as the grid shows them."""
        partitions = datasets()[self.asset.to_user_string()].partitions
        return {day: state.value for day, state in day_states(self.instance, self.asset, days, partitions).items()}

    def materializations(self) -> list[dg.EventLogRecord]:
        """All of them, oldest first."""
        return list(reversed(self.instance.fetch_materializations(self.asset, limit=1000).records))

    def times_materialized(self) -> Counter[str | None]:
        """How often each day was."""
        return Counter(record.partition_key for record in self.materializations())

    def evaluations(self, run_id: str) -> list[Evaluation]:
        """The evaluations of the asset's checks that a run recorded, in their order."""
        found = []
        for entry in self.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
            each: Any = entry.dagster_event.event_specific_data  # type: ignore[union-attr]
            if each.asset_key != self.asset:
                continue
            judged = each.target_materialization_data
            found.append(
                Evaluation(
                    each.check_name,
                    each.partition,
                    each.passed,
                    each.severity.value,
                    each.description,
                    judged and judged.storage_id,
                )
            )
        return found

    def check_states(self, name: str) -> dict[str | None, str]:
        """The state of a check by day, as the UI's partition view of it shows; None is the asset as a whole."""
        infos = self.instance.event_log_storage.get_asset_check_partition_info([dg.AssetCheckKey(self.asset, name)])
        assert len({info.partition_key for info in infos}) == len(infos)
        return {info.partition_key: info.latest_execution_status.value for info in infos}

    def messages(self, run_id: str) -> str:
        """The run's log as text."""
        return "\n".join(entry.user_message or entry.message for entry in self.instance.all_logs(run_id))

    def file(self, day: str) -> Path:
        """The file of one day, there or not."""
        return self.folder / "lake" / "live" / self.asset.to_user_string() / f"date={day}" / "data.parquet"


@dataclass(frozen=True)
class InProcess(AssetInProcess):
    """The same for option quotes, and the vendor's server."""

    theta: SandboxTheta

    def days_fetched(self) -> list[str]:
        """The day of every request for quotes that the vendor saw, in order."""
        return [
            date.fromisoformat(request.params["date"]).isoformat()
            for request in self.theta.requests
            if request.path == "/v3/option/history/quote"
        ]


@contextmanager
def open_project(folder: Path, **environment: str) -> Iterator[dg.DagsterInstance]:
    """A project in `folder` in the live profile, with more variables set; its definitions are loaded for it.

    At whatever hour the tests run, no reset of IB's servers is under way: in one, no trouble of IB's is believed.
    """
    write_project(folder)
    if not (folder / ".state").exists():
        shutil.copytree(_new_history(), folder / ".state")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in {"DAGSTER_HOME": str(folder), "DATA_ASSETS_PROFILE": "live", **environment}.items():
            patch.setenv(name, value)
        patch.setattr(ib_component, "reset_ends", never)
        _forget_settings()
        try:
            with dg.DagsterInstance.get() as instance:
                yield instance
        finally:
            _forget_settings()


@cache
def _new_history() -> Path:
    """The state folder of a project that nothing was run in: to make its databases takes five times as long."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    write_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DAGSTER_HOME", str(folder))
        with dg.DagsterInstance.get() as instance:
            assert instance.get_runs() == []
    return folder / ".state"


def _forget_settings() -> None:
    for read_once in (settings, definitions, datasets):
        read_once.cache_clear()


@contextmanager
def in_process_project(folder: Path, **sandbox: Any) -> Iterator[InProcess]:
    """A new project in `folder`; `sandbox` are options of its vendor's server."""
    options = {"contracts": 8, "says_synthetic": False, **sandbox}
    with SandboxTheta(**options) as theta, open_project(folder, THETA_BASE_URL=theta.base_url) as instance:
        yield InProcess(folder, instance, ASSET, theta)
