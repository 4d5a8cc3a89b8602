"""What lies in deploy/: the files load as Dagster reads them, and the image's command takes a signal as process 1."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import dagster as dg
import kubernetes
import psutil
import pytest
import yaml
from dagster._grpc.client import DagsterGrpcClient
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import DagsterK8sJobConfig, construct_dagster_k8s_job

from data_assets.orchestration.celery_queues import VendorQueues, vendor_of
from data_assets.settings import known_variables
from data_assets_tests.cluster.afterwards import TIED, free_port
from data_assets_tests.cluster.deployed import DEPLOY, DOCKERFILE, exec_form, worker_command
from data_assets_tests.cluster.postgres import Postgres
from data_assets_tests.end_to_end.project_folder import SOURCES, write_project


@pytest.fixture
def history(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that the instances of deploy/ name."""
    for name, value in {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres.port),
        "PGUSER": "dagster",
        "PGPASSWORD": "none is asked for",
        "PGDATABASE": postgres.new_database().rpartition("/")[2],
        "CELERY_BROKER": "redis://127.0.0.1:1/0",
        "CELERY_BACKEND": "redis://127.0.0.1:1/1",
        "DATA_ASSETS_NAMESPACE": "market-data",
        "DATA_ASSETS_SERVICE_ACCOUNT": "dagster",
    }.items():
        monkeypatch.setenv(name, value)


def instance_of(name: str, folder: Path) -> dg.DagsterInstance:
    shutil.copy(DEPLOY / name / "dagster.yaml", folder)
    return dg.DagsterInstance.from_config(str(folder))


@pytest.mark.usefixtures("history")
def test_celerys_instance_sends_each_run_to_the_queue_of_its_vendor(tmp_path: Path) -> None:
    with instance_of("celery", tmp_path) as instance:
        launcher = instance.run_launcher

        assert isinstance(launcher, VendorQueues)
        assert launcher.celery.conf.worker_prefetch_multiplier == 1
        assert instance.get_runs() == []
        assert not launcher.supports_check_run_worker_health
        served = worker_command("every")
    from data_assets.orchestration.celery_worker import app  # reads the environment

    assert served[:4] == ["celery", "--app", "data_assets.orchestration.celery_worker", "worker"]
    assert (app.conf.broker_url, app.conf.result_backend) == (launcher.broker, launcher.backend)
    assert app.conf.worker_disable_prefetch, "a run does not wait behind another while a worker is free"
    assert {"execute_job", "resume_job"} <= app.tasks.keys()


@pytest.mark.parametrize(
    ("selected", "job", "vendor"),
    [
        (["polygon/minute_aggs", "polygon/flat_files/minute_aggs_v1"], "__ASSET_JOB", "polygon"),
        (["ib/bars_1m/AAPL", "theta/option_quotes/QQQ"], "__ASSET_JOB", None),
        ([], "look_at_ib_days_again", "ib"),
        ([], "ask_for_missing_days", None),
    ],
)
def test_the_vendor_of_a_run_is_that_of_all_it_is_of(selected: list[str], job: str, vendor: str | None) -> None:
    keys = {dg.AssetKey(name.split("/")) for name in selected}
    assert vendor_of(dg.DagsterRun(job_name=job, asset_selection=keys or None)) == vendor
    assert DAGSTER_CELERY_QUEUE_TAG == "dagster-celery/queue", "a person may set it"


@pytest.mark.usefixtures("history")
def test_the_instance_of_kubernetes_makes_a_pod_of_each_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes.config, "load_incluster_config", lambda: None)  # there is no cluster here
    with instance_of("k8s", tmp_path) as instance:
        launcher = instance.run_launcher

        assert isinstance(launcher, K8sRunLauncher)
        assert launcher.job_namespace == "market-data"
        assert instance.run_monitoring_enabled
        assert instance.get_runs() == []


def test_helm_values_make_an_instance_that_dagster_takes() -> None:
    values = yaml.safe_load((DEPLOY / "k8s" / "values.yaml").read_text())

    served = {
        each["name"]: next(entry["value"] for entry in each["env"] if entry["name"] == "DATA_ASSETS_VENDORS")
        for each in values["dagster-user-deployments"]["deployments"]
    }
    assert served == {"polygon": "polygon", "terminals": "theta,ib"}
    assert values["postgresql"]["postgresqlScheme"] == "postgresql+psycopg2"
    assert values["dagsterDaemon"]["runCoordinator"]["config"] == {"queuedRunCoordinator": {}}, "or two limits clash"
    # The chart's own values: with the instance's under additionalInstanceConfig it renders two limits of runs.
    assert values["concurrency"] == {
        "enabled": True,
        "pools": {"defaultLimit": 1, "granularity": "op"},
        "runs": {"maxConcurrentRuns": 8},
    }
    assert "additionalInstanceConfig" not in values
    names = {entry["name"] for each in values["dagster-user-deployments"]["deployments"] for entry in each["env"]}
    assert {name for name in names if name.startswith(("DATA_ASSETS_", "IB_"))} <= known_variables().keys()


def test_a_run_of_the_terminals_starts_on_their_node_with_their_settings() -> None:
    values = yaml.safe_load((DEPLOY / "k8s" / "values.yaml").read_text())
    terminals = next(each for each in values["dagster-user-deployments"]["deployments"] if each["name"] == "terminals")
    context = "DAGSTER_CLI_API_GRPC_CONTAINER_CONTEXT"
    entries = {each["name"]: each for each in terminals["env"]}

    taken = K8sContainerContext.create_from_config(json.loads(entries.pop(context)["value"]))
    config = DagsterK8sJobConfig(
        job_image="image", dagster_home="/home", postgres_password_secret=None, env_vars=[], env_config_maps=[]
    )
    job = construct_dagster_k8s_job(config, ["dagster"], "run", user_defined_k8s_config=taken.run_k8s_config)
    pod = job.spec.template.spec

    assert pod.node_selector == terminals["nodeSelector"]
    settings = {each["name"]: each.get("value") for each in entries.values()}
    started = {each.name: each for each in pod.containers[0].env}
    assert {name: started[name].value for name in settings} == settings
    assert started["IB_HOST"].value_from.field_ref.field_path == "status.hostIP"
    assert terminals["includeConfigInLaunchedRuns"] == {"enabled": False}, "the chart would set the variable, too"


def test_compose_has_every_part_and_names_only_settings_that_there_are() -> None:
    compose: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())

    services = compose["services"]
    assert services.keys() == {
        *("postgres", "redis", "objects", "bucket"),
        *("code-polygon", "code-terminals", "webserver", "daemon", "worker"),
    }
    located = {
        each["grpc_server"]["host"] for each in yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"]
    }
    assert located == {"code-polygon", "code-terminals"}
    for name, service in services.items():
        ours = {
            each
            for each in service.get("environment", {})
            if each.startswith(("DATA_ASSETS_", "THETA_", "POLYGON_", "IB_"))
        }
        assert ours <= known_variables().keys(), name
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in compose["volumes"] or (DEPLOY / source).exists(), name
    assert services["webserver"]["ports"] == ["127.0.0.1:3000:3000"], "it asks nobody for a password"


def test_the_image_holds_no_secret_runs_as_no_root_and_pins_its_base() -> None:
    steps = re.findall(r"^(\w+) (.*(?:\\\n.*)*)", DOCKERFILE, re.MULTILINE)
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()

    assert [what for name, what in steps if name == "FROM"] == [
        "python:3.13-slim-bookworm AS build",
        "python:3.13-slim-bookworm",
    ]
    names = [name for name, _ in steps]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert [what for name, what in steps if name == "USER"] == ["data_assets"]
    assert "*" in ignored
    assert "**/*.so" in ignored, "what was compiled on another machine"
    assert not any(line.startswith("!.env") and line != "!.env.example" for line in ignored)
    copied = [source for name, what in steps if name == "COPY" and "--from" not in what for source in what.split()[:-1]]
    for source in copied:
        name = source.removeprefix("./").replace("${INSTANCE}", "deploy/celery/dagster.yaml")
        assert (SOURCES / name).exists(), source
        assert f"!{name}" in ignored, source
    # Files that another image is built with by themselves, and what is a link in the package to be there as well.
    first = DOCKERFILE.index("FROM", 1 + DOCKERFILE.index("FROM "))
    built = {source for line in re.findall(r"^COPY (.*)", DOCKERFILE[:first], re.MULTILINE) for source in line.split()}
    for link in filter(Path.is_symlink, (SOURCES / "data_assets").rglob("*")):
        assert str(link.resolve().relative_to(SOURCES)) in built, f"{link} leads nowhere where the image is built"


def test_what_the_image_is_built_from_builds_the_package_with_its_compiled_code(tmp_path: Path) -> None:
    stage = DOCKERFILE[: DOCKERFILE.index("FROM", 1 + DOCKERFILE.index("FROM "))]
    compiler = stage.index("--no-install-recommends gcc libc6-dev")
    assert compiler < stage.index("/bin/pip install")
    for copied in re.findall(r"^COPY (.*) \./.*$", stage, re.MULTILINE):
        for source in copied.split():
            if (SOURCES / source).is_dir():
                left_out = shutil.ignore_patterns("__pycache__", "*.so")
                shutil.copytree(SOURCES / source, tmp_path / source, symlinks=True, ignore=left_out)
            else:
                shutil.copy(SOURCES / source, tmp_path)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    built = subprocess.run(build, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert sum(name.endswith(".so") for name in names) == sum(name.endswith(".c") for name in names) > 0


@pytest.mark.skipif(shutil.which("tini") is None, reason="needs tini")
def test_the_images_command_as_process_1_outlasts_a_standstill_and_ends_by_sigterm(tmp_path: Path) -> None:
    write_project(tmp_path)
    inside = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    refused = subprocess.run([*inside, "true"], check=False, capture_output=True, text=True).stderr
    if refused:
        pytest.skip(f"no process can be the first of a namespace here: {refused.strip()}")
    port = str(free_port())
    binaries = Path(sys.executable).parent
    # A server below another one, as of `dagster code-server start`, ends after such a silence, and stays so.
    silence = {"DAGSTER_GRPC_PROXY_HEARTBEAT_TTL_SECONDS": "2"}
    environment = {**os.environ, **silence, "DAGSTER_HOME": str(tmp_path), "PATH": f"{binaries}:{os.environ['PATH']}"}
    command = [port if word == "4000" else word for word in exec_form("ENTRYPOINT") + exec_form("CMD")]
    check = [port if word == "4000" else word for word in ("dagster", "api", "grpc-health-check", "--port", "4000")]
    outside = subprocess.Popen([*TIED, *inside, *command], cwd=tmp_path, env=environment)
    try:
        give_up = time.monotonic() + 240
        while subprocess.run([binaries / check[0], *check[1:]], env=environment, check=False, cwd=tmp_path).returncode:
            assert time.monotonic() < give_up
            assert outside.poll() is None
        (first,) = map(int, Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text().split())
        below = psutil.Process(first).children(recursive=True)
        for each in below:
            each.suspend()
        time.sleep(5)
        for each in below:
            each.resume()
        time.sleep(1)
        said = DagsterGrpcClient(port=int(port), host="127.0.0.1").list_repositories()
        assert '"ListRepositoriesResponse"' in said
        os.kill(first, signal.SIGTERM)

        assert outside.wait(120) in (0, 128 + signal.SIGTERM, -signal.SIGTERM)
    finally:
        outside.kill()
        outside.wait()
