#!/usr/bin/env bash
# pyarrow 26.0.1: a file that is given the metadata of another is read with the other's types, a duration 1,000 times off.
#
# One would guess: what pq.read_metadata(file).metadata holds is what somebody said about the file, such as a licence;
# a table that takes it over keeps its own types, which write_table stores beside it.
# Seen: ARROW:schema, the old file's types, is among them. The new file then has this key twice, pyarrow goes by the
# first, which is the old one, and by the columns' positions: latencies cast from nanoseconds to microseconds come back
# a thousandth as long, New York's times are in UTC, and once two columns are swapped the sizes are durations. Nothing
# is raised. Polars 2.1.0 goes by the last and has what was written. Given by add_key_value_metadata(), the key replaces
# the right one, and Polars is misled too. The metadata of read_table()'s schema are without the key, and safe.
# Who is hurt: who mends or packs stored days and keeps what was said about them, above all with a check in Polars of
# what readers of pyarrow use.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0 pyarrow==26.0.1
cd "$folder"
env/bin/python - <<'PYTHON'
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

opened = datetime(2024, 11, 8, 14, 30, tzinfo=UTC)
old = pa.table(
    {
        "time": pa.array([opened, opened], pa.timestamp("us", "UTC")),
        "latency": pa.array([1_000_000, 3_000_000], pa.duration("ns")),
        "size": pa.array([100, 300], pa.int64()),
    }
).replace_schema_metadata({"licence": "internal"})
pq.write_table(old, "old.parquet")
copied = pq.read_metadata("old.parquet").metadata
of_table = pq.read_table("old.parquet").schema.metadata
print(f"pyarrow {pa.__version__}: keys of read_metadata {sorted(copied)}, of read_table {sorted(of_table)}")

new = old.set_column(0, "time", old["time"].cast(pa.timestamp("us", "America/New_York")))
new = new.set_column(1, "latency", new["latency"].cast(pa.duration("us")))
new = new.replace_schema_metadata(None)


def read(what, table, metadata, *, added=False):
    with pq.ParquetWriter("new.parquet", table.schema if added else table.schema.with_metadata(metadata)) as writer:
        writer.write_table(table)
        if added:
            writer.add_key_value_metadata(metadata)
    keys = Path("new.parquet").read_bytes().count(b"ARROW:schema")
    by_pyarrow, by_polars = pq.read_table("new.parquet"), pl.read_parquet("new.parquet")
    types = {field.name: str(field.type) for field in by_pyarrow.schema}
    print(f"{what}: ARROW:schema {keys} times; pyarrow {types}; Polars {pl.__version__} {dict(by_polars.schema)}")
    longest = [by_pyarrow["latency"].to_pylist()[1], by_polars["latency"].to_list()[1]]
    return keys, types, by_polars.schema, longest


true, wrong = timedelta(milliseconds=3), timedelta(microseconds=3)
new_york = pl.Datetime("us", "America/New_York")
right = {"time": "timestamp[us, tz=America/New_York]", "latency": "duration[us]", "size": "int64"}
misread = {"time": "timestamp[us, tz=UTC]", "latency": "duration[ns]", "size": "int64"}

safe = read("metadata of read_table", new, of_table)
twice = read("metadata of read_metadata", new, copied)
added = read("the same, added", new, copied, added=True)
swapped = read("two columns swapped", new.select(["time", "size", "latency"]), copied)
print(f"the longest latency, in pyarrow and Polars: {[[str(one) for one in seen[3]] for seen in (safe, twice, added)]}")
as_stated = (
    safe == (1, right, safe[2], [true, true])
    and twice == (2, misread, safe[2], [wrong, true])
    and safe[2]["time"] == new_york
    and added[:2] == (1, misread)
    and added[3] == [wrong, wrong]
    and swapped[1] == {"time": "timestamp[us, tz=UTC]", "size": "duration[ns]", "latency": "int64"}
)
print("as stated" if as_stated else "this has changed")
sys.exit(not as_stated)
PYTHON
