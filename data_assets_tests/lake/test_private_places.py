"""Where files wait for an object store: nobody else made the place, reads it, or puts another file there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from data_assets.files import tempfiles
from data_assets.lake.errors import LakeError
from data_assets.lake.storage import ENDPOINTS, Bucket, LocalFolder, Storage


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine's folder of temporary files, for everybody."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return folder


@pytest.fixture
def place(temporary: Path) -> Path:
    return temporary / f"data_assets-{os.getuid()}"


def test_files_wait_where_their_owner_alone_can_go(place: Path) -> None:
    place.mkdir(mode=0o755)  # as an earlier version made it
    temp, file = Bucket("s3://bucket/lake").new_temp("a/b.parquet")
    file.close()
    assert temp.is_relative_to(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def writable_by_others(place: Path) -> None:
    place.mkdir()
    place.chmod(0o777)


def writable_by_the_group(place: Path) -> None:
    place.mkdir()
    place.chmod(0o770)


def a_link(place: Path) -> None:
    (place.parent / "elsewhere").mkdir()
    place.symlink_to(place.parent / "elsewhere")


def a_file(place: Path) -> None:
    place.write_text("mine")


def of_somebody_else(place: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a folder to somebody else")
    place.mkdir(mode=0o700)
    os.chown(place, 65534, 65534)


@pytest.mark.parametrize(
    "made_before",
    [writable_by_others, writable_by_the_group, a_link, a_file, of_somebody_else],
    ids=lambda each: each.__name__,
)
@pytest.mark.parametrize(
    "use",
    [
        lambda bucket: bucket.new_temp("a/b.parquet"),
        lambda bucket: bucket.work_folder("a/b.parquet", ".parts"),
        lambda bucket: list(bucket.unfinished_folders()),
    ],
    ids=["new", "unfinished", "sweep"],
)
def test_a_place_that_others_made_or_can_write_into_is_refused(
    place: Path, made_before: Callable[[Path], None], use: Callable[[Bucket], object]
) -> None:
    made_before(place)
    with pytest.raises(LakeError, match="remove it, or set TMPDIR") as caught:
        use(Bucket("s3://bucket/lake"))
    assert str(place) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_a_file_that_was_swapped_is_not_published(tmp_path: Path, kind: str) -> None:
    storage: Storage = LocalFolder(tmp_path / "lake") if kind == "folder" else Bucket("s3://bucket/lake")
    temp, file = storage.new_temp("a/b.parquet")
    with file:
        file.write(b"what was verified")
        file.flush()
        temp.unlink()
        temp.write_bytes(b"what somebody put there")
        with pytest.raises(LakeError, match="another file has taken this name"):
            storage.publish(temp, file, "a/b.parquet")
    if kind == "folder":
        assert not (tmp_path / "lake" / "a" / "b.parquet").exists()


def test_the_open_file_is_read_and_not_its_name(tmp_path: Path) -> None:
    temp, file = tempfiles.create(tmp_path, "a")
    with file:
        file.write(b"content")
        file.flush()
        file.seek(0)
        assert file.read() == b"content"
    tempfiles.remove(temp)


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize(
    "address",
    [
        "https://someone:hunter2@store.example",
        "https://someone:12/hunter2@store.example",
        "https://store.example/?signature=hunter2",
        "https://someone:hunter2℀@store.example",
        "store.example:9000",
        "",
    ],
)
def test_an_endpoint_that_is_none_or_holds_a_password_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, address: str
) -> None:
    monkeypatch.setenv(name, address)
    with pytest.raises(LakeError, match=rf"^{name}: must ") as caught:
        Bucket("s3://bucket/lake")
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__!r}"


@pytest.mark.parametrize("url", ["s3://key:hunter2/x@bucket/lake", "s3://hunter2/x@bucket", "s3://key:hunter2"])
def test_a_lake_with_a_password_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(LakeError, match="must not hold a user or password") as caught:
        Bucket(url)
    assert "hunter2" not in str(caught.value)
