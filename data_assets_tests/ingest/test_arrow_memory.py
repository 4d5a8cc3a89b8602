"""Which allocator Arrow has in a process that stores days, and in one that reads them."""

import json
import subprocess
import sys

import pyarrow as pa
import pytest

RUN = """
import asyncio, json
from datetime import date
import pyarrow as pa
from data_assets.lake.lake import Lake
from data_assets.ingest.engine import EnginePolicy, ingest
from data_assets.ingest.progress import Progress

kept = pa.array([1, 2, 3])
names = [pa.default_memory_pool().backend_name]

async def nothing(*_): ...

asyncio.run(ingest([], None, nothing, policy=EnginePolicy(1), progress=Progress()))
made = pa.concat_arrays([kept, kept])
names.append(pa.default_memory_pool().backend_name)
print(json.dumps([names, made.to_pylist()]))
"""


@pytest.mark.skipif("jemalloc" not in pa.supported_memory_backends(), reason="this build of Arrow has none")
def test_a_process_that_stores_days_gives_memory_back_and_a_reader_keeps_arrow_as_it_is():
    answer = subprocess.run([sys.executable, "-c", RUN], check=True, capture_output=True, text=True)
    (reading, storing), made = json.loads(answer.stdout)
    assert (reading, storing) == (_usual(), "jemalloc")
    assert made == [1, 2, 3, 1, 2, 3]


def _usual() -> str:
    code = "import pyarrow as pa; print(pa.default_memory_pool().backend_name)"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
