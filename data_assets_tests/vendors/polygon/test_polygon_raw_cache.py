"""The raw cache: whole files alone, within its budget, and never one that somebody uses; whoever is killed."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.files import tempfiles
from data_assets.ingest.outcome import DayEnded, Rejected, RunEnded, Transient
from data_assets.lake.errors import Corrupt
from data_assets.vendors.polygon.client import Listed
from data_assets.vendors.polygon.gzip_text import GzipCheck, first_line
from data_assets.vendors.polygon.names import day_key
from data_assets.vendors.polygon.raw_cache import HeldFile, RawCache
from data_assets_tests.small_disk import mount as mount  # a fixture; the killed processes import all names from here
from data_assets_tests.vendors.polygon.flat_file_fixtures import Meter

FIRST = date(2024, 1, 2)
DAY_BYTES = 10_000


def file_of(day: date, version: int = 1, size: int = DAY_BYTES) -> bytes:
    """A gzip file of exactly ``size`` bytes: what does not fit the text is its name in the header."""
    text = f"ticker\n{day} version {version}\n".encode()
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(text) + packer.flush()
    end = zlib.crc32(text).to_bytes(4, "little") + len(text).to_bytes(4, "little")
    header = bytes.fromhex("1f8b0808000000000003")
    name = b"x" * (size - len(header) - 1 - len(packed) - len(end))
    return header + name + b"\0" + packed + end


def days(count: int) -> list[date]:
    return [FIRST + timedelta(days=number) for number in range(count)]


def listed(day: date, version: int = 1, size: int = DAY_BYTES) -> Listed:
    return Listed(day, day_key(day), f'"{version}"', size, datetime(2024, 1, 5, tzinfo=UTC))


class Vendor:
    """Hands out files, in pieces, and counts how often."""

    def __init__(self, *bodies: bytes) -> None:
        self.reads: list[date] = []
        self._bodies = list(bodies)

    async def read(self, asked: Listed) -> AsyncIterator[bytes]:
        self.reads.append(asked.day)
        body = self._bodies.pop(0) if self._bodies else file_of(asked.day, int(asked.etag.strip('"')), asked.size)
        for start in range(0, len(body), 1000):
            await asyncio.sleep(0)
            yield body[start : start + 1000]


async def get(cache: RawCache, vendor: Vendor, day: date, version: int = 1, size: int = DAY_BYTES) -> HeldFile:
    return await cache.get(listed(day, version, size), vendor.read, Meter())


async def fill(cache: RawCache, vendor: Vendor, wanted: list[date]) -> None:
    """Fetch days one after another, each used later than the one before."""
    for position, day in enumerate(wanted):
        (await get(cache, vendor, day)).close()
        os.utime(cache.path(day), ns=(position * 10**9, position * 10**9))


def present(folder: Path) -> list[date]:
    return sorted(date.fromisoformat(path.name[:10]) for path in folder.rglob("20*.csv.gz"))


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("20*.csv.gz"))


def temp_files(folder: Path) -> list[Path]:
    return list(tempfiles.find(folder))


def assert_sound(folder: Path, *, killed: bool = False) -> None:
    """Every file with a note is the file of its note, and every note has a file, or is a killed download's."""
    for note in folder.rglob(".*.json"):
        file = note.with_name(note.name[1 : -len(".json")])
        if killed and not file.exists():
            continue
        said = json.loads(note.read_text())
        assert hashlib.sha256(file.read_bytes()).hexdigest() == said["sha256"]
        version = gzip.decompress(file.read_bytes()).decode().split()[-1]
        assert said["etag"] == f'"{version}"'


# Fetching


async def test_a_file_is_fetched_once_and_kept_under_the_vendor_s_name(tmp_path):
    cache, vendor, meter = RawCache(tmp_path, 10**6), Vendor(), Meter()
    with await cache.get(listed(FIRST), vendor.read, meter) as first:
        assert first.downloaded
        assert first.path == tmp_path / "2024/01/2024-01-02.csv.gz"
        assert first.path.read_bytes() == file_of(FIRST)
        assert first.note.sha256 == hashlib.sha256(file_of(FIRST)).hexdigest()
        assert (first.note.size, first.note.lines, first.note.etag) == (DAY_BYTES, 2, '"1"')
    with await cache.get(listed(FIRST), vendor.read, meter) as second:
        assert not second.downloaded
        assert second.note == first.note
    assert vendor.reads == [FIRST]
    assert meter.bytes == DAY_BYTES
    assert temp_files(tmp_path) == []


async def test_another_process_s_file_is_used_too(tmp_path):
    vendor = Vendor()
    (await get(RawCache(tmp_path, 10**6), vendor, FIRST)).close()
    (await get(RawCache(tmp_path, 10**6), vendor, FIRST)).close()
    assert vendor.reads == [FIRST]


async def test_another_version_is_fetched_and_the_old_one_stays_readable_while_it_is_used(tmp_path):
    cache, vendor = RawCache(tmp_path, 10**6), Vendor()
    with await get(cache, vendor, FIRST) as old, old.path.open("rb") as still_open:
        with await get(cache, vendor, FIRST, version=2) as new:
            assert new.downloaded
            assert new.path.read_bytes() == file_of(FIRST, 2)
        assert still_open.read() == file_of(FIRST)
    assert_sound(tmp_path)
    assert present(tmp_path) == [FIRST]


@pytest.mark.parametrize("damage", ["no note", "other note", "no json", "flipped byte", "shorter"])
async def test_what_is_not_what_was_fetched_is_fetched_again(tmp_path, damage):
    cache, vendor = RawCache(tmp_path, 10**6), Vendor()
    (await get(cache, vendor, FIRST)).close()
    path = cache.path(FIRST)
    note = path.with_name(f".{path.name}.json")
    match damage:
        case "no note":
            note.unlink()
        case "other note":
            note.write_text('{"another": 1}')
        case "no json":
            note.write_text("{")
        case "flipped byte":
            path.write_bytes(b"\x1f\x8b" + bytes(DAY_BYTES - 2))
        case "shorter":
            path.write_bytes(path.read_bytes()[:-1])
    with await get(cache, vendor, FIRST) as held:
        assert held.downloaded
        assert held.path.read_bytes() == file_of(FIRST)
    assert_sound(tmp_path)


WHOLE = file_of(FIRST)


@pytest.mark.parametrize(
    "body",
    [
        WHOLE[:-1],
        WHOLE + b"more",
        b"",
        WHOLE[:-5] + bytes([WHOLE[-5] ^ 1]) + WHOLE[-4:],
        WHOLE[:-1] + bytes([WHOLE[-1] ^ 1]),
        bytes(DAY_BYTES),
        file_of(FIRST, size=DAY_BYTES - 4) + b"junk",
    ],
    ids=["cut", "longer", "empty", "crc", "length", "no gzip", "junk behind"],
)
async def test_what_does_not_arrive_whole_leaves_nothing_and_is_worth_another_try(tmp_path, body):
    cache, vendor = RawCache(tmp_path, 10**6), Vendor(body)
    with pytest.raises(Transient):
        await get(cache, vendor, FIRST)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    with await get(cache, vendor, FIRST) as held:
        assert held.path.read_bytes() == WHOLE


async def test_the_same_damage_twice_is_the_vendor_s_and_another_one_is_not(tmp_path):
    damaged = [WHOLE[:-1] + bytes([byte]) for byte in (1, 2, 1, 1)]
    cache, vendor = RawCache(tmp_path, 10**6), Vendor(*damaged)
    for _ in range(3):
        with pytest.raises(Transient):
            await get(cache, vendor, FIRST)
    with pytest.raises(DayEnded) as caught:
        await get(cache, vendor, FIRST)
    assert isinstance(caught.value.outcome, Rejected)
    with await get(cache, vendor, FIRST, version=2) as held:
        assert held.downloaded


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (gzip.decompress(WHOLE), "compress it with gzip, or fetch it again with a client that leaves files as they"),
        (b"<html><body>Sign in to the network</body></html>", "run this day again when it is replaced"),
    ],
    ids=["text", "page"],
)
async def test_a_file_that_a_client_has_unpacked_is_no_damaged_one(tmp_path, body, words):
    """Plain text under the vendor's name, as clients leave it that undo a Content-Encoding (aws-cli 6765)."""
    cache, vendor = RawCache(tmp_path, 10**6), Vendor(body, body)
    with pytest.raises(Transient):
        await get(cache, vendor, FIRST, size=len(body))
    with pytest.raises(DayEnded) as caught:
        await get(cache, vendor, FIRST, size=len(body))
    assert words in caught.value.outcome.reason


async def test_cancelling_a_download_leaves_nothing(tmp_path):
    arrived = asyncio.Event()

    async def half(_: Listed) -> AsyncIterator[bytes]:
        yield WHOLE[:5000]
        arrived.set()
        await asyncio.Event().wait()

    fetching = asyncio.create_task(RawCache(tmp_path, 10**6).get(listed(FIRST), half, Meter()))
    await arrived.wait()
    assert len(temp_files(tmp_path)) == 1
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_folder_that_takes_no_file_ends_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunEnded, match="file"):
        await get(RawCache(tmp_path / "file", 10**6), Vendor(), FIRST)


async def test_what_a_dead_download_left_goes_with_the_next_one_and_the_folder_is_walked_once(tmp_path, monkeypatch):
    cache, vendor = RawCache(tmp_path, 10**6), Vendor()
    (await get(cache, vendor, FIRST)).close()
    left = cache.path(FIRST).with_name(f".{FIRST}.csv.gz.{'0' * 16}.tmp")
    left.write_bytes(b"x" * 900_000)
    walked, walk = [], os.walk
    monkeypatch.setattr(os, "walk", lambda folder, *rest, **more: walked.append(folder) or walk(folder, *rest, **more))
    (await get(cache, vendor, FIRST + timedelta(days=1), size=300_000)).close()
    assert not left.exists()
    assert present(tmp_path) == [FIRST, FIRST + timedelta(days=1)], "and nothing was evicted for its sake"
    assert walked == [cache.folder]


# The budget


@pytest.mark.parametrize("room", [0, 4096, 500_000, 998_000])
async def test_a_disk_that_is_full_in_the_middle_of_a_download(tmp_path, mount, room):
    """Before its first byte, at it, in the middle, and with no room for the note alone."""
    disk = mount(tmp_path / "disk", "size=4m")
    cache, vendor = RawCache(disk.folder / "raw", 10**9), Vendor()
    (await get(cache, vendor, FIRST)).close()
    second = FIRST + timedelta(days=1)
    disk.fill(but=room)
    with pytest.raises(
        RunEnded, match=r"raw: no room for the vendor's files .*: [01]\.. MB are free there; free space"
    ):
        await get(cache, vendor, second, size=1_000_000)
    assert temp_files(disk.folder) == []
    assert_sound(disk.folder)
    (await get(cache, vendor, FIRST)).close()
    assert vendor.reads.count(FIRST) == 1
    disk.empty()
    with await get(cache, vendor, second, size=1_000_000) as again:
        assert again.path.read_bytes() == file_of(second, size=1_000_000)


@pytest.mark.parametrize("inodes", [0, 1, 2])
async def test_a_disk_without_inodes_for_the_vendor_s_files(tmp_path, mount, inodes):
    """None for the folder of the month, for the file, or for its note."""
    disk = mount(tmp_path / "disk", "size=4m,nr_inodes=50")
    cache, vendor = RawCache(disk.folder / "raw", 10**9), Vendor()
    (await get(cache, vendor, FIRST)).close()
    other = FIRST + timedelta(days=40)
    disk.take_inodes(but=inodes)
    with pytest.raises(RunEnded, match=r"raw: no room .*: its file system is out of inodes, although 4 MB are free"):
        await get(cache, vendor, other)
    assert temp_files(disk.folder) == []
    assert_sound(disk.folder)
    disk.empty()
    (await get(cache, vendor, other)).close()
    assert present(disk.folder) == [FIRST, other]


async def test_the_least_recently_used_goes_first(tmp_path):
    cache, vendor = RawCache(tmp_path, 3 * DAY_BYTES), Vendor()
    one, two, three, four = days(4)
    await fill(cache, vendor, [one, two, three])
    (await get(cache, vendor, one)).close()
    (await get(cache, vendor, four)).close()
    assert present(tmp_path) == [one, three, four]
    assert_sound(tmp_path)


async def test_an_evicted_day_is_fetched_again(tmp_path):
    cache, vendor = RawCache(tmp_path, DAY_BYTES), Vendor()
    await fill(cache, vendor, days(2))
    with await get(cache, vendor, FIRST) as held:
        assert held.downloaded
    assert vendor.reads == [FIRST, days(2)[1], FIRST]


async def test_a_file_in_use_is_not_evicted_and_the_budget_holds_again_after_its_release(tmp_path, caplog):
    cache, vendor = RawCache(tmp_path, 2 * DAY_BYTES), Vendor()
    await fill(cache, vendor, days(2))
    used = [await get(cache, vendor, day) for day in days(2)]
    third = await get(cache, vendor, days(3)[2])
    assert present(tmp_path) == days(3)
    assert "POLYGON_CACHE_BYTES" in caplog.text
    third.close()
    assert bytes_in(tmp_path) == 2 * DAY_BYTES
    for held in used:
        assert held.path.read_bytes() == file_of(held.listed.day)
        held.close()
    assert bytes_in(tmp_path) <= 2 * DAY_BYTES


@pytest.mark.parametrize("budget", [0, DAY_BYTES])
async def test_a_day_larger_than_the_budget_works_evicts_all_else_and_says_so(tmp_path, caplog, budget):
    cache, vendor = RawCache(tmp_path, budget), Vendor()
    (await get(cache, vendor, FIRST)).close()
    large = days(2)[1]
    with await get(cache, vendor, large, size=3 * DAY_BYTES) as held:
        assert held.path.read_bytes() == file_of(large, size=3 * DAY_BYTES)
        assert present(tmp_path) == [large]
        assert "POLYGON_CACHE_BYTES" in caplog.text
    assert present(tmp_path) == []


async def test_the_room_of_a_download_is_taken_before_it_begins(tmp_path):
    cache = RawCache(tmp_path, 2 * DAY_BYTES)
    one, two, three = days(3)
    await fill(cache, Vendor(), [one, two])
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(asked: Listed) -> AsyncIterator[bytes]:
        begun.set()
        await go_on.wait()
        yield file_of(asked.day)

    fetching = asyncio.create_task(cache.get(listed(three), slow, Meter()))
    await begun.wait()
    assert present(tmp_path) == [two]
    four = date(2024, 2, 1)
    (await get(RawCache(tmp_path, 2 * DAY_BYTES), Vendor(), four)).close()
    assert present(tmp_path) == [four]
    go_on.set()
    (await fetching).close()
    assert present(tmp_path) == [three, four]


async def test_many_days_at_once_in_a_cache_of_one(tmp_path):
    cache, vendor = RawCache(tmp_path, DAY_BYTES), Vendor()

    async def use(day: date) -> None:
        for _ in range(3):
            with await get(cache, vendor, day) as held:
                for _ in range(5):
                    assert gzip.decompress(held.path.read_bytes()).decode() == f"ticker\n{day} version 1\n"
                    await asyncio.sleep(0)

    await asyncio.gather(*map(use, days(6)))
    assert bytes_in(tmp_path) <= DAY_BYTES
    assert temp_files(tmp_path) == []
    assert_sound(tmp_path)


async def test_other_files_in_the_folder_are_nobody_s_business(tmp_path):
    for name in ("2024/01/notes.csv.gz", "readme.txt", "2024-01-02.csv.gz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(5 * DAY_BYTES))
    cache = RawCache(tmp_path, DAY_BYTES)
    await fill(cache, Vendor(), days(2))
    assert (tmp_path / "2024/01/notes.csv.gz").exists()
    assert cache.path(days(2)[1]).exists()


# Verifying


async def test_a_cached_file_is_compared_with_what_was_recorded(tmp_path):
    cache = RawCache(tmp_path, DAY_BYTES)
    (await get(cache, Vendor(), FIRST)).close()
    recorded = hashlib.sha256(file_of(FIRST)).hexdigest()
    assert "has the recorded sha256" in cache.verify(FIRST, sha256=recorded).said
    cache.path(FIRST).write_bytes(b"rot")
    with pytest.raises(Corrupt, match="sha256"):
        cache.verify(FIRST, sha256=recorded)
    await fill(cache, Vendor(), days(2)[1:])
    assert not cache.verify(FIRST, sha256=recorded).is_here


async def test_a_whole_file_that_came_after_the_recorded_one_is_as_good(tmp_path):
    cache, before = RawCache(tmp_path, 10**6), datetime.now(UTC)
    (await get(cache, Vendor(), FIRST)).close()
    recorded = hashlib.sha256(file_of(FIRST)).hexdigest()
    between = datetime.now(UTC)
    (await get(cache, Vendor(), FIRST, version=2)).close()
    newer = cache.verify(FIRST, sha256=recorded, fetched_at=between).newer
    assert newer is not None
    assert newer.sha256 == hashlib.sha256(file_of(FIRST, 2)).hexdigest()
    assert cache.verify(FIRST, sha256=newer.sha256, fetched_at=before).newer is None
    for fetched_at in (None, datetime.now(UTC)):  # by the record it is the older one, as one from a backup
        with pytest.raises(Corrupt, match="recorded was"):
            cache.verify(FIRST, sha256=recorded, fetched_at=fetched_at)
    cache.path(FIRST).write_bytes(file_of(FIRST, 2)[:-1] + b"!")
    with pytest.raises(Corrupt, match="recorded was"):
        cache.verify(FIRST, sha256=recorded, fetched_at=between)


# Gzip


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4), st.integers(1, 50))
def test_a_gzip_file_of_several_members_is_whole(parts, step):
    packed = b"".join(map(gzip.compress, parts))
    check = GzipCheck()
    for start in range(0, len(packed), step):
        check.feed(packed[start : start + step])
    assert check.problem() is None
    text = b"".join(parts)
    blank_at_the_end = max(0, text[len(text.rstrip(b"\r\n")) :].count(b"\n") - 1)
    assert check.lines == text.count(b"\n") - blank_at_the_end
    assert first_line(packed) == text[: text.find(b"\n") + 1]


@given(st.binary(max_size=300), st.data())
def test_damage_to_a_gzip_file_shows(text, data):
    packed = gzip.compress(text, mtime=0)
    cut = data.draw(st.integers(0, len(packed) - 1))
    flipped = data.draw(st.integers(len(packed) - 8, len(packed) - 1))
    spoilt = packed[:flipped] + bytes([packed[flipped] ^ 0x10]) + packed[flipped + 1 :]
    for damaged in (packed[:cut], spoilt, packed + b"junk"):
        check = GzipCheck()
        check.feed(damaged)
        assert check.problem()


# Killed

USER = """
import asyncio, os, signal, sys
from pathlib import Path
from test_polygon_raw_cache import *
from data_assets.vendors.polygon import raw_cache

cache, vendor, crash = RawCache(Path(sys.argv[1]), 2 * DAY_BYTES), Vendor(), sys.argv[2]

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

def before(owner, name, nth=1):
    real, calls = getattr(owner, name), []
    def dying(*args, **kwargs):
        calls.append(1)
        return die() if len(calls) == nth else real(*args, **kwargs)
    setattr(owner, name, dying)

async def main():
    if crash == "hold":
        with await get(cache, vendor, FIRST) as held:
            print("held", flush=True)
            sys.stdin.readline()
            print(gzip.decompress(held.path.read_bytes()).decode().split()[-1], flush=True)
        return
    if crash == "download":
        async def half(_):
            yield file_of(days(3)[2])[:5000]
            die()
        vendor.read = half
    if crash == "between the note of a new version and its file":
        before(Path, "replace", 2)
        await get(RawCache(cache.folder, 10**6), vendor, FIRST, version=2)
    {
        "download": lambda: None,
        "before the note of the evicted file": lambda: before(Path, "unlink"),
        "between the note and the evicted file": lambda: before(Path, "unlink", 2),
        "before the note": lambda: before(raw_cache, "_write_note"),
        "before the note's rename": lambda: before(Path, "replace"),
        "between the note and its file": lambda: before(Path, "replace", 2),
    }[crash]()
    await get(cache, vendor, days(3)[2])
asyncio.run(main())
"""


def user(folder: Path, crash: str) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), *sys.path])}
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(folder), crash],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


KILLS = {
    "download": 1,
    "before the note of the evicted file": 2,
    "between the note and the evicted file": 2,
    "before the note": 1,
    "before the note's rename": 1,
    "between the note and its file": 1,
}


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """For each instant: a full cache of two days in which a third one's download was killed then."""
    folders = {crash: tmp_path_factory.mktemp("cache") for crash in KILLS}
    for folder in folders.values():
        asyncio.run(fill(RawCache(folder, 2 * DAY_BYTES), Vendor(), days(2)))
    crashes = list(KILLS)
    for pair in zip(crashes[::2], crashes[1::2], strict=True):
        processes = [user(folders[crash], crash) for crash in pair]
        for process in processes:
            process.communicate(timeout=60)
            assert process.returncode == -signal.SIGKILL
    return folders


@pytest.mark.parametrize(("crash", "left"), KILLS.items())
async def test_killed_at_any_instant_the_cache_is_sound_and_goes_on(killed, crash, left):
    folder = killed[crash]
    assert len(present(folder)) == left
    assert_sound(folder, killed=True)
    cache, vendor = RawCache(folder, 2 * DAY_BYTES), Vendor()
    for day in days(3):
        with await get(cache, vendor, day) as held:
            assert held.path.read_bytes() == file_of(day)
    assert bytes_in(folder) <= 2 * DAY_BYTES
    assert temp_files(folder) == []
    assert_sound(folder)


@pytest.mark.parametrize("version", [1, 2])
async def test_killed_between_the_note_of_a_new_version_and_its_file_the_note_does_not_speak_for_the_old(
    tmp_path, version
):
    cache, vendor = RawCache(tmp_path, 10**6), Vendor()
    (await get(cache, vendor, FIRST)).close()
    process = user(tmp_path, "between the note of a new version and its file")
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert cache.path(FIRST).read_bytes() == file_of(FIRST)
    assert "has the recorded sha256" in cache.verify(FIRST, sha256=hashlib.sha256(file_of(FIRST)).hexdigest()).said
    with await get(cache, vendor, FIRST, version=version) as held:
        assert held.path.read_bytes() == file_of(FIRST, version)
    assert_sound(tmp_path)


async def test_a_file_that_another_process_uses_is_not_evicted_until_it_dies(tmp_path):
    holder = user(tmp_path, "hold")
    assert select.select([holder.stdout], [], [], 60)[0]
    assert holder.stdout.readline() == "held\n"
    cache = RawCache(tmp_path, DAY_BYTES)
    second, third = days(3)[1:]
    (await get(cache, Vendor(), second)).close()
    assert present(tmp_path) == [FIRST]
    holder.kill()
    holder.communicate()
    (await get(cache, Vendor(), third)).close()
    assert present(tmp_path) == [third]
