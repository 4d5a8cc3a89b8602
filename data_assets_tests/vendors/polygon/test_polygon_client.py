"""Listing and reading flat files over real S3 and from a folder, and what each refusal means."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest
from pydantic import SecretStr

from data_assets.ingest.outcome import DayEnded, Failed, NotEntitled, RunEnded, Throttled, Transient, VendorDown
from data_assets.sandbox.flat_files.bucket import FlatFileBucket
from data_assets.sandbox.flat_files.files import key
from data_assets.sandbox.loopback import SYNTHETIC_SERVER
from data_assets.vendors.polygon.client import Replaced
from data_assets.vendors.polygon.names import day_key
from data_assets_tests.vendors.polygon.flat_file_fixtures import (
    DAY,
    DAYS,
    KEY_ID,
    SECRET,
    at,
    body,
    bucket,
    first_listed,
    flat_files,
    raw_server,
    store_of,
)

JANUARY = "us_stocks_sip/minute_aggs_v1/2024/01"


@pytest.fixture(params=["bucket", "folder"])
def served(request, tmp_path):
    """The same four days over S3 and in a folder."""
    if request.param == "bucket":
        with bucket() as running:
            yield running
    else:
        folder = tmp_path / "a mirror, with blanks"
        flat_files().write_folder(folder, DAYS)
        yield folder


# One code path for both


async def test_a_listed_day_is_read_byte_by_byte(served):
    store = store_of(served)
    listed = await first_listed(store)
    expected = flat_files().body(DAY)
    assert (listed.day, listed.key, listed.size) == (DAY, key(DAY), len(expected))
    assert await body(store.read(listed)) == expected
    assert store.source(listed).endswith(key(DAY))


async def test_a_day_that_is_not_listed_is_none(served):
    assert await store_of(served).listed(date(2024, 1, 8)) is None


async def test_the_listing_of_a_range_holds_its_days_alone(served):
    listing = await store_of(served).listing(date(2024, 1, 3), date(2024, 2, 4))
    assert list(listing) == list(DAYS[1:])
    assert all(listed.day == day for day, listed in listing.items())


async def test_a_file_replaced_after_the_listing_is_not_read_as_the_listed_one(served):
    store = store_of(served)
    before = await first_listed(store)
    if isinstance(served, Path):
        flat_files({"kind": "republished_file", "day": DAY}).write_folder(served, DAYS)
    else:
        served.replace(DAY)
    with pytest.raises(Replaced):
        await body(store.read(before))
    after = await store.listed_anew(DAY)
    assert after is not None
    assert after.etag != before.etag
    assert len(await body(store.read(after))) == after.size


async def test_an_empty_place_is_no_vendor_without_data(tmp_path):
    (tmp_path / "us_stocks_sip").mkdir()
    with pytest.raises(RunEnded, match="POLYGON_FLAT_FILES_URL"):
        await store_of(tmp_path).listed(DAY)


async def test_other_names_in_a_month_are_no_days(tmp_path):
    flat_files().write_folder(tmp_path, DAYS[:1])
    month = tmp_path / JANUARY
    for name in ("2024-01-03.csv", "2024-01-03.csv.gz.part", "2024-02-05.csv.gz", "2024-01-99.csv.gz", "notes.txt"):
        (month / name).write_text("x")
    assert list(await store_of(tmp_path).listing(date(2024, 1, 1), date(2024, 1, 31))) == [DAYS[0]]


async def test_synthetic_files_are_refused_where_only_real_ones_will_do(served):
    store = store_of(served, real_data_only=True)
    listed = await first_listed(store)
    with pytest.raises(RunEnded, match="synthetic"):
        await body(store.read(listed))


async def test_real_files_pass_where_only_real_ones_will_do(tmp_path):
    flat_files(says_synthetic=False).write_folder(tmp_path, DAYS)
    store = store_of(tmp_path, real_data_only=True)
    assert await body(store.read(await first_listed(store)))


def test_the_mark_of_synthetic_data_is_spelt_as_the_sandbox_spells_it():
    assert SYNTHETIC_SERVER.encode() in flat_files().body(DAY)[:40]
    assert day_key(DAY) == key(DAY)


# The bucket


async def test_a_month_is_listed_once_whatever_is_asked_of_it_at_once():
    with bucket() as running:
        store = store_of(running)
        found = await asyncio.gather(*(store.listed(day) for day in DAYS), store.listed(date(2024, 1, 8)))
        assert [listed and listed.day for listed in found] == [*DAYS, None]
        assert [request.prefix for request in running.requests] == [JANUARY + "/"]


async def test_a_get_is_conditional_on_the_listed_etag():
    with bucket() as running:
        store = store_of(running)
        listed = await first_listed(store)
        await body(store.read(listed))
        assert running.requests[-1].if_match == listed.etag


async def test_a_prefix_in_the_url_is_part_of_every_key():
    with bucket() as running, pytest.raises(RunEnded, match="POLYGON_FLAT_FILES_URL"):
        await store_of(running, "s3://flatfiles/elsewhere").listed(DAY)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "slow_down", "times": 1}, Throttled),
        ({"kind": "cut_body", "times": 1}, Transient),
        ({"kind": "reset_body", "times": 1}, Transient),
    ],
)
async def test_what_goes_wrong_once_is_worth_another_try_and_is_not_tried_here(fault, error):
    with bucket(fault) as running:
        store = store_of(running)
        listed = await first_listed(store)
        with pytest.raises(error):
            await body(store.read(listed))
        assert [request.key for request in running.requests].count(listed.key) == 1
        assert len(await body(store.read(listed))) == listed.size


async def test_a_refused_listing_is_not_remembered():
    with bucket({"kind": "listing_slow_down", "times": 1}) as running:
        store = store_of(running)
        with pytest.raises(Throttled):
            await store.listed(DAY)
        assert await store.listed(DAY) is not None


async def test_a_file_outside_the_plan_is_listed_and_not_entitled():
    with bucket({"kind": "forbidden", "day": DAY}) as running:
        store = store_of(running)
        with pytest.raises(DayEnded) as caught:
            await body(store.read(await first_listed(store)))
        assert isinstance(caught.value.outcome, NotEntitled)
        assert "plan" in caught.value.outcome.reason
        assert await body(store.read(await first_listed(store, DAYS[0])))


async def test_a_bucket_that_is_not_there_ends_the_run():
    with bucket() as running, pytest.raises(RunEnded, match="POLYGON_FLAT_FILES_URL"):
        await store_of(running, "s3://flatfile").listed(DAY)


async def test_a_folder_that_is_not_there_ends_the_run(tmp_path):
    with pytest.raises(RunEnded, match="POLYGON_FLAT_FILES_URL"):
        await store_of(tmp_path / "nowhere").listed(DAY)


# Credentials


@pytest.mark.parametrize("keys", [{"key_id": ""}, {"secret": ""}, {"secret": SecretStr("")}])
async def test_missing_keys_end_the_run_before_anything_is_sent(keys):
    with bucket() as running:
        with pytest.raises(RunEnded, match="POLYGON_ACCESS_KEY_ID"):
            await store_of(running, **keys).listed(DAY)
        assert running.requests == []


@pytest.mark.parametrize("keys", [{"key_id": "another"}, {"secret": "another"}])
async def test_wrong_keys_end_the_run(keys):
    with bucket() as running, pytest.raises(RunEnded, match="POLYGON_ACCESS_KEY_ID"):
        await store_of(running, **keys).listed(DAY)


@pytest.mark.parametrize("of_error", [{"secret": "wrong" + SECRET}, {"key_id": "wrong" + KEY_ID}, {}])
async def test_no_credential_is_shown_anywhere(of_error, caplog):
    caplog.set_level(logging.DEBUG)
    keys = {"key_id": KEY_ID, "secret": SecretStr(SECRET)} | of_error
    with bucket({"kind": "forbidden", "day": DAY}) as running:
        store = store_of(running, **keys)
        with pytest.raises((RunEnded, DayEnded)) as caught:
            await body(store.read(await first_listed(store)))
        shown = [repr(store), caplog.text, *traceback.format_exception(caught.value)]
    assert SECRET not in str(vars(store))
    for text in shown:
        assert KEY_ID not in text
        assert SECRET not in text


async def test_the_variables_of_the_lake_s_object_store_are_not_the_vendor_s(monkeypatch):
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "lake",
        "AWS_SECRET_ACCESS_KEY": "lake",
        "AWS_SESSION_TOKEN": "lake",
        "AWS_REGION": "eu-central-1",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
    }.items():
        monkeypatch.setenv(name, value)
    with bucket() as running:
        store = store_of(running)
        assert await body(store.read(await first_listed(store)))


# Servers that are none, or go away


async def test_a_server_that_falls_silent_is_not_waited_for_without_end():
    with raw_server(None) as endpoint, pytest.raises(Transient, match="no byte for"):
        await at(endpoint, stall_seconds=0.2).listed(DAY)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ],
)
async def test_what_is_no_s3_server_ends_the_run(answer):
    with raw_server(answer) as endpoint, pytest.raises(RunEnded, match="POLYGON_S3_ENDPOINT"):
        await at(endpoint).listed(DAY)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n<?xml"])
async def test_a_connection_that_breaks_is_worth_another_try(answer):
    with raw_server(answer) as endpoint, pytest.raises(Transient):
        await at(endpoint).listed(DAY)


async def test_nothing_there_ends_the_run_and_gone_is_waited_for():
    with bucket() as running:
        store = store_of(running, poll_seconds=0.01)
        await store.listed(DAY)
        endpoint = running.endpoint
    with pytest.raises(VendorDown):
        await store.listed_anew(DAY)
    with pytest.raises(RunEnded, match="POLYGON_S3_ENDPOINT"):
        await at(endpoint).listed(DAY)
    waiting = asyncio.create_task(store.wait_until_up())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    with bucket_at(int(endpoint.rpartition(":")[2])):
        await waiting


@contextmanager
def bucket_at(port: int) -> Iterator[None]:
    with FlatFileBucket(flat_files(), days=DAYS, credentials=(KEY_ID, SECRET), port=port):
        yield


async def test_waiting_ends_with_the_run_where_the_key_is_refused():
    with bucket() as running, pytest.raises(RunEnded):
        await store_of(running, secret="another").wait_until_up()


async def test_a_file_that_cannot_be_read_fails_its_day_alone(tmp_path):
    flat_files().write_folder(tmp_path, DAYS)
    store = store_of(tmp_path)
    listed = await first_listed(store)
    (tmp_path / listed.key).unlink()
    (tmp_path / listed.key).symlink_to(Path(listed.key).name)
    with pytest.raises(DayEnded) as caught:
        await body(store.read(listed))
    assert isinstance(caught.value.outcome, Failed)
