#!/usr/bin/env bash
# deltalake 1.6.6 cuts nanosecond times to microseconds without a word, while it refuses to narrow a number.
#
# One would guess: Delta's times are microseconds, so a table of nanoseconds is refused, as pyiceberg refuses it until
# a setting allows it, and as deltalake itself refuses an unsigned integer that Delta's signed one cannot hold.
# Seen: both `write_deltalake` and Polars' `write_delta` store it, cut. Three trades of one microsecond, each with a time
# of its own, come back with one and the same time. A share volume above 2^31 in uint32 is an error.
# Who is hurt: whoever keeps trades or quotes with the tapes' nanosecond times in Delta: times that were unique are not,
# so the order of prints, a join by time or a merge by ticker and time is another than in what was written.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check deltalake==1.6.6 polars==2.1.0 pyarrow==26.0.1
cd "$folder"
env/bin/python - <<'PYTHON'
import sys

import deltalake
import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

first = 1_704_207_000_000_000_000  # 2024-01-02 14:50 UTC
times = [first + nanosecond for nanosecond in (100, 200, 300)]
trades = pa.table({"sip_timestamp": pa.array(times, pa.timestamp("ns", "UTC")), "price": [476.1, 476.2, 476.1]})

write_deltalake("by_deltalake", trades)
pl.from_arrow(trades).write_delta("by_polars")
distinct = {}
for name in ("by_deltalake", "by_polars"):
    read = DeltaTable(name).to_pyarrow_table()
    assert read.num_rows == len(times)
    distinct[name] = (str(read.schema.field("sip_timestamp").type), len(set(read["sip_timestamp"].to_pylist())))

try:
    write_deltalake("volumes", pa.table({"volume": pa.array([3_000_000_000], pa.uint32())}))
    number = "stored"
except DeltaError as error:
    number = "refused" if "Can't cast value 3000000000" in str(error) else str(error)

print(f"deltalake {deltalake.__version__}, polars {pl.__version__}, pyarrow {pa.__version__}")
print(f"distinct times of {len(times)}: {distinct}; an unsigned volume above 2^31: {number}")
as_stated = set(distinct.values()) == {("timestamp[us, tz=UTC]", 1)} and number == "refused"
print("as stated" if as_stated else "this has changed")
sys.exit(not as_stated)
PYTHON
