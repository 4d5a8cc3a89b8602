"""Dagster's own storages, placed in the project's state folder; `dagster.yaml` names these classes.

In `dagster.yaml` a folder is relative to wherever a process was started, and a variable has no default, so it cannot
name a folder that a user may set. These three classes therefore take no configuration and ask for the project's state
folder themselves.
"""

from __future__ import annotations

from typing import Any, Self

from data_assets.ingest.state_folder import HISTORY
from data_assets.orchestration.dagster_private import (
    DagsterSqliteStorage,
    LocalArtifactStorage,
    LocalComputeLogManager,
    event_logs_directory,
    read_migrations_once,
)
from data_assets.orchestration.kept_connections import EventLog, Runs
from data_assets.project import state_folder


class RunHistory(DagsterSqliteStorage):
    """Runs, events and schedules, in SQLite; of the first two the connections are kept."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        events = EventLog(event_logs_directory(base_dir))  # first: whoever makes its database says how large pages are
        super().__init__(base_dir, inst_data)
        self._run_storage = Runs(self._run_storage._conn_string)
        self._event_log_storage = events

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing can be configured."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> Self:
        """Open it; the folder is made if it is not there."""
        read_migrations_once()
        return cls.from_local(str(state_folder() / HISTORY), inst_data)


class Artifacts(LocalArtifactStorage):
    """What runs leave beside their events."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing can be configured."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> Self:
        """Where it is; nothing is made yet."""
        return cls(str(state_folder() / "artifacts"), inst_data)


class ComputeLogs(LocalComputeLogManager):
    """What the processes of runs have printed."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing can be configured."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> Self:
        """Where they are; nothing is made yet."""
        return cls(str(state_folder() / "compute_logs"), inst_data=inst_data)
