"""A replaced day is kept, one back, where nobody takes it for a day."""

import errno
import os
import signal
import subprocess
import sys

import duckdb
import polars as pl
import pytest

from data_assets.lake.lake import Lake
from data_assets.lake.views import create_views
from data_assets_tests.lake.lake_days import DATASET, DAY, SCHEMA, SORT_BY, provenance, python_path, quotes, temp_files


def store(lake, bid, *, keep_previous=True):
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as writer:
        writer.write(quotes().with_columns(bid=pl.lit(float(bid))))
        return writer.finish(provenance()).publish(keep_previous=keep_previous)


def bid(frame):
    return frame.select(pl.col("bid").unique()).collect().item()


def test_the_replaced_file_is_the_previous_revision(lake_url):
    lake = Lake(lake_url, synthetic=True)
    store(lake, 1)
    assert lake.previous(DATASET, DAY) is None
    for revision in (2, 3):
        stored = store(lake, revision)
        assert bid(lake.previous(DATASET, DAY)) == revision - 1
        assert bid(lake.scan(DATASET, DAY, DAY)) == revision
        lake.verify(DATASET, DAY, sha256=stored.sha256, rows=stored.rows)
    store(lake, 4, keep_previous=False)
    assert bid(lake.previous(DATASET, DAY)) == 2
    assert lake.stored_days(DATASET) == [DAY]
    assert lake.datasets() == [DATASET]


def test_views_do_not_see_it(tmp_path):
    lake = Lake(str(tmp_path / "lake"), synthetic=True)
    store(lake, 1)
    store(lake, 2)
    create_views(lake, tmp_path / "lake.duckdb")
    with duckdb.connect(str(tmp_path / "lake.duckdb")) as connection:
        rows = connection.execute('SELECT count(*), min(bid), max(bid) FROM "theta_option_quotes_QQQ"').fetchone()
    assert rows == (quotes().height, 2.0, 2.0)


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOTSUP])
def test_a_disk_without_hard_links_gets_a_copy(tmp_path, monkeypatch, error):
    def no_links(*_):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "link", no_links)
    lake = Lake(str(tmp_path), synthetic=True)
    for revision in (1, 2, 3):
        store(lake, revision)
    assert bid(lake.previous(DATASET, DAY)) == 2
    assert bid(lake.scan(DATASET, DAY, DAY)) == 3
    assert temp_files(tmp_path) == []


# Stores revision 3 over revisions 1 and 2, and dies at the chosen call.
WRITER = """
import os, signal, sys
from pathlib import Path
import polars as pl
from data_assets_tests.lake.lake_days import *
from data_assets.files import durable

lake = Lake(sys.argv[1], synthetic=True)
with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as writer:
    writer.write(quotes().with_columns(bid=pl.lit(3.0)))
    staged = writer.finish(provenance())

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

owner, name = {"link": (os, "link"), "replace": (Path, "replace"), "sync": (durable, "sync_folder")}[sys.argv[2]]
setattr(owner, name, die)
staged.publish(keep_previous=True)
"""


@pytest.mark.parametrize(("killed_at", "previous"), [("link", None), ("sync", 2), ("replace", 2)])
def test_killed_while_the_previous_revision_is_kept(tmp_path, killed_at, previous):
    lake = Lake(str(tmp_path), synthetic=True)
    store(lake, 1)
    store(lake, 2)
    killed = subprocess.run([sys.executable, "-c", WRITER, str(tmp_path), killed_at], env=python_path(), check=False)
    assert killed.returncode == -signal.SIGKILL
    assert bid(lake.scan(DATASET, DAY, DAY)) == 2
    kept = lake.previous(DATASET, DAY)
    assert (None if kept is None else bid(kept)) == previous
    assert len(lake.sweep()) == 1
    store(lake, 3)
    assert bid(lake.previous(DATASET, DAY)) == 2
    assert bid(lake.scan(DATASET, DAY, DAY)) == 3
    day = f"{DATASET}/date={DAY}/data.parquet"
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet")}
    assert files == {day, f"_previous/{day}"}
