"""kill -9 at any instant leaves the old file or the new one, whole, and nothing that a sweep does not remove."""

import random
import select
import signal
import subprocess
import sys
import time

import pytest

from data_assets.lake.lake import Lake
from data_assets_tests.lake.lake_days import DATASET, DAY, python_path, temp_files

pytestmark = pytest.mark.slow

# Writes version after version of one day, each of two row groups and with its groups in the wrong order, so that a
# second temporary file is made of the first. Every row of version n has n as its bid, and so has the provenance.
WRITER = """
import os, signal, sys
from pathlib import Path
from data_assets.lake import parquet_file, writer as writer_module
from data_assets_tests.lake.lake_days import *

parquet_file.ROW_GROUP_ROWS = writer_module.ROW_GROUP_ROWS = 2_000
lake, crash = Lake(sys.argv[1], synthetic=True), sys.argv[2]
day = quotes(expirations=3, strikes=10, minutes=60)
groups = day.partition_by("expiration")[::-1]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def before(module, name, nth):
    real, calls = getattr(module, name), []
    def dying(*args, **kwargs):
        calls.append(1)
        return die() if len(calls) == nth else real(*args, **kwargs)
    setattr(module, name, dying)

def after(module, name):
    real = getattr(module, name)
    def dying(*args, **kwargs):
        real(*args, **kwargs)
        die()
    setattr(module, name, dying)

version = 0
while True:
    version += 1
    if version == 3:
        {
            "at random": lambda: None,
            "before the file is synced": lambda: before(os, "fsync", 1),
            "after the file is synced": lambda: after(os, "fsync"),
            "before the rename": lambda: before(Path, "replace", 1),
            "after the rename": lambda: after(Path, "replace"),
            "before the folder is synced": lambda: before(os, "fsync", 2),
            "while two files are open": lambda: before(writer_module, "_gather", 2),
            "before the first is removed": lambda: before(Path, "unlink", 1),
        }[crash]()
    frames = [group.with_columns(bid=pl.lit(float(version))) for group in groups]
    store(lake, *frames, details={"version": version})
    print(version, flush=True)
"""

INSTANTS = [
    "before the file is synced",
    "after the file is synced",
    "before the rename",
    "after the rename",
    "before the folder is synced",
    "while two files are open",
    "before the first is removed",
]


def start(folder, crash):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), crash], env=python_path(), stdout=subprocess.PIPE, text=True
    )


def assert_whole(folder, published):
    """The day is version ``published`` or the next one; returns which."""
    lake = Lake(str(folder), synthetic=True)
    lake.verify(DATASET, DAY, sha256=None, rows=3 * 10 * 2 * 60)
    version = lake.provenance(DATASET, DAY).details["version"]
    assert version in (published, published + 1)
    assert lake.scan(DATASET, DAY, DAY, ["bid"]).collect()["bid"].unique().to_list() == [float(version)]
    left = temp_files(folder)
    assert sorted(lake.sweep()) == sorted(str(path) for path in left)
    assert temp_files(folder) == []
    lake.verify(DATASET, DAY, sha256=None, rows=3 * 10 * 2 * 60)
    return version, len(left)


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    """For each chosen instant of version 3: the lake that its writer left."""
    folders = {crash: tmp_path_factory.mktemp("lake") for crash in INSTANTS}
    left = {}
    for pair in zip(INSTANTS[::2], [*INSTANTS[1::2], None], strict=True):
        writers = {crash: start(folders[crash], crash) for crash in pair if crash}
        for crash, writer in writers.items():
            said, _ = writer.communicate(timeout=60)
            assert writer.returncode == -signal.SIGKILL
            assert said.split() == ["1", "2"]
            left[crash] = folders[crash]
    return left


@pytest.mark.parametrize(
    ("crash", "version", "orphans"),
    [
        ("before the file is synced", 2, 1),
        ("after the file is synced", 2, 1),
        ("before the rename", 2, 1),
        ("after the rename", 3, 0),
        ("before the folder is synced", 3, 0),
        ("while two files are open", 2, 2),
        ("before the first is removed", 2, 2),
    ],
)
def test_killed_at_a_chosen_instant(crashed, crash, version, orphans):
    assert assert_whole(crashed[crash], 2) == (version, orphans)


def test_killed_at_random_instants(tmp_path):
    instants = random.Random(20240103)
    folders = [tmp_path / str(n) for n in range(6)]
    for pair in zip(folders[::2], folders[1::2], strict=True):
        writers = [start(folder, "at random") for folder in pair]
        for folder, writer in zip(pair, writers, strict=True):
            writer.stdout.readline()
            time.sleep(instants.uniform(0, 0.1))
            writer.kill()
            rest = writer.communicate()[0].split()
            assert_whole(folder, int(rest[-1]) if rest else 1)


LIVE = """
import sys
from data_assets_tests.lake.lake_days import *
with Lake(sys.argv[1], synthetic=True).writer(DATASET, DAY, SCHEMA, SORT_BY) as writer:
    writer.write(quotes())
    staged = writer.finish(provenance())
print("staged", flush=True)
sys.stdin.readline()
staged.publish()
print("published", flush=True)
"""


def test_sweep_spares_a_living_process_and_takes_what_a_dead_one_left(tmp_path):
    lake = Lake(str(tmp_path), synthetic=True)
    living, dying = (
        subprocess.Popen(
            [sys.executable, "-c", LIVE, str(tmp_path)],
            env=python_path(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    )
    for process in (living, dying):
        assert select.select([process.stdout], [], [], 60)[0]
        assert process.stdout.readline() == "staged\n"
    assert len(temp_files(tmp_path)) == 2
    assert lake.sweep() == []
    dying.kill()
    dying.communicate()
    (orphan,) = lake.sweep()
    (spared,) = temp_files(tmp_path)
    assert orphan != str(spared)
    assert living.communicate("publish\n")[0] == "published\n"
    assert temp_files(tmp_path) == []
    lake.verify(DATASET, DAY, sha256=None, rows=None)
