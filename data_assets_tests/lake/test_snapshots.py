"""A snapshot says which bytes were read, keeps them, and says what has become of them."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.lake.lake import Corrupt, Lake, LakeError
from data_assets.lake.layout import pinned_path, snapshot_path
from data_assets.lake.snapshot import PinnedDay, Snapshot
from data_assets.lake.views import create_views
from data_assets_tests.lake.lake_days import (
    DATASET,
    DAY,
    SORT_BY,
    provenance,
    python_path,
    quotes,
    store,
    stored,
    temp_files,
)

NEXT = date(2024, 1, 4)
LATER = date(2024, 1, 5)


def filled(url: str) -> Lake:
    lake = Lake(url, synthetic=True)
    store(lake, quotes(seed=1))
    store(lake, quotes(seed=2), day=NEXT)
    return lake


def as_of(lake: Lake, snapshot: Snapshot) -> Lake:
    return Lake(lake.url, synthetic=True, as_of=snapshot)


def found_in(lake: Lake, snapshot: Snapshot) -> dict[date, str]:
    return {each.day: each.change for each in lake.changes(snapshot)}


def pins(url: str) -> list[Path]:
    return sorted(path for path in Path(url, "_pinned").rglob("*") if path.is_file())


def test_the_lake_as_of_a_snapshot_keeps_what_was_replaced(lake_url):
    lake = filled(lake_url)
    snapshot = lake.take_snapshot("study", {DATASET: [DAY, NEXT]})
    store(lake, quotes(seed=3))
    store(lake, quotes(seed=4), day=LATER)

    then = as_of(Lake(lake_url, synthetic=True), lake.snapshot("study"))
    assert stored(then).equals(quotes(seed=1))
    assert stored(lake).equals(quotes(seed=3))
    assert then.stored_days(DATASET) == [DAY, NEXT]
    assert then.datasets() == [DATASET]
    assert then.scan(DATASET, DAY, LATER, ["bid"], verify=True).collect().height == 2 * quotes().height
    assert then.provenance(DATASET, DAY).day == DAY
    assert sum(frame.height for frame in then.batches(DATASET, DAY)) == quotes().height
    assert lake.datasets() == [DATASET]
    assert found_in(lake, snapshot) == {DAY: "revised", NEXT: "unchanged"}


def test_what_changed_is_measured(lake_url):
    lake = filled(lake_url)
    snapshot = lake.take_snapshot("study", {DATASET: [DAY, NEXT]})
    before = quotes(seed=1)
    changed = before.with_columns(
        bid=pl.when(pl.int_range(pl.len()) < 2).then(pl.col("bid") * 1.5).otherwise("bid"),
        ask_size=pl.when(pl.int_range(pl.len()) == 5).then(7).otherwise("ask_size"),
    )
    store(lake, changed.head(-4))
    store(lake, quotes(seed=2), day=NEXT, etag='"another"')  # the same rows, fetched again

    revised, rewritten = lake.changes(snapshot)

    assert (revised.change, revised.is_kept) == ("revised", True)
    largest = max(before.head(2).rename({"bid": "bid_before"}).to_dicts(), key=lambda row: row["bid_before"])
    assert revised.difference.metadata == {
        "rows_added": 0,
        "rows_removed": 4,
        "rows_altered": 3,
        "largest_price_change": pytest.approx(largest["bid_before"] / 2),
        "largest_price_change_in": "dollars",
        "largest_price_change_of": revised.difference.largest.of,
    }
    told = revised.difference.largest
    assert (told.column, told.before, told.row["strike"]) == ("bid", largest["bid_before"], largest["strike"])
    assert (rewritten.day, rewritten.change) == (NEXT, "rewritten")


def test_days_that_came_and_went_are_told(lake_url):
    lake = filled(lake_url)
    store(lake, quotes(seed=5), day=date(2024, 1, 8))
    snapshot = lake.take_snapshot("study", {DATASET: [DAY, NEXT, date(2024, 1, 8)]})
    lake._storage.delete(f"{DATASET}/date={NEXT}/data.parquet")
    store(lake, quotes(seed=4), day=LATER)
    store(lake, quotes(seed=4), day=date(2024, 1, 9))

    assert found_in(lake, snapshot) == {
        DAY: "unchanged",
        NEXT: "missing",
        LATER: "added",  # between days of the snapshot: whoever reads the range again gets it, too
        date(2024, 1, 8): "unchanged",
    }
    assert stored(as_of(lake, snapshot), day=NEXT).equals(quotes(seed=2))


def test_a_dataset_that_is_gone_as_a_whole_has_missing_days(lake_url):
    lake = filled(lake_url)
    snapshot = lake.take_snapshot("study", {DATASET: [DAY, NEXT]})
    for day in (DAY, NEXT):
        lake._storage.delete(f"{DATASET}/date={day}/data.parquet")
    assert found_in(lake, snapshot) == {DAY: "missing", NEXT: "missing"}


def test_a_damaged_day_hides_no_other_one(tmp_path):
    """Damage to a day is damage to its pin, the same file: it is told once the day was fetched again, too."""
    lake = filled(str(tmp_path))
    snapshot = lake.take_snapshot("study", {DATASET: [DAY, NEXT]})
    path = tmp_path / DATASET / f"date={DAY}" / "data.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    assert [(each.change, each.is_kept) for each in lake.changes(snapshot)] == [("damaged", False), ("unchanged", True)]
    store(lake, quotes(seed=1), etag='"another"')
    assert [(each.change, each.is_kept) for each in lake.changes(snapshot)] == [("changed", False), ("unchanged", True)]
    store(lake, quotes(seed=3), day=NEXT)
    (tmp_path / DATASET / f"date={NEXT}" / "data.parquet").write_bytes(b"PAR1 and no more")
    assert [(each.change, each.is_kept) for each in lake.changes(snapshot)][1] == ("damaged", True)


def test_without_its_files_a_snapshot_is_read_until_a_day_is_replaced(lake_url):
    lake = filled(lake_url)
    snapshot = lake.take_snapshot("light", {DATASET: [DAY, NEXT]}, keep=False)
    assert stored(as_of(lake, snapshot)).equals(quotes(seed=1))
    store(lake, quotes(seed=3))

    then = as_of(lake, snapshot)

    with pytest.raises(LakeError, match=r"QQQ 2024-01-03: the lake no longer holds the file of the snapshot light; .*"):
        stored(then)
    assert stored(then, day=NEXT).equals(quotes(seed=2))
    (change, _) = lake.changes(snapshot)
    assert (change.change, change.difference, change.is_kept) == ("changed", None, False), "nobody can tell"


def test_a_revision_that_is_recorded_is_told_without_a_pin(lake_url):
    """A look keeps the rows that it replaced: they are those of the snapshot, and say what was revised."""
    lake = filled(lake_url)
    snapshot = lake.take_snapshot("light", {DATASET: [DAY]}, keep=False)
    revised = quotes(seed=1).with_columns(bid=pl.col("bid") + 0.25)
    with lake.writer(DATASET, DAY, quotes().to_arrow().schema, SORT_BY) as writer:
        writer.write(revised)
        writer.finish(provenance()).publish(keep_previous=True)
    (change,) = lake.changes(snapshot)
    assert (change.change, change.is_kept) == ("revised", False)
    assert change.difference.rows_altered == revised.height
    assert change.difference.largest.size == pytest.approx(0.25)
    store(lake, quotes(seed=7))
    (change,) = lake.changes(snapshot)
    assert change.change == "revised", "what is recorded is still the file of the snapshot"
    with lake.writer(DATASET, DAY, quotes().to_arrow().schema, SORT_BY) as writer:
        writer.write(revised)
        writer.finish(provenance()).publish(keep_previous=True)
    (change,) = lake.changes(snapshot)
    assert (change.change, change.difference) == ("changed", None)


def test_one_file_of_many_snapshots_is_kept_until_the_last_of_them_goes(tmp_path):
    lake = filled(str(tmp_path))
    first = lake.take_snapshot("first", {DATASET: [DAY, NEXT]})
    store(lake, quotes(seed=3))
    lake.take_snapshot("second", {DATASET: [DAY, NEXT]})
    assert len(pins(lake.url)) == 3
    assert [each.name for each in lake.snapshots()] == ["first", "second"]
    replaced = pinned_path(DATASET, DAY, first.days[DATASET][DAY].sha256)
    assert lake.kept_bytes(first) == (tmp_path / replaced).stat().st_size
    assert lake.kept_bytes(lake.snapshot("second")) == 0, "second names of the days' own files"

    lake.drop_snapshots(["first"])

    assert len(pins(lake.url)) == 2
    assert not (tmp_path / replaced).exists()
    assert stored(as_of(lake, lake.snapshot("second"))).equals(quotes(seed=3))
    lake.drop_snapshots(["second"])
    assert pins(lake.url) == []
    assert stored(lake).equals(quotes(seed=3))
    with pytest.raises(LakeError, match="no snapshot 'second'; it has none"):
        lake.drop_snapshots(["second"])


def test_one_damaged_snapshot_keeps_no_other_from_being_listed_or_dropped(tmp_path):
    lake = filled(str(tmp_path / "lake"))
    for name in ("sound", "damaged", "other"):
        lake.take_snapshot(name, {DATASET: [DAY]})
        store(lake, quotes(seed=len(name)))
    place = tmp_path / "lake" / snapshot_path("damaged")
    whole = place.read_bytes()
    place.write_bytes(whole[:100])
    kept = pins(lake.url)
    told = []
    readable = lake.snapshots(lambda name, why: told.append((name, str(why))))
    assert {each.name for each in readable} == {"sound", "other"}
    assert [(name, "is no snapshot" in why) for name, why in told] == [("damaged", True)]
    with pytest.raises(LakeError, match="is no snapshot"):
        lake.snapshots()
    with pytest.raises(LakeError, match=r"has no snapshot 'study'; it has .*, damaged"):
        lake.snapshot("study")

    assert lake.drop_snapshots(["sound"]) == ["damaged"]
    assert pins(lake.url) == kept, "nobody knows which of them it needs"
    place.write_bytes(whole)
    assert lake.drop_snapshots(["other"]) == []
    assert len(pins(lake.url)) == 1
    assert stored(as_of(lake, lake.snapshot("damaged"))).height == quotes().height
    place.write_bytes(whole[:100])
    assert lake.drop_snapshots(["damaged"]) == []
    assert pins(lake.url) == []


def test_a_pin_on_a_local_disk_takes_no_room(tmp_path):
    lake = filled(str(tmp_path))
    snapshot = lake.take_snapshot("study", {DATASET: [DAY]})
    pin = tmp_path / pinned_path(DATASET, DAY, snapshot.days[DATASET][DAY].sha256)
    assert pin.samefile(tmp_path / DATASET / f"date={DAY}" / "data.parquet")


def test_a_disk_without_second_names_gets_copies(tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    lake = filled(str(tmp_path))
    snapshot = lake.take_snapshot("study", {DATASET: [DAY]})
    store(lake, quotes(seed=3))
    assert stored(as_of(lake, snapshot)).equals(quotes(seed=1))
    assert temp_files(tmp_path) == []


def test_a_taken_name_a_damaged_day_and_no_day_leave_nothing(tmp_path):
    lake = filled(str(tmp_path))
    kept = lake.take_snapshot("study", {DATASET: [DAY]})
    store(lake, quotes(seed=3))
    with pytest.raises(LakeError, match=r"there is a snapshot of that name; .*: data-assets snapshot drop study"):
        lake.take_snapshot("study", {DATASET: [DAY, NEXT]})
    path = tmp_path / DATASET / f"date={NEXT}" / "data.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    with pytest.raises(Corrupt, match="its bytes are not those that it was closed with"):
        lake.take_snapshot("other", {DATASET: [DAY, NEXT]})
    with pytest.raises(Corrupt, match=r"date=2024-01-05/data\.parquet: the file is missing"):
        lake.take_snapshot("other", {DATASET: [DAY, LATER]})
    with pytest.raises(ValueError, match="of no day"):
        lake.take_snapshot("other", {DATASET: []})
    for days, said in {
        ("theta/option_quotes/QQ", NEXT): r"did you mean theta/option_quotes/QQQ\? If not, run",
        (DATASET, date(2024, 1, 6)): "does not hold 2024-01-06; 2024-01-06 is a weekend day",
    }.items():
        with pytest.raises(LakeError, match=said):
            lake.take_snapshot("other", {days[0]: [days[1]]})
    for name in ("", ".hidden", "a/b", "../up", "a b"):
        with pytest.raises(ValueError, match="is no name for a snapshot"):
            lake.take_snapshot(name, {DATASET: [DAY]})

    assert [each.name for each in lake.snapshots()] == ["study"]
    assert len(pins(lake.url)) == 1
    assert stored(as_of(lake, kept)).equals(quotes(seed=1))


def test_a_lake_as_of_a_snapshot_is_never_written_or_made_views_of(tmp_path):
    lake = filled(str(tmp_path))
    then = as_of(lake, lake.take_snapshot("study", {DATASET: [DAY]}))
    with pytest.raises(LakeError, match="read and never written"):
        store(then, quotes(seed=9))
    with pytest.raises(LakeError, match="read and never written"):
        then.take_snapshot("other", {DATASET: [DAY]})
    with pytest.raises(LakeError, match=r"read it as of the snapshot study with Lake\.scan"):
        create_views(then, tmp_path / "views.duckdb")
    with pytest.raises(LakeError, match="is of synthetic data, unlike the lake"):
        Lake(lake.url, synthetic=False, as_of=then.as_of)
    assert stored(lake).equals(quotes(seed=1))


def test_what_a_snapshot_is_not_of_is_no_day_to_be_fetched(tmp_path):
    lake = filled(str(tmp_path))
    then = as_of(lake, lake.take_snapshot("study", {DATASET: [DAY]}))
    with pytest.raises(LakeError, match=f"option_quotes/SPX: the snapshot study is of no day of it, but of {DATASET}$"):
        then.scan("theta/option_quotes/SPX", DAY, DAY)
    with pytest.raises(LakeError, match=f"the snapshot study is not of {NEXT}$"):
        then.chain("QQQ", NEXT, "10:00")
    with pytest.raises(TypeError, match=r"as_of='study': must be a Snapshot: Snapshot\.read"):
        Lake(lake.url, synthetic=True, as_of="study")


def test_a_lake_that_is_not_plugged_in_has_not_lost_its_days(tmp_path):
    lake = filled(str(tmp_path / "lake"))
    snapshot = lake.take_snapshot("study", {DATASET: [DAY]})
    (tmp_path / "lake").rename(tmp_path / "elsewhere")
    (tmp_path / "lake").mkdir()
    for ask in (
        lambda: list(lake.changes(snapshot)),
        lambda: lake.snapshot("study"),
        lambda: lake.drop_snapshots(["study"]),
    ):
        with pytest.raises(LakeError, match="plug in or mount its disk"):
            ask()


def test_of_a_lake_that_is_not_plugged_in_nobody_says_that_it_has_no_snapshot(tmp_path):
    lake = filled(str(tmp_path / "lake"))
    lake.take_snapshot("study", {DATASET: [DAY]})
    (tmp_path / "lake").rename(tmp_path / "away")
    (tmp_path / "lake").mkdir()
    with pytest.raises(LakeError, match="is not there"):
        lake.snapshots()


def test_engines_never_meet_a_pin(tmp_path):
    lake = filled(str(tmp_path))
    lake.take_snapshot("study", {DATASET: [DAY, NEXT]})
    store(lake, quotes(seed=3))
    rows = 2 * quotes().height
    assert pl.scan_parquet(str(tmp_path / DATASET)).select(pl.len()).collect().item() == rows
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT count(*) FROM '{tmp_path / DATASET}/**/*.parquet'").fetchone()
    assert found == (rows,)


TAKER = """
import os, signal, sys
from data_assets.lake import pins
from data_assets.lake.lake import Lake
from lake_days import DATASET, DAY
from datetime import date

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

place = sys.argv[2]
lake = Lake(sys.argv[1], synthetic=True)
if place == "between days":
    lake.take_snapshot("study", {DATASET: [DAY, date(2024, 1, 4)]}, pinned=kill)
setattr(pins, place, kill)
lake.take_snapshot("study", {DATASET: [DAY, date(2024, 1, 4)]})
"""


@pytest.mark.parametrize("place", ["between days", "_digested"])
def test_whoever_is_killed_as_he_takes_one_leaves_none_and_the_next_one_is_whole(tmp_path, place):
    lake = filled(str(tmp_path / "lake"))
    ended = subprocess.run([sys.executable, "-c", TAKER, lake.url, place], env=python_path(), check=False)
    assert ended.returncode == -signal.SIGKILL
    assert lake.snapshots() == []
    assert pins(lake.url)

    snapshot = lake.take_snapshot("study", {DATASET: [DAY, NEXT]})
    lake.drop_snapshots(["study"])

    assert pins(lake.url) == [], "what the killed one left goes with the next drop"
    assert snapshot.count == 2


def test_one_is_taken_while_others_are_dropped(tmp_path):
    lake = filled(str(tmp_path))
    lake.take_snapshot("old", {DATASET: [DAY, NEXT]})
    began = threading.Event()
    dropping = threading.Thread(target=lambda: (began.wait(), Lake(lake.url, synthetic=True).drop_snapshots(["old"])))
    dropping.start()
    snapshot = lake.take_snapshot("new", {DATASET: [DAY, NEXT]}, pinned=lambda *_: began.set())
    dropping.join()
    store(lake, quotes(seed=3))
    assert [each.name for each in lake.snapshots()] == ["new"]
    assert stored(as_of(lake, snapshot)).equals(quotes(seed=1))


def test_in_a_bucket_pins_that_another_one_drops_meanwhile_are_made_again(bucket_url):
    """No lock holds in a bucket: whoever drops takes the pins of an unfinished snapshot for a killed process's."""
    lake = filled(bucket_url)

    def drops(old, then=lambda: None):
        lake.take_snapshot(old, {DATASET: [DAY]})

        def after(_dataset, day):
            if day == NEXT:
                Lake(bucket_url, synthetic=True).drop_snapshots([old])
                then()

        return after

    snapshot = lake.take_snapshot("new", {DATASET: [DAY, NEXT]}, pinned=drops("old"))
    store(lake, quotes(seed=3))
    assert stored(as_of(lake, snapshot)).equals(quotes(seed=1))

    replaced = drops("older", then=lambda: store(lake, quotes(seed=4)))
    with pytest.raises(LakeError, match=r"QQQ 2024-01-03: was replaced while the snapshot newer was taken .* again"):
        lake.take_snapshot("newer", {DATASET: [DAY, NEXT]}, pinned=replaced)
    assert [each.name for each in lake.snapshots()] == ["new"]
    assert stored(as_of(lake, snapshot)).equals(quotes(seed=1))


def test_a_snapshot_that_is_given_up_while_it_is_read_is_told_by_its_name(tmp_path):
    """And what is still as it was is read on: it was the pin's own file."""
    lake = filled(str(tmp_path))
    snapshot = lake.take_snapshot("study", {DATASET: [DAY, NEXT]})
    then = as_of(lake, snapshot)
    store(lake, quotes(seed=3))
    assert stored(then).equals(quotes(seed=1))
    assert stored(then, day=NEXT).equals(quotes(seed=2))

    lake.drop_snapshots(["study"])

    assert stored(then, day=NEXT).equals(quotes(seed=2))
    for read in (lambda: stored(then), lambda: then.audit(DATASET, DAY), lambda: then.chain("QQQ", DAY, "09:31")):
        with pytest.raises(LakeError, match=r"2024-01-03: the lake no longer holds the file of the snapshot study"):
            read()


def test_in_a_bucket_a_pin_takes_room_from_the_first(bucket_url):
    lake = filled(bucket_url)
    snapshot = lake.take_snapshot("study", {DATASET: [DAY, NEXT]})
    assert lake.kept_bytes(snapshot) == snapshot.size, "both are copies, whatever becomes of the days"
    store(lake, quotes(seed=3))
    assert lake.kept_bytes(snapshot) == snapshot.size


def test_in_a_copy_without_second_names_a_pin_takes_room(tmp_path):
    """As `cp -r --preserve=timestamps` and `rsync -a` make it: the two files have one time."""
    lake = filled(str(tmp_path / "lake"))
    snapshot = lake.take_snapshot("study", {DATASET: [DAY, NEXT]})
    assert lake.kept_bytes(snapshot) == 0
    shutil.copytree(tmp_path / "lake", tmp_path / "copy")
    assert Lake(str(tmp_path / "copy"), synthetic=True).kept_bytes(snapshot) == snapshot.size


def test_a_file_of_two_snapshots_is_counted_once(tmp_path):
    lake = filled(str(tmp_path))
    snapshots = [lake.take_snapshot(name, {DATASET: [DAY]}) for name in ("a", "b")]
    store(lake, quotes(seed=3))
    assert lake.kept_bytes(*snapshots) == lake.kept_bytes(snapshots[0]) == snapshots[0].size


# ---- the text -------------------------------------------------------------------------------------------------------

SNAPSHOT = Snapshot(
    "study-1",
    datetime(2026, 11, 29, 6, tzinfo=UTC),
    "0.1.0",
    "abc",
    True,
    {
        "theta/option_quotes/QQQ": {
            NEXT: PinnedDay(10, "b" * 64, 3),
            DAY: PinnedDay(9, "a" * 64, 2, {"grid": "succeeded"}),
        },
        "ib/bars_1m/AAPL": {DAY: PinnedDay(8, "c" * 64, 390)},
    },
)


def test_the_text_has_a_line_a_day_in_order(tmp_path):
    text = SNAPSHOT.text()
    assert json.loads(text)["datasets"]["theta/option_quotes/QQQ"][0] == {
        "day": "2024-01-03",
        "path": "theta/option_quotes/QQQ/date=2024-01-03/data.parquet",
        "size": 9,
        "sha256": "a" * 64,
        "rows": 2,
        "checks": {"grid": "succeeded"},
    }
    assert [line.split('"day": ')[1][1:11] for line in text.splitlines() if '"day"' in line] == [
        "2024-01-03",
        "2024-01-03",
        "2024-01-04",
    ]
    (tmp_path / "s.json").write_text(text)
    assert Snapshot.read(tmp_path / "s.json") == SNAPSHOT
    assert (SNAPSHOT.count, SNAPSHOT.size) == (3, 27)


def test_the_id_is_of_the_data_and_not_of_the_name_or_the_time():
    again = replace(SNAPSHOT, name="other", taken_at=datetime(2027, 1, 1, tzinfo=UTC))
    other = replace(SNAPSHOT, days={"ib/bars_1m/AAPL": {DAY: PinnedDay(8, "d" * 64, 390)}})
    assert again.id == SNAPSHOT.id != other.id


@given(
    st.dictionaries(
        st.sampled_from(["a/b", "theta/option_quotes/SPX", "ib/bars_1m/BRK.B"]),
        st.dictionaries(
            st.dates(date(2003, 1, 1), date(2030, 1, 1)),
            st.builds(
                PinnedDay,
                st.integers(0, 10**12),
                st.text("0123456789abcdef", min_size=64, max_size=64),
                st.integers(0, 10**9),
                st.dictionaries(st.sampled_from(["grid", "ohlc"]), st.sampled_from(["succeeded", "failed"])),
            ),
            min_size=1,
        ),
        min_size=1,
    )
)
def test_any_snapshot_comes_back_from_its_text(days):
    snapshot = replace(SNAPSHOT, days=days)
    assert Snapshot.parse(snapshot.text(), "here") == snapshot


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace("a" * 64, "d" * 64), "here: was altered"),
        (lambda text: text.replace("a" * 64, "a" * 63), "is no snapshot"),
        (lambda text: text.replace("2024-01-04", "2024-01-05"), "was altered"),
        (lambda text: text.replace("snapshot 1", "snapshot 2"), "upgrade it"),
        (lambda text: text[:-20], "is no snapshot"),
        (lambda text: "[]", "is no snapshot"),
        (lambda text: "{}", "is no snapshot"),
        (lambda text: text.replace("study-1", "../up"), "is no snapshot"),
        (lambda text: text.replace('"ib/bars_1m/AAPL"', '"../elsewhere"'), "is no snapshot"),
    ],
)
def test_what_is_no_snapshot_is_told(change, says):
    with pytest.raises(LakeError, match=says):
        Snapshot.parse(change(SNAPSHOT.text()), "here")


def test_places():
    assert snapshot_path("a-1.b") == "_snapshots/a-1.b.json"
    assert pinned_path("a/b", DAY, "ff") == "_pinned/a/b/date=2024-01-03/ff.parquet"
