"""Whatever order rows arrive in, the file is the sorted one, bit for bit, with its checks declared."""

import errno
import gc
import os
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.files import tempfiles
from data_assets.lake import parquet_file, writer
from data_assets.lake.lake import Lake, LakeError
from data_assets.lake.layout import partition_path
from data_assets_tests.lake.lake_days import (
    COLUMNS,
    DATASET,
    DAY,
    SCHEMA,
    SORT_BY,
    pieces,
    provenance,
    python_path,
    quotes,
    store,
    stored,
    temp_files,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path), synthetic=True)


def stop_the_clock(patch):
    """So that two files differ only if their rows do: a file says when it was written."""
    patch.setattr(writer, "utc_now", lambda: datetime(2024, 1, 4, 3, tzinfo=UTC))


@contextmanager
def row_groups_of_16():
    """So that small frames take every path of large ones; without syncs, which cost time and are proven elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        stop_the_clock(patch)
        for module in (parquet_file, writer):
            patch.setattr(module, "ROW_GROUP_ROWS", 16)
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def small_row_groups():
    with row_groups_of_16():
        yield


def parquet(lake):
    return pq.ParquetFile(lake.locate(partition_path(DATASET, DAY)))


def in_frames(rows, cuts):
    borders = [0, *sorted(cuts), rows.height]
    return [rows.slice(a, b - a) for a, b in pairwise(borders)]


DAY_ROWS = quotes(expirations=5, strikes=2, minutes=3)


@st.composite
def arrivals(draw):
    """The same 60 rows, in any frames: in order, groups or contracts shuffled whole, cut and interleaved, in any order.

    Or each contract in its place, with its times in any order.
    """
    kind = draw(st.sampled_from(["in order", "groups", "contracts", "times", "chunks", "rows"]))
    rows = DAY_ROWS.with_row_index("i")
    if kind == "groups":
        rows = pl.concat(draw(st.permutations(rows.partition_by("expiration"))))
    elif kind == "contracts":
        rows = pl.concat(draw(st.permutations(rows.partition_by(SORT_BY[:-1]))))
    elif kind == "times":
        contracts = rows.partition_by(SORT_BY[:-1])
        rows = pl.concat(contract[draw(st.permutations(range(contract.height)))] for contract in contracts)
    elif kind == "chunks":
        rows = pl.concat(draw(st.permutations(pieces(rows, draw(st.integers(1, 20))))))
    elif kind == "rows":
        rows = rows[draw(st.permutations(range(rows.height)))]
    cuts = draw(st.lists(st.integers(0, rows.height), max_size=8))
    return in_frames(rows.drop("i"), cuts)


@pytest.fixture(scope="module")
def file_in_order(tmp_path_factory):
    """A lake, and the file that the day gives when it arrives in order."""
    lake = Lake(str(tmp_path_factory.mktemp("lake")), synthetic=True)
    with row_groups_of_16():
        return lake, store(lake, DAY_ROWS)


@given(arrivals())
@settings(max_examples=150, deadline=None)
def test_any_order_of_arrival_gives_the_same_file(file_in_order, frames):
    lake, file = file_in_order
    with row_groups_of_16():
        assert store(lake, *frames) == file
    assert stored(lake).equals(DAY_ROWS)


def test_a_day_of_many_row_groups(lake, tmp_path, monkeypatch):
    stop_the_clock(monkeypatch)
    day = quotes(expirations=9, strikes=50, minutes=391)
    in_order = store(lake, *pieces(day, 50_001))
    groups = parquet(lake).metadata
    sizes = [groups.row_group(n).num_rows for n in range(groups.num_row_groups)]
    assert sizes == [122_880, 122_880, day.height - 2 * 122_880]
    lake.verify(DATASET, DAY, sha256=in_order.sha256, rows=day.height)
    for shuffled in (
        pl.concat(reversed(day.partition_by("expiration"))),
        day.sample(fraction=1, shuffle=True, seed=3),
    ):
        assert store(lake, *pieces(shuffled, 40_003)) == in_order
    assert stored(lake).equals(day)
    assert temp_files(tmp_path) == []


@pytest.mark.parametrize("size", [1, 7, 12, 13, 60])
def test_groups_that_come_in_order_are_written_once(lake, small_row_groups, monkeypatch, tmp_path, size):
    """Rows may be in any order within their groups; a second file is made only where groups come back."""
    real, made = tempfiles.create, []
    monkeypatch.setattr(tempfiles, "create", lambda folder, name: made.append(name) or real(folder, name))
    rows = DAY_ROWS.sort("expiration", pl.col("ask"))
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as day_writer:
        made.clear()
        for frame in pieces(rows, size):
            day_writer.write(frame)
        day_writer.finish(provenance()).publish()
    assert made == ["theta_option_quotes_QQQ_date=2024-01-03_data.parquet"]
    assert stored(lake).equals(DAY_ROWS)


def test_a_group_that_is_said_to_have_ended_does_not_wait_for_the_next(lake, small_row_groups, monkeypatch):
    written = []
    write = parquet_file.NewParquet.write
    monkeypatch.setattr(
        parquet_file.NewParquet, "write", lambda file, rows: written.append(rows.height) or write(file, rows)
    )
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as day_writer:
        day_writer.end_group()
        ended = []
        day = quotes(expirations=3, strikes=4, minutes=3)
        for group in day.partition_by("expiration"):
            day_writer.write(group)
            day_writer.end_group()
            ended.append(sum(written))
        day_writer.finish(provenance()).publish()
    assert ended == [24, 48, 72]
    assert stored(lake).equals(day)


def test_a_group_that_goes_on_after_all_is_put_in_order(lake, small_row_groups):
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as day_writer:
        for rows in (DAY_ROWS.slice(0, 20), DAY_ROWS.slice(20)):
            day_writer.write(rows)
            day_writer.end_group()
        day_writer.finish(provenance()).publish()
    assert stored(lake).equals(DAY_ROWS)


class Encoder(ThreadPoolExecutor):
    """The thread that encodes, and how often it was asked to."""

    def __init__(self):
        super().__init__(1)
        self.asked = 0

    def submit(self, *work):
        self.asked += 1
        return super().submit(*work)


@pytest.mark.parametrize(("rows", "before"), [(12, 0), (16, 0), (17, 2), (60, 4)])
@pytest.mark.parametrize("arrive", ["in order", "shuffled"])
def test_the_last_rows_are_encoded_before_the_end_and_to_the_same_file(lake, small_row_groups, rows, before, arrive):
    day = DAY_ROWS.head(rows)
    frames = pieces(day if arrive == "in order" else day.sample(fraction=1, shuffle=True, seed=5), 10)
    as_before = store(lake, *frames)
    with Encoder() as encoder, lake.writer(DATASET, DAY, SCHEMA, SORT_BY, encoder=encoder) as day_writer:
        for frame in frames:
            day_writer.write(frame)
        day_writer.end_rows()
        asked = encoder.asked
        assert day_writer.finish(provenance()).publish() == as_before
    assert stored(lake).equals(day)
    if arrive == "in order":
        assert asked == before, "an only row group waits for what the footer says"


def test_row_groups_span_groups(lake, small_row_groups):
    store(lake, *DAY_ROWS.partition_by("expiration"))
    groups = parquet(lake).metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [16, 16, 16, 12]


def test_the_footer_declares_what_holds(lake):
    store(lake, quotes())
    group = parquet(lake).metadata.row_group(0)
    assert [
        (group.column(c.column_index).path_in_schema, c.descending, c.nulls_first) for c in group.sorting_columns
    ] == [(name, False, True) for name in SORT_BY]
    assert {group.column(n).compression for n in range(group.num_columns)} == {"ZSTD"}
    assert all(group.column(n).has_dictionary_page for n in range(group.num_columns))


def test_call_sorts_before_put_for_every_reader(lake):
    store(lake, quotes().sort("right", descending=True))
    statistics = parquet(lake).metadata.row_group(0).column(3).statistics
    assert (statistics.min, statistics.max) == ("CALL", "PUT")
    assert stored(lake)["right"].head(6).to_list() == ["CALL"] * 5 + ["PUT"]


@pytest.mark.parametrize("in_order", [True, False])
def test_values_are_not_altered(lake, in_order):
    """Empty quotes, negative zero, the extremes of every type and absent values come back bit for bit."""
    base = quotes(expirations=2, strikes=2, minutes=5)
    odd = [
        0.0,
        -0.0,
        5e-324,
        1.7976931348623157e308,
        -1.7976931348623157e308,
        0.1 + 0.2,
        float("inf"),
        1e-9,
        100.005,
        None,
    ]
    ints = [0, -1, 2**31 - 1, -(2**31), None, 1, 2, 3, 4, 5]
    day = base.with_columns(
        pl.Series("bid", odd * 4, dtype=pl.Float64),
        pl.Series("ask", list(reversed(odd)) * 4, dtype=pl.Float64),
        pl.Series("bid_size", ints * 4, dtype=pl.Int32),
        pl.Series("ask_condition", [0, -1, 2**15 - 1, -(2**15), None, 50, 50, 50, 50, 50] * 4, dtype=pl.Int16),
        pl.Series("symbol", ["QQQ", None, "", "QQQ1", "ü"] * 8),
    )
    arrival = day if in_order else pl.concat(reversed(pieces(day, 7)))
    store(lake, arrival)
    back = stored(lake)
    assert back.equals(day)
    for column in ("strike", "bid", "ask"):
        assert bits(back[column]) == bits(day[column])
    assert not day["bid"].equals(day["bid"].shift()), "the comparison itself can tell"


def bits(values):
    return [None if value is None else struct.pack("<d", value) for value in values]


def test_equal_keys_keep_their_order_of_arrival(lake, small_row_groups):
    rows = pl.concat([DAY_ROWS.with_columns(bid=pl.lit(float(n))) for n in range(4)])
    store(lake, *pieces(rows, 13))
    assert stored(lake).equals(rows.sort(SORT_BY, maintain_order=True))


def test_absent_keys_sort_first(lake, small_row_groups):
    rows = DAY_ROWS.with_columns(
        expiration=pl.when(pl.col("expiration") == DAY).then(None).otherwise(pl.col("expiration"))
    )
    absent, *others = rows.partition_by("expiration")
    for arrival in ((*reversed(others), absent), (*others, absent)):
        store(lake, *arrival)
        assert stored(lake).equals(rows)


def test_absent_times_sort_first_in_their_contract(lake, small_row_groups):
    last = pl.col("timestamp") == pl.col("timestamp").max()
    rows = DAY_ROWS.with_columns(timestamp=pl.when(last).then(None).otherwise(pl.col("timestamp")))
    store(lake, *pieces(rows, 13))
    assert stored(lake).equals(rows.sort(SORT_BY))


def test_another_sort_order(lake):
    order = ("expiration", "symbol", "strike", "right", "timestamp")
    day = pl.concat([quotes().with_columns(symbol=pl.lit(root)) for root in ("SPXW", "SPX")])
    with lake.writer(DATASET, DAY, SCHEMA, order) as day_writer:
        day_writer.write(day)
        day_writer.finish(provenance()).publish()
    assert stored(lake).equals(day.sort(order))


def test_an_empty_day_is_no_file(lake, tmp_path):
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as day_writer:
        day_writer.write(quotes().clear())
        with pytest.raises(ValueError, match="an empty day is an outcome"):
            day_writer.finish(provenance())
    assert temp_files(tmp_path) == []
    assert lake.held_days(DATASET) == []


def test_leaving_without_finish_leaves_nothing(lake, small_row_groups, tmp_path):
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as day_writer:
        day_writer.write(DAY_ROWS)
        assert len(temp_files(tmp_path)) == 1
    assert temp_files(tmp_path) == []
    assert lake.held_days(DATASET) == []


def test_provenance_of_another_day_is_refused(lake):
    for other in (provenance(day=date(2024, 1, 4)), provenance(dataset="theta/option_quotes/SPX")):
        with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as day_writer:
            day_writer.write(quotes())
            with pytest.raises(ValueError, match="provenance is that of"):
                day_writer.finish(other)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f: f.with_columns(pl.col("bid").cast(pl.Float32)), "bid: Float32 instead of Float64"),
        (lambda f: f.drop("ask"), "ask: None instead of Float64"),
        (lambda f: f.with_columns(new=pl.lit(1)), "new: Int32 instead of None"),
        (lambda f: f.select(reversed(f.columns)), "their order differs"),
        (lambda f: f.with_columns(pl.col("timestamp").dt.replace_time_zone(None)), "timestamp"),
    ],
)
def test_other_columns_than_the_schemas_are_refused(lake, change, told):
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as day_writer, pytest.raises(ValueError, match=told):
        day_writer.write(change(quotes()))


@pytest.mark.parametrize("sort_by", [(), ("expiration", "no such column")])
def test_a_sort_order_that_is_none_is_refused(lake, sort_by):
    with pytest.raises(ValueError, match="sort_by needs"):
        lake.writer(DATASET, DAY, SCHEMA, sort_by)


def test_a_plain_column_that_there_is_none_of_is_refused(lake):
    with pytest.raises(ValueError, match="plain names columns that the schema lacks: no such column"):
        lake.writer(DATASET, DAY, SCHEMA, SORT_BY, plain=("bid", "no such column"))


@pytest.mark.parametrize("plain", [(), tuple(COLUMNS)])
def test_every_type_is_encoded_as_every_engine_reads_it(lake, plain):
    """`make readers` shows that they do; any other encoding is unknown to one of them, of one type or of all."""
    columns = {**COLUMNS, "test_ticker": pl.Boolean()}
    schema = pl.DataFrame(schema=columns).to_arrow().schema
    with lake.writer(DATASET, DAY, schema, SORT_BY, plain=plain) as day_writer:
        day_writer.write(quotes(minutes=100).with_columns(test_ticker=pl.col("right") == "CALL"))
        file = day_writer.finish(provenance()).publish()
    row_group = pq.read_metadata(lake.locate(file.path)).row_group(0)
    encodings = {chunk.path_in_schema: set(chunk.encodings) for chunk in map(row_group.column, range(len(columns)))}
    assert set().union(*encodings.values()) <= {"PLAIN", "RLE", "RLE_DICTIONARY"}
    assert ("RLE_DICTIONARY" in encodings["bid"]) == ("bid" not in plain)


def test_an_enum_that_parquet_sorts_differently_is_refused(lake):
    schema = pl.DataFrame(schema={**COLUMNS, "right": pl.Enum(["PUT", "CALL"])}).to_arrow().schema
    with pytest.raises(ValueError, match="right: list the categories"):
        lake.writer(DATASET, DAY, schema, SORT_BY)


def test_a_plain_arrow_schema_will_do(lake):
    schema = pa.schema([("t", pa.timestamp("us", "UTC")), ("s", pa.string()), ("x", pa.float64())])
    frame = pl.DataFrame({"t": [datetime(2024, 1, 3, tzinfo=UTC)], "s": ["a"], "x": [1.5]})
    with lake.writer(DATASET, DAY, schema, ["t"]) as day_writer:
        day_writer.write(frame)
        day_writer.finish(provenance()).publish()
    assert stored(lake).equals(frame)


def test_another_thread_may_write(lake):
    day = quotes()
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as day_writer:
        for part in pieces(day, 50):
            thread = threading.Thread(target=day_writer.write, args=(part,))
            thread.start()
            thread.join()
        day_writer.finish(provenance()).publish()
    assert stored(lake).equals(day)


@pytest.mark.parametrize(
    ("failure", "told"),
    [(PermissionError(errno.EACCES, "Permission denied"), LakeError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_writer_that_failed_takes_no_more(lake, monkeypatch, failure, told):
    """Else the rows after the failure would become a short day."""

    def failing(*args, **kwargs):
        raise failure

    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as day_writer, row_groups_of_16():
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", failing)
            with pytest.raises(told):
                day_writer.write(DAY_ROWS)
        with pytest.raises(ValueError, match="this writer has ended"):
            day_writer.write(DAY_ROWS)
        with pytest.raises(ValueError, match="this writer has ended"):
            day_writer.finish(provenance())


def test_a_finished_writer_takes_no_more(lake):
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as day_writer:
        day_writer.write(quotes())
        day_writer.finish(provenance()).discard()
        with pytest.raises(ValueError, match="this writer has ended"):
            day_writer.write(quotes())


def test_leaving_while_another_thread_writes_leaves_nothing(lake, small_row_groups, monkeypatch, tmp_path):
    """As when a task is cancelled that waits for its writing thread: the thread is about to make the file."""
    real, about_to_open, may_open = Path.open, threading.Event(), threading.Event()

    def slow_open(*args, **kwargs):
        about_to_open.set()
        assert may_open.wait(60)
        return real(*args, **kwargs)

    day_writer = lake.writer(DATASET, DAY, SCHEMA, SORT_BY)
    monkeypatch.setattr(Path, "open", slow_open)
    writing = threading.Thread(target=day_writer.write, args=(DAY_ROWS,))
    leaving = threading.Thread(target=day_writer.__exit__, args=(None, None, None))
    writing.start()
    assert about_to_open.wait(60)
    leaving.start()
    leaving.join(0.2)
    may_open.set()
    writing.join()
    leaving.join()
    assert temp_files(tmp_path) == []
    with pytest.raises(ValueError, match="this writer has ended"):
        day_writer.write(DAY_ROWS)


def test_a_staged_file_that_nobody_took_goes_away(lake, tmp_path):
    """As when a task is cancelled while its thread finishes the day."""
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as day_writer:
        day_writer.write(quotes())
        staged = day_writer.finish(provenance())
    assert len(temp_files(tmp_path)) == 1
    del staged
    gc.collect()
    assert temp_files(tmp_path) == []


def test_what_a_failing_disk_changed_is_found_before_publishing(lake, monkeypatch, tmp_path):
    """The byte is flipped where a disk does it: after the program's last write."""
    sync = os.fsync

    def flipping_sync(descriptor):
        sync(descriptor)
        for temp in temp_files(tmp_path):
            data = bytearray(temp.read_bytes())
            data[len(data) // 2] ^= 1
            temp.write_bytes(data)

    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as day_writer:
        day_writer.write(quotes())
        monkeypatch.setattr(os, "fsync", flipping_sync)
        with pytest.raises(LakeError, match="read back after writing, its sha256 is"):
            day_writer.finish(provenance())
    assert temp_files(tmp_path) == []


MEMORY = """
import resource, sys
from data_assets_tests.lake.lake_days import *
groups, arrival, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
lake = Lake(folder, synthetic=True)
order = range(groups) if arrival == "in order" else [(n * 7 + 3) % groups for n in range(groups)]
with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as writer:
    for group in order:
        for frame in pieces(quotes(1, 64, 391, first=group), 20_000):
            writer.write(frame)
    file = writer.finish(provenance()).publish()
for frame in lake.batches(DATASET, DAY):
    pass
lake.verify(DATASET, DAY, sha256=file.sha256, rows=groups * 64 * 2 * 391)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("arrival", ["in order", "groups shuffled"])
def test_memory_does_not_grow_with_the_day(tmp_path, arrival):
    """0.5 and 3 million rows of 50,048 a group."""
    peaks = [
        subprocess.Popen(
            [sys.executable, "-c", MEMORY, str(groups), arrival, str(tmp_path / str(groups))],
            env=python_path(),
            stdout=subprocess.PIPE,
        )
        for groups in (10, 60)
    ]
    small, large = (int(process.communicate()[0]) for process in peaks)
    assert large < 1.3 * small, f"{small} KiB grew to {large} KiB"
