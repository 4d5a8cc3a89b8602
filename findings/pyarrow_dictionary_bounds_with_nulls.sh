#!/usr/bin/env bash
# pyarrow 26.0.1: the bounds of a dictionary column with a missing value may name values that no row has, and DuckDB 2.0.0
# and DataFusion 55.0.0 then answer MIN and MAX with them.
#
# One would guess: the footer's minimum and maximum of a row group are those of its rows, as they are for plain texts.
# Seen: of rows CALL, missing, CALL with the dictionary CALL, PUT (what an enum of Polars or a category of pandas becomes)
# the footer says CALL to PUT. The missing value seems to be counted as one more of the dictionary's: once as many are
# counted as the dictionary has, the bounds are taken of all of it. Of CALL alone, or of B and a missing value among four
# categories, they are right, so a test with other rows passes. The engines answer an aggregate without a filter from the
# footer: the greatest right of a file without puts is PUT, while DISTINCT over the same file finds none.
# Who is hurt: who stores a column such as the right, the exchange or the condition as a category, with gaps, and asks an
# engine for its bounds, or skips files by them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/bounds.py" <<'PYTHON'
import sys

import datafusion
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

path = sys.argv[1]


def bounds_of(rows, categories=("CALL", "PUT")):
    places = pa.array([None if row is None else categories.index(row) for row in rows], pa.int32())
    column = pa.DictionaryArray.from_arrays(places, pa.array(categories))
    pq.write_table(pa.table({"right": column}), path, store_schema=False)
    bounds = pq.read_metadata(path).row_group(0).column(0).statistics
    return bounds.min, bounds.max


whole, one_of_four = bounds_of(["CALL", "CALL"]), bounds_of(["B", None], ("A", "B", "C", "D"))
gap = bounds_of(["CALL", None, "CALL"])
print(f"pyarrow {pa.__version__}: CALL, CALL: {whole}; B, missing, of A to D: {one_of_four}; CALL, missing, CALL: {gap}")
by_duckdb = [duckdb.sql(f"SELECT {what} FROM '{path}'").fetchall() for what in ('max("right")', 'DISTINCT "right"')]
print(f"DuckDB {duckdb.__version__}: max {by_duckdb[0]}, distinct {sorted(by_duckdb[1], key=str)}")
context = datafusion.SessionContext()
context.register_parquet("quotes", path)
by_datafusion = [
    context.sql(f"SELECT {what} AS found FROM quotes").to_pydict()["found"]
    for what in ('max("right")', 'DISTINCT "right"')
]
print(f"DataFusion {datafusion.__version__}: max {by_datafusion[0]}, distinct {sorted(by_datafusion[1], key=str)}")
sys.exit(
    (whole, one_of_four, gap) != (("CALL", "CALL"), ("B", "B"), ("CALL", "PUT"))
    or by_duckdb[0] != [("PUT",)]
    or ("PUT",) in by_duckdb[1]
    or by_datafusion[0] != ["PUT"]
    or "PUT" in by_datafusion[1]
)
PYTHON
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 duckdb==2.0.0 datafusion==55.0.0
"$folder/venv/bin/python" "$folder/bounds.py" "$folder/quotes.parquet"
