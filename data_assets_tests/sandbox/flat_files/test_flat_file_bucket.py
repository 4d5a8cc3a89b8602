"""The flat files over real S3: what the vendor's bucket does, and what goes wrong on the way."""

from __future__ import annotations

import gzip
import http.client
import socket
import threading
import zlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlsplit

import obstore
import pytest
from obstore.exceptions import GenericError, NotFoundError, PermissionDeniedError, PreconditionError
from obstore.store import S3Store

from data_assets.sandbox.flat_files.bucket import FlatFileBucket
from data_assets.sandbox.flat_files.faults import FlatFileFault
from data_assets.sandbox.flat_files.files import FlatFiles, NotListed, key
from data_assets.sandbox.loopback import SYNTHETIC_SERVER, PortTaken
from data_assets.trading_calendar import sessions

DAY, OTHER = date(2024, 1, 3), date(2024, 1, 4)
DAYS = (DAY, OTHER)
MONTH = "us_stocks_sip/minute_aggs_v1/2024/01/"
MOMENT = timedelta(milliseconds=1)
ONE_RETRY = {"max_retries": 1, "backoff": {"init_backoff": MOMENT, "max_backoff": MOMENT, "base": 2}}
NO_RETRY = {**ONE_RETRY, "max_retries": 0}
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def files(*faults: dict[str, object], **options: object) -> FlatFiles:
    struck = tuple(FlatFileFault.model_validate(fault) for fault in faults)
    return FlatFiles(now=lambda: NOW, faults=struck, **options)


def bucket_with(*faults: dict[str, object], **options: object) -> FlatFileBucket:
    return FlatFileBucket(files(*faults), days=DAYS, **options)


def store(bucket: FlatFileBucket, *, retry: dict[str, object] = NO_RETRY, **credentials: object) -> S3Store:
    return S3Store(
        "flatfiles",
        endpoint=bucket.endpoint,
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
        retry_config=retry,
        **(credentials or {"access_key_id": "id", "secret_access_key": "secret"}),
    )


def listed(from_store: S3Store, prefix: str = MONTH) -> dict[str, str]:
    return {meta["path"]: meta["e_tag"] for batch in obstore.list(from_store, prefix) for meta in batch}


def get(from_store: S3Store, day: date = DAY, **options: object) -> bytes:
    return bytes(obstore.get(from_store, key(day), options=options).bytes())


def over_the_wire(bucket: FlatFileBucket, day: date = DAY) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer to one plain GET, without a client that mends it."""
    connection = http.client.HTTPConnection(urlsplit(bucket.endpoint).netloc, timeout=20)
    connection.request("GET", f"/flatfiles/{key(day)}")
    response = connection.getresponse()
    try:
        return response, response.read()
    except http.client.IncompleteRead as cut:
        return response, cut.partial


@pytest.fixture
def bucket() -> Iterator[FlatFileBucket]:
    with bucket_with() as running:
        yield running


# A bucket without faults


def test_what_is_listed_is_what_is_read(bucket):
    found = listed(store(bucket))
    assert list(found) == [key(day) for day in DAYS]
    assert get(store(bucket), if_match=found[key(DAY)]) == files().body(DAY)
    head = obstore.head(store(bucket), key(DAY))
    assert head["e_tag"] == found[key(DAY)]
    assert head["size"] == len(files().body(DAY))


def test_ranges_are_parts_of_the_file(bucket):
    part = bytes(obstore.get_range(store(bucket), key(DAY), start=100, end=300))
    assert part == files().body(DAY)[100:300]


def test_files_are_made_when_they_are_first_asked_for():
    with FlatFileBucket(files()) as bucket:
        assert get(store(bucket)) == files().body(DAY)
        assert set(listed(store(bucket))) == {key(day) for day in sessions(date(2024, 1, 1), date(2024, 1, 31))}
        assert listed(store(bucket), "us_options_opra/") == {}


def test_a_file_appears_in_the_listing_when_it_is_published():
    now = [datetime(2024, 1, 4, 15, tzinfo=UTC)]
    with FlatFileBucket(FlatFiles(now=lambda: now[0], first_day=DAY)) as bucket:
        assert listed(store(bucket)) == {}
        now[0] = datetime(2024, 1, 4, 16, tzinfo=UTC)
        assert list(listed(store(bucket))) == [key(DAY)]


def test_a_missing_key_is_a_404(bucket):
    for day in (date(2024, 1, 6), date(2024, 1, 5)):
        with pytest.raises((NotFoundError, FileNotFoundError)):
            get(store(bucket), day)


def test_nobody_writes_into_the_bucket(bucket):
    with pytest.raises(PermissionDeniedError):
        obstore.put(store(bucket), key(DAY), b"mine")
    assert get(store(bucket)) == files().body(DAY)


def test_there_is_no_other_bucket(bucket):
    connection = http.client.HTTPConnection(urlsplit(bucket.endpoint).netloc, timeout=20)
    connection.request("GET", "/others/x")
    response = connection.getresponse()
    assert (response.status, b"NoSuchBucket" in response.read()) == (404, True)


def test_two_buckets_of_one_process_know_nothing_of_each_other(bucket):
    with FlatFileBucket(files({"kind": "republished_file"}), days=[DAY]) as second:
        assert get(store(second)) != get(store(bucket))
        assert list(listed(store(second))) == [key(DAY)]
    assert list(listed(store(bucket))) == [key(day) for day in DAYS]


def test_every_request_is_on_record(bucket):
    found = listed(store(bucket))
    get(store(bucket), if_match=found[key(DAY)])
    seen = [(each.method, each.key, each.prefix, each.if_match, each.status) for each in bucket.requests]
    assert seen == [("GET", None, MONTH, None, 200), ("GET", key(DAY), None, found[key(DAY)], 200)]


def test_readers_at_once_all_get_their_file():
    with FlatFileBucket(files()) as bucket:
        days = sessions(date(2024, 1, 2), date(2024, 1, 9))
        bodies: dict[date, bytes] = {}
        readers = [
            threading.Thread(target=lambda day=day: bodies.update({day: get(store(bucket), day)})) for day in days
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    assert bodies == {day: files().body(day) for day in days}


def test_a_taken_port_is_a_clear_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=str(port)), bucket_with(port=port):
            pass


def test_its_port_is_free_again_afterwards():
    with bucket_with() as bucket:
        port = int(bucket.endpoint.rpartition(":")[2])
    with bucket_with(port=port) as again:
        assert get(store(again)) == files().body(DAY)


@pytest.mark.parametrize("says", [True, False])
def test_answers_say_that_they_are_synthetic_unless_told_not_to(says):
    with FlatFileBucket(files(says_synthetic=says), days=DAYS) as bucket:
        response, body = over_the_wire(bucket)
    assert (response.headers["Server"] == SYNTHETIC_SERVER) is says
    assert (SYNTHETIC_SERVER.encode() in body[:64]) is says


# Credentials


@pytest.mark.parametrize(
    ("credentials", "code"),
    [
        ({"access_key_id": "id", "secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"access_key_id": "wrong", "secret_access_key": "secret"}, "InvalidAccessKeyId"),
        ({"skip_signature": True}, "AccessDenied"),
    ],
)
def test_wrong_credentials_are_refused(credentials, code):
    with bucket_with(credentials=("id", "secret")) as bucket:
        with pytest.raises(PermissionDeniedError, match=code):
            get(store(bucket, **credentials))
        with pytest.raises(GenericError, match=code):  # obstore has no other error for a refused listing
            listed(store(bucket, **credentials))
        assert {each.status for each in bucket.requests} == {403}


def test_the_right_credentials_open_every_kind_of_request():
    with bucket_with(credentials=("id", "secret")) as bucket:
        found = listed(store(bucket))
        assert get(store(bucket), if_match=found[key(DAY)]) == files().body(DAY)
        assert obstore.head(store(bucket), key(OTHER))["e_tag"] == found[key(OTHER)]


# Replacement


def test_a_replaced_file_has_another_etag_and_fails_a_conditional_read(bucket):
    before = listed(store(bucket))
    bucket.replace(DAY)
    after = listed(store(bucket))
    assert after[key(DAY)] != before[key(DAY)]
    assert after[key(OTHER)] == before[key(OTHER)]
    with pytest.raises(PreconditionError):
        get(store(bucket), if_match=before[key(DAY)])
    assert get(store(bucket), if_match=after[key(DAY)]) == files().body(DAY, revision=1)
    bucket.replace(DAY)
    assert get(store(bucket)) == files().body(DAY, revision=2)


def test_what_is_not_there_cannot_be_replaced(bucket):
    with pytest.raises(NotListed):
        bucket.replace(date(2024, 1, 6))
    assert list(listed(store(bucket))) == [key(day) for day in DAYS]


def test_a_file_can_be_replaced_between_list_and_get():
    with bucket_with({"kind": "replaced_file", "day": DAY, "times": 1}) as bucket:
        before = listed(store(bucket))
        with pytest.raises(PreconditionError):
            get(store(bucket), if_match=before[key(DAY)])
        after = listed(store(bucket))
        assert get(store(bucket), if_match=after[key(DAY)]) == files().body(DAY, revision=1)
        assert get(store(bucket), OTHER, if_match=before[key(OTHER)]) == files().body(OTHER)


# Refusals


@pytest.mark.parametrize("where", [{"day": DAY}, {"prefix": key(DAY)}])
def test_a_forbidden_file_is_listed_and_not_handed_out(where):
    with bucket_with({"kind": "forbidden", **where}) as bucket:
        assert key(DAY) in listed(store(bucket))
        with pytest.raises(PermissionDeniedError, match="AccessDenied"):
            get(store(bucket))
        with pytest.raises(PermissionDeniedError):
            obstore.head(store(bucket), key(DAY))
        assert get(store(bucket), OTHER) == files().body(OTHER)


def test_a_forbidden_prefix_holds_for_all_its_files():
    with bucket_with({"kind": "forbidden", "prefix": MONTH}) as bucket:
        for day in DAYS:
            with pytest.raises(PermissionDeniedError):
                get(store(bucket), day)


def test_slow_down_ends_after_so_many_times():
    with bucket_with({"kind": "slow_down", "times": 1}) as bucket:
        assert list(listed(store(bucket))) == [key(day) for day in DAYS]
        with pytest.raises(GenericError, match="SlowDown"):
            get(store(bucket))
        assert get(store(bucket)) == files().body(DAY)
    with bucket_with({"kind": "slow_down", "times": 1}) as bucket:
        assert get(store(bucket, retry=ONE_RETRY)) == files().body(DAY)
        assert [each.status for each in bucket.requests] == [503, 200]


def test_a_listing_can_be_slowed_down_alone():
    with bucket_with({"kind": "listing_slow_down", "times": 1}) as bucket:
        assert get(store(bucket)) == files().body(DAY)
        with pytest.raises(GenericError, match="SlowDown"):
            listed(store(bucket))
        assert list(listed(store(bucket))) == [key(day) for day in DAYS]


def test_a_rate_strikes_some_requests_always_the_same():
    def statuses() -> list[int]:
        with bucket_with({"kind": "slow_down", "rate": 0.5}) as bucket:
            return [over_the_wire(bucket)[0].status for _ in range(12)]

    first = statuses()
    assert set(first) == {200, 503}
    assert statuses() == first


# Bodies


def test_a_cut_body_is_shorter_than_declared():
    with bucket_with({"kind": "cut_body", "day": DAY}) as bucket:
        response, body = over_the_wire(bucket)
        assert response.status == 200
        assert 0 < len(body) < int(response.headers["Content-Length"]) == len(files().body(DAY))
        assert files().body(DAY).startswith(body)
        assert over_the_wire(bucket, OTHER)[1] == files().body(OTHER)


def test_a_reset_body_ends_with_a_reset():
    with bucket_with({"kind": "reset_body", "day": DAY}) as bucket:
        with pytest.raises(ConnectionResetError):
            over_the_wire(bucket)
        assert over_the_wire(bucket, OTHER)[1] == files().body(OTHER)


def test_a_damaged_body_is_as_long_as_declared_and_wrong():
    with bucket_with({"kind": "damaged_body", "times": 1}) as bucket:
        response, body = over_the_wire(bucket)
        assert len(body) == int(response.headers["Content-Length"]) == len(files().body(DAY))
        with pytest.raises((OSError, zlib.error)):
            gzip.decompress(body)
        assert over_the_wire(bucket)[1] == files().body(DAY)


def test_a_fault_of_the_file_is_in_its_bytes_and_in_its_etag():
    with bucket_with({"kind": "truncated_gzip", "day": DAY}) as bucket:
        body = get(store(bucket), if_match=listed(store(bucket))[key(DAY)])
        assert body == files({"kind": "truncated_gzip", "day": DAY}).body(DAY)
        assert len(body) < len(files().body(DAY))
