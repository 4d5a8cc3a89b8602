"""Runs whose lake is in an object store: what is recorded of a day, and what a store that refuses does to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from data_assets.cli.local_run import run_range
from data_assets.lake.lake import Lake
from data_assets.sandbox.serving import SandboxTheta
from data_assets_tests.lake.conftest import bucket_url as bucket_url
from data_assets_tests.lake.conftest import s3_environment as s3_environment
from data_assets_tests.lake.conftest import s3_server
from data_assets_tests.orchestration.in_process import ASSET, InProcess, open_project

DAYS = ["2024-07-01", "2024-07-02"]
UNREAD = DAYS[1]


class Store:
    """A store that takes every file; from `closed` on it gives none back whose name holds `UNREAD`."""

    closed = False
    written_first: tuple[str, bytes] | None = None
    """An object that another host writes just before the next PUT of it."""

    def refusal(self, environ: dict[str, Any]) -> str | None:
        path = environ["PATH_INFO"].removeprefix("/")
        if environ["REQUEST_METHOD"] == "PUT" and self.written_first and self.written_first[0] == path:
            s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(*path.split("/", 1), self.written_first[1])
            self.written_first = None
        held_back = environ["REQUEST_METHOD"] == "GET" and UNREAD in environ["PATH_INFO"]
        return "403 Forbidden" if self.closed and held_back else None


@pytest.fixture(scope="module")
def store() -> Store:
    return Store()


@pytest.fixture(scope="module")
def s3_endpoint(store: Store) -> Iterator[str]:
    with s3_server(store.refusal) as endpoint:
        yield endpoint


@pytest.fixture
def project(tmp_path: Path, bucket_url: str) -> Iterator[InProcess]:
    (tmp_path / "staging").mkdir()
    with (
        SandboxTheta(contracts=8, says_synthetic=False) as theta,
        open_project(tmp_path, THETA_BASE_URL=theta.base_url, DATA_ASSETS_LAKE=bucket_url) as instance,
    ):
        yield InProcess(tmp_path, instance, ASSET, theta)


def test_a_file_that_cannot_be_read_back_does_not_keep_its_day_or_others_from_being_recorded(
    project: InProcess, store: Store, bucket_url: str
) -> None:
    store.closed = True
    try:
        run = run_range(project.instance, ASSET, DAYS[0], DAYS[-1])
    finally:
        store.closed = False

    assert project.states(DAYS) == dict.fromkeys(DAYS, "stored")
    assert f"{UNREAD}: stored, but its first rows could not be read" in project.messages(run.run_id)
    (seen,) = [each for each in project.evaluations(run.run_id) if (each.check, each.day) == ("integrity", UNREAD)]
    assert not seen.passed
    shown = {
        str(record.partition_key): record.asset_materialization.metadata
        for record in project.materializations()
        if record.asset_materialization
    }
    assert ["preview" in shown[day] for day in DAYS] == [True, False]
    assert shown[DAYS[0]]["path"].value == f"{bucket_url}/{ASSET.to_user_string()}/date={DAYS[0]}/data.parquet"


def test_a_day_that_another_host_stores_at_the_same_time_is_recorded_as_what_is_there(
    project: InProcess, store: Store, bucket_url: str
) -> None:
    day, name = date.fromisoformat(DAYS[0]), ASSET.to_user_string()
    run_range(project.instance, ASSET, DAYS[0], DAYS[0])
    lake, elsewhere = (Lake(url, synthetic=False) for url in (bucket_url, f"{bucket_url}-elsewhere"))
    rows = lake.scan(name, day, day).collect()
    order = ["symbol", "expiration", "strike", "right", "timestamp"]
    with elsewhere.writer(name, day, rows.to_arrow().schema, order) as writer:
        writer.write(rows.filter(pl.int_range(pl.len()) > 0))  # another file than ours
        others = writer.finish(lake.provenance(name, day)).publish()
    bucket, _, key = elsewhere.locate(others.path).removeprefix("s3://").partition("/")
    content = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(bucket, key).value
    store.written_first = (lake.locate(others.path).removeprefix("s3://"), content)

    run = run_range(project.instance, ASSET, DAYS[0], DAYS[0])

    assert run.success
    assert project.states(DAYS[:1]) == {DAYS[0]: "stored"}
    recorded = project.materializations()[-1].asset_materialization
    assert recorded is not None
    assert recorded.metadata["sha256"].value == others.sha256
    assert recorded.metadata["rows"].value == others.rows == rows.height - 1
    assert "another run has stored this day since this one began" in project.messages(run.run_id)


def test_a_file_beside_the_lake_is_named_by_its_own_path(bucket_url: str, tmp_path: Path) -> None:
    """The vendor's own, in the cache of this machine: their place is no part of the bucket's address."""
    for lake in (bucket_url, str(tmp_path)):
        assert Lake(lake, synthetic=False).locate("/cache/2024-07-01.csv.gz") == "/cache/2024-07-01.csv.gz"
