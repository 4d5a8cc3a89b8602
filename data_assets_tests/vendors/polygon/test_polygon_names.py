"""Days that a home-made mirror holds under other names: said so, and never taken for days without data."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from data_assets.ingest.outcome import DayEnded, Failed, NoData, NotStored, RunEnded
from data_assets.sandbox.flat_files.files import key
from data_assets.vendors.polygon.day import raw_day
from data_assets.vendors.polygon.names import DATASET, PATTERN, day_of, misnamed
from data_assets.vendors.polygon.raw_cache import RawCache
from data_assets_tests.vendors.polygon.flat_file_fixtures import DAY, DAYS, NOW, bucket, flat_files, store_of
from data_assets_tests.vendors.polygon.flat_file_fixtures import Meter as FlatFileMeter

MONTH = f"{DATASET}/2024/01"
NAME = f"{DAY}.csv.gz"


EARLIER = date(2023, 12, 29)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    flat_files().write_folder(folder, [EARLIER, *DAYS])
    return folder


@pytest.fixture
def mirror(tmp_path: Path, written: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "mirror"))


async def outcome_of(mirror: Path, day: date = DAY) -> NotStored:
    with pytest.raises(DayEnded) as caught:
        await raw_day(store_of(mirror), RawCache(mirror.parent / "cache", 10**9), day, FlatFileMeter(), NOW)
    assert "\n" not in caught.value.outcome.reason
    return caught.value.outcome


def gunzip(path: Path) -> None:
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()


def link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "nowhere" / path.name)


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def moved_to(*parts: str) -> Callable[[Path], None]:
    def move(path: Path) -> None:
        target = path.parent.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)

    return move


WAYS = {
    "gunzipped": gunzip,
    "a link to nothing": link_to_nothing,
    "a link to itself": link_to_itself,
    "a folder of the day": moved_to("03", NAME),
    "still arriving": moved_to(f"{NAME}.part"),
    "packed otherwise": moved_to(f"{DAY}.csv.zst"),
    "capitals": moved_to(f"{DAY}.CSV.GZ"),
    "a date without hyphens": moved_to("20240103.csv.gz"),
    "nothing but the date": moved_to(f"{DAY}"),
}
DEPTHS = {
    "the folder of the year": moved_to("..", NAME),
    "the folder of the data": moved_to("..", "..", NAME),
    "a month of one digit": moved_to("..", "1", NAME),
    "a folder of a year and a month": moved_to("..", "..", "2024-01", NAME),
    "hive style": moved_to("..", "..", f"date={DAY}", "data.csv.gz"),
}


@pytest.mark.parametrize("way", [*WAYS, *DEPTHS])
async def test_a_day_under_another_name_fails_with_the_name_that_is_expected(mirror, way):
    (WAYS | DEPTHS)[way](mirror / MONTH / NAME)
    outcome = await outcome_of(mirror)
    assert isinstance(outcome, Failed)
    where = f"{DATASET}/2024/01/" if way in WAYS else f"{DATASET}/"
    assert f"holds 1 file of {DAY}, none named as the vendor's, such as {where}" in outcome.reason
    assert key(DAY) in outcome.reason
    assert await store_of(mirror).listed(DAYS[0]), "the other days are listed"


@pytest.mark.parametrize("way", [*WAYS, *DEPTHS])
async def test_so_does_each_day_of_a_month_without_any_file_of_the_vendors_names(mirror, way):
    for day in DAYS:
        if day != DAY:
            (mirror / key(day)).unlink()
    (WAYS | DEPTHS)[way](mirror / MONTH / NAME)
    for day in (DAY, DAYS[0]):
        outcome = await outcome_of(mirror, day)
        assert isinstance(outcome, Failed)
        assert "none named as the vendor's" in outcome.reason
        assert key(day) in outcome.reason
        assert outcome.cause, "three such days end a run"


async def test_a_month_of_names_without_dates_fails_too(mirror):
    for day in DAYS:
        (mirror / key(day)).rename(mirror / MONTH / f"stocks{day.day}.csv.gz")
    outcome = await outcome_of(mirror)
    assert isinstance(outcome, Failed)
    assert "holds 4 files of 2024-01, none named as the vendor's, such as" in outcome.reason


@pytest.mark.parametrize("way", [*WAYS, *DEPTHS])
async def test_a_place_without_any_file_of_the_vendors_names_ends_the_run(mirror, way):
    shutil.rmtree(mirror / DATASET / "2023")
    for day in DAYS:
        if day != DAY:
            (mirror / key(day)).unlink()
    (WAYS | DEPTHS)[way](mirror / MONTH / NAME)
    with pytest.raises(RunEnded, match="holds 1 file, none named as the vendor's, such as ") as caught:
        await store_of(mirror).listed(DAY)
    assert PATTERN in str(caught.value)


async def test_a_url_one_folder_too_deep_says_where_to_point_it(mirror):
    with pytest.raises(RunEnded, match="POLYGON_FLAT_FILES_URL to the bucket or folder above us_stocks_sip"):
        await store_of(mirror / "us_stocks_sip").listed(DAY)


async def test_what_is_beside_the_files_of_a_mirror_is_no_day(mirror):
    (mirror / MONTH / NAME).unlink()
    for name in ("notes.txt", "SHA256SUMS", ".DS_Store", f".{NAME}.aB3", "_SUCCESS"):
        (mirror / MONTH / name).write_text("x")
    (mirror / MONTH / "2024-01-31.csv").write_text("of another day")
    assert isinstance(await outcome_of(mirror), NoData)
    shutil.rmtree(mirror / MONTH)
    (mirror / DATASET / "index.csv").write_text("of no month")
    assert isinstance(await outcome_of(mirror), NoData)


async def test_a_link_to_nothing_hides_no_other_day(mirror):
    link_to_itself(mirror / MONTH / NAME)
    listing = await store_of(mirror).listing(DAYS[0], DAYS[-1])
    assert list(listing) == [day for day in DAYS if day != DAY]


async def test_names_in_a_bucket_are_told_as_those_in_a_folder_are():
    """A bucket that holds a day a folder deeper, as one client's wrong path for minute files would have it."""
    with bucket(days=DAYS[:1]) as running:
        running._objects.put(f"{MONTH}/03/{NAME}", b"x")
        store = store_of(running)
        assert await store.listed(DAY) is None
        said = await store.misnamed(DAY, anywhere=False)
        assert said is not None
        assert f"holds 1 file of {DAY}, none named as the vendor's" in said
        before = len(running.requests)
        assert await store.misnamed(DAYS[2], anywhere=False) is None
        assert len(running.requests) == before, "a day that is not due asks for no other list"
        for day in (DAYS[2], DAYS[3]):
            assert await store.misnamed(day, anywhere=True) is None
        assert len(running.requests) == before + 2, "the years and all files, once"


async def test_a_month_before_the_first_file_asks_a_bucket_for_all_names_once():
    with bucket(days=DAYS[:1]) as running:
        store = store_of(running)
        for month in range(1, 13):
            assert await store.listed(date(2023, month, 3)) is None
            assert await store.misnamed(date(2023, month, 3), anywhere=True) is None
        prefixes = [request.prefix for request in running.requests]
        assert len(prefixes) == 12 + 2


def test_the_vendors_name_is_of_one_folder_and_one_day():
    assert day_of(key(DAY)) == DAY
    for name in (f"x/{key(DAY)}", key(DAY).replace("/01/", "/02/"), f"{MONTH}/2024-01-99.csv.gz", f"{key(DAY)}.part"):
        assert day_of(name) is None
    assert misnamed(DAY, [], "file:///x", named=False) is None
