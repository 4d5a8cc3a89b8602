"""Everything that is imported from Dagster and is not public: the place to look at when Dagster is upgraded.

A name that a new version has moved fails here, at import, and in the test of this module. The modules that import a
name say what it is for.
"""

from __future__ import annotations

from functools import cache

from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.definitions.utils import is_valid_owner
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.events import EngineEventData, RunFailureReason
from dagster._core.execution.api import create_execution_plan, execute_run
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher import LaunchRunContext
from dagster._core.loader import LoadingContext
from dagster._core.log_manager import get_log_record_metadata, has_log_record_metadata
from dagster._core.remote_origin import RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.snap import snapshot_from_execution_plan
from dagster._core.storage.event_log.base import AssetRecord
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.sql import ALEMBIC_SCRIPTS_LOCATION
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._core.storage.sqlite_storage import _event_logs_directory as event_logs_directory
from dagster._core.workspace.load import location_origins_from_yaml_paths
from dagster._time import get_current_datetime, get_current_timestamp
from dagster.components.core.component_tree import ComponentTreeException
from dagster.components.core.decl import ComponentDecl, YamlDecl

__all__ = [
    "INDEX_SHARD_NAME",
    "SQLITE_BUSY_TIMEOUT_SECONDS",
    "SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION",
    "AssetCheckEvaluationTargetMaterializationData",
    "AssetRecord",
    "ComponentDecl",
    "ComponentTreeException",
    "DagsterSqliteStorage",
    "EngineEventData",
    "InMemoryJob",
    "InstanceRef",
    "LaunchRunContext",
    "LoadingContext",
    "LocalArtifactStorage",
    "LocalComputeLogManager",
    "NoOpComputeLogManager",
    "PartitionBackfill",
    "PartitionKeyFilter",
    "RemoteJobOrigin",
    "RemoteRepositoryOrigin",
    "RunFailureReason",
    "SqliteEventLogStorage",
    "SqliteRunStorage",
    "YamlDecl",
    "create_execution_plan",
    "event_logs_directory",
    "execute_run",
    "get_and_update_asset_status_cache_value",
    "get_current_datetime",
    "get_current_timestamp",
    "get_log_record_metadata",
    "has_log_record_metadata",
    "is_valid_owner",
    "location_origins_from_yaml_paths",
    "read_migrations_once",
    "snapshot_from_execution_plan",
]


@cache
def read_migrations_once() -> None:
    """Keep what Dagster reads of its database migrations for the life of this process.

    It reads all 88 scripts for each database that it opens, and again for each that it makes, which is one a run.
    """
    read = ScriptDirectory.from_config
    kept: list[ScriptDirectory] = []

    def from_config(config: Config) -> ScriptDirectory:
        if config.get_main_option("script_location") != ALEMBIC_SCRIPTS_LOCATION:  # somebody else's
            return read(config)
        if not kept:
            kept.append(read(config))
        return kept[0]

    ScriptDirectory.from_config = staticmethod(from_config)  # type: ignore[method-assign]
