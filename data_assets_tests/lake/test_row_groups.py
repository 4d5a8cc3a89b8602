"""A file's row groups, one decoded while another is read."""

from __future__ import annotations

import errno
import io
import threading
import time
from contextvars import ContextVar
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from data_assets.lake.errors import Corrupt, LakeError
from data_assets.lake.parquet_file import DECODERS, made_of_row_groups, row_groups
from data_assets_tests.lake.lake_days import SCHEMA, quotes, widths

DAY = quotes(expirations=1)
EMPTY = DAY.clear()


def written(path: Path, *groups: pl.DataFrame) -> Path:
    schema = groups[0].to_arrow().schema if groups else SCHEMA
    with pq.ParquetWriter(path, schema, write_page_checksum=True) as writer:
        for group in groups:
            writer.write_table(group.to_arrow())
    return path


def read(path: Path) -> list[pl.DataFrame]:
    with path.open("rb") as file:
        return list(row_groups(file, str(path)))


@pytest.mark.parametrize(
    "groups",
    [
        [],
        [EMPTY],
        [DAY],
        [DAY.head(1), DAY.tail(2)],
        [EMPTY, DAY, EMPTY, EMPTY, DAY.head(1), EMPTY],
        [*widths()[0].iter_slices(16)],
    ],
    ids=["none", "an empty one", "one", "two", "empty ones between", "sizes of 32 bits"],
)
def test_each_row_group_is_as_it_was_written(tmp_path: Path, groups: list[pl.DataFrame]):
    found = read(written(tmp_path / "file", *groups))
    assert len(found) == len(groups)
    for group, frame in zip(groups, found, strict=True):
        assert frame.equals(group)
        assert frame.schema == group.schema


@pytest.mark.parametrize("end", [None, KeyboardInterrupt])
def test_whoever_reads_no_further_leaves_no_thread(tmp_path: Path, end: type[BaseException] | None):
    path = written(tmp_path / "file", *DAY.iter_slices(8))
    before = threading.active_count()
    with path.open("rb") as file:
        frames = row_groups(file, str(path))
        next(frames)
        if end is None:
            frames.close()  # type: ignore[attr-defined]
        else:
            with pytest.raises(end):
                frames.throw(end)  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_what_is_made_of_row_groups_comes_in_their_order(tmp_path: Path):
    groups = [*DAY.iter_slices(8)]
    path = written(tmp_path / "file", *groups)
    second = threading.Event()

    def height(frame: pl.DataFrame) -> int:
        if frame.equals(groups[0]):
            assert second.wait(60), "the second is made while the first is"
        elif frame.equals(groups[1]):
            second.set()
        return frame.height

    before = threading.active_count()
    with path.open("rb") as file:
        assert list(made_of_row_groups(file, str(path), height)) == [group.height for group in groups]
    assert threading.active_count() == before


def test_no_more_row_groups_are_under_way_than_threads(tmp_path: Path):
    path = written(tmp_path / "file", *DAY.iter_slices(8))
    begun: list[int] = []
    made = made_of_row_groups(path.open("rb"), str(path), lambda frame: begun.append(frame.height))
    next(made)
    time.sleep(0.1)
    assert len(begun) == 1 + DECODERS
    frames = row_groups(file := Watched(path), str(path))
    next(frames)
    time.sleep(0.1)
    assert file.reads == 1 + 1
    made.close()  # type: ignore[attr-defined]
    frames.close()  # type: ignore[attr-defined]


class Watched(io.FileIO):
    """A file that counts the row groups that are read, and notices two readers; after some it is away.

    Attributes:
        reads: how many.
    """

    def __init__(self, path: Path, most: int = 1000) -> None:
        super().__init__(path)
        self.reads, self._most, self._reader = 0, most, threading.Lock()

    def seek(self, offset: int, whence: int = 0) -> int:
        if threading.current_thread().name.startswith("parquet-decode") and whence == 0:
            assert self._reader.acquire(blocking=False), "another thread is about to read"
            time.sleep(0.001)
        return super().seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:  # type: ignore[override]
        if threading.current_thread().name.startswith("parquet-decode"):
            self.reads += 1
            self._reader.release()
            if self.reads > self._most:
                time.sleep(0.2)  # in which the next row group is begun
                raise OSError(errno.EHOSTUNREACH, "no route to host")
        return super().read(size)  # type: ignore[arg-type]


def test_one_thread_reads_at_a_time(tmp_path: Path):
    path = written(tmp_path / "file", *DAY.iter_slices(8))
    heights = list(made_of_row_groups(Watched(path), str(path), lambda frame: frame.height))
    assert sum(heights) == DAY.height


def test_a_store_that_is_away_is_not_asked_for_the_row_groups_behind(tmp_path: Path):
    path = written(tmp_path / "file", *DAY.iter_slices(2))
    file = Watched(path, 3)
    with pytest.raises(LakeError, match="no route to host"):
        list(made_of_row_groups(file, str(path), lambda frame: frame.height))
    assert file.reads == 3 + 1


def test_what_is_made_sees_what_the_caller_has_set(tmp_path: Path):
    path = written(tmp_path / "file", *DAY.iter_slices(8))
    whose = ContextVar("whose", default="nobody's")
    whose.set("the caller's")
    assert {*made_of_row_groups(path.open("rb"), str(path), lambda _: whose.get())} == {"the caller's"}


def test_an_error_of_what_is_made_is_the_callers(tmp_path: Path):
    path = written(tmp_path / "file", *DAY.iter_slices(8))

    def refuse(frame: pl.DataFrame) -> None:
        if frame.equals(DAY.slice(16, 8)):
            raise OSError(28, "no space")

    made = made_of_row_groups(path.open("rb"), str(path), refuse)
    assert (next(made), next(made)) == (None, None)
    with pytest.raises(OSError, match="no space"):
        next(made)


def test_a_file_that_is_replaced_meanwhile_is_read_to_its_end(tmp_path: Path):
    path = written(tmp_path / "file", *DAY.iter_slices(8))
    with path.open("rb") as file:
        frames = row_groups(file, str(path))
        first = next(frames)
        written(tmp_path / "other", EMPTY).replace(path)
        assert pl.concat([first, *frames]).equals(DAY)


def test_a_file_that_is_cut_meanwhile_is_damaged(tmp_path: Path):
    path = written(tmp_path / "file", *DAY.iter_slices(8))
    with path.open("r+b") as file:
        frames = row_groups(path.open("rb"), str(path))
        next(frames)
        file.truncate(10)
        with pytest.raises(Corrupt, match="damaged"):
            list(frames)


def test_bounds_that_do_not_hold_are_found_in_each_row_group(tmp_path: Path):
    path = written(tmp_path / "file", *DAY.iter_slices(20))
    data = path.read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    changed = data[:footer] + data[footer:].replace(b"QQQ", b"QQR")
    assert changed != data
    path.write_bytes(changed)
    with pytest.raises(Corrupt, match="its footer says other bounds of symbol"):
        read(path)
