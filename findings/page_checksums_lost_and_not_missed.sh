#!/usr/bin/env bash
# pyarrow 26.0.1 passes Parquet pages without a checksum as verified, and Polars 2.1.0 and DuckDB 2.0.0 write such pages.
#
# One would guess: page_checksum_verification=True is an answer to whether every page is what was written.
# Seen: it compares the checksums that are there. A file without any passes in the same way, and nothing of pyarrow's
# description of the column tells the two apart: only the pages' own headers do, read here by fastparquet. A rewrite by
# Polars, which has no option for it, or by DuckDB's COPY leaves a file without; pyarrow writes none unless asked. Nor
# do Polars, DuckDB and fastparquet compare them: with one byte of a price changed, each was seen to return another
# price, where pyarrow, asked to verify, raised.
# Who is hurt: who writes days with checksums, has them packed or sorted by another engine, and goes on verifying: the
# check stays green and covers nothing. Whoever relies on it has to look for the checksums as well.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check \
    duckdb==2.0.0 fastparquet==2026.9.0 polars==2.1.0 pyarrow==26.0.1
cd "$folder"
env/bin/python - <<'PYTHON'
import inspect
import sys
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from fastparquet.cencoding import from_buffer

quotes = pa.table({"bid": [470 + cents % 300 / 100 for cents in range(10_000)]})
options = {"compression": "zstd", "use_dictionary": False}
pq.write_table(quotes, "asked.parquet", write_page_checksum=True, **options)
pq.write_table(quotes, "default.parquet", **options)
pl.scan_parquet("asked.parquet").sink_parquet("polars.parquet")
duckdb.sql("COPY (FROM 'asked.parquet') TO 'duckdb.parquet' (FORMAT parquet)")


def first_pages_checksum(name):
    column = pq.read_metadata(name).row_group(0).column(0)
    starts = [column.data_page_offset, column.dictionary_page_offset]
    start = min(start for start in starts if start is not None)
    return from_buffer(Path(name).read_bytes()[start:], "PageHeader").crc is not None


def verifies(name):
    return pq.read_table(name, page_checksum_verification=True)["bid"].equals(quotes["bid"])


def shape(name):
    told = pq.read_metadata(name).row_group(0).column(0).to_dict()
    return set(told), told["encodings"], told["compression"]


print(f"pyarrow {pa.__version__}, Polars {pl.__version__}, DuckDB {duckdb.__version__}")
seen = {}
for name in ("asked", "default", "polars", "duckdb"):
    seen[name] = (first_pages_checksum(f"{name}.parquet"), verifies(f"{name}.parquet"))
    print(f"{name}.parquet: a checksum in the first page's header {seen[name][0]}, verified {seen[name][1]}")
functions = (pl.scan_parquet, pl.read_parquet, pl.LazyFrame.sink_parquet, pl.DataFrame.write_parquet)
parameters = {name for function in functions for name in inspect.signature(function).parameters}
of_polars = [name for name in parameters if "checksum" in name or "crc" in name]
print(f"Polars' options for checksums: {of_polars}")
as_stated = (
    seen == {"asked": (True, True), "default": (False, True), "polars": (False, True), "duckdb": (False, True)}
    and shape("asked.parquet") == shape("default.parquet")
    and not of_polars
)
print("as stated" if as_stated else "this has changed")
sys.exit(not as_stated)
PYTHON
