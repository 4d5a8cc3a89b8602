#!/usr/bin/env bash
# pyarrow 26.0.1: `set_memory_pool` changes what reads and computes allocate with, and not what writes Parquet.
#
# One would guess: after `pa.set_memory_pool(pa.jemalloc_memory_pool())`, "the default memory pool" of the documentation,
# all of pyarrow allocates there, and `pa.total_allocated_bytes()` and the pool's `max_memory()` tell what a job takes.
# Seen: to read a table of 600,000 quotes allocates 23 MB of the new pool in all, and 1 MB of mimalloc, the pool that was
# to be left; but to write it 1 MB of the new pool, and 44 MB of mimalloc. With ARROW_DEFAULT_MEMORY_POOL in the
# environment before pyarrow is imported, all goes by jemalloc, and mimalloc is not touched.
# Who is hurt: who measures or bounds the memory of a job that writes (a proxy pool, a logging pool, `max_memory()` in a
# metric): the encoders are not in it. And who changes the pool because the usual one keeps too much: half of it stays.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/pools.py" <<'PYTHON'
import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq

by_variable = "ARROW_DEFAULT_MEMORY_POOL" in os.environ
mimalloc, jemalloc = pa.mimalloc_memory_pool(), pa.jemalloc_memory_pool()
if not by_variable:
    pa.set_memory_pool(jemalloc)

rows = 600_000
quotes = pa.table({"bid": [number * 0.01 for number in range(rows)], "size": [number % 977 for number in range(rows)]})
path = sys.argv[1]


def megabytes(work):
    """What the work has allocated in all, of mimalloc and of jemalloc."""
    before = mimalloc.total_bytes_allocated(), jemalloc.total_bytes_allocated()
    work()
    after = mimalloc.total_bytes_allocated(), jemalloc.total_bytes_allocated()
    return [round((b - a) / 1e6, 1) for a, b in zip(before, after)]


written = megabytes(lambda: pq.write_table(quotes, path, compression="zstd"))
read = megabytes(lambda: pq.read_table(path, use_threads=False))
how = "ARROW_DEFAULT_MEMORY_POOL=jemalloc" if by_variable else "set_memory_pool(jemalloc)"
print(f"pyarrow {pa.__version__}, {how}: MB of mimalloc and jemalloc: written {written}, read {read}")
if by_variable:
    sys.exit(written[0] > 0 or read[0] > 0 or written[1] < 10)
sys.exit(written[0] < 10 * written[1] or read[1] < 10 * read[0])
PYTHON
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
env -u ARROW_DEFAULT_MEMORY_POOL "$folder/venv/bin/python" "$folder/pools.py" "$folder/quotes.parquet"
ARROW_DEFAULT_MEMORY_POOL=jemalloc "$folder/venv/bin/python" "$folder/pools.py" "$folder/quotes.parquet"
