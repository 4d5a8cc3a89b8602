"""A file is synced and read back from its disk while it grows; what the disk spoils or refuses meanwhile is found."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.lake import encoded_groups, growing_file, parquet_file
from data_assets.lake.errors import DiskFull, LakeError
from data_assets.lake.growing_file import GrowingFile
from data_assets.lake.lake import Lake
from data_assets_tests.lake.lake_days import DATASET, DAY, SORT_BY, provenance, quotes, temp_files

pytestmark = pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="elsewhere files are read back at their end")


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing_file, "PIECE_BYTES", 256)
    monkeypatch.setattr(growing_file, "_AT_ONCE", 100)
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", 16)
    monkeypatch.setattr(encoded_groups, "FEWEST_ROWS", 1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("growing")


@given(writes=st.lists(st.binary(max_size=2000), max_size=12), waits=st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_was_read_back_is_what_was_written_first(place: Path, writes: list[bytes], waits: bool) -> None:
    whole = b"".join(writes)
    with (place / "file").open("w+b") as file:
        growing, size = GrowingFile(file), 0
        for data in writes:
            file.write(data)
            size += len(data)
            growing.grown(size)
            if waits:
                growing.read_back()
        digest, read = growing.read_back()
        file.flush()
        assert file.tell() == size  # who writes goes on where it was
    assert digest.hexdigest() == hashlib.sha256(whole[:read]).hexdigest()
    assert read == 0 if size < 256 else read > 0
    assert (place / "file").read_bytes() == whole


def write_day(folder: Path) -> None:
    lake = Lake(str(folder), synthetic=True)
    with lake.writer(DATASET, DAY, quotes().to_arrow().schema, SORT_BY) as writer:
        writer.write(quotes())
        writer.finish(provenance()).publish()


def test_a_byte_that_the_disk_spoils_while_the_file_grows_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, spoilt = os.fdatasync, []

    def spoil(descriptor: int) -> None:
        sync(descriptor)
        if not spoilt:
            spoilt.append(os.pwrite(descriptor, bytes([os.pread(descriptor, 1, 40)[0] ^ 1]), 40))

    monkeypatch.setattr(os, "fdatasync", spoil)
    with pytest.raises(LakeError, match="read back after writing, its sha256 is"):
        write_day(tmp_path)
    assert spoilt
    assert temp_files(tmp_path) == []


@pytest.mark.parametrize(("number", "kind"), [(errno.EIO, LakeError), (errno.ENOSPC, DiskFull)])
def test_what_the_disk_does_not_take_while_the_file_grows_ends_the_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[LakeError]
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fdatasync", refuse)
    with pytest.raises(kind):
        write_day(tmp_path)
    assert temp_files(tmp_path) == []


def test_a_disk_that_is_slow_gets_larger_pieces_and_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, synced = threading.Event(), []

    def slowly(_descriptor: int) -> None:
        synced.append(1)
        assert goes_on.wait(60)

    monkeypatch.setattr(os, "fdatasync", slowly)
    with (tmp_path / "file").open("w+b") as file:
        growing = GrowingFile(file)
        for number in range(1, 11):
            file.write(bytes(300))
            growing.grown(300 * number)
        goes_on.set()
        assert growing.read_back()[1] == 300
        growing.grown(3000)
        assert growing.read_back()[1] == 3000
    assert len(synced) == 2
