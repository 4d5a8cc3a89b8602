"""A file proves itself: the seal in its footer, and a newer file in the place of the recorded one."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.lake.errors import Corrupt
from data_assets.lake.lake import Lake
from data_assets.lake.parquet_file import SEAL, file_digest
from data_assets.lake.writer import StoredFile
from data_assets_tests.lake.lake_days import DATASET, DAY, quotes, store

LONG_AGO = datetime(2024, 1, 4, tzinfo=UTC)


class Replaced(NamedTuple):
    """A day that was recorded, and the file that took the place of that one."""

    lake: Lake
    recorded: StoredFile
    path: Path
    old: bytes
    new: bytes
    between: datetime


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Replaced:
    folder = tmp_path_factory.mktemp("lake")
    lake = Lake(str(folder), synthetic=True)
    recorded = store(lake, quotes())
    path = folder / recorded.path
    old, between = path.read_bytes(), datetime.now(UTC)
    store(lake, quotes(seed=1))
    return Replaced(lake, recorded, path, old, path.read_bytes(), between)


@pytest.fixture
def replaced(made: Replaced) -> Iterator[Replaced]:
    yield made
    made.path.write_bytes(made.new)


def test_every_file_carries_the_digest_of_its_own_bytes(replaced: Replaced) -> None:
    digest = file_digest(io.BytesIO(replaced.new))
    assert digest.sealed
    assert (digest.size, len(digest.sha256)) == (len(replaced.new), 64)
    assert len(pq.read_metadata(replaced.path).metadata[SEAL.encode()]) == 64, "as any reader of Parquet finds it"


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_flipped_bit_or_a_lost_byte_anywhere_breaks_it(made: Replaced, drawn: st.DataObject) -> None:
    position = drawn.draw(st.integers(0, len(made.new) - 1))
    flipped = bytearray(made.new)
    flipped[position] ^= 1 << drawn.draw(st.integers(0, 7))
    for damaged in (bytes(flipped), made.new[:position], made.new[:position] + made.new[position + 1 :]):
        assert not file_digest(io.BytesIO(damaged)).sealed


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"\xff" * 40 + b"PAR1", bytes(100)])
def test_what_is_no_parquet_file_has_none(content: bytes) -> None:
    assert file_digest(io.BytesIO(content)).sealed is None


def test_a_whole_file_that_was_written_after_the_recorded_one_is_as_good(replaced: Replaced) -> None:
    lake, recorded = replaced.lake, replaced.recorded
    newer = lake.verify(DATASET, DAY, sha256=recorded.sha256, rows=1, written_at=replaced.between)
    assert newer is not None
    assert newer.file == StoredFile(
        recorded.path, recorded.rows, len(replaced.new), file_digest(io.BytesIO(replaced.new)).sha256
    )
    assert newer.written_at > replaced.between
    assert lake.verify(DATASET, DAY, sha256=newer.file.sha256, rows=recorded.rows, written_at=LONG_AGO) is None


@pytest.mark.parametrize("written_at", [None, datetime.max.replace(tzinfo=UTC)])
def test_another_file_than_a_newer_one_is_refused(replaced: Replaced, written_at: datetime | None) -> None:
    with pytest.raises(Corrupt, match="recorded was"):
        replaced.lake.verify(DATASET, DAY, sha256=replaced.recorded.sha256, rows=None, written_at=written_at)


def test_the_recorded_file_from_a_backup_is_not_the_newer_one(replaced: Replaced) -> None:
    newer = file_digest(io.BytesIO(replaced.new))
    replaced.path.write_bytes(replaced.old)
    with pytest.raises(Corrupt, match="recorded was"):
        replaced.lake.verify(DATASET, DAY, sha256=newer.sha256, rows=None, written_at=replaced.between)


def test_a_newer_file_that_is_damaged_or_not_sealed_is_refused(replaced: Replaced) -> None:
    flipped = bytearray(replaced.new)
    flipped[len(flipped) // 2] ^= 1
    of_another_program = replaced.new.replace(SEAL.encode(), b"data_assets.none")
    for content in (bytes(flipped), of_another_program):
        replaced.path.write_bytes(content)
        with pytest.raises(Corrupt, match="recorded was"):
            replaced.lake.verify(DATASET, DAY, sha256=replaced.recorded.sha256, rows=None, written_at=LONG_AGO)


def test_a_whole_file_of_another_day_is_refused(replaced: Replaced) -> None:
    other = store(replaced.lake, quotes(), day=DAY + timedelta(days=1))
    replaced.path.write_bytes((Path(replaced.lake.url) / other.path).read_bytes())
    with pytest.raises(Corrupt, match="its footer says that it is"):
        replaced.lake.verify(DATASET, DAY, sha256=replaced.recorded.sha256, rows=None, written_at=LONG_AGO)
