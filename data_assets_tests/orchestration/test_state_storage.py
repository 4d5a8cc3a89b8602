"""Where Dagster's databases come from, and what opening them costs."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from alembic.script import Script

from data_assets_tests.orchestration.in_process import open_project


def test_a_process_reads_dagsters_migrations_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once more for each database that it opens or makes, of which there is one a run."""
    with open_project(tmp_path / "first") as instance:
        assert instance.get_runs() == []
    read = []
    monkeypatch.setattr(Script, "_from_path", lambda *place: read.append(place))

    with open_project(tmp_path / "second") as instance:
        run = dg.materialize([one_row], instance=instance)

        assert run.success
        assert len(instance.all_logs(run.run_id)) > 2
    assert read == []


@dg.asset
def one_row() -> None:
    """An asset whose run gets a database of its own."""
