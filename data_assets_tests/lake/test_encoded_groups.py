"""Row groups that are encoded side by side make the file that Arrow's writer makes of them, one after another."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.lake import encoded_groups, parquet_file
from data_assets.lake.encoded_groups import MAGIC, FileFooter, RowGroupEncoder
from data_assets.lake.parquet_file import SEAL, NewParquet
from data_assets.lake.storage import open_storage
from data_assets_tests.lake.column_kinds import KINDS
from data_assets_tests.lake.lake_days import SORT_BY, pieces, quotes, temp_files

ROW_GROUP = 16
METADATA = {
    "data_assets.dataset": "theta/option_quotes/QQQ",
    "data_assets.details": '{"é": 0}',
    "data_assets.rows": "7",
}


@pytest.fixture(autouse=True)
def small_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", ROW_GROUP)
    monkeypatch.setattr(encoded_groups, "FEWEST_ROWS", 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def file_of(
    folder: Path,
    frames: Sequence[pl.DataFrame],
    sort_by: Sequence[str],
    metadata: dict[str, str] | None,
    *,
    whole_groups: bool = False,
    plain: Sequence[str] = (),
) -> bytes:
    """The bytes of a new file, sealed with ``metadata``; without any, of one that only ends."""
    schema = frames[0].to_arrow().schema
    file = NewParquet(open_storage(str(folder)), "new.parquet", schema, sort_by, whole_groups=whole_groups, plain=plain)
    try:
        for frame in frames:
            file.write(frame)
        if metadata is None:
            file.end()
        else:
            file.seal(metadata)
        written = file.path.read_bytes()
        assert file.size == len(written)
        return written
    finally:
        file.discard()


def by_one_writer(
    written: bytes,
    rows: pl.DataFrame,
    sort_by: Sequence[str],
    metadata: dict[str, str] | None,
    *,
    plain: Sequence[str] = (),
    most_rows: int = ROW_GROUP,
) -> bytes:
    """What one writer of Arrow's makes of rows as they are, with the row groups and the seal of a file."""
    footer = pq.read_metadata(io.BytesIO(written))
    schema = rows.to_arrow().schema
    out = io.BytesIO()
    order = [(column, "ascending") for column in sort_by]
    with pq.ParquetWriter(
        out,
        schema,
        compression="zstd",
        use_dictionary=[column for column in schema.names if column not in plain],
        write_page_checksum=True,
        write_batch_size=16_384,
        max_rows_per_page=most_rows,
        write_statistics=list(sort_by),
        sorting_columns=pq.SortingColumn.from_ordering(schema, order, null_placement="at_start"),
    ) as writer:
        if metadata is not None:
            writer.add_key_value_metadata({**metadata, SEAL: footer.metadata[SEAL.encode()].decode()})
        start = 0
        for group in range(footer.num_row_groups):
            size = footer.row_group(group).num_rows
            writer.write_table(rows.slice(start, size).to_arrow(), row_group_size=most_rows)
            start += size
    assert start == rows.height
    return out.getvalue()


@st.composite
def days(draw: st.DrawFn) -> tuple[list[pl.DataFrame], list[str], list[str]]:
    """Frames of some columns, the columns that they are said to be sorted by, and those that are plain."""
    names = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, unique=True))
    sort_by = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    height = draw(st.integers(0, 5 * ROW_GROUP) | st.sampled_from([ROW_GROUP, 2 * ROW_GROUP, 3 * ROW_GROUP]))
    pick = random.Random(draw(st.integers(0, 99)))
    columns = []
    for name in names:
        kind, values = KINDS[name]
        # Of an enum with nulls, Arrow takes other bounds if the rows come in other chunks: a null counts as a category.
        absent = st.nothing() if isinstance(kind, pl.Enum) and name in sort_by else st.none()
        some = draw(st.lists(absent | values, min_size=1, max_size=6))
        stretch = draw(st.sampled_from([1, 7, 40]))
        picked = [pick.choice(some) for _ in range(-(-height // stretch)) for _ in range(stretch)][:height]
        if isinstance(kind, pl.Datetime):
            picked = [value and value.replace(tzinfo=UTC) for value in picked]
        columns.append(pl.Series(name, picked, dtype=kind))
    rows = pl.DataFrame(columns)
    frames = pieces(rows, draw(st.integers(1, 3 * ROW_GROUP))) or [rows]
    return frames, sort_by, draw(st.lists(st.sampled_from(names), unique=True))


@settings(max_examples=300)
@given(days(), st.booleans(), st.sampled_from([None, METADATA]))
def test_the_file_is_that_of_one_writer(
    tmp_path_factory: pytest.TempPathFactory,
    day: tuple[list[pl.DataFrame], list[str], list[str]],
    whole_groups: bool,
    metadata: dict[str, str] | None,
) -> None:
    frames, sort_by, plain = day
    folder = tmp_path_factory.getbasetemp()
    written = file_of(folder, frames, sort_by, metadata, whole_groups=whole_groups, plain=plain)
    assert written == by_one_writer(written, pl.concat(frames), sort_by, metadata, plain=plain)


@pytest.mark.slow
def test_a_day_of_whole_row_groups_is_that_of_one_writer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", 122_880)
    day = quotes(expirations=12, strikes=50, minutes=391)
    written = file_of(folder, pieces(day, 50_001), SORT_BY, METADATA)
    assert pq.read_metadata(io.BytesIO(written)).num_row_groups == 4
    assert written == by_one_writer(written, day, SORT_BY, METADATA, most_rows=122_880)


@pytest.mark.parametrize(
    ("rows", "row_groups"),
    [(0, []), (1, [1]), (ROW_GROUP, [ROW_GROUP]), (ROW_GROUP + 1, [ROW_GROUP, 1]), (3 * ROW_GROUP, [ROW_GROUP] * 3)],
)
def test_row_groups_are_full(folder: Path, rows: int, row_groups: list[int]) -> None:
    day = quotes().head(rows)
    written = file_of(folder, [day], SORT_BY, METADATA)
    parquet = pq.ParquetFile(io.BytesIO(written), page_checksum_verification=True)
    assert [parquet.metadata.row_group(n).num_rows for n in range(parquet.num_row_groups)] == row_groups
    assert pl.DataFrame(parquet.read()).equals(day)


class Encoders:
    """Watches the encoding of row groups, and lets those in threads go on as it is told.

    Attributes:
        at_work: threads that encode now.
        most: of them at once.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.at_work = self.most = 0
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        lock, encode = threading.Lock(), RowGroupEncoder.encode

        def watched(encoder: RowGroupEncoder, rows: pl.DataFrame, metadata: dict[str, str]) -> object:
            if not threading.current_thread().name.startswith("parquet-encode"):
                return encode(encoder, rows, metadata)
            with lock:
                self.at_work += 1
                self.most = max(self.most, self.at_work)
            self.begun.release()
            assert self.may_end.acquire(timeout=60)
            try:
                return encode(encoder, rows, metadata)
            finally:
                with lock:
                    self.at_work -= 1

        patch.setattr(RowGroupEncoder, "encode", watched)


@pytest.fixture
def encoders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Encoders]:
    with monkeypatch.context() as patch:
        encoders = Encoders(patch)
        yield encoders
        encoders.may_end.release(100)


def new_file(folder: Path, encoder: Executor | None = None) -> NewParquet:
    storage = open_storage(str(folder))
    return NewParquet(storage, "new.parquet", quotes().to_arrow().schema, SORT_BY, encoder=encoder)


def test_one_row_group_is_under_way_and_who_writes_waits(folder: Path, encoders: Encoders) -> None:
    file = new_file(folder)
    day = quotes()
    writing = threading.Thread(target=file.write, args=(day,))
    writing.start()
    assert encoders.begun.acquire(timeout=60)
    writing.join(0.05)
    assert writing.is_alive()
    encoders.may_end.release(100)
    writing.join()
    file.end()
    assert encoders.most == 1
    assert pl.read_parquet(file.path).equals(day)
    file.discard()


def test_files_that_share_an_encoder_have_their_own_rows_and_leave_it_to_the_others(folder: Path) -> None:
    days = [quotes(), quotes().reverse()]
    with ThreadPoolExecutor(1) as encoder:
        given_up, *files = [new_file(folder, encoder) for _ in range(3)]
        given_up.write(days[0].head(2 * ROW_GROUP + 1))
        for start in range(0, days[0].height, ROW_GROUP):
            for file, day in zip(files, days, strict=True):
                file.write(day.slice(start, ROW_GROUP))
            given_up.discard()
        for file, day in zip(files, days, strict=True):
            file.end()
            assert pl.read_parquet(file.path).equals(day)
            file.discard()


def test_a_file_that_is_given_up_takes_no_row_group_any_more(folder: Path, encoders: Encoders) -> None:
    file = new_file(folder)
    file.write(quotes().head(ROW_GROUP + 1))
    assert encoders.begun.acquire(timeout=60)
    size = file.size
    leaving = threading.Thread(target=file.discard)
    leaving.start()
    leaving.join(0.05)
    assert leaving.is_alive()  # its thread is to end with it
    encoders.may_end.release(2)
    leaving.join()
    assert (encoders.at_work, file.size) == (0, size)
    assert temp_files(folder) == []


NUMBERS = {"size": pl.Int64(), "price": pl.Float64()}


@pytest.mark.parametrize("rows", [9, 2 * ROW_GROUP])
@pytest.mark.parametrize(
    "columns",
    [
        {"price": pl.Float64(), "size": pl.Int64()},
        {"size": pl.Int32(), "price": pl.Float64()},
        {"size": pl.Int64()},
        {"size": pl.Int64(), "price": pl.Float64(), "more": pl.Int64()},
        {"size": pl.Datetime("us", "UTC"), "price": pl.Float64()},
    ],
    ids=["another order", "another size", "one lacks", "one more", "another type"],
)
def test_rows_of_other_columns_are_refused(folder: Path, columns: dict[str, pl.DataType], rows: int) -> None:
    schema = pl.DataFrame(schema=NUMBERS).to_arrow().schema
    file = NewParquet(open_storage(str(folder)), "new.parquet", schema, ["size"])
    frame = pl.DataFrame([pl.Series(name, range(rows)).cast(kind) for name, kind in columns.items()])
    with pytest.raises(ValueError, match="schema"):  # noqa: PT012  the writer's thread says it at the next row group
        file.write(frame)
        file.end()
    file.discard()


def test_a_footer_has_the_metadata_that_the_file_ends_with() -> None:
    day = quotes().head(5)
    encoder = RowGroupEncoder(day.to_arrow().schema, SORT_BY, (), ROW_GROUP)
    footer, group = FileFooter(encoder), encoder.encode(day, {})
    footer.add(group, len(MAGIC))
    written = b"".join((MAGIC, group.data, footer.to_bytes({"day": "2024-01-03"})))
    assert pq.read_metadata(io.BytesIO(written)).metadata[b"day"] == b"2024-01-03"
    assert pl.read_parquet(io.BytesIO(written)).equals(day)


def test_what_the_encoder_says_reaches_who_writes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> object:
        raise pa.ArrowMemoryError("no memory for 1 MB")

    monkeypatch.setattr(RowGroupEncoder, "encode", failing)
    file = new_file(folder)
    file.write(quotes().head(ROW_GROUP + 1))
    with pytest.raises(pa.ArrowMemoryError, match="no memory"):
        file.end()
    file.discard()
    assert temp_files(folder) == []
