"""Synthetic flat files: the vendor's columns, text, order and quirks, and every fault a file can have."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import zlib
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from threading import Thread
from typing import Annotated

import obstore
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import LocalStore
from pydantic import Field, TypeAdapter, ValidationError

from data_assets.sandbox.faults import Fault
from data_assets.sandbox.flat_files.faults import ANSWER_KINDS, LISTING_KINDS, FlatFileFault
from data_assets.sandbox.flat_files.files import FlatFiles, NotListed, day_of, key
from data_assets.sandbox.flat_files.text import SYNTHETIC_NAME
from data_assets.sandbox.flat_files.tickers import FEWEST_TICKERS, ODD_TICKERS, TEST_TICKERS, universe, vendor_order
from data_assets.sandbox.market.minute_bars import LIQUID, minute_bars
from data_assets.trading_calendar import NEW_YORK, session, sessions

HEADER = "ticker,volume,open,close,high,low,window_start,transactions"
SCHEMA = {
    "ticker": pl.String,
    "volume": pl.Float64,
    "open": pl.Float64,
    "close": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "window_start": pl.Int64,
    "transactions": pl.Int64,
}
DAY, BEFORE_THE_SEAM, SEAM, HALF_DAY = date(2024, 1, 3), date(2026, 2, 20), date(2026, 2, 23), date(2024, 7, 3)
WINTER, SUMMER = date(2024, 3, 8), date(2024, 3, 11)
MANY = 700
files = FlatFiles(now=lambda: datetime(2026, 6, 1, 12, tzinfo=UTC))

any_day = st.sampled_from(sessions(files.first_day, date(2026, 5, 20)))


def with_faults(*faults: FlatFileFault) -> FlatFiles:
    return FlatFiles(now=files.now, faults=faults)


def with_fault(kind: str, **fields: object) -> FlatFiles:
    return with_faults(FlatFileFault.model_validate({"kind": kind, "day": DAY, **fields}))


def text(body: bytes) -> str:
    return gzip.decompress(body).decode("ascii")


def parsed(body: bytes) -> pl.DataFrame:
    """Read with another library than the one that wrote it, every type given and no null known."""
    arrow = {pl.String: pa.string(), pl.Float64: pa.float64(), pl.Int64: pa.int64()}
    options = pa.csv.ConvertOptions(
        column_types={name: arrow[dtype] for name, dtype in SCHEMA.items()}, strings_can_be_null=False
    )
    return pl.from_arrow(pa.csv.read_csv(pa.py_buffer(gzip.decompress(body)), convert_options=options))


def local(frame: pl.DataFrame) -> pl.Series:
    return (
        pl.from_epoch(frame["window_start"], "ns").dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York")
    )


# What is in a file


@settings(max_examples=12)
@given(any_day, st.sampled_from(["integer", "float", "decimal", None]))
def test_the_text_holds_the_rows_whatever_its_style(day, style):
    styled = FlatFiles(now=files.now, style=style)
    body = styled.body(day)
    assert text(body).splitlines()[0] == HEADER
    assert parsed(body).schema == SCHEMA
    assert parsed(body).equals(styled.rows(day))


@settings(max_examples=12)
@given(any_day)
def test_every_row_is_a_possible_bar_of_the_days_extended_session(day):
    frame = files.rows(day)
    end = time(17) if session(day).is_early_close else time(20)
    clock = local(frame)
    assert (clock.dt.date() == day).all()
    assert ((clock.dt.time() >= time(4)) & (clock.dt.time() < end)).all()
    assert (frame["window_start"] % 60_000_000_000 == 0).all()
    assert frame.select(
        ((pl.col("low") > 0) & (pl.col("low") <= pl.min_horizontal("open", "close"))).all()
        & (pl.max_horizontal("open", "close") <= pl.col("high")).all()
        & ((pl.col("volume") == 0) == (pl.col("transactions") == 0)).all()
        & (pl.col("volume") >= 0).all()
    ).item()
    assert frame.select(pl.struct("ticker", "window_start").is_unique().all()).item()


@pytest.mark.parametrize("day", [DAY, SEAM, HALF_DAY, SUMMER])
def test_the_bars_are_those_that_every_vendor_shows(day):
    frame = files.rows(day).filter(pl.col("transactions") > 0)
    for symbol in ("QQQ", "AAPL", "NA", "ABRPA"):
        ours, bars = frame.filter(pl.col("ticker") == symbol), minute_bars(symbol, day)
        assert ours["window_start"].equals(bars["timestamp"].dt.epoch("ns").alias("window_start"))
        for name, shared in {"open": "open", "close": "close", "high": "high", "low": "low"}.items():
            assert ours[name].equals(bars[shared])
        assert ours["volume"].floor().cast(pl.Int64).equals(bars["volume"])
        assert ours["transactions"].equals(bars["trades"].alias("transactions"))


def test_volumes_have_fractions_from_their_first_day_on():
    assert (files.rows(BEFORE_THE_SEAM)["volume"] % 1 == 0).all()
    fractional = files.rows(SEAM).filter(pl.col("transactions") > 0)["volume"] % 1 > 0
    assert 0.85 < fractional.mean() < 0.99
    scaled = files.rows(SEAM)["volume"] * 1e6
    assert (scaled - scaled.round()).abs().max() < 1e-3


def test_there_are_minutes_without_volume():
    without = files.rows(DAY).filter(pl.col("volume") == 0)
    assert without.height > 5
    assert (without["high"] == without["low"]).all()


def test_days_reach_to_1959_and_half_days_to_1659():
    assert local(files.rows(DAY)).dt.time().max() == time(19, 59)
    assert local(files.rows(HALF_DAY)).dt.time().max() == time(16, 59)
    evening = pl.from_epoch(files.rows(DAY)["window_start"], "ns").dt.date().max()
    assert evening == DAY + timedelta(days=1), "bars from 19:00 EST on are the next day's in UTC"


def test_the_clock_change_moves_the_file_by_an_hour_of_utc():
    opens = [files.rows(day).filter(pl.col("ticker") == "QQQ") for day in (WINTER, SUMMER)]
    hours = [datetime.fromtimestamp(frame["window_start"].min() / 1e9, UTC).hour for frame in opens]
    assert hours == [9, 8]


# Text styles


@pytest.mark.parametrize(
    ("day", "price", "volume"),
    [
        (date(2019, 1, 3), r"\d+(\.\d*[1-9])?", r"\d+"),
        (date(2026, 1, 5), r"\d+\.(0|\d*[1-9])", r"\d+"),
        (SEAM, r"\d+\.\d{6}", r"\d+\.\d{6}"),
    ],
)
def test_each_era_prints_numbers_in_its_own_way(day, price, volume):
    lines = text(files.body(day)).removesuffix("\n").split("\n")[1:]
    row = re.compile(rf"[A-Za-z.]+,{volume},{price},{price},{price},{price},\d{{19}},\d+")
    assert [line for line in lines if not row.fullmatch(line)] == []
    whole = [line for line in lines if re.search(r",\d+(\.0+)?,\d+\.?\d*,\d{19}", line)]
    assert whole, "some price is a whole number of dollars, or the styles would not differ"


# Tickers


def test_the_vendors_order_is_that_of_real_files_not_of_bytes():
    real = ["AA", "AApB", "AAAP", "AAC", "ABR", "ABRpA", "ABRpC", "ABRN", "AIGpA", "AIG.WS", "NE.WS", "NE.WS.A", "TpC"]
    assert sorted({*real}, key=vendor_order) == real
    markers = ["X", "X.A", "X.B", "XpA", "Xr", "X.U", "Xw", "X.WS", "X.WS.A"]
    assert sorted({*markers}, key=vendor_order) == markers
    assert sorted(real) != real


@pytest.mark.parametrize("size", [FEWEST_TICKERS, 60, MANY])
def test_every_universe_has_the_liquid_the_odd_and_the_test_tickers(size):
    tickers = universe(size)
    assert len(set(tickers)) == len(tickers) == size
    assert {*LIQUID, *ODD_TICKERS, *TEST_TICKERS} <= {*tickers}
    assert {*tickers} <= {*universe(MANY)}
    assert list(tickers) == sorted(tickers, key=vendor_order)


def test_a_universe_too_small_for_them_is_refused():
    with pytest.raises(ValueError, match=str(FEWEST_TICKERS)):
        universe(FEWEST_TICKERS - 1)


def test_a_file_is_grouped_by_ticker_in_the_vendors_order_then_by_time():
    frame = files.rows(DAY)
    blocks = frame["ticker"].rle().struct.field("value").to_list()
    assert blocks == sorted(set(blocks), key=vendor_order)
    assert frame.select(pl.col("window_start").diff().over("ticker").min()).item() > 0
    assert {"ABRpA", "ABRPA", "TPC", "TpC", "NA", "NAN", "TRUE", "BRK.A", "ZTEST"} <= {*blocks}


def test_a_small_file_is_a_part_of_a_large_one():
    large = FlatFiles(tickers=200, now=files.now).rows(SEAM)
    assert large.filter(pl.col("ticker").is_in(universe(60))).equals(files.rows(SEAM))


# The file


FINGERPRINT = """
from datetime import date
from hashlib import sha256
from data_assets.sandbox.flat_files.files import FlatFiles
print(sha256(FlatFiles().body(date(2026, 2, 23))).hexdigest())
"""


def test_a_file_is_the_same_bytes_in_every_process_and_at_every_time():
    def fingerprint(seed: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", FINGERPRINT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    assert fingerprint("1") == fingerprint("2") != ""


def test_a_file_says_that_it_is_synthetic_unless_told_not_to():
    says, hides = (FlatFiles(now=files.now, says_synthetic=says).body(DAY) for says in (True, False))
    assert says[10:].startswith(SYNTHETIC_NAME.encode() + b"\0")
    assert SYNTHETIC_NAME.encode() not in hides
    assert gzip.decompress(says) == gzip.decompress(hides)


def test_a_key_and_its_day_belong_together():
    name = "us_stocks_sip/minute_aggs_v1/2024/01/2024-01-03.csv.gz"
    assert key(DAY) == name
    assert day_of(name) == DAY
    assert [day_of(other) for other in ("x", name.replace("/01/", "/02/"), name + ".part", "")] == [None] * 4


def test_a_month_is_listed_by_its_prefix():
    names = files.keys("us_stocks_sip/minute_aggs_v1/2024/01/")
    assert names == [key(day) for day in sessions(date(2024, 1, 1), date(2024, 1, 31))]
    assert files.keys("us_options_opra/") == []
    assert FlatFiles(first_day=DAY, now=files.now).keys("us_stocks_sip/minute_aggs_v1/2024/01/")[0] == key(DAY)


@pytest.mark.parametrize(("hour", "listed"), [(10, False), (11, True)])
def test_a_file_is_listed_from_eleven_in_new_york_on_the_next_day(hour, listed):
    now = datetime(2024, 1, 4, hour + 5, 30 if hour == 10 else 0, tzinfo=UTC)
    then = FlatFiles(now=lambda: now)
    assert then.is_listed(DAY) is listed
    assert (then.keys(key(DAY)) == [key(DAY)]) is listed
    assert (DAY in then.days()) is listed
    assert not then.is_listed(date(2024, 1, 4))


@pytest.mark.parametrize("day", [date(2024, 7, 4), date(2015, 12, 31), date(2026, 6, 1)])
def test_a_day_without_a_file_is_a_clear_error(day):
    assert not files.is_listed(day)
    with pytest.raises(NotListed, match=str(day)):
        files.body(day)


# Faults


def test_a_late_file_comes_when_it_is_late():
    late = FlatFileFault(kind="late_file", day=DAY, hours=30)
    times = [datetime(2024, 1, 5, 21, 59, tzinfo=UTC), datetime(2024, 1, 5, 22, 0, tzinfo=UTC)]
    assert [FlatFiles(faults=(late,), now=lambda now=now: now).is_listed(DAY) for now in times] == [False, True]


def test_a_missing_file_is_never_listed():
    missing = with_fault("missing_file")
    assert key(DAY) not in missing.keys("us_stocks_sip/minute_aggs_v1/2024/01/")
    with pytest.raises(NotListed):
        missing.rows(DAY)


def test_a_prefix_strikes_a_whole_month_and_nothing_else():
    prefix = "us_stocks_sip/minute_aggs_v1/2024/02/"
    gone = with_faults(FlatFileFault(kind="missing_file", prefix=prefix))
    assert gone.keys(prefix) == []
    assert set(files.keys()) - set(gone.keys()) == set(files.keys(prefix))


def test_a_rate_strikes_so_many_days_always_the_same():
    fault = FlatFileFault(kind="missing_file", rate=0.3)
    share = 1 - len(with_faults(fault).keys()) / len(files.keys())
    assert 0.25 < share < 0.35
    assert with_faults(fault).keys() == with_faults(fault).keys()
    assert FlatFiles(faults=(fault,), fault_seed=1, now=files.now).keys() != with_faults(fault).keys()


def test_a_truncated_file_ends_before_its_data():
    with pytest.raises(EOFError):
        gzip.decompress(with_fault("truncated_gzip").body(DAY))


def test_a_wrong_checksum_is_the_only_thing_wrong():
    body = with_fault("wrong_crc").body(DAY)
    with pytest.raises(gzip.BadGzipFile, match="CRC"):
        gzip.decompress(body)
    raw = zlib.decompressobj(-zlib.MAX_WBITS).decompress(body[10 + len(SYNTHETIC_NAME) + 1 :])
    assert raw == gzip.decompress(files.body(DAY))


def test_a_wrong_date_is_the_next_one_on_every_row():
    wrong = with_fault("wrong_date").rows(DAY)
    assert set(local(wrong).dt.date()) == {DAY + timedelta(days=1)}
    assert wrong.drop("window_start").equals(files.rows(DAY).drop("window_start"))


def test_duplicate_rows_are_the_same_row_twice():
    twice = with_fault("duplicate_rows").rows(DAY)
    assert twice.height > files.rows(DAY).height
    assert twice.unique(maintain_order=True).equals(files.rows(DAY))


def test_conflicting_rows_differ():
    twice = with_fault("conflicting_rows").rows(DAY)
    assert twice.height > files.rows(DAY).height
    assert twice.is_unique().all()
    assert twice.unique(["ticker", "window_start"], keep="first", maintain_order=True).equals(files.rows(DAY))


def test_split_blocks_hold_the_same_rows_in_two_blocks_a_ticker():
    split, whole = with_fault("split_blocks").rows(DAY), files.rows(DAY)
    assert split["ticker"].rle().len() > whole["ticker"].rle().len()
    order = ["ticker", "window_start"]
    assert split.sort(order).equals(whole.sort(order))


@pytest.mark.parametrize("day", [DAY, SUMMER, HALF_DAY])
def test_a_hole_has_no_row_of_any_ticker(day):
    clock = local(with_fault("hole", day=day, minutes=7).rows(day)).dt.time()
    inside = (local(files.rows(day)).dt.time() >= time(11)) & (local(files.rows(day)).dt.time() < time(11, 7))
    assert inside.sum() > 70
    assert not ((clock >= time(11)) & (clock < time(11, 7))).any()
    assert len(clock) == len(inside) - inside.sum()


@pytest.mark.parametrize("day", [DAY, SUMMER])
def test_a_file_that_stops_at_noon_has_the_morning_alone(day):
    stopped = with_fault("stops_at_noon", day=day).rows(day)
    assert local(stopped).dt.time().max() == time(11, 59)
    assert stopped.height == (local(files.rows(day)).dt.time() < time(12)).sum()


def test_an_absent_ticker_leaves_the_others():
    absent = with_fault("absent_ticker", ticker="QQQ").rows(DAY)
    assert absent.equals(files.rows(DAY).filter(pl.col("ticker") != "QQQ"))


def test_columns_can_be_renamed_and_missing():
    assert text(with_fault("renamed_volume").body(DAY)).startswith(HEADER.replace("volume", "size") + "\n")
    assert text(with_fault("missing_transactions").body(DAY)).startswith(HEADER.removesuffix(",transactions") + "\n")


def test_a_republished_file_has_rows_added_removed_and_altered_in_the_newest_style():
    second = with_fault("republished_file")
    old, new = files.rows(DAY), second.rows(DAY)
    on = ["ticker", "window_start"]
    assert old.join(new, on=on, how="anti").height > 0
    assert new.join(old, on=on, how="anti").height > 0
    both = old.join(new, on=on)
    assert 0 < (both["high"] != both["high_right"]).sum() < 0.05 * both.height
    assert re.search(r"\.\d{6},", text(second.body(DAY)))
    assert second.body(DAY) == files.body(DAY, revision=1) != files.body(DAY, revision=2)


def test_faults_of_one_file_add_up():
    both = with_faults(FlatFileFault(kind="hole", day=DAY), FlatFileFault(kind="truncated_gzip", day=DAY))
    with pytest.raises(EOFError):
        gzip.decompress(both.body(DAY))
    assert both.rows(DAY).height < files.rows(DAY).height


@pytest.mark.parametrize("kind", sorted(ANSWER_KINDS - LISTING_KINDS))
def test_faults_of_answers_leave_the_file_alone(kind):
    status = {"status": 520} if kind == "file_status" else {}
    assert with_fault(kind, **status).body(DAY) == files.body(DAY)


@pytest.mark.parametrize(
    "fault", [{"kind": "file_status"}, {"kind": "forbidden", "status": 520}, {"kind": "hole", "code": "X"}]
)
def test_a_status_is_given_where_one_is_answered(fault):
    with pytest.raises(ValidationError, match="is given with"):
        FlatFileFault.model_validate(fault)


def test_a_night_session_has_rows_from_the_evening_before_on():
    usual, night = files.rows(DAY), with_fault("night_session").rows(DAY)
    added = night.join(usual, on=["ticker", "window_start"], how="anti")
    midnight = datetime(2024, 1, 3, tzinfo=NEW_YORK)
    starts = pl.from_epoch(added["window_start"], "ns").dt.replace_time_zone("UTC").dt.convert_time_zone(str(NEW_YORK))
    assert starts.min() == midnight - timedelta(hours=4)
    assert starts.max() == midnight + timedelta(hours=3, minutes=59)
    assert night.join(added, on=["ticker", "window_start"], how="anti").equals(usual)


def test_what_a_mirror_does_to_a_text_changes_no_row():
    text = gzip.decompress(files.body(DAY))
    assert gzip.decompress(with_fault("byte_order_mark").body(DAY)) == b"\xef\xbb\xbf" + text
    assert gzip.decompress(with_fault("blank_last_line").body(DAY)) == text + b"\n"
    assert gzip.decompress(with_fault("no_last_line_end").body(DAY)) + b"\n" == text
    assert gzip.decompress(with_fault("zero_padding").body(DAY)) == text
    assert with_fault("zero_padding").body(DAY).startswith(files.body(DAY))
    odd = gzip.decompress(with_fault("odd_counts").body(DAY)).splitlines()
    first, last = (float(line.rpartition(b",")[2]) for line in (odd[1], odd[-1]))
    assert (first, last) == tuple(files.rows(DAY)["transactions"].gather([0, -1]))
    assert odd[1].endswith(b".000000")
    assert b"e+" in odd[-1]
    assert odd[2:-1] == text.splitlines()[2:-1]


def test_a_fault_that_cannot_be_is_refused():
    with pytest.raises(ValidationError, match="leave"):
        FlatFileFault(kind="late_file", times=1)
    with pytest.raises(ValidationError, match="no day"):
        FlatFileFault(kind="listing_slow_down", day=DAY)


def test_the_faults_of_all_vendors_fit_in_one_list():
    one_list = TypeAdapter(list[Annotated[Fault | FlatFileFault, Field(discriminator="kind")]])
    read = one_list.validate_json('[{"kind": "cut"}, {"kind": "hole", "day": "2024-01-03"}, {"kind": "pacing"}]')
    assert [type(fault) for fault in read] == [Fault, FlatFileFault, Fault]


# A folder laid out like the bucket


def names(root: Path) -> list[str]:
    return sorted(meta["path"] for batch in obstore.list(LocalStore(root)) for meta in batch)


def test_a_folder_is_a_mirror_of_the_days_asked_for(tmp_path):
    days = sessions(date(2024, 1, 2), date(2024, 1, 4))
    files.write_folder(tmp_path, [*days, date(2024, 1, 6)])
    assert names(tmp_path) == [key(day) for day in days]
    assert (tmp_path / key(DAY)).read_bytes() == files.body(DAY)


def test_writing_again_touches_no_file_that_is_right_and_mends_those_that_are_not(tmp_path):
    kept, cut, other = sessions(date(2024, 1, 2), date(2024, 1, 4))
    files.write_folder(tmp_path, [kept, cut, other])
    before = obstore.head(LocalStore(tmp_path), key(kept))["e_tag"]
    (tmp_path / key(cut)).write_bytes(b"not whole")
    (tmp_path / key(other)).write_bytes(b"not asked for")
    files.write_folder(tmp_path, [kept, cut])
    assert obstore.head(LocalStore(tmp_path), key(kept))["e_tag"] == before
    assert (tmp_path / key(cut)).read_bytes() == files.body(cut)
    assert (tmp_path / key(other)).read_bytes() == b"not asked for"


def test_a_file_that_the_vendor_has_no_more_goes(tmp_path):
    files.write_folder(tmp_path, [DAY, HALF_DAY])
    with_fault("missing_file").write_folder(tmp_path, [DAY, HALF_DAY])
    assert names(tmp_path) == [key(HALF_DAY)]


def test_a_replaced_file_has_another_etag(tmp_path):
    files.write_folder(tmp_path, [DAY])
    before = obstore.head(LocalStore(tmp_path), key(DAY))["e_tag"]
    with_fault("republished_file").write_folder(tmp_path, [DAY])
    assert obstore.head(LocalStore(tmp_path), key(DAY))["e_tag"] != before


def test_a_reader_beside_many_writers_never_sees_half_a_file(tmp_path):
    versions = [files, with_fault("republished_file")]
    whole = {version.body(DAY) for version in versions}
    files.write_folder(tmp_path, [DAY])
    writers = [Thread(target=version.write_folder, args=(tmp_path, [DAY] * 4)) for version in versions * 2]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add((tmp_path / key(DAY)).read_bytes())
    assert seen <= whole
    assert names(tmp_path) == [key(DAY)]
