from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.quality.naming import clock, contract_name
from data_assets.quality.option_quotes import QuoteThresholds, contract_set, day_metrics, grid, quotes, timestamps
from data_assets.quality.verdict import Verdict
from data_assets_tests.quality.quote_days import (
    CLOSE,
    DAY,
    MINUTE,
    OPEN,
    OPTION_CLOSE,
    Contract,
    chain,
    quotes_of,
    summary_of,
)

NOON = OPEN + 150 * MINUTE
GOOD = quotes_of(*chain())
ROWS = 6 * 391 + 12 * 406


def grid_of(summary: pl.DataFrame, close=CLOSE, option_close=OPTION_CLOSE, tolerance=0.02) -> Verdict:
    return grid(summary, open_=OPEN, close=close, option_close=option_close, interval=MINUTE, tolerance=tolerance)


def all_verdicts(day: pl.DataFrame) -> dict[str, Verdict]:
    summary = summary_of(day)
    verdicts = (
        grid_of(summary),
        contract_set(summary, listed=18, absent=0, absent_names=(), extra=0, tolerance=0.005),
        quotes(summary, QuoteThresholds()),
        timestamps(summary),
    )
    return {verdict.name: verdict for verdict in verdicts}


def at(rows: list[int], **values) -> pl.DataFrame:
    """The good day with these rows' values replaced."""
    hit = pl.int_range(pl.len()).is_in(rows)
    return GOOD.with_columns(
        pl.when(hit).then(pl.lit(value)).otherwise(pl.col(column)).cast(GOOD.schema[column]).alias(column)
        for column, value in values.items()
    )


def test_a_good_day_passes_every_rule():
    assert [(v.name, v.passed) for v in all_verdicts(GOOD).values()] == [
        ("grid", True),
        ("contract_set", True),
        ("quotes", True),
        ("timestamps", True),
    ]


LATE = [row for contract in range(3) for row in range(contract * 391 + 1, contract * 391 + 101)]


@pytest.mark.parametrize(
    ("day", "broken"),
    [
        pytest.param(at([5], bid=-0.01), {"quotes": "error"}, id="a negative price"),
        pytest.param(at([5], ask_size=-1), {"quotes": "error"}, id="a negative size"),
        pytest.param(at([5], ask=float("nan")), {"quotes": "error"}, id="a price that is no number"),
        pytest.param(at(LATE, bid=1.06), {"quotes": "warn"}, id="too many crossed"),
        pytest.param(at(LATE, bid=1.05), {"quotes": "warn"}, id="too many locked"),
        pytest.param(at(LATE, ask=0.0), {"quotes": "warn"}, id="too many bids without an ask"),
        pytest.param(
            at([*LATE, *range(2000, 2200)], bid=0.0, ask=0.0), {"quotes": "warn"}, id="too many without quote"
        ),
        pytest.param(at(list(range(5000)), bid=0.0, ask=1.0), {"quotes": "warn"}, id="too many zero bids"),
        pytest.param(at([5], timestamp=OPEN + 4 * MINUTE), {"timestamps": "error"}, id="a timestamp twice"),
        pytest.param(at([5], timestamp=OPEN + 5.5 * MINUTE), {"timestamps": "error"}, id="half a minute off the grid"),
        pytest.param(at([390], timestamp=None), {"timestamps": "error", "grid": "warn"}, id="no timestamp"),
        pytest.param(
            at([0], timestamp=OPEN - MINUTE), {"timestamps": "error", "grid": "warn"}, id="a row before the open"
        ),
        pytest.param(
            quotes_of(*chain()[:-1], replace(chain()[-1], end=OPTION_CLOSE + MINUTE)),
            {"timestamps": "error", "grid": "warn"},
            id="a row after the close",
        ),
        pytest.param(pl.concat([GOOD[391:782], GOOD[:391], GOOD[782:]]), {"timestamps": "error"}, id="two swapped"),
        pytest.param(
            pl.concat([GOOD[:200], GOOD[391:782], GOOD[200:391], GOOD[782:]]), {"timestamps": "error"}, id="interleaved"
        ),
        pytest.param(GOOD.filter(pl.int_range(pl.len()) != 7), {"grid": "warn"}, id="a hole"),
        pytest.param(GOOD[1:], {"grid": "warn"}, id="the row at the open is missing"),
        pytest.param(GOOD[:-1], {"grid": "warn"}, id="one row short"),
        pytest.param(GOOD[:-15], {"grid": "warn"}, id="no tail to 16:15 where its kind has one"),
    ],
)
def test_a_day_broken_in_one_way_breaks_the_rule_for_it(day, broken):
    assert {name: v.severity for name, v in all_verdicts(day).items() if not v.passed} == broken


class TestGrid:
    def test_describes_where_contracts_end(self):
        verdict = grid_of(summary_of(GOOD))
        assert verdict.summary == (
            "all 18 contracts hold the whole grid from 09:30; contracts by last row: 16:15 (12), 16:00 (6)"
        )
        assert verdict.metadata["empty_at_open"] == 18

    def test_names_what_leaves_the_grid_and_how(self):
        day = quotes_of(*chain(), Contract(date(2024, 1, 26), 412.5, "PUT", start=NOON, end=NOON + 59 * MINUTE))
        verdict = grid_of(summary_of(day))
        assert (verdict.passed, verdict.severity) == (False, "warn")
        assert verdict.summary == (
            "1 of 19 contracts (5.26%) leaves the grid: 1 starts late, 1 ends oddly, 0 have holes; "
            "contracts by last row: 16:15 (12), 16:00 (6), 12:59 (1)"
        )
        assert verdict.metadata["irregular_contracts"] == ["QQQ 2024-01-26 412.5 P: 60 rows, 12:00 to 12:59"]
        assert verdict.metadata["irregular_share"] == pytest.approx(1 / 19)

    def test_warns_only_above_the_tolerance(self):
        short = summary_of(GOOD[:-1])
        assert grid_of(short, tolerance=1 / 18).passed
        assert not grid_of(short, tolerance=0.99 / 18).passed

    def test_a_session_without_the_tail_is_as_regular_as_one_with_it(self):
        assert grid_of(summary_of(quotes_of(*(replace(c, end=CLOSE) for c in chain())))).passed
        assert grid_of(summary_of(quotes_of(*(replace(c, end=OPTION_CLOSE) for c in chain())))).passed

    @pytest.mark.parametrize(("minutes", "regular"), [(210, True), (225, True), (209, False), (390, False)])
    def test_an_early_close_may_warn_and_is_never_an_error(self, minutes, regular):
        day = quotes_of(*(replace(c, end=OPEN + minutes * MINUTE) for c in chain()))
        verdict = grid_of(summary_of(day), close=OPEN + 210 * MINUTE, option_close=OPEN + 225 * MINUTE)
        assert (verdict.passed, verdict.severity) == (regular, "warn")
        assert verdict.metadata["contracts_by_last_row"] == [f"{clock(OPEN + minutes * MINUTE)} (18)"]

    def test_names_ten_contracts_and_ten_minutes_at_most(self):
        ends = [OPEN + (100 + n) * MINUTE for n in range(18)]
        verdict = grid_of(summary_of(quotes_of(*(replace(c, end=e) for c, e in zip(chain(), ends, strict=True)))))
        assert len(verdict.metadata["irregular_contracts"]) == 10
        assert len(verdict.metadata["contracts_by_last_row"]) == 10
        assert verdict.summary.endswith("and 8 more minutes")
        assert verdict.metadata["irregular"] == 18

    def test_a_day_without_contracts_is_an_error(self):
        verdict = grid_of(summary_of(GOOD[:0]))
        assert (verdict.passed, verdict.severity) == (False, "error")


class TestContractSet:
    SUMMARY = summary_of(GOOD)

    def judge(self, listed: int | None, names: list[str], extra: int, absent: int | None = None) -> Verdict:
        absent = len(names) if absent is None else absent
        return contract_set(
            self.SUMMARY, listed=listed, absent=absent, absent_names=names, extra=extra, tolerance=0.005
        )

    @pytest.mark.parametrize(
        ("listed", "absent", "extra", "passed", "severity"),
        [
            (1000, 0, 0, True, "warn"),
            (1000, 5, 0, True, "warn"),
            (1000, 6, 0, False, "error"),
            (1000, 0, 5, True, "warn"),
            (1000, 0, 6, False, "warn"),
            (1000, 6, 6, False, "error"),
            (0, 0, 18, False, "warn"),
        ],
    )
    def test_tolerates_a_share_of_the_list(self, listed, absent, extra, passed, severity):
        verdict = self.judge(listed, ["QQQ 2024-01-19 400 C"] * absent, extra)
        assert (verdict.passed, verdict.severity) == (passed, severity)

    def test_names_what_is_absent_even_within_the_tolerance(self):
        verdict = self.judge(1000, ["QQQ 2024-01-19 400 C", "QQQ 2024-01-19 401 P"], 1)
        assert verdict.passed
        assert verdict.summary == (
            "2 of 1,000 listed contracts are absent (QQQ 2024-01-19 400 C, QQQ 2024-01-19 401 P); "
            "1 of the day's 18 contracts is not listed"
        )

    def test_names_ten_at_most(self):
        verdict = self.judge(18, [f"name {n}" for n in range(12)], 0)
        assert verdict.metadata["absent_contracts"] == [f"name {n}" for n in range(10)]
        assert verdict.metadata["absent"] == 12
        assert verdict.summary == (
            f"12 of 18 listed contracts are absent ({', '.join(f'name {n}' for n in range(10))}, …)"
        )

    @pytest.mark.parametrize("named", [0, 3, 50])
    def test_counts_the_absent_that_are_not_named_too(self, named):
        verdict = self.judge(20_000, [f"name {n}" for n in range(named)], 0, absent=101)
        assert (verdict.passed, verdict.severity) == (False, "error")
        assert verdict.metadata["absent"] == 101
        assert verdict.summary.startswith("101 of 20,000 listed contracts are absent")
        assert verdict.summary.endswith(", …)") == (named > 0)

    def test_without_a_list_it_says_that_it_cannot_tell(self):
        verdict = self.judge(None, [], 0)
        assert verdict.passed
        assert verdict.summary.startswith("cannot tell: there is no contract list of the day (the vendor's is empty, ")

    def test_a_root_without_contracts_and_without_a_list_is_an_error(self):
        nothing = self.SUMMARY.clear()
        verdict = contract_set(nothing, listed=None, absent=0, absent_names=(), extra=0, tolerance=0.005)
        assert (verdict.passed, verdict.severity) == (False, "error")
        assert "spelt" in verdict.summary


class TestQuotes:
    def test_the_summary_says_which_share_is_high(self):
        verdict = quotes(summary_of(at(LATE, bid=1.06)), QuoteThresholds())
        assert verdict.summary == f"crossed {300 / (ROWS - 18):.2%} (limit 0.10%)"
        assert verdict.metadata["worst_contracts"] == [
            f"QQQ 2024-01-03 {name}: 100 crossed" for name in ("400 C", "400 P", "401 C")
        ]

    def test_what_is_wrong_outranks_what_is_high(self):
        verdict = quotes(summary_of(at(LATE, bid=1.06, ask_size=-1)), QuoteThresholds())
        assert verdict.severity == "error"
        assert verdict.summary.startswith("300 rows with a negative price or size; crossed ")

    def test_the_worst_contracts_come_first(self):
        day = at([*LATE[:1], *LATE[100:105]], bid=1.06)
        assert quotes(summary_of(day), QuoteThresholds()).metadata["worst_contracts"] == [
            "QQQ 2024-01-03 400 P: 5 crossed",
            "QQQ 2024-01-03 400 C: 1 crossed",
        ]

    @pytest.mark.parametrize("kind", ["crossed", "locked", "zero_bid", "zero_ask", "no_quote"])
    def test_each_threshold_is_the_last_share_that_passes(self, kind):
        values = {
            "crossed": {"bid": 1.06},
            "locked": {"bid": 1.05},
            "zero_bid": {"bid": 0.0},
            "zero_ask": {"ask": 0.0},
            "no_quote": {"bid": 0.0, "ask": 0.0},
        }
        summary = summary_of(at(LATE, **values[kind]))
        share = 300 / (ROWS - 18)
        assert day_metrics(summary)[f"{kind}_share"] == pytest.approx(share)
        assert quotes(summary, replace(QuoteThresholds(), **{kind: share})).passed
        assert not quotes(summary, replace(QuoteThresholds(), **{kind: share * 0.999})).passed

    def test_zero_bids_and_empty_opening_rows_are_normal(self):
        day = at(LATE, bid=0.0, bid_size=0)
        assert quotes(summary_of(day), QuoteThresholds(no_quote=0.0)).passed

    @pytest.mark.parametrize("share", [-0.01, 1.01, 5.0, float("nan")])
    def test_a_threshold_is_a_share(self, share):
        with pytest.raises(ValueError, match=r"threshold crossed is .* from 0 to 1"):
            QuoteThresholds(crossed=share)


class TestTimestamps:
    def test_the_summary_counts_each_kind_of_breach(self):
        day = pl.concat([GOOD[391:782], GOOD[:391], GOOD[782:]]).with_columns(
            timestamp=pl.when(pl.int_range(pl.len()) == 5)
            .then(pl.lit(OPEN - timedelta(seconds=30)))
            .otherwise("timestamp")
            .cast(GOOD.schema["timestamp"])
        )
        verdict = timestamps(summary_of(day))
        assert verdict.summary == (
            "1 row outside the session; 1 row off the grid; 1 row not after the contract's previous row; "
            "1 contract not in the order of the file"
        )
        assert verdict.metadata["contracts_concerned"] == [
            "QQQ 2024-01-03 400 P: 1 outside_session, 1 off_grid, 1 disordered"
        ]

    def test_sees_a_contract_that_comes_back(self):
        day = pl.concat([GOOD[:200], GOOD[391:], GOOD[200:391]])
        assert timestamps(summary_of(day)).metadata["scattered_contracts"] == 1
        one_foreign_row = pl.concat([GOOD[:200], GOOD[391:392], GOOD[200:391], GOOD[392:]])
        assert timestamps(summary_of(one_foreign_row)).metadata["scattered_contracts"] == 2

    def test_sees_contracts_in_reverse(self):
        verdict = timestamps(summary_of(quotes_of(*reversed(chain()))))
        assert (verdict.passed, verdict.metadata["misplaced_contracts"]) == (False, 17)

    def test_orders_the_roots_of_one_expiration_before_their_strikes(self):
        roots = [Contract(strike=s, symbol=root) for root in ("SPX", "SPXW") for s in (4000.0, 4100.0)]
        assert timestamps(summary_of(quotes_of(*roots))).passed
        assert not timestamps(summary_of(quotes_of(*sorted(roots, key=lambda c: c.strike)))).passed


def test_day_metrics_of_a_known_day():
    assert day_metrics(summary_of(GOOD)) == {
        "rows": ROWS,
        "contracts": 18,
        "expirations": 3,
        "crossed_share": 0.0,
        "locked_share": 0.0,
        "zero_bid_share": 0.0,
        "zero_ask_share": 0.0,
        "no_quote_share": 0.0,
    }
    assert set(day_metrics(summary_of(GOOD[:0])).values()) == {0}


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(18)))
def test_the_order_of_the_contracts_changes_nothing_but_the_order(order):
    pieces = GOOD.partition_by("expiration", "strike", "right", maintain_order=True)
    permuted = summary_of(pl.concat([pieces[i] for i in order]))
    assert day_metrics(permuted) == day_metrics(summary_of(GOOD))
    assert grid_of(permuted).summary == grid_of(summary_of(GOOD)).summary
    assert timestamps(permuted).passed == (list(order) == sorted(order))


@pytest.mark.parametrize(
    ("strike", "text"), [(400.0, "400"), (412.5, "412.5"), (0.001, "0.001"), (14500.125, "14500.125")]
)
def test_contract_names(strike, text):
    assert contract_name("QQQ", DAY, strike, "CALL") == f"QQQ 2024-01-03 {text} C"
    assert contract_name("QQQ", DAY, strike, "PUT") == f"QQQ 2024-01-03 {text} P"


def test_the_clock_is_new_yorks_in_winter_and_in_summer():
    assert clock(OPEN) == "09:30"
    assert clock(OPEN.replace(month=7)) == "10:30"
    assert clock(OPEN + timedelta(seconds=1)) == "09:30:01"
    assert clock(None) == "no time"
