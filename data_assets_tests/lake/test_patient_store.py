"""A bucket that asks for patience: nothing is lost to a minute of throttling, and nothing is asked for ever."""

from __future__ import annotations

import re
import socket
import threading

import boto3
import polars as pl
import pytest
from werkzeug.test import run_wsgi_app

from data_assets.lake import patient_store
from data_assets.lake.errors import LakeError
from data_assets.lake.lake import Lake
from data_assets.lake.parquet_file import scan
from data_assets.lake.patient_store import PATIENCE_SECONDS, POLARS_OPTIONS, Patience
from data_assets.lake.storage import Bucket
from data_assets.sandbox.loopback import HOST
from data_assets.sandbox.wsgi_server import WsgiServer, reset_when_closed
from data_assets_tests.lake.conftest import s3_app
from data_assets_tests.lake.lake_days import DATASET, DAY, SCHEMA, SORT_BY, provenance, quotes, temp_files

pytestmark = pytest.mark.slow

NAME = "a/b/date=2024-01-03/data.parquet"
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class VirtualTime:
    """A clock that moves only while somebody pauses."""

    def __init__(self) -> None:
        self.now = 0.0

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def patience(self) -> Patience:
        return Patience(pause=self.pause, clock=lambda: self.now)


class MoodyStore:
    """moto's store behind a server that counts requests, and answers otherwise for as long as it is told to."""

    def __init__(self, time: VirtualTime) -> None:
        self.requests: list[float] = []
        self.status = "503 Slow Down"
        self.body = SLOW_DOWN
        self.until = 0.0
        self.times = 0
        self.resets = False
        self._time = time
        self._app = s3_app()
        self._lock = threading.Lock()

    def __call__(self, environ, start_response):
        with self._lock:
            self.requests.append(self._time.now)
            moody = self._time.now < self.until or self.times > 0
            self.times -= self.times > 0
        if not moody:
            return self._app(environ, start_response)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        headers = [("Content-Type", "application/xml"), ("Retry-After", "30"), ("Content-Length", str(len(self.body)))]
        start_response(self.status, headers)
        if self.resets:
            reset_when_closed(environ)
            return [self.body[:5]]
        return [self.body]


@pytest.fixture
def time():
    return VirtualTime()


@pytest.fixture
def moody(time):
    return MoodyStore(time)


@pytest.fixture
def bucket(moody, time, bucket_url, monkeypatch):
    """A bucket with one file, behind the moody server."""
    with WsgiServer(moody) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{HOST}:{server.port}")
        found = Bucket(bucket_url, time.patience())
        found.create(NAME, b"stored before")
        moody.requests.clear()
        yield found


def publish(bucket):
    path, file = bucket.new_temp("new")
    with file:
        file.write(b"x")
        file.flush()
        bucket.publish(path, file, "new")
    return bucket.size("new")


def read(bucket):
    with bucket.open(NAME) as file:
        return file.read()


OPERATIONS = {
    "publish": (publish, 1),
    "read": (read, b"stored before"),
    "create": (lambda bucket: bucket.create("marker", b"x"), True),
    "size": (lambda bucket: bucket.size(NAME), 13),
    "names": (lambda bucket: bucket.names("a"), [NAME]),
    "versions": (lambda bucket: list(bucket.versions([NAME])), [NAME]),
    "delete": (lambda bucket: bucket.delete(NAME), None),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("status", ["503 Slow Down", "429 Too Many Requests", "500 Internal Server Error"])
def test_every_operation_outlasts_a_minute_of_throttling_with_few_requests(bucket, moody, time, operation, status):
    moody.until, moody.status = 60.0, status
    call, expected = OPERATIONS[operation]
    assert call(bucket) == expected
    assert 60 <= time.now <= 60 + 15
    assert len([at for at in moody.requests if at < 60]) <= 15


def test_an_answer_that_breaks_off_is_asked_for_again(bucket, moody):
    moody.times, moody.resets, moody.status = 3, True, "200 OK"
    assert bucket.names() == [NAME]
    assert len(moody.requests) == 3 + 2  # and one for what follows the last name


def test_a_store_that_stays_busy_is_given_up_after_the_patience(bucket, moody, time):
    moody.until = 10**9
    with pytest.raises(LakeError, match="503") as told:
        bucket.size(NAME)
    assert "\n" not in str(told.value)
    assert PATIENCE_SECONDS <= time.now <= PATIENCE_SECONDS + 15
    assert len(moody.requests) <= 25


@pytest.mark.parametrize(
    ("status", "body"),
    [
        ("403 Forbidden", b"<Error><Code>AccessDenied</Code></Error>"),
        ("400 Bad Request", b"<Error><Code>ExpiredToken</Code></Error>"),
        ("404 Not Found", b"<Error><Code>NoSuchBucket</Code></Error>"),
        ("501 Not Implemented", b"<Error><Code>NotImplemented</Code></Error>"),
    ],
)
def test_what_is_said_in_earnest_is_not_asked_again(bucket, moody, time, status, body):
    moody.times, moody.status, moody.body = 10, status, body
    with pytest.raises(LakeError):
        bucket.names()
    assert (len(moody.requests), time.now) == (1, 0)


def test_a_store_that_never_answered_is_told_soon_and_one_that_did_is_waited_for(bucket, time, bucket_url, monkeypatch):
    with socket.socket() as nobody:
        nobody.bind((HOST, 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{HOST}:{nobody.getsockname()[1]}")
        stranger = Bucket(bucket_url, time.patience())
        with pytest.raises(LakeError, match="AWS_ENDPOINT_URL"):
            stranger.size(NAME)
        assert time.now < 10
        known = Bucket(bucket_url, time.patience())
        known._store._has_answered = True
        with pytest.raises(LakeError, match="AWS_ENDPOINT_URL"):
            known.size(NAME)
        assert time.now > PATIENCE_SECONDS


def test_a_listing_that_breaks_off_in_the_middle_holds_each_name_once(bucket, moody, time, monkeypatch):
    """Five pages; each but the first is refused before it comes."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "60")
    names = [f"many/{number:05}" for number in range(300)]
    store = bucket._store._store
    for name in names:
        store.put(name, b"")
    moody.requests.clear()
    answer = moody.__class__.__call__

    def refuse_later_pages(self, environ, start_response):
        later = "continuation-token" in environ.get("QUERY_STRING", "") or "start-after" in environ["QUERY_STRING"]
        self.times = 1 if later and len(self.requests) % 2 else 0
        return answer(self, environ, start_response)

    monkeypatch.setattr(MoodyStore, "__call__", refuse_later_pages)
    assert bucket.names("many") == names
    assert time.now > 0


def test_a_staged_day_is_published_through_a_minute_of_throttling(bucket, moody, time, bucket_url, tmp_path):
    bucket.delete(NAME)
    lake = Lake(bucket_url, synthetic=True)
    lake._storage = bucket
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as day_writer:
        day_writer.write(quotes())
        staged = day_writer.finish(provenance())
    moody.until = 60.0
    staged.publish()
    assert time.now >= 60
    assert temp_files(tmp_path) == []
    moody.until = 120.0
    assert pl.concat(lake.batches(DATASET, DAY)).equals(quotes())


def test_what_polars_reads_by_itself_outlasts_a_minute_too(bucket, moody, bucket_url, monkeypatch):
    bucket.delete(NAME)
    lake = Lake(bucket_url, synthetic=True)
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as day_writer:
        day_writer.write(quotes())
        stored = day_writer.finish(provenance()).publish()
    assert POLARS_OPTIONS["max_retries"] * POLARS_OPTIONS["retry_init_backoff_ms"] >= 60_000
    assert POLARS_OPTIONS["retry_timeout_ms"] >= 60_000
    monkeypatch.setitem(patient_store.POLARS_OPTIONS, "retry_init_backoff_ms", 1)
    monkeypatch.setitem(patient_store.POLARS_OPTIONS, "retry_max_backoff_ms", 2)
    moody.times = 60
    assert scan([lake.locate(stored.path)]).collect().height == quotes().height
    assert moody.times == 0


class Forgetful:
    """moto's store behind a server whose pages say that there is more, and not where.

    `empty_first`: the first answer to a listing holds nothing, as users of MinIO saw it at times.
    """

    def __init__(self, *, empty_first: bool) -> None:
        self._app = s3_app()
        self._is_empty = empty_first

    def __call__(self, environ, start_response):
        pieces, status, headers = run_wsgi_app(self._app, environ, buffered=True)
        body = b"".join(pieces)
        if b"<ListBucketResult" in body:
            body = re.sub(rb"<NextContinuationToken>.*?</NextContinuationToken>", b"", body)
            if self._is_empty:
                body = re.sub(rb"<Contents>.*</Contents>", b"", body, flags=re.DOTALL)
                body = re.sub(rb"<IsTruncated>\w+<", b"<IsTruncated>true<", body)
                self._is_empty = False
        kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
        start_response(status, [*kept, ("Content-Length", str(len(body)))])
        return [body]


@pytest.mark.parametrize(("stray", "empty_first"), [("", False), ("", True), ("many//x", False)])
def test_a_store_that_forgets_where_the_next_page_begins_hides_nothing(bucket_url, monkeypatch, stray, empty_first):
    """MinIO's issue 14132, and listings of DigitalOcean's and Ceph's stores (minio/mc 3067 and 3093)."""
    names = [f"many/{number:03}" for number in range(25)]
    name, _, prefix = bucket_url.removeprefix("s3://").partition("/")
    objects = boto3.client("s3")
    for key in (
        *names,
        "many/",
        "many/folder/",
        *filter(None, [stray]),
    ):  # and objects of folders, as consoles make them
        objects.put_object(Bucket=name, Key=f"{prefix}/{key}", Body=b"")
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "4")
    with WsgiServer(Forgetful(empty_first=empty_first)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{HOST}:{server.port}")
        storage = Bucket(bucket_url)
        listed = storage.names("many")
        assert sorted(set(listed) & set(names)) == names
        assert len(listed) == len(set(listed))
        assert storage.names("many", "many/010", "many/012") == ["many/011", "many/012"]
        assert list(storage.versions(names[20:])) == names[20:]


@pytest.mark.parametrize("there", [False, True])
def test_a_store_without_conditional_puts_can_hold_a_lake(bucket, moody, monkeypatch, there):
    """Ceph before it knew them, and Amazon's own until 2024: 501 to If-None-Match (ceph/s3-tests 218 and 583)."""
    answer = moody.__class__.__call__

    def refuse_conditions(self, environ, start_response):
        self.times = int("HTTP_IF_NONE_MATCH" in environ)
        self.status = "501 Not Implemented"
        self.body = b"<Error><Code>NotImplemented</Code><Header>If-None-Match</Header></Error>"
        return answer(self, environ, start_response)

    monkeypatch.setattr(moody.__class__, "__call__", refuse_conditions)
    if there:
        bucket.replace("marker", b"of another")
    assert bucket.create("marker", b"mine") is not there
    with bucket.open("marker") as file:
        assert file.read() == (b"of another" if there else b"mine")
