"""The lock, and the moment between a file's creation and its lock."""

import fcntl
import threading
from pathlib import Path

import pytest

from data_assets.files import tempfiles
from data_assets_tests.lake.lake_days import temp_files


def test_a_held_file_is_spared_and_a_dropped_one_taken(tmp_path):
    path, file = tempfiles.create(tmp_path, "data.parquet")
    assert tempfiles.sweep([path]) == []
    file.close()
    assert tempfiles.sweep([path]) == [path]
    assert not path.exists()


def test_a_sweep_between_creation_and_lock_costs_only_another_try(tmp_path, monkeypatch):
    real, swept = fcntl.flock, []

    def flock(file, operation):
        if operation == fcntl.LOCK_EX and not swept:
            swept.extend(tempfiles.sweep(tempfiles.find(tmp_path)))
        real(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    path, file = tempfiles.create(tmp_path / "day", "data.parquet")
    with file:
        assert len(swept) == 1
        assert temp_files(tmp_path) == [path]
        assert tempfiles.sweep([path]) == []


@pytest.mark.parametrize("folders", [1, 8])
def test_creating_while_others_sweep(tmp_path, folders):
    """Sweeps also take away empty folders; no creation fails, and no file is taken from under its lock."""
    done = threading.Event()

    def sweep():
        while not done.is_set():
            tempfiles.sweep(tempfiles.find(tmp_path))

    sweepers = [threading.Thread(target=sweep) for _ in range(3)]
    for sweeper in sweepers:
        sweeper.start()
    try:
        for number in range(150):
            path, file = tempfiles.create(tmp_path / str(number % folders), "data.parquet")
            with file:
                file.write(b"whole")
                file.flush()
                assert path.read_bytes() == b"whole"
                tempfiles.remove(path)
    finally:
        done.set()
        for sweeper in sweepers:
            sweeper.join()
    assert temp_files(tmp_path) == []


def test_a_folder_with_other_files_stays(tmp_path):
    path, file = tempfiles.create(tmp_path / "day", "data.parquet")
    path.with_name("data.parquet").write_bytes(b"old")
    with file:
        tempfiles.remove(path)
    assert (tmp_path / "day" / "data.parquet").read_bytes() == b"old"


def test_a_folder_that_never_takes_a_file_ends_in_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "open", lambda *args, **kwargs: (tmp_path / "nothing").stat())
    with pytest.raises(FileNotFoundError):
        tempfiles.create(tmp_path, "data.parquet")
