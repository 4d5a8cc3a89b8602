#!/usr/bin/env bash
# pyarrow 26.0.1: data_page_size changes nothing any more in a table of market data; pages end after 20,000 rows.
#
# One would guess: data_page_size, whose documentation names no other bound, sets how large pages become, as it did up to
# pyarrow 20.0.0: 64 KiB makes several pages of a row group of 122,880 quotes, 8 MiB one.
# Seen: the files are the same to the last byte with 64 KiB, 1 MiB and 8 MiB, because a dictionary of prices or sizes
# takes a byte or two a row, and max_rows_per_page, which is newer, ends a page after 20,000 rows. Only with that set as
# high as the row group does data_page_size work again.
# Who is hurt: who tuned pages for a reader or for requests to an object store and upgrades. Of a day of 2.4 million
# option quotes, reading one minute with Polars was seen to take a fifth longer from such pages, in a file 1 % larger.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/write.py" <<'PYTHON'
import hashlib
import io
import sys

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 122_880
state, cents, sizes = 7, [], []
for _ in range(ROWS):
    state = (state * 1_103_515_245 + 12_345) % 2**31
    cents.append(state // 65_536 % 3_000 / 100)
    sizes.append(state // 65_536 % 400)
quotes = pa.table({"bid": cents, "bid_size": sizes})


def digest(**options):
    file = io.BytesIO()
    pq.write_table(quotes, file, row_group_size=ROWS, compression="zstd", **options)
    return hashlib.sha256(file.getvalue()).hexdigest()[:12]


seen = [digest(data_page_size=size) for size in (64 << 10, 1 << 20, 8 << 20)]
print(f"pyarrow {pa.__version__}: data_page_size of 64 KiB, 1 MiB, 8 MiB: {seen}")
if sys.argv[1] == "one file":
    whole = [digest(data_page_size=size, max_rows_per_page=ROWS) for size in (64 << 10, 8 << 20)]
    print(f"pyarrow {pa.__version__}: 64 KiB, 8 MiB with max_rows_per_page={ROWS}: {whole}")
    sys.exit(len(set(seen)) != 1 or len(set(whole)) != 2)
sys.exit(len(set(seen)) != 2)
PYTHON
for version in 20.0.0 26.0.1; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "pyarrow==$version"
done
"$folder/20.0.0/bin/python" "$folder/write.py" "two files"
"$folder/26.0.1/bin/python" "$folder/write.py" "one file"
