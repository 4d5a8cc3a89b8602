#!/usr/bin/env bash
# Polars 1.20.0 scans several files with a dictionary column only as long as each has one row group.
#
# One would guess: whether pl.scan_parquet() of a folder of days works does not depend on how the days were cut into row
# groups; pyarrow, DuckDB and Spark read the same files either way.
# Seen: option days whose `right` is a dictionary of CALL and PUT (written by pyarrow, read as Categorical) are read
# together while they are small; as soon as two of them have two row groups, the same call raises
# StringCacheMismatchError, although every dictionary in every row group is the same.
# Who is hurt: whoever tests a reader on small days and meets the first large one in production, and whoever writes
# dictionaries for readers with an older Polars: text costs a little more and is read by every version.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check polars==1.20.0 pyarrow==18.1.0
cd "$folder"
env/bin/python - <<'PYTHON'
import sys

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq


def day(name, row_groups):
    rights = pa.DictionaryArray.from_arrays(pa.array([0, 1] * row_groups, pa.int32()), pa.array(["CALL", "PUT"]))
    table = pa.table({"strike": [470.0, 470.0] * row_groups, "right": rights})
    pq.write_table(table, name, row_group_size=2)
    assert pq.ParquetFile(name).num_row_groups == row_groups
    return name


def outcome(files):
    try:
        return f"{pl.scan_parquet(files).collect().height} rows"
    except pl.exceptions.StringCacheMismatchError as error:
        return type(error).__name__


small = [day(f"small-{number}.parquet", 1) for number in range(3)]
large = [day(f"large-{number}.parquet", 2) for number in range(2)]
seen = {"three of one row group": outcome(small), "one of two": outcome(large[:1]), "two of two": outcome(large)}
for what, found in seen.items():
    print(f"polars {pl.__version__}, {what}: {found}")
expected = ["6 rows", "4 rows", "StringCacheMismatchError"]
sys.exit(list(seen.values()) != expected)
PYTHON
