"""Splits at read time: the table, the prices before and after, and what stored bars say of a split nobody told of."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data_assets.lake.bar_columns import in_one_vocabulary
from data_assets.lake.lake import Lake
from data_assets.lake.layout import partition_path
from data_assets.lake.splits import Split, factors, found_in, read_splits
from data_assets.quality.split_jumps import FACTORS, Night, jumps
from data_assets.vendors.ib import schema as ib
from data_assets.vendors.ib.contracts import Ticker
from data_assets.vendors.ib.day import unknown_splits
from data_assets.vendors.polygon.component import unknown_splits as of_polygon
from data_assets_tests.lake.minute_days import day_bars, ib_bars, provenance_of, store_day, store_month

DAYS = [date(2024, 1, day) for day in (2, 3, 4, 5)]
SPLIT = Split("AAPL", DAYS[2], 4.0)
PRICES = ["open", "high", "low", "close"]
IB = "ib/bars_1m"


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"), synthetic=True)


def in_old_shares(bars, factor=4.0, volume="volume"):
    prices = [name for name in (*PRICES, "average") if name in bars.columns]
    return bars.with_columns(pl.col(prices) * factor, pl.col(volume) / factor)


@pytest.fixture
def polygon(lake):
    """Unadjusted bars around a split of 4 for 1."""
    for day in DAYS:
        bars = day_bars(day, "AAPL", "SPY")
        store_day(lake, day, in_old_shares(bars) if day < SPLIT.day else bars)
    return lake


def store_ib(lake, day, fetched_at, bars):
    dataset = f"{IB}/AAPL"
    with lake.writer(dataset, day, ib.ARROW_SCHEMA, ib.SORT_BY) as writer:
        writer.write(bars)
        writer.finish(replace(provenance_of(lake, dataset, day, {}), fetched_at=fetched_at)).publish()


def evening(day):
    return datetime(day.year, day.month, day.day, 21, 30, tzinfo=UTC)


@pytest.fixture
def of_ib(lake):
    """Each day was fetched on its evening, and the first one again after the split."""
    for day in DAYS:
        old = DAYS[0] < day < SPLIT.day
        fetched_at = evening(DAYS[-1] if day == DAYS[0] else day)
        store_ib(lake, day, fetched_at, in_old_shares(ib_bars("AAPL", day)) if old else ib_bars("AAPL", day))
    return lake


def whole(lake, **asked):
    return lake.bars("AAPL", DAYS[0], DAYS[-1], **asked).collect()


def test_prices_and_volumes_are_in_the_shares_of_after_the_split(polygon, tmp_path):
    plain = Lake(str(tmp_path / "plain"), synthetic=True)
    for day in DAYS:
        store_day(plain, day, day_bars(day, "AAPL"))
    found = whole(polygon, adjust="splits", splits=[SPLIT, Split("SPY", DAYS[1], 9.0)])
    assert_frame_equal(found, whole(plain))
    assert_frame_equal(whole(polygon, adjust="splits", splits=[]), whole(polygon))
    store_month(polygon, "AAPL", date(2024, 1, 1))
    assert_frame_equal(whole(polygon, adjust="splits", splits=[SPLIT]), found)


def test_a_later_split_counts_as_well(polygon):
    later = Split("AAPL", date(2024, 6, 3), 0.5)
    found = whole(polygon, adjust="splits", splits=[later])
    assert_frame_equal(found.select(PRICES), whole(polygon).select(pl.col(PRICES) * 2))


def test_an_announced_split_changes_nothing_before_its_day(polygon):
    """Polygon's reference lists splits weeks ahead; until then, prices are what the market trades at."""
    announced = Split("AAPL", date(2100, 1, 4), 4.0)
    assert_frame_equal(whole(polygon, adjust="splits", splits=[announced]), whole(polygon))


def test_a_split_that_is_told_twice_is_one(polygon):
    once = whole(polygon, adjust="splits", splits=[SPLIT])
    assert_frame_equal(whole(polygon, adjust="splits", splits=[SPLIT, SPLIT]), once)
    with pytest.raises(ValueError, match="of AAPL on 2024-01-04: told as 4 for 1 and as 2 for 1; leave one"):
        whole(polygon, adjust="splits", splits=[SPLIT, replace(SPLIT, factor=2.0)])


def test_the_first_minute_of_the_split_is_at_the_new_price(polygon):
    found = whole(polygon, adjust="splits", splits=[SPLIT], session="regular")
    opened = found.filter(pl.col("time_new_york").dt.date() == SPLIT.day)["open"][0]
    stored = polygon.bars("AAPL", SPLIT.day, SPLIT.day, session="regular").collect()["open"][0]
    assert opened == stored


def test_what_ib_has_adjusted_is_not_adjusted_again(of_ib):
    expected = pl.concat([ib_bars("AAPL", day) for day in DAYS])
    found = whole(of_ib, adjust="splits", splits=[SPLIT], dataset=IB)
    assert_frame_equal(found.select(PRICES), expected.select(PRICES))
    assert found["vwap"].to_list() == pytest.approx(expected["average"].to_list(), nan_ok=True)


def test_a_jump_is_found_until_it_is_explained(polygon):
    (found,) = polygon.split_jumps("AAPL", DAYS[0], DAYS[-1])
    assert (found.jump.before, found.jump.after, found.jump.factor) == (DAYS[1], DAYS[2], 4.0)
    assert (found.fetch_again, "4 for 1" in found.advice, str(DAYS[2]) in found.advice) == ((), True, True)
    assert polygon.split_jumps("AAPL", DAYS[0], DAYS[-1], splits=[SPLIT]) == []
    assert len(polygon.split_jumps("AAPL", DAYS[0], DAYS[-1], splits=[replace(SPLIT, factor=2.0)])) == 1
    assert polygon.split_jumps("SPY", DAYS[2], DAYS[-1]) == []


def test_a_split_that_no_bar_shows_is_found(polygon):
    """A wrong row of the table would silently make all prices before it wrong."""
    wrong = {
        "10 for 1 on 2024-01-04": Split("AAPL", DAYS[2], 10.0),  # the bars have 4 for 1
        "2 for 1 on 2024-01-03": Split("AAPL", DAYS[1], 2.0),  # nothing happened
        "1 for 8 on 2024-01-05": Split("AAPL", DAYS[3], 0.125),
    }
    for words, split in wrong.items():
        told = [SPLIT, split] if split.day != SPLIT.day else [split]
        (found,) = polygon.split_jumps("AAPL", DAYS[0], DAYS[-1], splits=told)
        assert found.jump.after == split.day
        assert f"the table of splits has {words}, which no bar shows" in found.advice
        assert ("the price moved by 0." in found.advice) == (split.day != SPLIT.day)
        for day in DAYS:
            verdict = of_polygon(
                polygon,
                day,
                polygon.scan("polygon/minute_aggs", day, day).collect().pipe(in_one_vocabulary),
                ["AAPL"],
                told,
            )
            assert verdict.passed == (day not in (found.jump.before, found.jump.after))
    dividend = [SPLIT, Split("AAPL", DAYS[1], 1.05)]
    assert polygon.split_jumps("AAPL", DAYS[0], DAYS[-1], splits=dividend) == [], "prices move as far by themselves"
    other = [SPLIT, Split("SPY", DAYS[1], 2.0)]
    assert polygon.split_jumps("AAPL", DAYS[0], DAYS[-1], splits=other) == []


def test_days_of_ib_from_both_sides_of_a_split_are_named(of_ib):
    """The day that was fetched again fits those after the split, and neither neighbour."""
    into, out = of_ib.split_jumps("AAPL", DAYS[0], DAYS[-1], dataset=IB)
    assert (into.jump.after, into.jump.factor) == (DAYS[1], 0.25)
    assert (out.jump.after, out.jump.factor) == (DAYS[2], 4.0)
    assert into.fetch_again == out.fetch_again == (DAYS[1],)
    command = "data-assets backfill ib/bars_1m/AAPL --from 2024-01-03 --to 2024-01-03 --only all"
    assert out.advice.endswith(command)
    assert re.search(r"from 2024-01-02 to 2024-01-03 the price went to [34][.\d]* times itself", into.advice)
    store_ib(of_ib, DAYS[1], evening(DAYS[-1]), ib_bars("AAPL", DAYS[1]))
    assert of_ib.split_jumps("AAPL", DAYS[0], DAYS[-1], dataset=IB) == []


def test_a_jump_within_one_request_is_no_split(lake):
    for day in DAYS:
        bars = ib_bars("AAPL", day)
        store_ib(lake, day, evening(DAYS[-1]), in_old_shares(bars) if day < SPLIT.day else bars)
    (found,) = lake.split_jumps("AAPL", DAYS[0], DAYS[-1], dataset=IB)
    assert (found.fetch_again, found.advice.endswith("look at the bars")) == ((), True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "splits.csv",
            "# ours\nticker,execution_date,split_from,split_to\nAAPL,2024-01-04,1,4\nNA,2024-01-03,10,1\n",
        ),
        (
            "spaced.csv",
            "ticker, execution_date, split_from, split_to\nAAPL, 2024-01-04, 1, 4\nNA, 2024-01-03, 10, 1\n",
        ),
        (
            "splits.yaml",
            "- {ticker: AAPL, execution_date: 2024-01-04, split_from: 1, split_to: 4}\n"
            "- {ticker: 'NA', execution_date: '2024-01-03', split_from: 10, split_to: 1}\n",
        ),
        (
            "splits.json",
            '{"results": [{"id": 1, "ticker": "AAPL", "execution_date": "2024-01-04", "split_from": 1, "split_to": 4},'
            '{"ticker": "NA", "execution_date": "2024-01-03", "split_from": 10, "split_to": 1}], "status": "OK"}',
        ),
    ],
)
def test_a_table_is_read_from_any_of_the_three_formats(tmp_path, polygon, name, text):
    path = tmp_path / name
    path.write_text(text)
    assert read_splits(path) == [Split("NA", DAYS[1], 0.1), SPLIT]
    by_file = whole(polygon, adjust="splits", splits=str(path))
    assert_frame_equal(by_file, whole(polygon, adjust="splits", splits=[SPLIT]))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "a.csv",
            "ticker,execution_date,split_from\nAAPL,2024-01-04,1\n",
            "first line must name ticker, execution_date",
        ),
        ("a.csv", "", "first line must name"),
        ("a.csv", "ticker;execution_date;split_from;split_to\nAAPL;2024-01-04;1;4\n", "with commas between them"),
        ("a.csv", "ticker,execution_date,split_from,split_to\nAAPL,2024-01-04,1\n", "split 1 must have ticker"),
        ("a.csv", "ticker,execution_date,split_from,split_to\nAAPL,soon,1,4\n", "split 1, of AAPL: .*soon"),
        ("a.csv", "ticker,execution_date,split_from,split_to\nAAPL,2024-01-04,0,4\n", "must be above 0"),
        ("a.yaml", "- [", "neither YAML nor JSON"),
        (
            "a.yaml",
            "- {ticker: ON, execution_date: 2024-01-04, split_from: 1, split_to: 4}",
            "split 1: the ticker is read as True: put it in quotes",
        ),
        (
            "a.yaml",
            "- {ticker: AAPL, execution_date: 2024-01-04, split_from: 1, split_to: [4]}",
            "split 1, of AAPL: float.* not 'list'",
        ),
        ("a.json", '{"status": "OK"}', "must be a list of splits"),
        ("a.json", '{"results": [], "next_url": "https://api.example.com/x"}', "one page of a"),
        ("missing.csv", None, "cannot be read"),
    ],
)
def test_a_table_that_is_none_is_one_clear_line(tmp_path, name, text, said):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said) as refused:
        read_splits(tmp_path / name)
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("asked", [{"adjust": "splits"}, {"splits": []}, {"adjust": "dividends", "splits": []}])
def test_adjust_and_its_table_go_together(polygon, asked):
    with pytest.raises(ValueError, match="go together"):
        polygon.bars("AAPL", DAYS[0], DAYS[-1], **asked)


@given(st.lists(st.tuples(st.integers(1, 28), st.sampled_from(FACTORS)), max_size=5), st.integers(1, 28))
def test_the_factor_of_a_day_is_that_of_all_splits_after_it(told, at):
    day = date(2024, 2, at)
    splits = [Split("A", date(2024, 2, on), factor) for on, factor in told]
    (found,) = factors([day], splits).values()
    expected = 1.0
    for split in splits:
        expected *= split.factor if split.day > day else 1
    assert found == pytest.approx(expected)
    assert factors([day], splits, lambda _: date(2024, 3, 1)) == {day: 1}


@given(st.sampled_from(FACTORS), st.booleans(), st.floats(0.97, 1.03), st.floats(1, 1000))
def test_every_usual_split_is_found_whatever_the_night_adds(factor, reverse, moved, price):
    after = price * factor if reverse else price / factor
    (found,) = jumps(DAYS[:2], [price, after * moved], [price, after])
    assert (found.before, found.after) == (DAYS[0], DAYS[1])


@given(st.floats(0.75, 1.3), st.floats(0.01, 10_000))
def test_an_ordinary_night_is_none(moved, price):
    assert jumps(DAYS[:2], [price, price * moved], [price, price]) == []


def test_sessions_far_apart_are_not_compared():
    assert jumps([date(2024, 1, 2), date(2024, 3, 1)], [10.0, 5.0], [10.0, 5.0]) == []


def test_the_days_on_both_sides_of_a_jump_warn_and_say_what_to_fetch_again(of_ib):
    """Of the four days the first was fetched again after the split, so there are two nights."""
    ticker = Ticker("AAPL")
    found = {day: unknown_splits(of_ib, ticker, day, ib_rows(of_ib, day)) for day in DAYS}
    assert [found[day].passed for day in DAYS] == [False, False, False, True]
    assert {each.severity for each in found.values()} == {"warn"}
    assert found[DAYS[1]].metadata["nights"] == 2
    assert found[DAYS[2]].summary.endswith(
        f"run: data-assets backfill {IB}/AAPL --from {DAYS[1]} --to {DAYS[1]} --only all"
    )
    damaged = Path(of_ib.locate(partition_path(f"{IB}/AAPL", DAYS[1])))
    damaged.write_bytes(damaged.read_bytes()[:-100])
    assert unknown_splits(of_ib, ticker, DAYS[2], ib_rows(of_ib, DAYS[2])).passed, "a damaged day is judged by itself"


def test_of_unadjusted_bars_the_table_explains_the_night(polygon):
    def judged(day, *known):
        bars = in_one_vocabulary(pl.concat(polygon.batches("polygon/minute_aggs", day)))
        return of_polygon(polygon, day, bars, ["AAPL"], known)

    found = judged(SPLIT.day)
    assert not found.passed
    assert f"add it to the table of splits with the execution_date {SPLIT.day}" in found.summary
    assert judged(SPLIT.day, SPLIT).passed
    assert not judged(SPLIT.day, replace(SPLIT, ticker="SPY")).passed
    wrong = judged(DAYS[1], SPLIT, Split("SPY", DAYS[1], 2.0))
    assert "SPY: from 2024-01-02 to 2024-01-03 the price moved by" in wrong.summary, "however liquid SPY is"
    assert not judged(DAYS[1]).passed, "whichever of the two days is stored later"
    assert judged(DAYS[0]).passed


def test_a_day_that_stands_alone_cannot_tell(lake):
    store_ib(lake, DAYS[0], evening(DAYS[0]), ib_bars("AAPL", DAYS[0]))
    found = unknown_splits(lake, Ticker("AAPL"), DAYS[0], ib_rows(lake, DAYS[0]))
    assert (found.passed, found.summary) == (True, "cannot tell: no day next to it is stored")


def ib_rows(lake, day):
    return pl.concat(lake.batches(f"{IB}/AAPL", day))


@pytest.mark.parametrize(("ratio", "factor"), [(4.6, 4.0), (3.4, 4.0), (11.3, 10.0), (0.115, 0.1), (1.45, 1.25)])
def test_news_on_the_night_of_a_split_is_no_wrong_row(ratio, factor):
    """To take such a row out would leave the split in the prices."""
    night = Night(DAYS[1], DAYS[2], ratio)
    assert found_in("polygon/minute_aggs", "AAPL", night, [Split("AAPL", DAYS[2], factor)], pytest.fail) is None


@pytest.mark.parametrize(("ratio", "factor"), [(1.3, 4.0), (2.0, 4.0), (6.0, 4.0), (1.1, 1.25)])
def test_what_news_cannot_explain_is_a_wrong_row(ratio, factor):
    night = Night(DAYS[1], DAYS[2], ratio)
    told = found_in("polygon/minute_aggs", "AAPL", night, [Split("AAPL", DAYS[2], factor)], pytest.fail)
    assert told is not None
    assert "correct that row of the table" in told.advice
