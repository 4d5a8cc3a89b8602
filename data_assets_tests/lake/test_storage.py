"""The two storages behind one interface."""

import io
import os
import socket
import sys
import threading
from pathlib import Path

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import run_wsgi_app

from data_assets.files import tempfiles
from data_assets.files.durable import make_folder
from data_assets.lake import parquet_file, writer
from data_assets.lake.errors import Corrupt, LakeError, LakeNotThere, LakeUnusable, Overtaken
from data_assets.lake.lake import Lake
from data_assets.lake.layout import previous_path
from data_assets.lake.storage import UNREADABLE, Bucket, LocalFolder, open_storage
from data_assets.sandbox.loopback import HOST
from data_assets.sandbox.wsgi_server import WsgiServer
from data_assets_tests.lake.conftest import CLUSTER, s3_app, s3_server
from data_assets_tests.lake.lake_days import DATASET, DAY, SCHEMA, SORT_BY, provenance, quotes, store, temp_files
from data_assets_tests.permissions import closed

pytestmark = pytest.mark.slow

NAME = "a/b/date=2024-01-03/data.parquet"


@pytest.fixture
def storage(lake_url):
    return open_storage(lake_url)


def put(storage, name, data):
    path, file = storage.new_temp(name)
    with file:
        file.write(data)
        file.flush()
        storage.publish(path, file, name)


def test_published_bytes_come_back(storage, tmp_path):
    assert storage.size(NAME) is None
    put(storage, NAME, b"one")
    put(storage, NAME, b"three")
    assert storage.size(NAME) == 5
    with storage.open(NAME) as file:
        assert file.read() == b"three"
    assert temp_files(tmp_path) == []


def test_a_reader_seeks_and_reads_ranges(storage):
    data = bytes(range(256)) * 40
    put(storage, NAME, data)
    with storage.open(NAME) as file:
        assert file.seekable()
        assert file.seek(-10, io.SEEK_END) == len(data) - 10
        assert file.read(100) == data[-10:]
        assert file.read(1) == b""
        assert file.seek(300) == 300
        assert (file.read(7), file.tell()) == (data[300:307], 307)
        assert file.seek(3, io.SEEK_CUR) == 310
        assert file.read() == data[310:]


def test_an_opened_file_is_one_version(storage):
    """A local reader keeps the version it opened; a reader of a bucket says that there is another one now."""
    put(storage, NAME, b"old" * 1000)
    with storage.open(NAME) as file:
        assert file.read(3) == b"old"
        put(storage, NAME, b"new" * 1000)
        if isinstance(storage, LocalFolder):
            assert b"new" not in file.read()
        else:
            with pytest.raises(LakeError, match="was replaced while it was read"):
                file.read()


def test_a_missing_file(storage):
    with pytest.raises(FileNotFoundError):
        storage.open(NAME)
    storage.delete(NAME)
    assert storage.names() == []


def test_create_stores_only_the_first(storage):
    assert storage.create("_x.json", b"1")
    assert not storage.create("_x.json", b"2")
    with storage.open("_x.json") as file:
        assert file.read() == b"1"


def test_of_many_creators_one_wins(storage):
    won = []
    creators = [
        threading.Thread(target=lambda n=n: won.append(n) if storage.create("_x.json", b"%d" % n) else None)
        for n in range(8)
    ]
    for creator in creators:
        creator.start()
    for creator in creators:
        creator.join()
    with storage.open("_x.json") as file:
        assert [int(file.read())] == won


def test_delete(storage):
    put(storage, NAME, b"x")
    storage.delete(NAME)
    assert storage.size(NAME) is None


NAMES = sorted(["a-b/c", "a/b-c/d", "a/b/date=1/x", "a/b/date=2/x", "a/c/x", "b", "b-c/d"])


def test_names_in_a_range(storage):
    for name in NAMES:
        put(storage, name, b"x")
    assert storage.names() == NAMES
    assert storage.names("a/b") == ["a/b/date=1/x", "a/b/date=2/x"]
    assert storage.names("a/b", after="a/b/date=1/x") == ["a/b/date=2/x"]
    assert storage.names("a/b", after="a/b/date=2", until="a/b/date=2/x") == ["a/b/date=2/x"]
    assert storage.names("a/b", until="a/b/date=1/y") == ["a/b/date=1/x"]
    assert storage.names("nothing") == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    storage = LocalFolder(tmp_path_factory.mktemp("names"))
    names = [f"{a}/{b}{c}/{d}" for a in "xy" for b in ("k", "k-", "l") for c in ("", "1") for d in ("f", "g")]
    for name in names:
        storage.create(name, b"")
    return storage, sorted(names)


@given(st.data())
def test_pruning_a_walk_by_folder_loses_no_name(folder, drawn):
    storage, names = folder
    beginnings = st.sampled_from(names).flatmap(lambda name: st.integers(0, len(name)).map(lambda cut: name[:cut]))
    borders = st.builds("{}{}".format, beginnings, st.sampled_from(["", "-", "/", "0", "z"]))
    after, until = drawn.draw(borders), drawn.draw(borders)
    assert storage.names("", after, until) == [name for name in names if after < name <= until]


def test_names_in_folders_are_those_of_the_walk_right_below(lake_url):
    storage = open_storage(lake_url)
    days = [f"a/b/date=2024-01-{day:02}/data.parquet" for day in range(2, 6)]
    for name in (
        *days,
        "a/b/date=2024-01-02/other",
        "a/b/data.parquet",
        "a/b/c/date=2024-01-03/data.parquet",
        NAME[2:],
    ):
        put(storage, name, b"x")
    assert storage.names_in_folders("a/b", "data.parquet") == days
    assert storage.names_in_folders("a/b", "data.parquet", days[0], days[2]) == days[1:3]
    assert storage.names_in_folders("a/none", "data.parquet") == []


def test_in_folders_that_hold_other_things_than_files_nothing_is_found(tmp_path):
    storage = LocalFolder(tmp_path)
    for name in ("empty", "of_folder/data.parquet", "away/real"):
        (tmp_path / "d" / name).mkdir(parents=True)
    (tmp_path / "d" / "file").write_text("")
    (tmp_path / "d" / "broken").symlink_to(tmp_path / "nowhere")
    for name in ("linked", "file_linked"):
        (tmp_path / "elsewhere" / name).mkdir(parents=True)
    (tmp_path / "elsewhere" / "linked" / "data.parquet").write_text("x")
    (tmp_path / "d" / "linked").symlink_to(tmp_path / "elsewhere" / "linked")
    (tmp_path / "d" / "away" / "data.parquet").symlink_to(tmp_path / "unplugged")
    found = storage.names_in_folders("d", "data.parquet")
    assert found == ["d/away/data.parquet", "d/linked/data.parquet"]
    assert found == [name for name in storage.names("d") if name.endswith("/data.parquet")]


@pytest.mark.parametrize("mode", [0, 0o600, 0o300], ids=["nothing", "listing alone", "passing alone"])
def test_a_closed_day_is_told_as_the_walk_tells_it(tmp_path, mode):
    storage = LocalFolder(tmp_path)
    for day in (2, 3, 4):
        put(storage, f"d/date=2024-01-{day:02}/data.parquet", b"x")
    said: list[tuple[str, str]] = []
    walked: list[tuple[str, str]] = []
    with closed(tmp_path / "d" / "date=2024-01-03", mode=mode):
        found = storage.names_in_folders(
            "d", "data.parquet", unreadable=lambda name, why: said.append((name, str(why)))
        )
        names = storage.names("d", unreadable=lambda name, why: walked.append((name, str(why))))
    assert (found, said) == (names, walked)
    assert (len(found), [name for name, _ in said]) == (2, ["d/date=2024-01-03"])


def test_unfinished_work_is_found_wherever_a_dataset_was_moved_and_no_day_is_listed(tmp_path):
    storage = LocalFolder(tmp_path / "lake")
    put(storage, "v/h/QQQ/date=2024-01-03/data.parquet", b"x")
    at_root, file = storage.new_temp("v/h/QQQ/date=2024-01-04/data.parquet")
    file.close()
    below = tmp_path / "lake" / "v" / "h" / "QQQ" / "_unfinished"
    for folder in (below, tmp_path / "moved" / "_unfinished"):
        folder.mkdir(parents=True)
        (folder / f".data.parquet.{'0' * 16}.tmp").touch()
    (tmp_path / "lake" / "v" / "linked").symlink_to(tmp_path / "moved")
    inside_a_day = tmp_path / "lake" / "v" / "h" / "QQQ" / "date=2024-01-03" / "_unfinished"
    inside_a_day.mkdir()
    (inside_a_day / f".data.parquet.{'0' * 16}.tmp").touch()
    found = {path.parent for folder in storage.unfinished_folders() for path in tempfiles.find(folder)}
    assert found == {at_root.parent, below, tmp_path / "lake" / "v" / "linked" / "_unfinished"}


def test_a_folder_that_cannot_be_listed_is_no_empty_folder(tmp_path):
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(LakeUnusable, match=r"/x(/y)?: cannot be read \(Not a directory\)"):
        LocalFolder(tmp_path).names("x/y")


def test_a_link_to_what_is_not_there_is_no_empty_folder(tmp_path):
    """A dataset that was moved to another disk and linked back, while that disk is away."""
    storage = LocalFolder(tmp_path / "lake")
    storage.replace("x/y/z", b"")
    (tmp_path / "lake" / "x").rename(tmp_path / "disk")
    (tmp_path / "lake" / "x").symlink_to(tmp_path / "disk")
    assert storage.names("x/y") == ["x/y/z"]
    (tmp_path / "disk").rename(tmp_path / "away")
    for name in ("x", "x/y"):
        for look in (storage.names, storage.check_folder):
            with pytest.raises(LakeNotThere, match=f"{tmp_path}/lake/x: is a link to {tmp_path}/disk, which is not"):
                look(name)
    with pytest.raises(FileNotFoundError, match="it is a link to"):
        make_folder(tmp_path / "lake" / "x" / "y")
    storage.check_folder("new")
    assert storage.names("new") == []


@pytest.mark.parametrize("mode", [0, 0o600], ids=["nothing", "listing alone"])
def test_a_closed_folder_is_told_and_hides_no_other(tmp_path, mode):
    storage = LocalFolder(tmp_path)
    for name in ("x/a/f", "x/b/f", "x/c/f"):
        storage.replace(name, b"")
    told = []
    with closed(tmp_path / "x" / "b", mode=mode):
        names = storage.names("x", unreadable=lambda folder, why: told.append((folder, str(why))))
        assert names == ["x/a/f", "x/c/f"]
        why = f"{tmp_path}/x/b: cannot be read (Permission denied); check the disk and the file's permissions"
        assert told == [("x/b", why)]
        with pytest.raises(LakeError, match="x/b: cannot be read"):
            storage.names("x")
        with pytest.raises(LakeUnusable, match="x/b: cannot be read"):
            storage.names("x/b")
        versions = storage.versions(["x/a/f", "x/b/f", "x/none"])
        assert sorted(versions) == ["x/a/f", "x/b/f"]
        assert versions["x/b/f"] == UNREADABLE


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks Linux for the name of a descriptor")
def test_local_publishing_syncs_the_folder_and_every_new_one_above_it(tmp_path, monkeypatch):
    real, synced = os.fsync, []

    def fsync(descriptor):
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    storage = LocalFolder(tmp_path / "new" / "lake")
    monkeypatch.setattr(os, "fsync", fsync)
    path, file = storage.new_temp(NAME)
    root = str(tmp_path)
    assert synced == [root + rest for rest in ("", "/new", "/new/lake")]
    synced.clear()
    storage.publish(path, file, NAME)
    file.close()
    assert synced == [f"{root}/new/lake{rest}" for rest in ("", "/a", "/a/b", "/a/b/date=2024-01-03")]


def test_a_bucket_that_is_not_there_is_told(bucket_url):
    with pytest.raises(LakeError, match="AWS_") as told:
        open_storage("s3://no-such-bucket/lake").create("x", b"x")
    assert "\n" not in str(told.value)
    with pytest.raises(LakeError, match="AWS_"):
        open_storage("s3://no-such-bucket/lake").names()


def test_an_endpoint_that_is_not_there_is_told(bucket_url, monkeypatch):
    monkeypatch.setattr("data_assets.lake.patient_store.UNREACHABLE_SECONDS", 0.0)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        storage = open_storage("s3://bucket/lake")
        for operation in (lambda: storage.size("x"), lambda: storage.names(), lambda: storage.open("x")):
            with pytest.raises(LakeError, match="AWS_ENDPOINT_URL"):
                operation()


def test_a_staged_day_that_the_object_store_refuses_leaves_no_temp_file(bucket_url, tmp_path):
    lake = Lake(bucket_url, synthetic=True)
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as day_writer:
        day_writer.write(quotes())
        staged = day_writer.finish(provenance())
    bucket = bucket_url.split("/")[2]
    client = boto3.client("s3")
    client.delete_object(Bucket=bucket, Key="some/prefix/_lake.json")
    client.delete_bucket(Bucket=bucket)
    with pytest.raises(LakeError, match="the object store refused"):
        staged.publish()
    assert temp_files(tmp_path) == []


def test_a_day_replaced_while_it_is_read_is_not_called_damaged(bucket_url, monkeypatch):
    for module in (parquet_file, writer):
        monkeypatch.setattr(module, "ROW_GROUP_ROWS", 16)
    lake = Lake(bucket_url, synthetic=True)
    store(lake, quotes(seed=1))
    batches = lake.batches(DATASET, DAY)
    assert next(batches).height == 16
    store(lake, quotes(seed=2))
    with pytest.raises(LakeError, match="was replaced while it was read") as told:
        list(batches)
    assert not isinstance(told.value, Corrupt)


STRAY = ["theta//x", "/x", "theta/option_quotes/QQQ//date=2024-01-03/data.parquet", "a/../x", "a/./x", "z//"]


@pytest.mark.parametrize("stray", STRAY)
def test_a_key_that_is_no_path_is_passed_over_and_named(bucket_url, stray, caplog):
    lake = Lake(bucket_url, synthetic=True)
    days = [DAY, DAY.replace(day=4), DAY.replace(day=5)]
    for day in days:
        store(lake, quotes(), day=day)
    store(lake, quotes(), dataset="theta/option_quotes/SPX")
    bucket, _, prefix = bucket_url.removeprefix("s3://").partition("/")
    folder = f"{prefix}/"  # as consoles make it
    boto3.client("s3").put_object(Bucket=bucket, Key=folder, Body=b"")

    def answers():
        storage, names = open_storage(bucket_url), [f"{DATASET}/date={day}/data.parquet" for day in days]
        listings = [storage.names(DATASET, after, until) for after in ("", names[0]) for until in (None, names[1])]
        again = Lake(bucket_url, synthetic=True)
        versions = again.day_versions(DATASET, days)
        return (
            storage.names(),
            listings,
            versions,
            again.datasets(),
            again.stored_days(DATASET, days[1]),
            again.migrate(),
        )

    before = answers()
    assert before[3] == [DATASET, "theta/option_quotes/SPX"]
    assert not caplog.messages
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{stray}", Body=b"x")
    assert answers() == before
    assert repr(f"s3://{bucket}/{prefix}/{stray}") in caplog.text
    assert {record.levelname for record in caplog.records if record.name.startswith("data_assets")} == {"WARNING"}


def test_without_botocore_a_key_that_is_no_path_is_an_error_that_says_what_to_do(bucket_url, monkeypatch):
    bucket, _, prefix = bucket_url.removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/theta//x", Body=b"x")
    monkeypatch.delitem(sys.modules, "data_assets.lake.odd_keys", raising=False)
    monkeypatch.setitem(sys.modules, "botocore", None)
    with pytest.raises(LakeError, match=r"theta//x.*; remove it, or `pip install botocore`") as told:
        open_storage(bucket_url).names()
    assert "\n" not in str(told.value)


def test_a_stray_key_does_not_hide_that_the_store_refuses(bucket_url, monkeypatch):
    bucket = bucket_url.removeprefix("s3://").split("/")[0]
    boto3.client("s3").put_object(Bucket=bucket, Key="some/prefix/a//x", Body=b"x")
    monkeypatch.setattr("data_assets.lake.odd_keys.ATTEMPTS", 1)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        storage = open_storage(bucket_url)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(LakeError, match="check the bucket in DATA_ASSETS_LAKE") as told:
            storage.names()
    assert "\n" not in str(told.value)


def staged_day(lake, rows):
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as day_writer:
        day_writer.write(rows)
        return day_writer.finish(provenance())


@pytest.mark.parametrize("was_stored", [False, True], ids=["a new day", "a stored day"])
def test_of_two_writers_of_a_day_in_a_bucket_one_wins_whole_and_the_other_is_told(bucket_url, tmp_path, was_stored):
    one, other = Lake(bucket_url, synthetic=True), Lake(bucket_url, synthetic=True)
    if was_stored:
        staged_day(one, quotes()).publish()
    with one.writer(DATASET, DAY, SCHEMA, SORT_BY) as first, other.writer(DATASET, DAY, SCHEMA, SORT_BY) as second:
        first.write(quotes().head(3))
        second.write(quotes().head(2))
        won, lost = second.finish(provenance()), first.finish(provenance())
        stored = won.publish()

        with pytest.raises(Overtaken, match="another run has stored this day since this one began, and its file stays"):
            lost.publish()

    assert temp_files(tmp_path) == []
    assert one.scan(DATASET, DAY, DAY).collect().height == 2
    assert one.verify(DATASET, DAY, sha256=stored.sha256, rows=2) is None
    assert staged_day(one, quotes()).publish().rows == quotes().height, "a later writer knows what it replaces"


def test_a_writer_that_lost_leaves_the_revision_that_the_winner_has_kept(bucket_url):
    lake = Lake(bucket_url, synthetic=True)
    staged_day(lake, quotes().head(1)).publish()
    with lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as first, lake.writer(DATASET, DAY, SCHEMA, SORT_BY) as second:
        first.write(quotes().head(3))
        second.write(quotes().head(2))
        won, lost = second.finish(provenance()), first.finish(provenance())
        won.publish(keep_previous=True)

        with pytest.raises(Overtaken, match="its file stays"):
            lost.publish(keep_previous=True)

    assert lake.scan(DATASET, DAY, DAY).collect().height == 2
    assert lake.previous(DATASET, DAY).collect().height == 1
    kept = [name for name in open_storage(bucket_url).names() if name.startswith("_previous/")]
    assert kept == [previous_path(DATASET, DAY)]


def test_a_writer_whose_answer_was_lost_is_not_overtaken_by_itself(bucket_url, tmp_path):
    bucket = Bucket(bucket_url)
    since = bucket.version("new")
    for _ in range(2):  # as when the first answer did not arrive
        path, file = bucket.new_temp("new")
        with file:
            file.write(b"the same")
            file.flush()
            bucket.publish(path, file, "new", since)
    assert bucket.size("new") == 8


@pytest.mark.skipif(
    CLUSTER in os.environ, reason="a request's signature covers its conditions, which moto does not ask"
)
@pytest.mark.parametrize(
    ("ignored", "said"),
    [
        (None, None),
        ("HTTP_IF_NONE_MATCH", "ignores If-None-Match"),
        ("HTTP_IF_MATCH", "ignores If-Match"),
    ],
    ids=["none", "If-None-Match", "If-Match"],
)
def test_a_store_that_ignores_a_condition_is_found_out(bucket_url, monkeypatch, ignored, said):
    def forget(environ):
        environ.pop(ignored, None)

    with s3_server(forget) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        lake = Lake(bucket_url, synthetic=True)
        found = lake.ignores_conditions()
        assert lake.datasets() == []

    assert found is None if said is None else said in found
    assert found == lake.ignores_conditions(), "asked once"


def test_a_store_that_knows_no_conditions_is_found_out_and_written_to(bucket_url, monkeypatch):
    app = s3_app()

    def old(environ, start_response):
        if environ["REQUEST_METHOD"] == "PUT" and {"HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH"} & environ.keys():
            environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            start_response("501 Not Implemented", [("Content-Length", "0")])
            return [b""]
        return app(environ, start_response)

    with WsgiServer(old) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{HOST}:{server.port}")
        lake = Lake(bucket_url, synthetic=True)
        assert "knows no conditional PUT" in (lake.ignores_conditions() or "")
        assert staged_day(lake, quotes()).publish().rows == quotes().height
        assert staged_day(lake, quotes()).publish().rows == quotes().height


@pytest.mark.skipif(CLUSTER in os.environ, reason="this is what Ceph itself does")
def test_a_day_is_replaced_in_a_store_that_takes_etags_without_their_quotes_alone(bucket_url, monkeypatch):
    """Ceph 16.2: its gateway compares what it is sent, quotes included, with an ETag that it keeps without them."""

    def compare_as_ceph(environ):
        etag = environ.get("HTTP_IF_MATCH")
        if environ["REQUEST_METHOD"] != "PUT" or etag is None:
            return None
        if etag.startswith('"'):
            return "412 Precondition Failed"
        environ["HTTP_IF_MATCH"] = f'"{etag}"'
        return None

    with s3_server(compare_as_ceph) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        lake = Lake(bucket_url, synthetic=True)
        assert lake.ignores_conditions() is None
        staged_day(lake, quotes().head(1)).publish()
        first, second = staged_day(lake, quotes().head(3)), staged_day(lake, quotes().head(2))
        second.publish()
        with pytest.raises(Overtaken, match="its file stays"):
            first.publish()
        assert lake.scan(DATASET, DAY, DAY).collect().height == 2


@pytest.mark.skipif(CLUSTER in os.environ, reason="Ceph answers as it should")
def test_a_store_that_does_not_send_parts_of_files_is_refused_before_a_day_is_stored(bucket_url, monkeypatch):
    """`rclone serve s3` 1.75 answers a range with 200, which readers take for the whole file, or for an error."""
    app = s3_app()

    def whole(environ, start_response):
        pieces, status, headers = run_wsgi_app(app, environ, buffered=True)
        start_response("200 OK" if status.startswith("206") else status, list(headers))
        return pieces

    with WsgiServer(whole) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{HOST}:{server.port}")
        lake = Lake(bucket_url, synthetic=True)
        with pytest.raises(LakeUnusable, match=r"^s3://.*: the object store answers .* use another store"):
            lake.ignores_conditions()


def test_a_folder_has_no_such_store(tmp_path):
    assert Lake(str(tmp_path), synthetic=True).ignores_conditions() is None
