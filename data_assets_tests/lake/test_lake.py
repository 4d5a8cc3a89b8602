"""What holds of a lake on both kinds of storage."""

import hashlib
import json
from datetime import date, timedelta

import polars as pl
import pytest

from data_assets.lake.lake import MARKER, Corrupt, Lake, LakeError
from data_assets.lake.layout import partition_path
from data_assets.lake.storage import open_storage
from data_assets_tests.lake.lake_days import (
    DATASET,
    DAY,
    SCHEMA,
    SORT_BY,
    provenance,
    quotes,
    store,
    stored,
    temp_files,
    widths,
)
from data_assets_tests.permissions import closed


@pytest.fixture
def lake(lake_url):
    return Lake(lake_url, synthetic=True)


def staged(lake, frame):
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as writer:
        writer.write(frame)
        return writer.finish(provenance())


def test_a_day_comes_back_as_it_went_in(lake):
    day = quotes()
    file = store(lake, day)
    assert file.path == partition_path(DATASET, DAY)
    assert file.rows == day.height
    assert stored(lake).equals(day)
    assert stored(lake).schema == day.schema
    assert pl.concat(lake.batches(DATASET, DAY)).equals(day)
    assert lake.provenance(DATASET, DAY) == provenance()
    lake.verify(DATASET, DAY, sha256=file.sha256, rows=file.rows)
    lake.verify(DATASET, DAY, sha256=None, rows=None)


def test_size_and_digest_are_those_of_the_published_bytes(lake, lake_url):
    file = store(lake, quotes())
    with open_storage(lake_url).open(file.path) as published:
        data = published.read()
    assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_the_new_day_replaces_the_old_one(lake):
    old = store(lake, quotes(seed=1))
    new = store(lake, quotes(seed=2))
    assert stored(lake).equals(quotes(seed=2))
    lake.verify(DATASET, DAY, sha256=new.sha256, rows=new.rows)
    with pytest.raises(Corrupt, match="sha256"):
        lake.verify(DATASET, DAY, sha256=old.sha256, rows=None)


def test_nothing_has_the_final_name_before_it_is_published(lake):
    day = staged(lake, quotes())
    assert lake.held_days(DATASET) == []
    day.publish()
    assert lake.stored_days(DATASET) == [DAY]
    day.discard()
    assert stored(lake).equals(quotes())


def test_a_discarded_day_leaves_nothing(lake, lake_url, tmp_path):
    staged(lake, quotes()).discard()
    assert open_storage(lake_url).names() == [MARKER]
    assert temp_files(tmp_path) == []
    assert not list(tmp_path.rglob("date=*"))


def test_no_temp_file_is_left_of_a_published_day(lake, tmp_path):
    store(lake, quotes())
    assert temp_files(tmp_path) == []


def test_sweep_takes_nothing_of_a_living_writer(lake, tmp_path):
    day = staged(lake, quotes())
    (temp,) = temp_files(tmp_path)
    assert lake.sweep() == []
    assert temp.exists()
    day.publish()
    lake.verify(DATASET, DAY, sha256=day.sha256, rows=day.rows)


def test_sweep_takes_what_nobody_holds(lake, tmp_path):
    day = staged(lake, quotes())
    (live,) = temp_files(tmp_path)
    dead = live.with_name(f".data.parquet.{'0' * 16}.tmp")
    dead.write_bytes(b"PAR1 and no more")
    assert lake.sweep() == [str(dead)]
    assert temp_files(tmp_path) == [live]
    day.discard()


def test_sweep_leaves_every_other_file_alone(lake, tmp_path):
    store(lake, quotes())
    others = [tmp_path / "lake" / name for name in (".hidden", "notes.tmp", ".data.parquet.tmp", ".a.123.tmp")]
    for other in others:
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(b"mine")
    assert lake.sweep() == []
    assert all(other.exists() for other in others)
    assert stored(lake).equals(quotes())


def test_sweep_of_a_folder_that_is_no_lake_touches_nothing(tmp_path):
    theirs = tmp_path / f".x.{'0' * 16}.tmp"
    theirs.touch()
    assert Lake(str(tmp_path), synthetic=True).sweep() == []
    assert theirs.exists()


def test_scan_reads_only_the_days_asked_for(lake, lake_url):
    days = [DAY + timedelta(days=n) for n in range(5)]
    for n, day in enumerate(days):
        store(lake, quotes(seed=n), day=day)
    storage = open_storage(lake_url)
    for outside in (days[0], days[4]):
        storage.delete(partition_path(DATASET, outside))
        storage.create(partition_path(DATASET, outside), b"no Parquet at all")
    frame = lake.scan(DATASET, days[1], days[3]).collect()
    assert frame.equals(pl.concat(quotes(seed=n) for n in (1, 2, 3)))
    with pytest.raises(pl.exceptions.PolarsError):
        lake.scan(DATASET, days[0], days[3]).collect()


def test_scan_of_some_columns(lake):
    store(lake, quotes())
    assert lake.scan(DATASET, DAY, DAY, ["ask", "bid"]).collect().equals(quotes().select("ask", "bid"))


def test_scan_prunes_by_predicate_too(lake):
    store(lake, quotes())
    calls = lake.scan(DATASET, DAY, DAY).filter(pl.col("right") == "CALL", pl.col("strike") > 302).collect()
    assert calls.equals(quotes().filter(pl.col("right") == "CALL", pl.col("strike") > 302))


@pytest.mark.parametrize("days", [(3, 4), (4, 3)], ids=["the older is narrow", "the older is wide"])
def test_days_with_sizes_of_both_widths_are_scanned_as_one(lake, days):
    narrow, wide = widths()
    for day, frame in zip(days, (narrow, wide), strict=True):
        store(lake, frame, day=DAY.replace(day=day))
    found = lake.scan(DATASET, DAY.replace(day=3), DAY.replace(day=4)).collect()
    assert found.schema == wide.schema
    in_order = [narrow.cast({"bid_size": pl.Int64, "ask_size": pl.Int64}), wide]
    assert found.equals(pl.concat(in_order if days == (3, 4) else in_order[::-1]))
    assert lake.scan(DATASET, DAY, DAY.replace(day=4), ["bid_size"]).max().collect().item() == 3_000_000_000
    alone = DAY.replace(day=days[0])
    assert lake.scan(DATASET, alone, alone).collect_schema() == wide.schema


def test_scan_of_a_range_without_days_is_an_empty_frame_with_columns(lake):
    store(lake, quotes())
    empty = lake.scan(DATASET, DAY + timedelta(days=1), DAY + timedelta(days=9)).collect()
    assert empty.height == 0
    assert empty.schema == quotes().schema


def test_scan_of_a_dataset_without_days_says_what_to_do(lake):
    store(lake, quotes())
    with pytest.raises(LakeError, match="data-assets backfill theta/option_quotes/SPX"):
        lake.scan("theta/option_quotes/SPX", DAY, DAY)


def test_scan_of_a_range_backwards_is_refused(lake):
    with pytest.raises(ValueError, match="before it starts"):
        lake.scan(DATASET, DAY, DAY - timedelta(days=1))


def test_days_and_datasets(lake, lake_url):
    days = [date(2023, 12, 29), date(2024, 1, 2), date(2024, 1, 3), date(2024, 2, 1)]
    for day in days:
        store(lake, quotes(), day=day)
    store(lake, quotes(), dataset="theta/option_quotes/QQQ-X", day=DAY)
    store(lake, quotes(), dataset="theta/option_quotes/QQQ/sub", day=DAY)
    for foreign in (
        "notes.txt",
        f"{DATASET}/date=2024-01-03/more/date=2024-01-04/data.parquet",
        f"{DATASET}/date=x/data.parquet",
    ):
        open_storage(lake_url).create(foreign, b"theirs")
    assert lake.stored_days(DATASET) == days
    assert lake.stored_days(DATASET, date(2024, 1, 2), date(2024, 1, 3)) == days[1:3]
    assert lake.stored_days(DATASET, date(2024, 1, 4), date(2024, 1, 31)) == []
    assert lake.held_days("theta/option_quotes") == []
    assert lake.datasets() == [DATASET, "theta/option_quotes/QQQ-X", "theta/option_quotes/QQQ/sub"]


@pytest.mark.parametrize("key", ["..", "../theta/option_quotes/QQQ", "/etc", "theta//QQQ"])
def test_no_operation_leaves_the_lake(lake, key):
    for operation in (
        lambda: lake.writer(key, DAY, SCHEMA, SORT_BY),
        lambda: lake.scan(key, DAY, DAY),
        lambda: lake.stored_days(key),
        lambda: list(lake.batches(key, DAY)),
        lambda: lake.provenance(key, DAY),
        lambda: lake.verify(key, DAY, sha256=None, rows=None),
    ):
        with pytest.raises(ValueError, match="is not a dataset key"):
            operation()


def test_the_first_write_marks_the_lake(lake, lake_url):
    storage = open_storage(lake_url)
    assert storage.names() == []
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY):
        pass
    with storage.open(MARKER) as marker:
        said = json.loads(marker.read())
    assert said == {"synthetic": True, "layout": 2, "id": lake.identity()}
    assert len(said["id"]) == 32


@pytest.mark.parametrize("synthetic", [True, False])
def test_a_lake_of_the_other_kind_takes_no_data(lake_url, synthetic):
    store(Lake(lake_url, synthetic=synthetic), quotes())
    with pytest.raises(LakeError, match=r"DATA_ASSETS_LAKE.*another folder"):
        Lake(lake_url, synthetic=not synthetic).writer(DATASET, DAY, SCHEMA, SORT_BY)
    assert stored(Lake(lake_url, synthetic=synthetic)).equals(quotes())


def test_files_without_a_marker_still_say_of_which_kind_they_are(lake, lake_url):
    store(lake, quotes())
    open_storage(lake_url).delete(MARKER)
    with pytest.raises(LakeError, match="DATA_ASSETS_LAKE"):
        Lake(lake_url, synthetic=False).writer(DATASET, DAY, SCHEMA, SORT_BY)
    store(lake, quotes(seed=1))
    assert open_storage(lake_url).size(MARKER) is not None


def test_a_damaged_marker_stops_writing(lake, lake_url):
    open_storage(lake_url).create(MARKER, b"{")
    with pytest.raises(LakeError, match=MARKER):
        lake.writer(DATASET, DAY, SCHEMA, SORT_BY)


def test_synthetic_provenance_does_not_go_into_a_real_lake(lake_url):
    with Lake(lake_url, synthetic=False).writer(DATASET, DAY, SCHEMA, SORT_BY) as writer:
        writer.write(quotes())
        with pytest.raises(LakeError, match="synthetic rows"):
            writer.finish(provenance(synthetic=True))
    assert Lake(lake_url, synthetic=False).held_days(DATASET) == []


def test_verify_and_its_kin_name_a_missing_file(lake):
    store(lake, quotes(), day=DAY + timedelta(days=1))
    for operation in (
        lambda: lake.verify(DATASET, DAY, sha256=None, rows=None),
        lambda: lake.provenance(DATASET, DAY),
        lambda: list(lake.batches(DATASET, DAY)),
    ):
        with pytest.raises(Corrupt, match="missing") as told:
            operation()
        assert told.value.reason == "the file is missing"
        assert lake.locate(partition_path(DATASET, DAY)) in str(told.value)


def test_verify_counts_rows(lake):
    rows = store(lake, quotes()).rows
    with pytest.raises(Corrupt, match=f"{rows} rows"):
        lake.verify(DATASET, DAY, sha256=None, rows=rows + 1)


def test_a_file_in_another_day_or_dataset_or_lake_is_found(lake, lake_url):
    file = store(lake, quotes())
    storage = open_storage(lake_url)
    with storage.open(file.path) as published:
        data = published.read()
    storage.create(partition_path(DATASET, date(2024, 1, 4)), data)
    storage.create(partition_path("theta/option_quotes/SPX", DAY), data)
    for place in ((DATASET, date(2024, 1, 4)), ("theta/option_quotes/SPX", DAY)):
        with pytest.raises(Corrupt, match="synthetic data of theta/option_quotes/QQQ 2024-01-03"):
            lake.verify(*place, sha256=file.sha256, rows=file.rows)
    with pytest.raises(Corrupt, match="synthetic data of"):
        Lake(lake_url, synthetic=False).verify(DATASET, DAY, sha256=file.sha256, rows=file.rows)


def test_free_bytes(lake, lake_url):
    free = lake.free_bytes()
    assert free is None if "://" in lake_url else free > 0


@pytest.mark.parametrize("url", ["ftp://host/lake", "", "s3:///prefix", "s3://key:secret@bucket/lake"])
def test_an_address_that_is_no_lake_is_told(url):
    with pytest.raises(LakeError, match="DATA_ASSETS_LAKE") as told:
        Lake(url, synthetic=True)
    assert "secret" not in str(told.value)


def test_a_dataset_on_another_disk_that_is_linked_into_the_lake_is_of_the_lake(tmp_path):
    root, elsewhere = tmp_path / "lake", tmp_path / "other disk"
    store(Lake(str(root), synthetic=True), quotes())
    (root / "theta").rename(elsewhere)
    (root / "theta").symlink_to(elsewhere)
    (root / MARKER).unlink()

    assert Lake(str(root), synthetic=True).datasets() == [DATASET]
    with pytest.raises(LakeError, match="holds synthetic data"):
        Lake(str(root), synthetic=False).writer(DATASET, DAY, SCHEMA, SORT_BY)


@pytest.mark.parametrize("mode", [0, 0o600], ids=["nothing", "listing alone"])
def test_a_day_in_a_closed_folder_is_told_in_one_line(tmp_path, mode):
    lake = Lake(str(tmp_path), synthetic=True)
    later = DAY + timedelta(days=1)
    for day in (DAY, later):
        store(lake, quotes(), day=day)
    folder = tmp_path / DATASET / f"date={later}"
    with closed(folder, mode=mode):
        for verify in (False, True):
            with pytest.raises(LakeError, match=f"^{folder}: cannot be read .Permission denied.; check the disk and"):
                lake.scan(DATASET, DAY, later, verify=verify)
        assert lake.scan(DATASET, DAY, DAY).collect().height == quotes().height
