"""A file's row groups, one decoded while another is read."""

from __future__ import annotations

import errno
import io
import threading
import time
import weakref
from contextvars import ContextVar
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from data_assets.lake.errors import Corrupt, LakeError
from data_assets.lake.parquet_file import row_groups
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


def test_two_row_groups_are_decoded_ahead_by_one_thread(tmp_path: Path):
    path = written(tmp_path / "file", *DAY.iter_slices(4))
    with Watched(path) as file:
        frames = row_groups(file, str(path))
        for seen in range(1, 4):
            next(frames)
            deadline = time.monotonic() + 60
            while file.reads < seen + 2 and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(0.05)
            assert file.reads == seen + 2
        assert sum(frame.height for frame in frames) == DAY.height - 3 * 4
        assert len(file.readers) == 1, "the file has one position"


def test_a_row_group_that_was_read_is_kept_by_nobody_else(tmp_path: Path):
    path = written(tmp_path / "file", *DAY.iter_slices(8))
    gone: list[int] = []
    with path.open("rb") as file:
        frames = row_groups(file, str(path))
        while (frame := next(frames, None)) is not None:
            weakref.finalize(frame, gone.append, read_so_far := len(gone))
            del frame
            assert gone[-1:] == [read_so_far]
    assert len(gone) == len([*DAY.iter_slices(8)])


class Watched(io.FileIO):
    """A file that counts the row groups that are read; after some it is away.

    Attributes:
        reads: how many.
        readers: the threads that read them.
    """

    def __init__(self, path: Path, most: int = 1000) -> None:
        super().__init__(path)
        self.reads, self._most = 0, most
        self.readers: set[int] = set()

    def read(self, size: int | None = -1) -> bytes:  # type: ignore[override]
        if threading.current_thread().name.startswith("parquet-decode"):
            self.reads += 1
            self.readers.add(threading.get_ident())
            if self.reads > self._most:
                raise OSError(errno.EHOSTUNREACH, "no route to host")
        return super().read(size)  # type: ignore[arg-type]


def test_a_store_that_is_away_is_not_asked_for_the_row_groups_behind(tmp_path: Path):
    path = written(tmp_path / "file", *DAY.iter_slices(2))
    file = Watched(path, 3)
    with pytest.raises(LakeError, match="no route to host"):
        list(row_groups(file, str(path)))
    assert file.reads == 3 + 1


def test_a_store_is_asked_as_the_caller_has_set(tmp_path: Path):
    path = written(tmp_path / "file", *DAY.iter_slices(8))
    whose = ContextVar("whose", default="nobody's")
    whose.set("the caller's")
    seen: set[str] = set()

    class Asked(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:  # type: ignore[override]
            if threading.current_thread() is not threading.main_thread():
                seen.add(whose.get())
            return super().read(size)  # type: ignore[arg-type]

    assert pl.concat(row_groups(Asked(path), str(path))).equals(DAY)
    assert seen == {"the caller's"}


def test_an_error_comes_behind_the_row_groups_before_it(tmp_path: Path):
    path = written(tmp_path / "file", *DAY.iter_slices(8))
    frames = row_groups(Watched(path, 2), str(path))
    assert [next(frames).height, next(frames).height] == [8, 8]
    with pytest.raises(LakeError, match="no route to host"):
        next(frames)


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
