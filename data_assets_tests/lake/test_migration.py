"""A lake of the first layout loses nothing on its way to the present one, and is read meanwhile."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from data_assets.lake.lake import MARKER, Lake
from data_assets.lake.layout import day_folder, partition_path
from data_assets.lake.storage import open_storage
from data_assets.lake.views import create_views
from data_assets_tests.lake.lake_days import DATASET, DAY, SCHEMA, SORT_BY, provenance, python_path, quotes, temp_files
from data_assets_tests.lake.minute_days import DAILY, MONTHLY, as_read, day_bars, store_day, store_month

pytestmark = pytest.mark.slow

DECEMBER = date(2023, 12, 1)
DAYS = [date(2023, 12, day) for day in (1, 4, 29)]
TICKERS = ("ABRpA", "INF")


def store(lake, seed, *, keep_previous=True):
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as writer:
        writer.write(quotes(seed=seed))
        return writer.finish(provenance()).publish(keep_previous=keep_previous)


def make_old(url):
    """Move what a lake holds to where versions before the present layout wrote it, as they named it."""
    storage = open_storage(url)
    for name in storage.names():
        if name.startswith("_previous/"):
            storage.move(name, name.removeprefix("_previous/").replace("data.parquet", "previous.parquet"))
        elif "/ticker_folder=_" in name:
            storage.move(name, name.replace("/ticker_folder=_", "/ticker="))
    storage.replace(MARKER, b'{"synthetic": true}\n')


def old_lake(url):
    """A lake with a replaced day, and with months whose days are gone, as an older version left it."""
    lake = Lake(url, synthetic=True)
    store(lake, 1)
    store(lake, 2)
    for day in DAYS:
        store_day(lake, day, day_bars(day, *TICKERS))
    for ticker in TICKERS:
        store_month(lake, ticker, DECEMBER)
    for day in DAYS:
        open_storage(url).delete(partition_path(DAILY, day))
    make_old(url)
    return Lake(url, synthetic=True)


def assert_read(lake):
    """Whether it is moved or not, the lake reads the same."""
    assert lake.previous(DATASET, DAY).collect().equals(quotes(seed=1))
    assert lake.scan(DATASET, DAY, DAY).collect().equals(quotes(seed=2))
    for ticker in TICKERS:
        bars = lake.bars(ticker, DECEMBER, DAYS[-1]).collect()
        assert bars.height
        assert bars.rows() == [row for day in DAYS for row in as_read(day_bars(day, ticker)).rows()]
        assert list(lake.month_versions(MONTHLY, ticker, DECEMBER)) == DAYS
        assert lake.verify_month(MONTHLY, ticker, DECEMBER).file.rows == bars.height


def assert_moved(url):
    assert [name for name in open_storage(url).names() if not name.startswith("_unfinished/")] == sorted(
        [
            MARKER,
            f"_previous/{partition_path(DATASET, DAY)}",
            partition_path(DATASET, DAY),
            f"{MONTHLY}/ticker_folder=_ABR%70A/month=2023-12/data.parquet",
            f"{MONTHLY}/ticker_folder=_INF/month=2023-12/data.parquet",
        ]
    )
    with open_storage(url).open(MARKER) as marker:
        said = json.loads(marker.read())
    assert said == {"synthetic": True, "layout": 2, "id": Lake(url, synthetic=True).identity()}
    assert said["id"]


def test_an_old_lake_is_read_before_and_after_it_is_moved(lake_url):
    lake = old_lake(lake_url)
    assert_read(lake)
    assert lake.migrate() == 3
    assert_moved(lake_url)
    assert_read(lake)
    assert lake.monthly_datasets() == [MONTHLY]
    assert lake.migrate() == 0
    assert Lake(lake_url, synthetic=True).migrate() == 0


def test_two_that_move_the_same_lake_do_not_disturb_each_other(lake_url):
    old_lake(lake_url)

    def moved(_):
        lake = Lake(lake_url, synthetic=True)
        lake.migrate()
        return lake.identity()

    with ThreadPoolExecutor(2) as both:
        assert len(set(both.map(moved, range(2)))) == 1
    assert_moved(lake_url)
    assert_read(Lake(lake_url, synthetic=True))


def test_what_was_written_since_is_newer_than_what_is_moved(lake_url):
    """A command of the present version may store a day before a run has moved the lake."""
    lake = old_lake(lake_url)
    store(lake, 3)
    assert lake.previous(DATASET, DAY).collect().equals(quotes(seed=2))
    assert lake.migrate() == 3
    assert lake.previous(DATASET, DAY).collect().equals(quotes(seed=2))
    assert_moved(lake_url)


def test_a_crash_between_copy_and_removal_leaves_the_rest_to_the_next(lake_url):
    """As an object store moves; on a disk it is so where a dataset is on another one."""
    lake, storage = old_lake(lake_url), open_storage(lake_url)
    day = partition_path(DATASET, DAY)
    storage.keep(f"{day_folder(DATASET, DAY)}/previous.parquet", f"_previous/{day}")
    assert_read(lake)
    lake.migrate()
    assert_moved(lake_url)
    assert_read(lake)


KILLED = """
import os, signal, sys
from data_assets.lake import migration
from data_assets.lake.storage import LocalFolder
from data_assets_tests.lake.lake_days import *

migration.AT_ONCE = 1
real, moved = LocalFolder.move, []
def move(self, name, to):
    if len(moved) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    moved.append(name)
    real(self, name, to)
LocalFolder.move = move
LocalFolder.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
Lake(sys.argv[1], synthetic=True).migrate()
"""


@pytest.mark.parametrize("after", [1, 3])
def test_killed_on_the_way_the_lake_is_read_and_moved_on_with(tmp_path, after):
    url = str(tmp_path)
    old_lake(url)
    killed = subprocess.run([sys.executable, "-c", KILLED, url, str(after)], env=python_path(), check=False)
    assert killed.returncode == -signal.SIGKILL
    lake = Lake(url, synthetic=True)
    assert_read(lake)
    assert lake.migrate() == 3 - after
    assert_moved(url)
    assert_read(lake)


def test_what_dead_writers_left_leaves_the_datasets_folders(tmp_path):
    lake = old_lake(str(tmp_path))
    day = tmp_path / day_folder(DATASET, DAY)
    (day / f".data.parquet.{'0' * 16}.tmp").write_bytes(b"PAR1 and no more")
    for pieces in (day / ".parts", tmp_path / day_folder(DATASET, DAYS[0]) / ".parts"):
        pieces.mkdir(parents=True)
        (pieces / "20240119.piece").write_bytes(b"{}\n")
    (day / "notes.txt").write_text("mine")
    kept = [f"{day_folder(DATASET, when)}/.parts/20240119.piece" for when in (DAYS[0], DAY)]
    assert lake.migrate() == 5
    assert temp_files(tmp_path) == []
    assert [name for name in open_storage(lake.url).names() if ".parts" in name] == [f"_unfinished/{x}" for x in kept]
    assert sorted(os.listdir(day)) == ["data.parquet", "notes.txt"]  # noqa: PTH208  names are what is compared
    assert sorted(path.name for path in (tmp_path / DATASET).iterdir()) == [f"date={DAY}"]


def test_views_of_an_old_lake_show_its_months(tmp_path):
    lake = old_lake(str(tmp_path / "lake"))
    assert create_views(lake, tmp_path / "lake.duckdb") == ["polygon_minute_aggs_monthly", "theta_option_quotes_QQQ"]
    assert_moved(lake.url)


def test_a_folder_that_is_no_lake_is_left_alone(tmp_path):
    theirs = tmp_path / "x" / "date=2024-01-03" / "previous.parquet"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    for marker in (None, b"", b"[]", b'{"synth'):
        if marker is not None:
            (tmp_path / MARKER).write_bytes(marker)
        assert Lake(str(tmp_path), synthetic=True).migrate() == 0
        assert theirs.exists()
