"""Pieces of an unfinished day: kept, trusted by their digest, locked; of a lake in an object store beside it too."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing.parametric import column, dataframes

from data_assets.lake import unfinished
from data_assets.lake.errors import LakeError
from data_assets.lake.lake import Lake
from data_assets.lake.storage import open_storage
from data_assets.lake.unfinished import KEPT, NOTES_KEPT, UnfinishedDay, sweep_pieces
from data_assets_tests.lake.lake_days import quotes, store

DAY = date(2024, 1, 3)
ROWS = pl.DataFrame(
    {"bid": [1.0, 2.0], "bid_size": [1, 300], "right": pl.Series(["CALL", "PUT"], dtype=pl.Enum(["CALL", "PUT"]))}
)


def test_a_piece_comes_back_as_it_was_kept_with_its_note(tmp_path: Path):
    folder = tmp_path / "date" / ".parts"
    with UnfinishedDay(folder) as pieces:
        pieces.put("one", ROWS, {"asked": "SPXW"})
        pieces.put("one", ROWS.reverse(), {"asked": "SPX"})
    with UnfinishedDay(folder) as pieces:
        assert pieces.names() == {"one"}
        found = pieces.get("one")
        assert pieces.get("two") is None
    assert found is not None
    assert found[0].equals(ROWS.reverse())
    assert found[0].schema == ROWS.schema
    assert found[1] == {"asked": "SPX"}


def test_a_piece_of_several_frames_comes_back_in_one(tmp_path: Path):
    with UnfinishedDay(tmp_path / "date" / ".parts") as pieces:
        pieces.put("one", pl.concat([ROWS, ROWS.reverse(), ROWS.head(1)], rechunk=False), {})
        found = pieces.get("one")
    assert found is not None
    assert found[0].equals(pl.concat([ROWS, ROWS.reverse(), ROWS.head(1)]))
    assert found[0].n_chunks() == 1, "its rows can be put in order by whole contracts"


INTEGERS = [pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64]


@given(data=st.data())
def test_integers_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    frames = data.draw(
        st.lists(
            dataframes([column(f"{dtype}", dtype=dtype, allow_null=True) for dtype in INTEGERS], max_size=5),
            min_size=1,
            max_size=3,
        )
    )
    rows = pl.concat(frames, rechunk=False)
    with UnfinishedDay(tmp_path_factory.mktemp("day") / ".parts") as pieces:
        pieces.put("one", rows, {})
        found = pieces.get("one")
    assert found is not None
    assert found[0].equals(rows)
    assert found[0].schema == rows.schema


def test_integers_that_arrow_does_not_know_are_refused_and_not_lost(tmp_path: Path):
    with UnfinishedDay(tmp_path / ".parts") as pieces, pytest.raises(pa.ArrowInvalid):
        pieces.put("one", pl.DataFrame({"size": pl.Series([1], dtype=pl.Int128)}), {})


def test_small_numbers_take_few_bytes(tmp_path: Path):
    sizes = pl.DataFrame({"bid_size": pl.Series(np.random.default_rng(7).integers(0, 255, 100_000), dtype=pl.Int64)})
    with UnfinishedDay(tmp_path / ".parts") as pieces:
        pieces.put("one", sizes, {})
        [path] = (tmp_path / ".parts").glob("*.piece")
        assert path.stat().st_size < 2.1 * sizes.height


def test_an_earlier_version_does_not_take_narrow_integers_for_its_own(tmp_path: Path):
    with UnfinishedDay(tmp_path / ".parts") as pieces:
        pieces.put("one", pl.DataFrame({"bid_size": [1, 2]}), {})
        [path] = (tmp_path / ".parts").glob("*.piece")
    assert "rows" not in json.loads(path.read_bytes().partition(b"\n")[0]), "which it asks for"


def test_nothing_is_left_of_a_day_without_pieces_and_of_one_that_is_cleared(tmp_path: Path):
    folder = tmp_path / "date" / ".parts"
    with UnfinishedDay(folder):
        assert folder.is_dir()
    assert not folder.parent.exists()
    with UnfinishedDay(folder) as pieces:
        pieces.put("one", ROWS, {})
        pieces.clear()
    assert not folder.parent.exists()
    UnfinishedDay(folder).clear()


def test_a_day_is_held_by_one(tmp_path: Path):
    folder = tmp_path / "date" / ".parts"
    with UnfinishedDay(folder), pytest.raises(LakeError, match="another process is at work on this day"):
        UnfinishedDay(folder).__enter__()
    with UnfinishedDay(folder):
        pass


def test_every_damaged_byte_is_found(tmp_path: Path):
    """But for those of the name of the note's digest, without which a piece is one of an earlier version."""
    note = {"rows": 2}
    with UnfinishedDay(tmp_path / ".parts") as pieces:
        pieces.put("one", ROWS, note)
        [path] = (tmp_path / ".parts").glob("*.piece")
        whole = path.read_bytes()
        for place in range(len(whole)):
            for bit in (1, 128):
                path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
                found = pieces.get("one")
                if whole.index(b"note_sha256") <= place < whole.index(b'": "'):
                    assert found is None or (found[0].equals(ROWS) and found[1] == note)
                else:
                    assert found is None, place
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            assert pieces.get("one") is None


@pytest.mark.parametrize("head", [b"", b"7", b"[]", b"{}", b'"text"', b"\xff", b'{"note": {}, "sha256": ""}'])
def test_a_piece_that_begins_with_anything_else_is_none(tmp_path: Path, head: bytes):
    with UnfinishedDay(tmp_path / ".parts") as pieces:
        (tmp_path / ".parts" / "one.piece").write_bytes(head + b"\nrows")
        assert pieces.get("one") is None


def test_a_piece_of_an_earlier_version_is_used(tmp_path: Path):
    rows = io.BytesIO()
    ROWS.write_ipc(rows, compression="lz4")
    head = {"note": {"asked": "SPXW"}, "rows": 2, "sha256": hashlib.sha256(rows.getvalue()).hexdigest()}
    with UnfinishedDay(tmp_path / ".parts") as pieces:
        (tmp_path / ".parts" / "one.piece").write_bytes(json.dumps(head).encode() + b"\n" + rows.getvalue())
        found = pieces.get("one")
    assert found is not None
    assert found[0].equals(ROWS)
    assert found[0].schema == ROWS.schema
    assert found[1] == {"asked": "SPXW"}


def test_of_a_lake_in_an_object_store_another_machine_goes_on_with_them(
    bucket_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    dataset, lake = "theta/option_quotes/SPX", Lake(bucket_url, synthetic=True)
    with lake.unfinished(dataset, DAY) as pieces:
        pieces.put("one", ROWS, {"asked": 1})
        pieces.remember("one", {"lacked": 4})
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "another"))
    (tmp_path / "another").mkdir()
    with lake.unfinished(dataset, DAY) as pieces:
        assert pieces.names() == {"one"}
        found = pieces.get("one")
        assert found is not None
        assert found[0].equals(ROWS)
        assert found[1] == {"asked": 1}
        assert pieces.get("two") is None
        assert lake.datasets() == []
        pieces.clear()
        assert pieces.names() == set()
        assert pieces.get("one") is None
    assert open_storage(bucket_url).names() == []


def test_what_nobody_went_on_with_is_swept_beside_a_lake_too(bucket_url: str, monkeypatch: pytest.MonkeyPatch):
    lake = Lake(bucket_url, synthetic=True)
    store(lake, quotes())
    with lake.unfinished("theta/option_quotes/SPX", DAY) as pieces:
        pieces.put("one", ROWS, {})
        name = "theta/option_quotes/SPX/date=2024-01-03/one.piece"
        assert name not in lake.sweep()

        monkeypatch.setitem(unfinished._AGES, ".piece", timedelta(seconds=-60))

        assert pieces.names() == set()
        assert name in lake.sweep()
    assert not [each for each in open_storage(bucket_url).names() if each.startswith("_unfinished/")]


def test_a_dataset_that_is_no_key_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="is not a dataset key"):
        Lake(str(tmp_path), synthetic=True).unfinished("../x", DAY)


def test_a_note_is_remembered_until_it_is_forgotten_or_cleared(tmp_path: Path):
    folder = tmp_path / "date" / ".parts"
    pieces = UnfinishedDay(folder)  # no lock is needed
    assert pieces.remembered("one") is None
    pieces.forget("one")
    pieces.remember("one", {"lacked": 3})
    pieces.remember("one", {"lacked": 4})
    assert UnfinishedDay(folder).remembered("one") == {"lacked": 4}
    with pieces:
        assert pieces.names() == set(), "a note is no piece"
    pieces.remember("two", {})
    pieces.forget("one")
    assert pieces.remembered("one") is None
    pieces.clear()
    assert not folder.parent.exists()


def test_a_note_that_is_not_what_was_kept_is_not_believed(tmp_path: Path):
    pieces = UnfinishedDay(tmp_path / ".parts")
    pieces.remember("one", {"lacked": 3})
    [path] = (tmp_path / ".parts").glob("*.note")
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert pieces.remembered("one") in (None, {"lacked": 3})
        path.write_bytes(whole[:place])
        assert pieces.remembered("one") is None


def test_notes_are_kept_longer_than_pieces_and_swept_in_the_end(tmp_path: Path):
    pieces = UnfinishedDay(tmp_path / "date" / ".parts")
    pieces.put("one", ROWS, {})
    pieces.remember("one", {})
    files = sorted((tmp_path / "date" / ".parts").iterdir())
    for age, left in ((KEPT, [".note"]), (NOTES_KEPT, [])):
        long_ago = time.time() - age.total_seconds() - 60
        for path in files:
            if path.exists():
                os.utime(path, (long_ago, long_ago))
        assert (pieces.remembered("one") is None) == (not left)
        sweep_pieces([tmp_path / "date" / ".parts"])
        assert [path.suffix for path in tmp_path.rglob("*.*") if path.is_file()] == left
