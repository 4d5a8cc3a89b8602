"""A disk that takes no more: a clear error, no temporary file, and the old day untouched."""

import errno
import os
import resource
from pathlib import Path

import pytest

from data_assets.lake.errors import DiskFull, LakeError, LakeUnusable
from data_assets.lake.lake import MARKER, Lake
from data_assets_tests.lake.lake_days import (
    DATASET,
    DAY,
    SCHEMA,
    SORT_BY,
    pieces,
    provenance,
    quotes,
    store,
    stored,
    temp_files,
)
from data_assets_tests.small_disk import mount

pytestmark = pytest.mark.slow

__all__ = ["mount"]

OLD = quotes(seed=1)
LARGE = quotes(expirations=6, strikes=60, minutes=391)


@pytest.fixture
def lake(tmp_path):
    lake = Lake(str(tmp_path), synthetic=True)
    store(lake, OLD)
    return lake


@pytest.fixture
def file_size_limit():
    """Lets the kernel refuse what goes beyond so many bytes of a file, as a full disk or quota does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def assert_untouched(lake, tmp_path):
    assert temp_files(tmp_path) == []
    assert stored(lake).equals(OLD)
    lake.verify(DATASET, DAY, sha256=None, rows=OLD.height)


@pytest.mark.parametrize("arrival", ["in order", "groups shuffled"])
@pytest.mark.parametrize("room", [0.02, 0.3, 0.9, 0.9999])
def test_the_kernel_takes_no_more_bytes(lake, tmp_path, file_size_limit, room, arrival):
    rows = pieces(LARGE, 60 * 2 * 391)
    frames = rows if arrival == "in order" else rows[::-1]
    size = store(Lake(str(tmp_path / "elsewhere"), synthetic=True), *frames).size
    file_size_limit(int(size * room))
    with pytest.raises(DiskFull) as told:
        store(lake, *frames)
    assert lake.locate("theta/option_quotes/QQQ/date=2024-01-03/data.parquet") in str(told.value)
    assert "DATA_ASSETS_LAKE" in str(told.value)
    assert "\n" not in str(told.value)
    assert_untouched(lake, tmp_path)


def raising(number):
    def call(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, LakeError)]
)
@pytest.mark.parametrize(("where", "call"), [(os, "fsync"), (Path, "replace"), (Path, "open")])
def test_a_system_call_fails(lake, tmp_path, monkeypatch, where, call, number, kind):
    """Network file systems tell of a full disk only at the sync, quotas sometimes at the rename."""
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as writer, monkeypatch.context() as patch:
        writer.write(quotes(seed=2))
        patch.setattr(where, call, raising(number))
        with pytest.raises(kind, match=r"data\.parquet: (no room|cannot be written)"):
            writer.finish(provenance()).publish()
    assert_untouched(lake, tmp_path)


def test_a_disk_too_full_for_the_marker(tmp_path, monkeypatch):
    lake = Lake(str(tmp_path), synthetic=True)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", raising(errno.ENOSPC))
        with pytest.raises(DiskFull, match=MARKER):
            lake.writer(DATASET, DAY, SCHEMA, SORT_BY)
    store(lake, OLD)
    assert_untouched(lake, tmp_path)


def test_a_folder_that_may_not_be_written(tmp_path):
    (tmp_path / "theta").write_text("a file where a folder should be")
    lake = Lake(str(tmp_path), synthetic=True)
    with pytest.raises(LakeError, match=r"theta: cannot be read \(Not a directory\)"):
        store(lake, OLD)


@pytest.fixture
def disk(tmp_path, mount):
    return mount(tmp_path / "disk", "size=8m,nr_inodes=100")


@pytest.fixture
def lake_on_disk(disk):
    lake = Lake(str(disk.folder / "lake"), synthetic=True)
    store(lake, OLD)
    return lake


@pytest.mark.parametrize("room", [0, 4096, 100_000])
def test_a_file_system_without_room(lake_on_disk, disk, room):
    """Full before the first byte, at the first, and in the middle of the file."""
    disk.fill(but=room)
    with pytest.raises(DiskFull, match=r"data\.parquet: no room to write it .*: 0\.. MB are free there; free") as told:
        store(lake_on_disk, *pieces(LARGE, 60 * 2 * 391))
    assert "\n" not in str(told.value)
    assert_untouched(lake_on_disk, disk.folder)
    disk.empty()
    store(lake_on_disk, LARGE)
    lake_on_disk.verify(DATASET, DAY, sha256=None, rows=LARGE.height)


@pytest.mark.parametrize("inodes", [0, 1, 2])
def test_a_file_system_without_inodes(lake_on_disk, disk, inodes):
    """There is none for the temporary file, for the folder of the day, or for the second folder above it."""
    disk.take_inodes(but=inodes)
    with pytest.raises(DiskFull, match=r"out of inodes, although \d+ MB are free: .* delete files there") as told:
        store(lake_on_disk, OLD, dataset="theta/option_quotes/SPX")
    assert "\n" not in str(told.value)
    assert_untouched(lake_on_disk, disk.folder)
    disk.empty()
    store(lake_on_disk, OLD, dataset="theta/option_quotes/SPX")


def test_a_file_system_that_is_mounted_read_only(lake_on_disk, disk):
    disk.remount("ro")
    with pytest.raises(LakeUnusable, match=r"data\.parquet: .* mounted read-only; mount it for writing") as told:
        store(lake_on_disk, LARGE)
    assert "\n" not in str(told.value)
    assert lake_on_disk.sweep() == []
    assert_untouched(lake_on_disk, disk.folder)
    disk.remount("rw")
    store(lake_on_disk, LARGE)


@pytest.mark.parametrize("room", [0, 100_000])
def test_a_full_staging_folder_of_a_bucket_is_named_and_not_the_bucket(tmp_path, mount, bucket_url, monkeypatch, room):
    lake = Lake(bucket_url, synthetic=True)
    store(lake, OLD)
    disk = mount(tmp_path / "temporary", "size=8m,nr_inodes=100")
    monkeypatch.setattr("tempfile.tempdir", str(disk.folder))
    disk.fill(but=room)
    with pytest.raises(DiskFull, match="no room for the files that are to be uploaded to the object store") as told:
        store(lake, *pieces(LARGE, 60 * 2 * 391))
    assert str(told.value).startswith(f"{disk.folder}/data_assets-{os.getuid()}")
    assert "MB are free there" in str(told.value)
    assert "TMPDIR" in str(told.value)
    assert "s3://" not in str(told.value)
    assert "DATA_ASSETS_LAKE" not in str(told.value)
    assert "\n" not in str(told.value)
    assert stored(lake).equals(OLD)
    disk.empty()
    store(lake, LARGE)
    lake.verify(DATASET, DAY, sha256=None, rows=LARGE.height)
