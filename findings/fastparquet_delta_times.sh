#!/usr/bin/env bash
# fastparquet 2026.9.0 reads wrong times from DELTA_BINARY_PACKED, without an error.
#
# One would guess: a reader that takes a file returns what is in it, or refuses an encoding that it cannot read.
# Seen: a column of increasing minutes, in sessions with the night between them, written by pyarrow 26.0.1 with
# DELTA_BINARY_PACKED (the natural encoding of sorted times), comes back with most of its values changed. The same
# column written PLAIN comes back right, and pyarrow reads both right.
# Who is hurt: whoever reads minute bars of several sessions with fastparquet, or with pandas' engine="fastparquet":
# the rows are there, their times are not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check fastparquet==2026.9.0 pyarrow==26.0.1
cd "$folder"
env/bin/python - <<'PYTHON'
import sys
from datetime import UTC, datetime, timedelta

import fastparquet
import pyarrow as pa
import pyarrow.parquet as pq

DAYS, MINUTES = 20, 450
start = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)
times = [start + timedelta(days=day, minutes=minute) for day in range(DAYS) for minute in range(MINUTES)]
table = pa.table({"time": pa.array(times, pa.timestamp("us", tz="UTC"))})
wrong = {}
for encoding in ("PLAIN", "DELTA_BINARY_PACKED"):
    name = f"{encoding}.parquet"
    pq.write_table(table, name, use_dictionary=False, column_encoding={"time": encoding})
    assert pq.read_table(name)["time"].to_pylist() == times, "pyarrow reads its own file"
    frame = fastparquet.ParquetFile(name).to_pandas()
    read = frame["time"].astype("datetime64[us]" if frame["time"].dt.tz is None else "datetime64[us, UTC]")
    read = read.dt.tz_localize("UTC") if read.dt.tz is None else read
    wrong[encoding] = sum(found != true for found, true in zip(read.dt.to_pydatetime(), times, strict=True))
print(f"fastparquet {fastparquet.__version__}, pyarrow {pa.__version__}: of {len(times):,} times wrong: {wrong}")
as_stated = wrong["PLAIN"] == 0 and wrong["DELTA_BINARY_PACKED"] > len(times) // 2
print("as stated" if as_stated else "this has changed")
sys.exit(not as_stated)
PYTHON
