"""A project whose runs happen in the test's own process, against flat files over real S3.

Here: starting the bucket and the project, and reading what they hold afterwards. Not here: any expectation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg

from data_assets.cli.project import definitions
from data_assets.orchestration.asset_checks import latest_materialization
from data_assets.sandbox.flat_files.bucket import FlatFileBucket
from data_assets.sandbox.flat_files.faults import FlatFileFault
from data_assets.sandbox.flat_files.files import day_of
from data_assets.vendors.polygon.day import BARS_KEY, RAW_FOLDER, RAW_KEY
from data_assets.vendors.polygon.months import MONTHLY
from data_assets_tests.orchestration.in_process import QUIET, AssetInProcess, open_project, why_not_stored
from data_assets_tests.vendors.polygon.flat_file_fixtures import KEY_ID, SECRET
from data_assets_tests.vendors.polygon.remembered_files import RememberedFiles

TICKERS = 45
LIQUID = ("AAPL", "AMZN", "GOOGL", "IWM", "META", "MSFT", "NVDA", "QQQ", "SPY", "TSLA")
DAY_CHECKS = ("bar_count", "coverage", "integrity", "ohlc", "session_hours", "splits", "timestamps")


@dataclass(frozen=True)
class FlatFileProject:
    """A project folder, its instance, and the bucket that it reads."""

    folder: Path
    instance: dg.DagsterInstance
    bucket: FlatFileBucket

    @property
    def raw(self) -> AssetInProcess:
        """The vendor's files."""
        return self._asset(RAW_KEY)

    @property
    def bars(self) -> AssetInProcess:
        """The days' bars."""
        return self._asset(BARS_KEY)

    @property
    def months(self) -> AssetInProcess:
        """The tickers' months."""
        return self._asset(MONTHLY)

    def run(self, tags: dict[str, str], *assets: AssetInProcess) -> dg.ExecuteInProcessResult:
        """Run some assets together as the UI does: the steps of their checks with them."""
        job = definitions().resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            asset_selection=[each.asset for each in assets],
            instance=self.instance,
            tags=tags,
            raise_on_error=False,
            run_config=QUIET,
        )

    def metadata(self, asset: AssetInProcess, day: str) -> dict[str, Any]:
        """What the newest materialization of a day says."""
        record = latest_materialization(self.instance, asset.asset, day)
        assert record is not None
        assert record.asset_materialization is not None
        return {name: value.value for name, value in record.asset_materialization.metadata.items()}

    def why(self, day: str) -> tuple[str, str]:
        """Why a day's bars are not stored, as its page says."""
        return why_not_stored(self.instance, self.bars.asset, day) or ("", "")

    def raw_file(self, day: str) -> Path:
        """The vendor's file in the cache, there or not."""
        year, month, _ = day.split("-")
        return self.folder / "lake" / "live" / RAW_FOLDER / year / month / f"{day}.csv.gz"

    def days_read(self, since: int = 0) -> list[str]:
        """The day of every file that was asked for, in order, without the first `since` requests."""
        days = [day_of(request.key) for request in self.bucket.requests[since:] if request.key is not None]
        return [str(day) for day in days]

    def _asset(self, name: str) -> AssetInProcess:
        return AssetInProcess(self.folder, self.instance, dg.AssetKey(name.split("/")))


def bucket_of(days: Sequence[str], *faults: dict[str, Any], **options: Any) -> FlatFileBucket:
    """A bucket that a live project takes for the vendor's, with the files of `days`."""
    files = RememberedFiles(
        **{"tickers": TICKERS, "says_synthetic": False, **options},
        faults=tuple(FlatFileFault.model_validate(fault) for fault in faults),
    )
    return FlatFileBucket(files, days=[date.fromisoformat(day) for day in days], credentials=(KEY_ID, SECRET))


def variables(bucket: FlatFileBucket) -> dict[str, str]:
    """What a live project must be told to read `bucket`."""
    return {
        "POLYGON_S3_ENDPOINT": bucket.endpoint,
        "POLYGON_ACCESS_KEY_ID": KEY_ID,
        "POLYGON_SECRET_ACCESS_KEY": SECRET,
    }


@contextmanager
def flat_file_project(
    folder: Path, days: Sequence[str], *faults: dict[str, Any], **environment: str
) -> Iterator[FlatFileProject]:
    """A new project in `folder`, or the one that is there, with a new bucket."""
    with bucket_of(days, *faults) as bucket, project_of(folder, bucket, **environment) as project:
        yield project


@contextmanager
def project_of(folder: Path, bucket: FlatFileBucket, **environment: str) -> Iterator[FlatFileProject]:
    """A new project in `folder`, or the one that is there, as a new process would find it."""
    with open_project(folder, **{**variables(bucket), **environment}) as instance:
        yield FlatFileProject(folder, instance, bucket)
