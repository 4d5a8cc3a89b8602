"""Which folder is the project, where its state is, and what is said where there is none."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from data_assets import wiring
from data_assets.cli import main
from data_assets.lake.storage import open_storage
from data_assets.project import NoProject, SettingsError, mount_defs, project_folder, shown_state_folder, state_folder
from data_assets.settings import settings
from data_assets_tests.end_to_end.project_folder import SOURCES

PROJECT, STATE = "DATA_ASSETS_PROJECT", "DATA_ASSETS_STATE"


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes projects below the test's folder, and goes to an empty folder first."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def make(name: str, mark: str = "dagster.yaml") -> Path:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / mark).touch()
        return tmp_path / name

    return make


def test_the_first_of_name_nearest_folder_and_dagster_home(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, named = make("home"), make("named", "workspace.yaml")
    around, nearest = make("around"), make("around/nearest", "workspace.yaml")
    (nearest / "below").mkdir()

    monkeypatch.setenv("DAGSTER_HOME", str(home))
    assert project_folder() == home
    monkeypatch.chdir(around)
    assert project_folder() == around
    monkeypatch.chdir(nearest / "below")
    assert project_folder() == nearest
    monkeypatch.setenv(PROJECT, str(named))
    assert project_folder() == named


def test_no_project_is_one_line_with_the_command_that_makes_one(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Not even that of the package's own clone, in which these tests run."""
    for given in ([], ["--project", str(tmp_path / "nothing")]):
        monkeypatch.setenv(PROJECT, "")  # what the command sets is undone
        monkeypatch.setattr(sys, "argv", ["data-assets", "gaps", *given])
        with pytest.raises(SystemExit) as ended:
            main()
        (line,) = capsys.readouterr().err.splitlines()
        assert ended.value.code == 2
        assert line.startswith(f"Error: {given[1] if given else Path.cwd()}: ")
        assert "`data-assets init " in line


@pytest.mark.parametrize("place", [["--project", "p", "gaps"], ["gaps", "--project", "p"]], ids=["before", "after"])
def test_a_relative_project_is_that_of_where_the_command_was_given(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, place: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    project = make("elsewhere/p")
    (project / ".env").write_text("DATA_ASSETS_PROFILE=prod\n")
    monkeypatch.setenv(PROJECT, "")
    monkeypatch.setenv("DAGSTER_HOME", str(project))
    monkeypatch.setattr(sys, "argv", ["data-assets", *place])
    settings.cache_clear()
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("Error: DATA_ASSETS_PROFILE: "), "the settings are that project's"
    assert Path.cwd() == project


def test_the_state_is_in_the_project_unless_it_is_set(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make("project")
    monkeypatch.setenv(PROJECT, str(project))
    assert (state_folder(), shown_state_folder()) == (project / ".state", ".state")
    (project / ".env").write_text(f"{STATE}=kept/here\n")
    assert (state_folder(), shown_state_folder()) == (project / "kept" / "here", "kept/here")
    monkeypatch.setenv(STATE, "/mnt/disk")
    assert (state_folder(), shown_state_folder()) == (Path("/mnt/disk"), "/mnt/disk")


def test_state_and_caches_are_in_one_folder(make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the vendors, of a lake that is no folder, and of the calendar."""
    from data_assets.nyse_hours import _cache_file
    from data_assets.trading_calendar import FIRST_SESSION, LAST_SESSION

    project, state = make("project"), make("state")
    for name, value in {PROJECT: project, STATE: state, "DATA_ASSETS_LAKE": "s3://bucket/lake"}.items():
        monkeypatch.setenv(name, str(value))
    settings.cache_clear()
    folders = [
        wiring.state_folder(),
        wiring.raw_cache_folder(),
        open_storage("s3://bucket/lake").work_folder("a/b", "c"),
        _cache_file(FIRST_SESSION, LAST_SESSION),
    ]
    assert all(folder is not None and folder.is_relative_to(state) for folder in folders), folders
    settings.cache_clear()


def test_vendors_files_of_an_object_stores_lake_stay_where_they_are(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make("project")
    monkeypatch.setenv(PROJECT, str(project))
    monkeypatch.setenv("DATA_ASSETS_LAKE", "s3://bucket/lake")
    settings.cache_clear()
    assert wiring.raw_cache_folder() == project / ".state" / "raw" / "sandbox"
    (project / "lake" / "sandbox").mkdir(parents=True)
    assert wiring.raw_cache_folder() == project / "lake" / "sandbox"
    settings.cache_clear()


def test_a_project_named_in_its_own_settings_is_refused(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make("project")
    (project / ".env").write_text(f"{PROJECT}=/somewhere\n")
    monkeypatch.chdir(project)
    settings.cache_clear()
    with pytest.raises(SettingsError, match=f"^{PROJECT}: is set in .*set it in the environment instead"):
        settings()


def test_the_blocks_are_those_of_the_project_at_hand(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        project = make(name)
        monkeypatch.chdir(project)
        with pytest.raises(NoProject, match=f"{project}/defs: is not there"):
            mount_defs()
        (project / "defs" / name).mkdir(parents=True)
        package = sys.modules[mount_defs()]
        assert list(package.__path__) == [str(project / "defs")]
        assert __import__(f"defs.{name}").__path__ == package.__path__
    with pytest.raises(ModuleNotFoundError):
        __import__("defs.one")


@dg.job
def nothing() -> None:
    """A job of no step."""


BEFORE = """
storage: {sqlite: {base_dir: .state/storage}}
local_artifact_storage:
  {module: dagster._core.storage.root, class: LocalArtifactStorage, config: {base_dir: .state/artifacts}}
"""


def test_a_history_of_an_earlier_version_is_found_where_it_is(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make("project")
    monkeypatch.chdir(project)
    (project / "dagster.yaml").write_text(BEFORE)
    with dg.DagsterInstance.from_config(str(project)) as before:
        run = before.create_run_for_job(nothing)
    shutil.copy(SOURCES / "dagster.yaml", project)
    with dg.DagsterInstance.from_config(str(project)) as now:
        assert now.get_run_by_id(run.run_id) is not None
        assert Path(now.storage_directory()) == project / ".state" / "artifacts" / "storage"
    monkeypatch.setenv(STATE, "other")
    with dg.DagsterInstance.from_config(str(project)) as other:
        assert other.get_runs() == []
