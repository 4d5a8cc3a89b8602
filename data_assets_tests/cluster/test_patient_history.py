"""A history whose PostgreSQL is away for a while: runs wait for it, and nothing is recorded twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.events import StepMaterializationData
from dagster_postgres.utils import DagsterPostgresException

from data_assets.ingest.waiting import Waits, run_waits
from data_assets.orchestration import patient_history
from data_assets.orchestration.patient_history import wait_for_the_history
from data_assets_tests.cluster.postgres import Postgres

ASSET = dg.AssetKey("days")

END_ONE_CONNECTION = """
CREATE SEQUENCE times;
CREATE FUNCTION end_the_connection() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('times') = 1 THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
        PERFORM pg_sleep(60);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER once BEFORE INSERT OR UPDATE ON asset_keys FOR EACH ROW EXECUTE FUNCTION end_the_connection();
"""
"""The event itself is written by then, and what belongs to it is not."""


@pytest.fixture
def instance(history_url: str, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    pools = "concurrency: {pools: {default_limit: 1}}\n"
    (tmp_path / "dagster.yaml").write_text(f"storage: {{postgres: {{postgres_url: '{history_url}'}}}}\n{pools}")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        wait_for_the_history(instance)
        wait_for_the_history(instance)
        yield instance


def record(instance: dg.DagsterInstance, run_id: str) -> None:
    """Record a day as a run does."""
    event = dg.AssetMaterialization(ASSET, partition="2024-01-03", tags={"dagster/data_version": "1"})
    run = dg.DagsterRun(job_name="j", run_id=run_id)
    entry = dg.EventLogEntry(
        error_info=None,
        level=20,
        user_message="",
        run_id=run.run_id,
        timestamp=time.time(),
        job_name=run.job_name,
        dagster_event=dg.DagsterEvent(
            event_type_value=dg.DagsterEventType.ASSET_MATERIALIZATION.value,
            job_name=run.job_name,
            event_specific_data=StepMaterializationData(event),
        ),
    )
    instance.handle_new_event(entry)


def counts(url: str) -> list[int]:
    """How often the day is in each table."""
    with sa.create_engine(url).connect() as connection:
        tables = ("event_logs", "asset_event_tags", "asset_keys")
        return [int(connection.execute(sa.text(f"SELECT count(*) FROM {name}")).scalar_one()) for name in tables]


def test_a_run_waits_for_a_database_that_restarts_and_says_so(
    postgres: Postgres, instance: dg.DagsterInstance, history_url: str
) -> None:
    waits = Waits()

    def record_in_a_run() -> None:
        run_waits.set(waits)
        record(instance, str(uuid4()))

    postgres.stop()
    with ThreadPoolExecutor() as thread:
        recorded = thread.submit(record_in_a_run)
        try:
            while not (said := waits.current()):
                assert not recorded.done()
                time.sleep(0.1)
        finally:
            postgres.start()
        recorded.result()
    assert [wait.what for wait in said] == ["the run history's database"]
    assert counts(history_url) == [1, 1, 1]


def test_a_day_is_recorded_once_whose_connection_ends_in_the_middle(
    instance: dg.DagsterInstance, history_url: str
) -> None:
    with sa.create_engine(history_url).begin() as connection:
        connection.execute(sa.text(END_ONE_CONNECTION))

    record(instance, str(uuid4()))

    assert counts(history_url) == [1, 1, 1]


def test_a_pool_that_another_host_uses_for_the_first_time_at_the_same_instant_is_there(
    instance: dg.DagsterInstance, history_url: str
) -> None:
    one = "INSERT INTO concurrency_limits (concurrency_key, \"limit\", using_default_limit) VALUES ('ib', 1, true)"
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    other = sa.create_engine(history_url)
    with ThreadPoolExecutor() as thread, other.connect() as connection, other.connect() as looking:
        connection.execute(sa.text(one))
        asked = thread.submit(instance.event_log_storage.initialize_concurrency_limit_to_default, "ib")
        while not looking.execute(sa.text(waits)).scalar_one():
            looking.rollback()
            assert not asked.done()
        connection.commit()
        asked.result()
    assert [limit.limit for limit in instance.event_log_storage.get_pool_limits()] == [1]


def test_a_database_that_stays_away_is_not_waited_for_ever(
    postgres: Postgres, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patient_history, "AWAY_SECONDS", -1.0)
    postgres.stop()
    try:
        with pytest.raises((DagsterPostgresException, sa.exc.OperationalError)):
            record(instance, str(uuid4()))
    finally:
        postgres.start()


def test_what_the_database_refuses_is_not_asked_again(instance: dg.DagsterInstance, history_url: str) -> None:
    with sa.create_engine(history_url).begin() as connection:
        connection.execute(sa.text("DROP TABLE asset_keys"))

    with pytest.raises(sa.exc.ProgrammingError):
        record(instance, str(uuid4()))
