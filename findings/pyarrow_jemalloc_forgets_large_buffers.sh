#!/usr/bin/env bash
# pyarrow 26.0.1: with the jemalloc pool, each buffer of 8 MiB or more is made of memory that the system has to give anew.
#
# One would guess: a pool keeps what is freed for the next buffer of the same size, and one large buffer for a batch's
# columns costs no more than a small one for each of them.
# Seen: buffers of 7 MiB that are allocated, filled and freed one after another cost no page fault; those of 8 MiB cost
# 2,048 each, one for each of their pages, for jemalloc gives memory from its `oversize_threshold` on back as it is freed.
# The mimalloc pool, which is the usual one, keeps both. To fill a fresh page takes longer than to fill one that is
# there: a parser that put the twelve columns of a block into one buffer of 12 MB took 1.4 times as long as before.
# Who is hurt: who changes to jemalloc because it takes less memory, and works in batches of a million 8-byte values or
# more, or gathers columns into one buffer to ask the pool less often.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/faults.py" <<'PYTHON'
import resource
import sys

import pyarrow as pa

PAGE, TIMES = resource.getpagesize(), 20


def faults(size):
    """Page faults of a buffer that is allocated, filled and freed, once its like has been before."""
    for time in range(-3, TIMES):
        if time == 0:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        buffer = pa.allocate_buffer(size)
        view = memoryview(buffer)
        for at in range(0, size, PAGE):
            view[at] = 1
        del view, buffer
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / TIMES


found = {size: faults(size << 20) for size in (4, 7, 8, 12)}
name = pa.default_memory_pool().backend_name
print(f"pyarrow {pa.__version__}, {name}: page faults of a buffer of so many MiB: {found}")
pages = (8 << 20) / PAGE
few = pages / 100
if name == "jemalloc":
    sys.exit(not (found[4] < few and found[7] < few and found[8] >= pages and found[12] >= 1.5 * pages))
sys.exit(not (name == "mimalloc" and max(found.values()) < few))
PYTHON
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
for pool in jemalloc mimalloc; do
    ARROW_DEFAULT_MEMORY_POOL=$pool "$folder/venv/bin/python" "$folder/faults.py"
done
