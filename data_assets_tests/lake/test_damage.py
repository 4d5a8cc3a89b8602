"""One flipped bit, one lost byte: wherever it is, `verify` finds it."""

import errno
import os
import struct
from contextlib import suppress
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.lake.lake import Corrupt, Lake, LakeError
from data_assets_tests.lake.lake_days import DATASET, DAY, quotes, store

pytestmark = pytest.mark.slow

SEAL = b"data_assets.seal\x18\x40"


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """A lake with one day of two row groups: the lake, its file, the file's bytes and what was recorded."""
    folder = tmp_path_factory.mktemp("lake")
    lake = Lake(str(folder), synthetic=True)
    recorded = store(lake, quotes(expirations=2, strikes=80, minutes=391))
    path = folder / recorded.path
    return lake, path, path.read_bytes(), recorded


@pytest.fixture
def damaged(day):
    """Writes other bytes over the day's file, and puts the right ones back afterwards."""
    _, path, data, _ = day
    yield path.write_bytes
    path.write_bytes(data)


def flipped(data, position, bit=0):
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    return bytes(changed)


def column_chunks(path):
    metadata = pq.read_metadata(path)
    return [
        metadata.row_group(group).column(column)
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    ]


def test_the_undamaged_file_is_fine(day):
    lake, path, _, recorded = day
    assert pq.read_metadata(path).num_row_groups == 2
    lake.verify(DATASET, DAY, sha256=recorded.sha256, rows=recorded.rows)
    lake.verify(DATASET, DAY, sha256=None, rows=None)


def test_page_checksums_find_damage_in_every_column_without_a_recorded_digest(day, damaged):
    lake, path, data, _ = day
    for chunk in column_chunks(path):
        start = chunk.dictionary_page_offset
        for last in (chunk.data_page_offset - 1, start + chunk.total_compressed_size - 1):
            damaged(flipped(data, last))
            with pytest.raises(Corrupt, match="damaged"):
                lake.verify(DATASET, DAY, sha256=None, rows=None)
            with pytest.raises(Corrupt, match="damaged"):
                list(lake.batches(DATASET, DAY))


def test_what_is_read_without_a_word_is_refused_where_that_is_asked_for(day, damaged):
    """pyarrow's default, which checks no page either, shows that it is; Polars may die of some flips."""
    lake, path, data, _ = day
    right = lake.scan(DATASET, DAY, DAY, verify=True).collect()
    silent = 0
    for chunk in column_chunks(path):
        end = chunk.dictionary_page_offset + chunk.total_compressed_size
        for position in range(end - 60, end, 20):
            damaged(flipped(data, position))
            with suppress(OSError, pa.ArrowException):
                if pl.DataFrame(pq.ParquetFile(path).read()).equals(right):
                    continue  # of a short page's header not all is read
                silent += 1
            with pytest.raises(Corrupt, match=f"date={DAY}.*backfill this day again"):
                lake.scan(DATASET, DAY, DAY, verify=True)
    assert silent, "there is something to refuse"
    damaged(data)
    assert lake.scan(DATASET, DAY, DAY, verify=True).collect().equals(right)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_flipped_bit_anywhere_is_refused_where_that_is_asked_for(day, drawn):
    """Also in what the footer says, as of the tickers that were asked for: a month repeats it.

    But for the name of the seal: without it, the file is one of an earlier version, and its rows are as they were.
    """
    lake, path, data, _ = day
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    anywhere, in_footer = st.integers(0, len(data) - 1), st.integers(footer, len(data) - 1)
    position = drawn.draw((anywhere | in_footer).filter(lambda each: not 0 <= each - data.index(SEAL) < len(SEAL)))
    path.write_bytes(flipped(data, position, drawn.draw(st.integers(0, 7))))
    try:
        with pytest.raises(Corrupt):
            Lake(lake.url, synthetic=True).scan(DATASET, DAY, DAY, verify=True)
    finally:
        path.write_bytes(data)


def test_a_file_is_checked_once_and_again_when_it_was_replaced(day, damaged, monkeypatch):
    lake, _, data, _ = day
    checked = []
    monkeypatch.setattr(lake, "audit", lambda *file, **_: checked.append(file))
    damaged(data)
    for _ in range(2):
        lake.scan(DATASET, DAY, DAY, verify=True)
    assert checked == [(DATASET, DAY)]
    damaged(data)
    lake.scan(DATASET, DAY, DAY, verify=True)
    assert checked == [(DATASET, DAY)] * 2


def with_another_bound(data, packed, bound, other):
    """The bytes of a file whose footer says `other` for `bound`, each as `packed` lays it out."""
    before, footer = struct.pack(packed, bound), len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    assert before in data[footer:]
    return data[:footer] + data[footer:].replace(before, struct.pack(packed, other))


def test_bounds_that_the_rows_leave_are_damage(day, damaged):
    """A reader skips row groups by them, and no checksum covers them."""
    lake, path, data, _ = day
    damaged(data)
    chunk = next(each for each in column_chunks(path) if each.path_in_schema == "strike")
    damaged(with_another_bound(data, "<d", chunk.statistics.max, chunk.statistics.max - 50))
    missed = pl.col("strike") == chunk.statistics.max
    assert lake.scan(DATASET, DAY, DAY).filter(missed).collect().is_empty()
    with pytest.raises(Corrupt, match="other bounds of strike"):
        lake.verify(DATASET, DAY, sha256=None, rows=None)


def test_bounds_of_instants_are_looked_at_too(day, damaged):
    lake, path, data, _ = day
    damaged(data)
    chunk = next(each for each in column_chunks(path) if each.path_in_schema == "timestamp")
    damaged(with_another_bound(data, "<q", chunk.statistics.max_raw, chunk.statistics.max_raw - 1))
    with pytest.raises(Corrupt, match="other bounds of timestamp"):
        lake.verify(DATASET, DAY, sha256=None, rows=None)


@pytest.mark.parametrize("place", ["first magic", "last magic", "footer length", "footer", "metadata", "page"])
def test_a_flipped_bit_is_found_in_every_kind_of_place(day, damaged, place):
    lake, path, data, recorded = day
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    position = {
        "first magic": 1,
        "last magic": len(data) - 2,
        "footer length": len(data) - 8,
        "footer": footer + 20,
        "metadata": data.index(b"data_assets.raw_sha256") + len(b"data_assets.raw_sha256") + 8,
        "page": column_chunks(path)[7].data_page_offset + 100,
    }[place]
    damaged(flipped(data, position))
    with pytest.raises(Corrupt):
        lake.verify(DATASET, DAY, sha256=recorded.sha256, rows=recorded.rows)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_flipped_bit_is_found_anywhere(day, drawn):
    lake, path, data, recorded = day
    position = drawn.draw(st.integers(0, len(data) - 1))
    try:
        path.write_bytes(flipped(data, position, drawn.draw(st.integers(0, 7))))
        with pytest.raises(Corrupt):
            lake.verify(DATASET, DAY, sha256=recorded.sha256, rows=recorded.rows)
    finally:
        path.write_bytes(data)


@pytest.mark.parametrize("left", [0.0, 0.3, 0.99, "all but a byte"])
def test_truncation_is_found_without_a_recorded_digest(day, damaged, left):
    lake, _, data, _ = day
    damaged(data[:-1] if isinstance(left, str) else data[: int(len(data) * left)])
    for operation in (
        lambda: lake.verify(DATASET, DAY, sha256=None, rows=None),
        lambda: list(lake.batches(DATASET, DAY)),
        lambda: lake.provenance(DATASET, DAY),
    ):
        with pytest.raises(Corrupt, match="damaged"):
            operation()


def test_a_footer_that_contradicts_the_file_is_found(day, damaged):
    """Values of the footer's own metadata, changed so that the file still reads: rows, columns, kind, dataset."""
    lake, _, data, recorded = day
    for said, other in (
        (str(recorded.rows).encode(), str(recorded.rows + 1).encode()),
        (b'["strike", "double"]', b'["strike", "dooble"]'),
        (b"data_assets.synthetic\x18\x04true", b"data_assets.synthetic\x18\x04null"),
        (b"theta/option_quotes/QQQ", b"theta/option_quotes/QQX"),
    ):
        assert len(said) == len(other)
        assert data.count(said) == 1
        damaged(data.replace(said, other))
        with pytest.raises(Corrupt, match="its footer says"):
            lake.verify(DATASET, DAY, sha256=None, rows=None)


def test_a_parquet_file_of_someone_else_is_found(day, damaged, tmp_path):
    lake, _, _, _ = day
    quotes().write_parquet(tmp_path / "theirs.parquet")
    damaged((tmp_path / "theirs.parquet").read_bytes())
    with pytest.raises(Corrupt, match="no whole provenance"):
        lake.verify(DATASET, DAY, sha256=None, rows=None)


def test_the_error_says_what_to_do(day, damaged):
    lake, path, data, _ = day
    damaged(data[:100])
    with pytest.raises(Corrupt) as told:
        lake.verify(DATASET, DAY, sha256=None, rows=None)
    assert str(told.value).startswith(f"{path}: damaged (")
    assert str(told.value).endswith("backfill this day again to replace the file")
    assert "\n" not in str(told.value)


def test_what_says_nothing_of_the_file_is_no_damage(day, monkeypatch):
    """A mount that went away or forbids reading is told as such; the medium's own failure is damage."""
    lake, path, _, recorded = day

    def failing(number):
        real = Path.open

        def open_failing(self, *args, **kwargs):
            file = real(self, *args, **kwargs)
            return _FailingReader(file, number) if self == path else file

        return open_failing

    for number, kind in ((errno.ESTALE, LakeError), (errno.EIO, Corrupt)):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", failing(number))
            with pytest.raises(LakeError) as told:
                lake.verify(DATASET, DAY, sha256=recorded.sha256, rows=recorded.rows)
        assert type(told.value) is kind
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", failing(number))
            with pytest.raises(LakeError) as told:
                list(lake.batches(DATASET, DAY))
        assert type(told.value) is kind


class _FailingReader:
    """A file whose reads fail as the system makes them fail."""

    def __init__(self, file, number):
        self._file, self._number = file, number

    def read(self, size=-1):
        raise OSError(self._number, os.strerror(self._number))

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()


def a_folder(path: Path) -> None:
    path.mkdir()


def a_full_folder(path: Path) -> None:
    (path / "within").mkdir(parents=True)


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/null")  # /dev/zero would be read for ever


def a_file_for_the_folder(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("")


@pytest.mark.parametrize("put", [a_folder, a_full_folder, a_pipe, a_device, a_file_for_the_folder])
def test_something_else_in_the_place_of_a_file_is_told_at_once(tmp_path, put):
    """A pipe, too, is not waited for; and where it cannot be replaced, the advice is not to look for permissions."""
    lake = Lake(str(tmp_path), synthetic=True)
    recorded = store(lake, quotes())
    path = tmp_path / recorded.path
    path.unlink()
    put(path)
    with pytest.raises(LakeError, match=f"date={DAY}") as told:
        lake.verify(DATASET, DAY, sha256=recorded.sha256, rows=recorded.rows)
    if put in (a_pipe, a_device):
        assert "it is no file" in str(told.value)
        store(lake, quotes())
        lake.verify(DATASET, DAY, sha256=None, rows=None)
        return
    with pytest.raises(LakeError, match=r"something else lies in its place.*move it away"):
        store(lake, quotes())


def test_a_damaged_schema_is_damage_and_no_panic(tmp_path):
    """In a file without a seal; Polars panics at some of these bits, with what is no `Exception`."""
    lake = Lake(str(tmp_path), synthetic=True)
    path = tmp_path / store(lake, quotes()).path
    data = path.read_bytes().replace(SEAL[:16], b"data_assets.none")
    found = 0
    for position in range(data.index(b"ARROW:schema"), len(data)):
        path.write_bytes(flipped(data, position, bit=5))
        try:
            lake.audit(DATASET, DAY)
        except Corrupt:
            found += 1
    assert found > 100


def test_a_sealed_file_is_not_decoded_before_its_seal_is_known_to_hold(day, damaged):
    lake, _, data, _ = day
    for position in (len(data) // 3, data.index(b"ARROW:schema") + 100):
        damaged(flipped(data, position))
        with pytest.raises(Corrupt, match="not those that it was closed with"):
            lake.audit(DATASET, DAY)
