"""Row groups that end where a group ends: a reader of one group of a day reads one row group."""

from datetime import UTC, date, datetime
from itertools import pairwise

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.lake import parquet_file, writer
from data_assets.lake.lake import Lake
from data_assets.lake.provenance import Provenance

pytestmark = pytest.mark.slow

DATASET = "polygon/minute_aggs"
DAY = date(2024, 1, 3)
SCHEMA = pl.DataFrame(schema={"ticker": pl.String(), "minute": pl.Int64()}).to_arrow().schema
ROW_GROUP = 50


@pytest.fixture(autouse=True)
def small_row_groups(monkeypatch):
    for module in (parquet_file, writer):
        monkeypatch.setattr(module, "ROW_GROUP_ROWS", ROW_GROUP)


def day(groups):
    """The rows of ``groups``, each a ticker and its number of minutes, in their order."""
    rows = [(ticker, minute) for ticker, minutes in groups for minute in range(minutes)]
    return pl.DataFrame(rows, schema={"ticker": pl.String(), "minute": pl.Int64()}, orient="row")


def stored_row_groups(folder, frames):
    """The tickers of each row group of a stored day, and all its rows."""
    lake = Lake(str(folder), synthetic=True)
    origin = Provenance(DATASET, DAY, "s3://flatfiles/x", datetime(2024, 1, 4, tzinfo=UTC), 1, "ab" * 32, 1, True)
    with lake.writer(DATASET, DAY, SCHEMA, ("ticker", "minute"), whole_groups=True) as day_writer:
        for frame in frames:
            day_writer.write(frame)
        stored = day_writer.finish(origin).publish()
    lake.verify(DATASET, DAY, sha256=stored.sha256, rows=stored.rows)
    parquet = pq.ParquetFile(lake.locate(stored.path))
    groups = [pl.DataFrame(parquet.read_row_group(n)) for n in range(parquet.num_row_groups)]
    return [group["ticker"].to_list() for group in groups], pl.concat(groups)


GROUPS = st.lists(st.integers(1, 2 * ROW_GROUP + 3), min_size=1, max_size=20).map(
    lambda sizes: [(f"T{number:02}", size) for number, size in enumerate(sizes)]
)


@given(groups=GROUPS, in_order=st.booleans(), at_once=st.booleans())
def test_a_group_that_fits_is_in_one_row_group(tmp_path_factory, groups, in_order, at_once):
    sent = groups if in_order else groups[::-1]
    frames = [day(sent)] if at_once else [day([group]) for group in sent]
    row_groups, rows = stored_row_groups(tmp_path_factory.mktemp("lake"), frames)
    assert rows.equals(day(groups))
    assert max(map(len, row_groups)) <= ROW_GROUP
    for ticker, size in groups:
        held_by = [group for group in row_groups if ticker in group]
        # A larger group starts a row group of its own and is cut into as few as hold it.
        assert len(held_by) == -(-size // ROW_GROUP)
    # None is cut short without need: what follows a row group would not have fitted into it.
    sizes = dict(groups)
    for group, following in pairwise(row_groups):
        assert group[-1] == following[0] or len(group) + min(sizes[following[0]], ROW_GROUP) > ROW_GROUP


def test_without_it_row_groups_are_full(tmp_path):
    lake = Lake(str(tmp_path), synthetic=True)
    origin = Provenance(DATASET, DAY, "s3://flatfiles/x", datetime(2024, 1, 4, tzinfo=UTC), 1, "ab" * 32, 1, True)
    with lake.writer(DATASET, DAY, SCHEMA, ("ticker", "minute")) as day_writer:
        day_writer.write(day([("A", 30), ("B", 30), ("C", 30)]))
        stored = day_writer.finish(origin).publish()
    metadata = pq.ParquetFile(lake.locate(stored.path)).metadata
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [50, 40]
