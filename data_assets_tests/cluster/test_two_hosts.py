"""Two hosts with networks and disks of their own: Celery workers on one PostgreSQL, one redis and one object store.

The hosts are network namespaces. What they share is reached over the bridge between them, as over a real network: a
host that is killed says nothing, and one that is cut off hears nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
import sqlalchemy as sa
from moto.moto_server.werkzeug_app import create_backend_app

from data_assets.sandbox.serving import SandboxTheta
from data_assets.sandbox.tws.serving import SandboxTws
from data_assets_tests.cluster.afterwards import afterwards
from data_assets_tests.cluster.deployed import exec_form, worker_command
from data_assets_tests.cluster.hosts import Host, Network, network, redis, refusal
from data_assets_tests.cluster.postgres import Postgres
from data_assets_tests.end_to_end.project_folder import SOURCES, Project, sessions, write_project
from data_assets_tests.lake.conftest import s3_server
from data_assets_tests.orchestration.dagster_dev import DagsterDev

POLYGON = ("polygon", "minute_aggs")
PATIENCE = 300
BUCKET = "lake"
CONTRACT_DETAILS = 9
"""The number of the message that asks what a contract is, which counts for nothing."""

pytestmark = pytest.mark.timeout(900)


@dataclass
class Store:
    """An object store that counts what it is given, and can be told to be busy.

    Attributes:
        busy: whether it is, with everything.
        contested: a day that it takes only once two different files of it were offered.
        refused: how often it was busy.
        puts: how often it let a day be stored.
        offered: the digests of the files of the contested day.
    """

    busy: bool = False
    contested: str = ""
    refused: int = 0
    puts: Counter[str] = field(default_factory=Counter)
    offered: set[str] = field(default_factory=set)

    def refusal(self, environ: dict[str, Any]) -> str | None:
        if self.busy:
            self.refused += 1
            return "503 Slow Down"
        if environ["REQUEST_METHOD"] == "PUT" and (day := re.search(r"/date=([\d-]+)/", environ["PATH_INFO"])):
            if day[1] == self.contested:
                self.offered.add(environ["HTTP_X_AMZ_CONTENT_SHA256"])
                if len(self.offered) < 2:
                    return "503 Slow Down"
            self.puts[day[1]] += 1
        return None


@dataclass
class Cluster:
    """What the hosts share, and `dagster dev`, which launches."""

    net: Network
    postgres: Postgres
    store: Store
    dagster: DagsterDev
    instance: dg.DagsterInstance
    environment: dict[str, str]
    objects: Any

    def host(self, name: str, *vendors: str, inside: Sequence[str] = ()) -> Host:
        """A host whose worker serves the queues of some vendors; `inside` is put before its command."""
        host = self.net.host(name)
        write_project(host.folder / "project")
        mine = {
            "DATA_ASSETS_PROJECT": str(host.folder / "project"),
            "DATA_ASSETS_STATE": str(host.folder / "state"),
            "DAGSTER_HOME": str(host.folder / "project"),
            "TMPDIR": str(host.folder),
        }
        shutil.copy(SOURCES / "deploy" / "celery" / "dagster.yaml", host.folder / "project")
        host.worker = host.start(
            *inside,
            *worker_command(",".join(vendors)),
            *("--hostname", f"{name}@%h"),
            environment={**self.environment, **mine},
        )
        return host

    def launch(self, days: Sequence[str]) -> str:
        """What the UI launches for a range of days; returns the run's id.

        Click, and click again if the web server finds that the database has closed its connections meanwhile.
        """
        launched = ""

        def click() -> bool:
            nonlocal launched
            with suppress(AssertionError):
                launched = self.dagster.launch_run(tags, POLYGON)
            return bool(launched)

        tags = {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]}
        self.wait_for(click)
        return launched

    def recorded(self) -> Counter[str]:
        """How often each day was recorded."""
        records = self.instance.fetch_materializations(dg.AssetKey(list(POLYGON)), limit=1000).records
        return Counter(str(record.partition_key) for record in records)

    def stored(self, day: str) -> bytes:
        """The file of a day."""
        key = f"cluster/polygon/minute_aggs/date={day}/data.parquet"
        content: bytes = self.objects.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def runs(self, run_ids: Sequence[str]) -> list[dg.DagsterRun]:
        """Runs as they stand now."""
        return [run for run_id in run_ids if (run := self.instance.get_run_by_id(run_id)) is not None]

    def status(self, run_id: str) -> dg.DagsterRunStatus:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    def kept_by_runs_that_are_over(self) -> list[str]:
        """The runs that hold the vendor's account and have ended; those of the automation may hold it and work."""
        claimed = self.instance.event_log_storage.get_concurrency_info("polygon").claimed_slots
        return [run.run_id for run in self.runs([slot.run_id for slot in claimed]) if run.is_finished]

    def wait_for(self, reached: Callable[[], object]) -> None:
        """Return as soon as `reached()` is true."""
        give_up = time.monotonic() + PATIENCE
        while not reached():
            logs = [host.log.read_text()[-3000:] for host in self.net.hosts]
            assert time.monotonic() < give_up, "\n".join([*logs, self.dagster.log.read_text()[-3000:]])
            time.sleep(0.5)


@pytest.fixture(scope="module")
def cluster(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if refused := refusal():
        pytest.skip(f"no hosts can be made here: {refused}")
    folder = tmp_path_factory.mktemp("cluster")
    store = Store()
    with (
        s3_server(store.refusal, create_backend_app("s3")) as endpoint,
        redis(folder) as redis_port,
        network(folder / "hosts") as net,
        pytest.MonkeyPatch.context() as monkeypatch,
    ):
        s3_port = int(endpoint.rpartition(":")[2])
        for port in (s3_port, redis_port, postgres.port):
            net.forward(port)
        database = postgres.new_database().rpartition("/")[2]
        environment = {
            "PGHOST": net.address,
            "PGPORT": str(postgres.port),
            "PGUSER": "dagster",
            "PGPASSWORD": "none is asked for",
            "PGDATABASE": database,
            "CELERY_BROKER": f"redis://{net.address}:{redis_port}/0",
            "CELERY_BACKEND": f"redis://{net.address}:{redis_port}/1",
            "AWS_ENDPOINT_URL": f"http://{net.address}:{s3_port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "DATA_ASSETS_LAKE": f"s3://{BUCKET}/cluster",
            "DATA_ASSETS_SANDBOX_TICKERS": "45",
        }
        objects = boto3.client(
            "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="t", aws_secret_access_key="t"
        )
        objects.create_bucket(Bucket=BUCKET)
        project = Project(folder / "launcher", **environment, DATA_ASSETS_VENDORS="polygon")
        shutil.copy(SOURCES / "deploy" / "celery" / "dagster.yaml", project.folder)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        dagster = DagsterDev(project)
        with dg.DagsterInstance.from_config(str(project.folder)) as instance:
            instance.event_log_storage.set_concurrency_slots("polygon", 2)
            try:
                dagster.start()
                with afterwards('pkill -KILL --session "$1"', str(dagster.session)):
                    yield Cluster(net, postgres, store, dagster, instance, environment, objects)
            finally:
                dagster.cut_the_power()


def test_forty_days_over_two_hosts_of_which_one_is_killed(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    days = sessions("2024-01-02", 40)
    cluster.host("b", "dagster", "polygon")
    killed = cluster.host("a", "dagster", "polygon")
    runs = [cluster.launch(days[start : start + 10]) for start in range(0, 40, 10)]

    def both_at_work() -> bool:
        begun = [run for run in runs if cluster.status(run) is dg.DagsterRunStatus.STARTED]
        return len(begun) == 2 and len(cluster.recorded()) >= 4

    cluster.wait_for(both_at_work)
    at_work = {run for run in runs if cluster.status(run) is dg.DagsterRunStatus.STARTED}
    killed.kill()
    died = time.monotonic()
    recorded = set(cluster.recorded())

    cluster.wait_for(lambda: any(cluster.status(run) is dg.DagsterRunStatus.FAILURE for run in at_work))
    with capsys.disabled():
        print(f"\n  the killed host's run was ended after {time.monotonic() - died:.0f} s", end="")
    cluster.wait_for(lambda: cluster.recorded().keys() >= set(days))
    cluster.wait_for(lambda: all(run.is_finished for run in cluster.instance.get_runs()))

    assert {day: cluster.store.puts[day] for day in recorded} == dict.fromkeys(recorded, 1), "stored twice"
    cluster.wait_for(lambda: not cluster.kept_by_runs_that_are_over())
    (failed,) = [run for run in cluster.runs(runs) if not run.is_success]
    again = [run for run in cluster.instance.get_runs() if run.parent_run_id == failed.run_id]
    assert [run.is_success for run in again] == [True]


def test_what_is_away_for_a_while_costs_no_day_and_needs_nobody(cluster: Cluster) -> None:
    days = sessions("2024-03-01", 40)
    if not any(host.pids() for host in cluster.net.hosts):
        cluster.host("c", "dagster", "polygon")
    (alive,) = [host for host in cluster.net.hosts if host.pids()]
    runs = [cluster.launch(days[start : start + 10]) for start in range(0, 40, 10)]

    def recorded() -> set[str]:
        return cluster.recorded().keys() & set(days)

    def wait_for_more() -> set[str]:
        before = len(recorded())
        cluster.wait_for(lambda: len(recorded()) > before or all(each.is_finished for each in cluster.runs(runs)))
        return recorded()

    wait_for_more()
    cluster.store.busy = True
    time.sleep(60)
    cluster.store.busy = False
    assert cluster.store.refused, "nobody asked"

    wait_for_more()
    alive.cut_off()
    time.sleep(30)
    alive.reconnect()
    wait_for_more()
    assert not any(run.status is dg.DagsterRunStatus.FAILURE for run in cluster.runs(runs)), "all of that is waited for"

    settled = wait_for_more()
    cluster.postgres.stop()
    cluster.postgres.start()
    cluster.wait_for(lambda: all(run.is_finished for run in cluster.instance.get_runs()))

    assert recorded() == set(days), "a day was left for somebody to ask for again"
    assert {day: cluster.store.puts[day] for day in settled} == dict.fromkeys(settled, 1), "stored twice"
    cluster.wait_for(lambda: not cluster.kept_by_runs_that_are_over())


def test_of_two_runs_of_one_day_on_two_hosts_one_wins_whole_and_both_record_its_file(cluster: Cluster) -> None:
    (day,) = sessions("2024-06-03", 1)
    cluster.store.contested = day
    cluster.host("d", "dagster", "polygon")
    runs = [cluster.launch([day]) for _ in range(2)]

    cluster.wait_for(lambda: all(run.is_finished for run in cluster.runs(runs)))

    assert len(cluster.store.offered) == 2, "both had a file of their own"
    records = [
        record.asset_materialization.metadata["sha256"].value
        for record in cluster.instance.fetch_materializations(
            dg.AssetRecordsFilter(dg.AssetKey(list(POLYGON)), asset_partitions=[day]), limit=10
        ).records
        if record.asset_materialization
    ]
    assert [run.is_success for run in cluster.runs(runs)] == [True, True]
    assert records == [hashlib.sha256(cluster.stored(day)).hexdigest()] * 2
    said = [entry.user_message for run in runs for entry in cluster.instance.all_logs(run)]
    assert sum("another run has stored this day since this one began" in text for text in said) == 1


def test_a_container_that_is_told_to_stop_ends_what_is_in_hand_and_says_so(cluster: Cluster) -> None:
    days = sessions("2024-07-01", 40)
    for host in cluster.net.hosts:
        host.kill()
    entry = [*("unshare", "--pid", "--fork", "--mount-proc", "--kill-child"), *exec_form("ENTRYPOINT")]
    container = cluster.host("e", "dagster", "polygon", inside=entry)
    run = cluster.launch(days)
    cluster.wait_for(lambda: cluster.recorded().keys() & set(days))

    assert container.worker is not None
    children = Path(f"/proc/{container.worker.pid}/task/{container.worker.pid}/children").read_text()
    os.kill(int(children.split()[0]), signal.SIGTERM)
    container.worker.wait(PATIENCE)

    assert container.pids() == []
    assert cluster.status(run) is dg.DagsterRunStatus.CANCELED
    recorded = Counter({day: times for day, times in cluster.recorded().items() if day in days})
    assert set(recorded) < set(days), "it was told in the middle"
    assert recorded == Counter({day: 1 for day in days if cluster.store.puts[day]}), "what is stored is recorded"
    cluster.wait_for(lambda: not cluster.kept_by_runs_that_are_over())


def test_a_new_history_is_rebuilt_from_the_lake(cluster: Cluster, tmp_path: Path) -> None:
    days = sorted(day for day in cluster.recorded() if day < "2024-02")
    database = cluster.postgres.new_database().rpartition("/")[2]
    project = Project(tmp_path / "moved", **{**cluster.environment, "PGDATABASE": database})
    shutil.copy(SOURCES / "deploy" / "celery" / "dagster.yaml", project.folder)
    try:
        ended = project.run("reconcile", "polygon/minute_aggs", "--to", days[-1])
    finally:
        project.close()

    assert ended.returncode == 0, ended.stderr
    assert days
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PGDATABASE", database)
        with dg.DagsterInstance.from_config(str(project.folder)) as instance:
            assert sorted(instance.get_materialized_partitions(dg.AssetKey(list(POLYGON)))) == days


@dataclass
class OneAccount:
    """Two hosts on one history and lake of real accounts.

    Attributes:
        database: of the history.
    """

    cluster: Cluster
    hosts: list[Host]
    database: str

    def run(self, *commands: tuple[str, ...], **environment: str) -> list[int]:
        """Run a command on each at the same time; their exit codes."""
        started = []
        for host, command in zip(self.hosts, commands, strict=True):
            write_project(host.folder / "project")
            shutil.copy(SOURCES / "deploy" / "celery" / "dagster.yaml", host.folder / "project")
            mine = {
                "DATA_ASSETS_PROJECT": str(host.folder / "project"),
                "DATA_ASSETS_STATE": str(host.folder / "state"),
                "TMPDIR": str(host.folder),
                "PGDATABASE": self.database,
                "DATA_ASSETS_LAKE": f"s3://{BUCKET}/{self.database}",
                "DATA_ASSETS_PROFILE": "live",
                "DATA_ASSETS_AUTOMATION": "off",
            }
            started.append(host.start(*command, environment={**self.cluster.environment, **mine, **environment}))
        return [process.wait(PATIENCE) for process in started]

    def said(self) -> str:
        """All that the commands said."""
        return "\n".join(host.log.read_text() for host in self.hosts)


@pytest.fixture
def one_account(cluster: Cluster) -> OneAccount:
    number = len(cluster.net.hosts)
    hosts = [cluster.net.host(f"t{number + more}") for more in range(2)]
    return OneAccount(cluster, hosts, cluster.postgres.new_database().rpartition("/")[2])


@contextmanager
def one_theta(cluster: Cluster) -> Iterator[tuple[SandboxTheta, str]]:
    """A terminal that all hosts reach, and its base URL for them."""
    with SandboxTheta(contracts=40, says_synthetic=False) as theta:
        port = int(theta.base_url.split(":")[2].partition("/")[0])
        cluster.net.forward(port)
        yield theta, f"http://{cluster.net.address}:{port}/v3"


def backfill_of_quotes(first: str, last: str) -> tuple[str, ...]:
    return ("data-assets", "backfill", "theta/option_quotes/QQQ", "--from", first, "--to", last, "--yes")


def test_a_commands_run_uses_a_pool_that_another_host_makes_at_the_same_instant(
    cluster: Cluster, one_account: OneAccount, tmp_path: Path
) -> None:
    url = f"postgresql+psycopg2://dagster@127.0.0.1:{cluster.postgres.port}/{one_account.database}"
    (tmp_path / "dagster.yaml").write_text(f"storage: {{postgres: {{postgres_url: '{url}'}}}}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.event_log_storage.get_pool_limits() == []  # the tables are there from now on
    made = "INSERT INTO concurrency_limits (concurrency_key, \"limit\", using_default_limit) VALUES ('theta', 1, true)"
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    command = backfill_of_quotes("2024-01-02", "2024-01-02")
    one_account.hosts = one_account.hosts[:1]
    with one_theta(cluster) as (_, base_url), ThreadPoolExecutor(1) as thread:
        other = sa.create_engine(url)
        with other.connect() as making, other.connect() as looking:
            making.execute(sa.text(made))
            making.execute(sa.text("INSERT INTO concurrency_slots (concurrency_key, deleted) VALUES ('theta', false)"))
            ended = thread.submit(one_account.run, command, THETA_BASE_URL=base_url)
            while not looking.execute(sa.text(waits)).scalar_one():
                looking.rollback()
                assert not ended.done(), one_account.said()
            making.commit()
            assert ended.result() == [0], one_account.said()


def test_ibs_requests_of_two_hosts_stand_in_one_window(cluster: Cluster, one_account: OneAccount) -> None:
    with SandboxTws(pacing_scale=0, says_synthetic=False) as tws:
        cluster.net.forward(tws.port)
        span = ("--from", "2024-01-02", "--to", "2024-01-05", "--yes")
        ended = one_account.run(
            ("data-assets", "backfill", "ib/bars_1m/AAPL", *span),
            ("data-assets", "backfill", "ib/bars_1m/MSFT", *span),
            IB_HOST=cluster.net.address,
            IB_PORT=str(tws.port),
            IB_SECONDS_BETWEEN_REQUESTS="0.5",
            IB_MAX_REQUESTS_PER_10_MIN="1000",
        )
        asked = [
            request for request in tws.requests if request.asked is not None and request.number != CONTRACT_DETAILS
        ]
        most_open = tws.most_open
    assert ended == [0, 0], one_account.said()
    url = f"postgresql+psycopg2://dagster@127.0.0.1:{cluster.postgres.port}/{one_account.database}"
    with sa.create_engine(url).connect() as connection:
        said = connection.execute(sa.text("SELECT value FROM data_assets_shared_states")).scalar_one()
    counted = [at for at, _, key in json.loads(said)["requests"]]
    assert len(counted) == len(asked) + 1, "that one is the unknown past"
    assert len(asked) >= 10
    assert min(later - earlier for earlier, later in pairwise(counted)) >= 0.5 - 1e-6
    assert most_open == 1


def test_thetas_requests_of_two_hosts_keep_the_tiers_limit(cluster: Cluster, one_account: OneAccount) -> None:
    with one_theta(cluster) as (theta, base_url):
        ended = one_account.run(
            backfill_of_quotes("2024-01-02", "2024-01-05"),
            backfill_of_quotes("2024-01-08", "2024-01-11"),
            THETA_BASE_URL=base_url,
            THETA_MAX_CONCURRENT_REQUESTS="2",
        )
        requests = theta.requests
    assert ended == [0, 0], one_account.said()
    begun = [(request.start, 1) for request in requests]
    over = [(request.end, -1) for request in requests if request.end is not None]
    at_once = list(accumulate(change for _, change in sorted(begun + over, key=lambda each: (each[0], each[1]))))
    assert len(begun) == len(over) >= 8
    assert max(at_once) <= 2
