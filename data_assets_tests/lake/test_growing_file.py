"""A file is synced and read back from its disk while it grows; what the disk spoils or refuses meanwhile is found."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import threading
from concurrent.futures import Executor, Future
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.lake import encoded_groups, growing_file, parquet_file
from data_assets.lake.errors import DiskFull, LakeError
from data_assets.lake.growing_file import GrowingFile
from data_assets.lake.lake import Lake
from data_assets_tests.lake.lake_days import DATASET, DAY, SORT_BY, provenance, quotes, temp_files

pytestmark = pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="elsewhere files are read back at their end")


PAGE = mmap.PAGESIZE


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing_file, "PIECE_BYTES", PAGE)
    monkeypatch.setattr(growing_file, "CACHED_BYTES", 1000)
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", 256)
    monkeypatch.setattr(encoded_groups, "FEWEST_ROWS", 1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("growing")


@given(sizes=st.lists(st.integers(0, 3 * PAGE), max_size=12), waits=st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_was_read_back_is_what_was_written_first(place: Path, sizes: list[int], waits: bool) -> None:
    whole = Random(sum(sizes)).randbytes(sum(sizes))
    with (place / "file").open("w+b") as file:
        growing, size = GrowingFile(file), 0
        for each in sizes:
            file.write(whole[size : size + each])
            size += each
            growing.grown(size)
            if waits and growing._piece is not None:
                growing._piece.result()
        digest, read = growing.read_back()
        file.flush()
        assert file.tell() == size  # who writes goes on where it was
    assert digest.hexdigest() == hashlib.sha256(whole[:read]).hexdigest()
    assert read == (size - size % PAGE if waits or size < 2 * PAGE else read)
    assert (read > 0) == (size >= PAGE)
    assert (place / "file").read_bytes() == whole


def test_nothing_is_read_that_was_not_synced_and_then_dropped_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, int, int]] = []
    sync, drop, read = os.fdatasync, os.posix_fadvise, os.preadv

    def noted_sync(descriptor: int) -> None:
        calls.append(("synced", os.fstat(descriptor).st_size, 0))
        sync(descriptor)

    def noted_drop(descriptor: int, start: int, length: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_DONTNEED
        calls.append(("dropped", start, length))
        drop(descriptor, start, length, advice)

    def noted_read(descriptor: int, buffers: list[memoryview], start: int) -> int:
        calls.append(("read", start, len(buffers[0])))
        return read(descriptor, buffers, start)

    monkeypatch.setattr(os, "fdatasync", noted_sync)
    monkeypatch.setattr(os, "posix_fadvise", noted_drop)
    monkeypatch.setattr(os, "preadv", noted_read)
    write_day(tmp_path)

    synced = dropped = 0
    for what, start, length in calls:
        match what:
            case "synced":
                synced = start
            case "dropped":
                assert start == dropped, "a page is left out"
                assert start % PAGE == length % PAGE == 0
                assert start + length <= synced or length == 0  # the rest of the file, which was synced as a whole
                dropped = start + length
            case "read":
                assert start + length <= dropped
    assert [what for what, *_ in calls].count("synced") > 2
    assert calls[-1] == ("dropped", dropped, 0)


def day_of_rows() -> pl.DataFrame:
    """Some 30 kB, and more than ten row groups."""
    return quotes(expirations=30, strikes=10, minutes=10)


def write_day(folder: Path, rows: pl.DataFrame | None = None) -> None:
    lake = Lake(str(folder), synthetic=True)
    rows = day_of_rows() if rows is None else rows
    with lake.writer(DATASET, DAY, rows.to_arrow().schema, SORT_BY) as writer:
        for part in rows.iter_slices(256):
            writer.write(part)
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


@pytest.mark.parametrize("when", ["first", "last", "every"])
@pytest.mark.parametrize(("number", "kind"), [(errno.EIO, LakeError), (errno.ENOSPC, DiskFull)])
def test_what_the_disk_does_not_take_while_the_file_grows_ends_the_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[LakeError], when: str
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, "fdatasync", asked.append)
    monkeypatch.setattr(growing_file, "ThreadPoolExecutor", AtOnce)
    write_day(tmp_path / "whole")
    pieces, tried = len(asked), 0

    def refuse(_descriptor: int) -> None:
        nonlocal tried
        tried += 1
        if when == "every" or tried == (1 if when == "first" else pieces):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fdatasync", refuse)
    with pytest.raises(kind):
        write_day(tmp_path / "refused")
    assert pieces > 2
    assert tried == (pieces if when == "last" else 1)
    assert temp_files(tmp_path) == []


class AtOnce(Executor):
    """Does work as it is given, so that as many pieces are under way in each run."""

    def __init__(self, *_: object) -> None:
        pass

    def submit(self, work: Any, /, *arguments: Any, **more: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*arguments, **more))
        except OSError as error:
            future.set_exception(error)
        return future


def test_rows_that_come_out_of_order_are_synced_in_their_final_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    sync = os.fdatasync

    def noted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", noted)
    monkeypatch.setattr(growing_file, "ThreadPoolExecutor", AtOnce)
    groups = day_of_rows().partition_by("expiration", maintain_order=True)
    write_day(tmp_path, pl.concat(reversed(groups)))
    assert len(synced) > 2
    assert len(set(synced)) == 1


def test_a_disk_that_is_slow_gets_larger_pieces_one_at_a_time_and_keeps_nobody_who_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, synced, sync = threading.Event(), [], os.fdatasync

    def slowly(descriptor: int) -> None:
        synced.append(descriptor)
        assert goes_on.wait(60)
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", slowly)
    with (tmp_path / "file").open("w+b") as file:
        growing = GrowingFile(file)
        for number in range(1, 11):
            file.write(bytes(PAGE))
            growing.grown(PAGE * number)
        assert len(synced) == 1
        goes_on.set()
        piece = growing._piece
        assert piece is not None
        piece.result(60)
        goes_on.clear()
        growing.grown(10 * PAGE)
        given_up, piece = piece, growing._piece
        assert piece is not None
        assert piece is not given_up
        growing.stop()
    assert not piece.done()  # the file is closed meanwhile, and its number may be another file's
    with (tmp_path / "other").open("w+b"):
        goes_on.set()
        piece.result(60)
    assert len(synced) == 2
