"""A real `dagster dev` in a project folder, driven through the GraphQL that the UI uses.

Here: starting and killing it, and the UI's mutations and queries. Not here: any expectation.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import psutil

from data_assets.orchestration.partitions import partition_keys
from data_assets_tests.end_to_end.project_folder import DATASET, OURS, Project

PATIENCE_SECONDS = 240
RESTARTS = "--use-legacy-code-server-behavior"
"""As `docs/operating.md` starts a service: whoever loses its code server starts another one."""

PATIENT = {
    "DAGSTER_GRPC_PROXY_HEARTBEAT_TTL_SECONDS": str(PATIENCE_SECONDS),
    "DAGSTER_GRPC_TIMEOUT_SECONDS": str(PATIENCE_SECONDS),
}
"""How long a code server lives without a sign of its only caller, and how long it may take to start a run.

On a busy machine either takes long, and a run that was not started in time has failed.
"""

LOCATION = {"repositoryLocationName": "data_assets", "repositoryName": "__repository__"}
ASSET_JOB = "__ASSET_JOB"
FINISHED = {"SUCCESS", "FAILURE", "CANCELED"}
"""How a run can have ended."""

ASSET_KEY = {"path": DATASET.split("/")}

LAUNCH_BACKFILL = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
BACKFILL = (
    """query ($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"""
)
LAUNCH_RUN = """mutation ($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
REEXECUTE = """mutation ($params: ReexecutionParams!) { launchPipelineReexecution(reexecutionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
LOADED = """{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }"""
RELOAD = """mutation { reloadWorkspace { __typename } }"""
TERMINATE = """mutation ($id: String!) { terminateRun(runId: $id) {
    __typename ... on TerminateRunFailure { message } ... on PythonError { message } } }"""
GRID = """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
    partitionStats { numMaterialized numFailed numMaterializing } } } }"""
CHECKS = """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { assetChecksOrError {
    ... on AssetChecks { checks { name partitionStatuses {
        ... on AssetCheckTimePartitionStatuses { ranges { status startKey endKey } } } } } } } } }"""


def graphql(url: str, query: str, **variables: object) -> Any:
    """The data of an answer without errors."""
    request = urllib.request.Request(
        f"{url}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
            answer = json.loads(response.read())
    except urllib.error.HTTPError as error:
        answer = json.loads(error.read())
    assert "errors" not in answer, answer["errors"]
    return answer["data"]


def has_loaded(url: str) -> bool:
    """Whether the UI answers and has loaded the code location; one that it gave up on is loaded again, as by a click.

    It gives a code server up that does not answer in time, which on a busy machine happens.
    """
    try:
        entries = graphql(url, LOADED)["workspaceOrError"]["locationEntries"]
        loaded = [(entry["locationOrLoadError"] or {}).get("__typename") for entry in entries]
        if "PythonError" in loaded:
            graphql(url, RELOAD)
        return loaded == ["RepositoryLocation"]
    except OSError:
        return False


class DagsterDev:
    """`dagster dev` in a project's folder, with DAGSTER_HOME unset as after a plain clone.

    Attributes:
        project: the project.
        log: what all of its processes have said, over restarts.
    """

    def __init__(
        self, project: Project, executables: Path = Path(sys.executable).parent, options: Sequence[str] = ()
    ) -> None:
        self.project = project
        self._options = options
        self._executables = executables
        self.log = project.folder / "dagster_dev.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""

    def start(self) -> None:
        """Start it, and return when it answers and has loaded the code location.

        A machine that stands still for half a minute makes its processes believe that the others are gone: they end, or
        never find each other again. It is then started again, as a person would.
        """
        for starts_left in (2, 1, 0):
            self._begin()
            try:
                return self.wait_for(self.has_loaded)
            except AssertionError:
                if not starts_left:
                    raise
                self.cut_the_power()

    def _begin(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        outside = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [self._executables / "dagster", "dev", *self._options, "--host", "127.0.0.1", "--port", str(port)],
                cwd=self.project.folder,
                env={**outside, **self.project.environment, **PATIENT},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._url = f"http://127.0.0.1:{port}"

    @property
    def session(self) -> int:
        """The id of the session that all of its processes are in."""
        assert self._process is not None
        return self._process.pid

    def has_loaded(self) -> bool:
        """Whether the UI answers and has loaded the code location."""
        return has_loaded(self._url)

    def end_the_code_servers(self) -> None:
        """Kill the processes that hold the project's code, as the system does where memory runs out."""
        assert self._process is not None
        below = psutil.Process(self._process.pid).children(recursive=True)
        servers = [each for each in below if each.cmdline()[2:5] == ["dagster", "api", "grpc"]]
        assert servers, [each.cmdline() for each in below]
        for each in servers:
            each.kill()
        psutil.wait_procs(servers, timeout=PATIENCE_SECONDS)

    def cut_the_power(self) -> None:
        """Kill every process of it at once, the runs' processes too."""
        if self._process is None or self._process.poll() is not None:
            return
        leader = psutil.Process(self._process.pid)
        processes = [leader, *leader.children(recursive=True)]
        for each in processes:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(processes, timeout=PATIENCE_SECONDS)
        self._process.wait()
        self._process = None

    def wait_for(self, reached: Callable[[], object]) -> None:
        """Return as soon as `reached()` is true."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            assert self._process is not None
            assert self._process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < give_up, self.log.read_text()[-4000:]
            time.sleep(0.2)

    def graphql(self, query: str, **variables: object) -> Any:
        """The data of an answer without errors."""
        return graphql(self._url, query, **variables)

    def launch_backfill(self, days: Sequence[str]) -> str:
        """What the dialog's "Launch backfill" does; returns the backfill's id."""
        params = {"assetSelection": [ASSET_KEY], "partitionNames": list(days), "fromFailure": False}
        answer = self.graphql(LAUNCH_BACKFILL, params=params)["launchPartitionBackfill"]
        return str(answer["backfillId"])

    def backfill_status(self, backfill_id: str) -> str:
        """REQUESTED, COMPLETED_SUCCESS, COMPLETED_FAILED, ..."""
        return str(self.graphql(BACKFILL, id=backfill_id)["partitionBackfillOrError"]["status"])

    def launch_run(self, tags: Mapping[str, str], asset: Sequence[str] = ASSET_KEY["path"]) -> str:
        """What "Launch 1 run" does, with the tags that name its days; returns the run's id."""
        return self._launch([{"path": list(asset)}], None, tags)

    def launch_checks(self, names: Sequence[str], tags: Mapping[str, str]) -> str:
        """Checks alone; returns the run's id."""
        return self._launch([], [{"assetKey": ASSET_KEY, "name": name} for name in names], tags)

    def _launch(self, assets: list[Any], checks: list[Any] | None, tags: Mapping[str, str]) -> str:
        selector = {**LOCATION, "pipelineName": ASSET_JOB, "assetSelection": assets}
        if checks is not None:
            selector["assetCheckSelection"] = checks
        params = {
            "selector": selector,
            "mode": "default",
            "runConfigData": "{}",
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        answer = self.graphql(LAUNCH_RUN, params=params)["launchPipelineExecution"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def launch_job(self, name: str, config: Mapping[str, Any]) -> str:
        """What the Launchpad does; returns the run's id."""
        params = {
            "selector": {**LOCATION, "pipelineName": name},
            "mode": "default",
            "runConfigData": json.dumps(config),
        }
        answer = self.graphql(LAUNCH_RUN, params=params)["launchPipelineExecution"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def reexecute(self, run_id: str) -> str:
        """What "Re-execute all" does; returns the new run's id."""
        params = {"parentRunId": run_id, "strategy": "ALL_STEPS"}
        answer = self.graphql(REEXECUTE, params=params)["launchPipelineReexecution"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def terminate(self, run_id: str) -> None:
        """What the UI's "Terminate" does."""
        answer = self.graphql(TERMINATE, id=run_id)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer

    def process_of(self, run_id: str) -> int | None:
        """The id of the process that executes a run, once the run's log says it."""
        with self.project.instance() as instance:
            events = instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
        found = re.search(r"in process \(pid: (\d+)\)", " ".join(event.message for event in events))
        return int(found[1]) if found else None

    def grid(self) -> dict[str, int]:
        """How many days are green, red and blue."""
        stats = self.graphql(GRID, key=ASSET_KEY)["assetNodeOrError"]["partitionStats"]
        return {"green": stats["numMaterialized"], "red": stats["numFailed"], "blue": stats["numMaterializing"]}

    def checks(self) -> dict[str, dict[str, str]]:
        """Check name -> day -> status, as the check's own grid shows it; of those of a day."""
        node = self.graphql(CHECKS, key=ASSET_KEY)["assetNodeOrError"]
        return {
            check["name"]: {
                day: each["status"]
                for each in check["partitionStatuses"]["ranges"]
                for day in partition_keys(date.fromisoformat(each["startKey"]), date.fromisoformat(each["endKey"]))
            }
            for check in node["assetChecksOrError"]["checks"]
            if check["partitionStatuses"] is not None
        }


def shorten_waits(dagster_yaml: Path) -> None:
    """The project's own configuration, but for the pause before a dead run's slot is given back."""
    text = dagster_yaml.read_text()
    for wait in ("poll_interval_seconds", "free_slots_after_run_end_seconds"):
        assert f"{wait}: 30" in text
        text = text.replace(f"{wait}: 30", f"{wait}: 3")
    dagster_yaml.write_text(text)
